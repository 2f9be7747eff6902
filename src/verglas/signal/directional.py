"""Fourier shell correlation by direction: how even the resolution of a map is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace, to_numpy
from verglas.signal.fourier import Array, frequency_axes, hermitian_weight, rfft
from verglas.signal.fsc import resolution_at
from verglas.signal.shells import number_of_shells, shell_frequencies, shell_index, slabs

LEAST_COMPONENTS = 12
"""Shells where a cone holds fewer components say nothing about its resolution."""

PATCH_DEGREES = 3.0
"""Size of the patches on the hemisphere into which products are gathered before cones are summed."""


@dataclass(frozen=True)
class DirectionalCorrelation:
    """Correlations within cones around directions of the upper hemisphere."""

    directions: Any
    """Unit vectors (x, y, z), shape (directions, 3)."""
    frequency_per_A: Any
    """Shape (shells,)."""
    fsc: Any
    """Shape (directions, shells); 0 where a cone holds no component."""
    components: Any
    """Independent components in each cone and shell, shape (directions, shells)."""
    cone_half_angle_rad: float


@dataclass(frozen=True)
class Anisotropy:
    """Summary of a directional correlation at one threshold; resolutions in A."""

    resolution_A: Any
    """Of each direction, shape (directions,); infinite where the threshold is never reached."""
    best_A: float
    worst_A: float
    mean_A: float
    """1 / mean frequency of the crossings."""
    ratio: float
    """Worst over best frequency: 1 for an even map, towards 0 the more views are missing."""
    worst_direction: Any
    """Unit vector (x, y, z)."""


def directional_fsc(
    first: Array,
    second: Array,
    pixel_size_A: float,
    *,
    mask: Array | None = None,
    directions: int = 200,
    cone_half_angle_rad: float = math.radians(20.0),
    workers: int = 1,
) -> DirectionalCorrelation:
    """Correlate two maps within cones around directions spread evenly over a hemisphere.

    One pass gathers the products of shell and patch (3 degrees) of the hemisphere; a cone is the sum of the patches
    whose centre lies within it, so many directions cost no more than few.

    Parameters
    ----------
    first, second
        Real maps, one shape (nz, ny, nx).
    pixel_size_A
        Pixel size in A.
    mask
        Factor for both.
    directions
        How many directions.
    cone_half_angle_rad
        Half the opening of a cone, radians.
    workers
        Threads of the transforms.

    Returns
    -------
    DirectionalCorrelation
        Memory besides the inputs: two transforms, slabs, and 46 kB a shell.

    References
    ----------
    Diebolder et al. (2015), Methods Mol. Biol. 1319 (conical FSC); Tan et al. (2017), Nat. Methods 14, 793.
    """
    shape = first.shape
    if len(shape) != 3 or second.shape != shape or (mask is not None and mask.shape != shape):
        raise InputError("Directional correlation needs two maps (and a mask) of one three-dimensional shape.")
    xp = array_namespace(first)
    a, b = (rfft(half if mask is None else half * mask, workers=workers) for half in (first, second))
    shells = number_of_shells(shape)
    rings = round(90.0 / PATCH_DEGREES)
    sectors = 4 * rings
    sums = np.zeros((4, rings * sectors * (shells + 1)))
    weight = hermitian_weight(shape, xp=xp)
    for rows in slabs(shape):
        patch = _patch_index(shape, rows, rings, sectors, xp)
        index = (patch * (shells + 1) + shell_index(shape, xp=xp, rows=rows)).ravel()
        u, v = a[rows], b[rows]
        ones = xp.ones(u.shape, dtype=xp.float32)
        for total, values in zip(
            sums, ((u * xp.conj(v)).real, u.real**2 + u.imag**2, v.real**2 + v.imag**2, ones), strict=True
        ):
            total += to_numpy(xp.bincount(index, (values * weight).ravel(), sums.shape[1]))
    by_patch = sums.reshape(4, rings * sectors, shells + 1)[..., :shells]
    vectors = fibonacci_hemisphere(directions)
    member = np.abs(vectors @ _patch_centres(rings, sectors).T) >= math.cos(cone_half_angle_rad)
    cross, power_a, power_b, components = np.einsum("dp,kps->kds", member.astype(np.float64), by_patch, optimize=True)
    # The zero frequency has no direction: all cones share it.
    for total, patches in zip((cross, power_a, power_b, components), by_patch, strict=True):
        total[:, 0] = patches[:, 0].sum()
    norm = np.sqrt(power_a * power_b)
    fsc = np.divide(cross, norm, out=np.zeros_like(norm), where=norm > 0)
    frequency = shell_frequencies(shape, pixel_size_A)
    return DirectionalCorrelation(vectors, frequency, fsc, components / 2, cone_half_angle_rad)


def anisotropy(correlation: DirectionalCorrelation, threshold: float = 0.143) -> Anisotropy:
    """Summarise the resolutions of all directions at a threshold.

    Shells where a cone holds fewer than 12 components (the first ones, in narrow cones) are passed over: their
    correlations are chance.
    """
    resolutions = []
    for curve, components in zip(correlation.fsc, correlation.components, strict=True):
        present = np.flatnonzero(components[1:] >= LEAST_COMPONENTS) + 1
        used = np.concatenate([[0], present])
        resolutions.append(resolution_at(correlation.frequency_per_A[used], curve[used], threshold).resolution_A)
    resolution = np.array(resolutions)
    frequency = 1 / resolution
    worst = int(np.argmin(frequency))
    best_frequency, mean = float(frequency.max()), float(frequency.mean())
    return Anisotropy(
        resolution,
        float(resolution.min()),
        float(resolution.max()),
        1 / mean if mean > 0 else math.inf,
        float(frequency.min()) / best_frequency if best_frequency > 0 else 1.0,
        correlation.directions[worst],
    )


def fibonacci_hemisphere(count: int) -> Any:
    """Return unit vectors (x, y, z) spread evenly over z > 0, shape (count, 3).

    References
    ----------
    González (2010), Math. Geosci. 42, 49.
    """
    if count < 1:
        raise InputError(f"At least one direction is needed, not {count}.")
    z = (np.arange(count) + 0.5) / count
    azimuth = np.arange(count) * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1)


def _patch_index(shape: tuple[int, ...], rows: slice, rings: int, sectors: int, xp: Any) -> Array:
    """Return the patch of the hemisphere (equal steps of polar angle and azimuth) of each component, int64."""
    z, y, x = frequency_axes(shape, xp=xp)
    z = z[rows]
    sign = xp.where(z < 0, -1.0, 1.0)  # a direction and its antipode are one
    in_plane = xp.hypot(y, x)
    polar = xp.arctan2(in_plane, xp.abs(z))
    azimuth = xp.arctan2(y * sign, x * sign) + xp.pi
    ring = xp.minimum((polar * (rings / (0.5 * math.pi))).astype(xp.int64), rings - 1)
    sector = (azimuth * (sectors / (2 * math.pi))).astype(xp.int64) % sectors
    return ring * sectors + sector


def _patch_centres(rings: int, sectors: int) -> Any:
    polar = (np.arange(rings) + 0.5) * 0.5 * math.pi / rings
    azimuth = (np.arange(sectors) + 0.5) * 2 * math.pi / sectors - math.pi
    polar, azimuth = (grid.ravel() for grid in np.meshgrid(polar, azimuth, indexing="ij"))
    return np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)
