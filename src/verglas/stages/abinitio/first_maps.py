"""First maps of cubic groups: a sphere that the images were centred on, with smooth swellings by chance."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages
from verglas.engine.band_sums import working_box
from verglas.engine.polar_grid import hexagonal_shifts
from verglas.engine.polar_images import shift_penalty
from verglas.engine.threads import single_blas_thread
from verglas.geometry import point_group
from verglas.signal import radial_average, resize

CENTRINGS = 5
COARSEST_CENTRING = 6.0
"""Images are centred in so many rounds, the first at so many deviations of their displacements."""
STEPS = 6.0
"""Resolution over the step of displacements."""
WAVELENGTHS = 4.5, 3.0
"""Shortest wavelength of swellings, over the radius and the inverse root of the group's order, of one start and of the
next: only the smoothest patterns of the symmetry are as smooth as the first, some four as the second."""
WAVES = 40
SWELLING = 0.17
"""Standard deviation of the swellings, as a part of the density that swells."""
AT_ONCE = 256


def centred_on_sphere(
    images: ParticleImages, limit_A: float, sigma_A: float, *, threads: int = 1
) -> NDArray[np.float64]:
    """Return the displacement of each image from the images' own spherical average, coarse to fine.

    The projections of a sphere are the same from everywhere: no pose is needed.

    Parameters
    ----------
    images
        Prepared images.
    limit_A
        Finest resolution.
    sigma_A
        Deviation of each coordinate of the displacements.
    threads
        Threads.

    Returns
    -------
    ndarray, shape (n, 2)
        Means of their posteriors, in A.
    """
    found = np.zeros((len(images), 2))
    first_A = max(limit_A, COARSEST_CENTRING * sigma_A)
    for number in range(CENTRINGS):
        now_A = first_A * (limit_A / first_A) ** (number / (CENTRINGS - 1))
        found = _centred(images, now_A, sigma_A, found, threads)
    return found


def _centred(
    images: ParticleImages, limit_A: float, sigma_A: float, centre_A: NDArray[np.float64], threads: int
) -> NDArray[np.float64]:
    """Return means of displacements from the average of images moved to centres."""
    part = images.band.up_to(limit_A)
    points, rings = len(part), part.rings
    chunks = [slice(first, first + AT_ONCE) for first in range(0, len(images), AT_ONCE)]

    def summed(some: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        transfer = images.transfer[some, :points]
        phase = 2.0 * np.pi * (centre_A[some, :1] * part.kx_per_A + centre_A[some, 1:] * part.ky_per_A)
        data = images.data[some, :points]
        real = data.real * np.cos(phase) - data.imag * np.sin(phase)
        return (real * transfer).sum(axis=0, dtype=np.float64), (transfer**2).sum(axis=0, dtype=np.float64)

    grid = hexagonal_shifts(limit_A / STEPS, 3.0 * sigma_A)
    penalty = shift_penalty(grid, sigma_A)
    shifts = 2.0 * np.pi * (np.outer(part.kx_per_A, grid[:, 0]) + np.outer(part.ky_per_A, grid[:, 1]))
    cosines, sines = np.cos(shifts).astype(np.float32), np.sin(shifts).astype(np.float32)

    def moved(some: slice) -> NDArray[np.float64]:
        product = images.data[some, :points] * (images.transfer[some, :points] * sphere)
        logs = 2.0 * (product.real @ cosines - product.imag @ sines).astype(np.float64) - penalty
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray((weights @ grid) / weights.sum(axis=1, keepdims=True))

    with single_blas_thread(), ThreadPoolExecutor(threads) as pool:
        values, powers = (sum(one) for one in zip(*pool.map(summed, chunks), strict=True))
        value, power = (np.bincount(rings, one) for one in (values, powers))
        sphere = np.divide(value, power, out=np.zeros_like(value), where=power > 0.0)[rings].astype(np.float32)
        return np.concatenate(list(pool.map(moved, chunks)))


def spherical(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a map's average over all rotations about its middle."""
    profile = radial_average(volume)
    axes = [np.arange(size, dtype=np.float64) - size // 2 for size in volume.shape]
    radius = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    return np.asarray(np.interp(radius, profile.radius, profile.mean), np.float32)


def swollen(
    volume: NDArray[np.float32], pixel_size_A: float, radius_A: float, symmetry: str, start: int,
    random: np.random.Generator, *, threads: int = 1,
) -> NDArray[np.float32]:  # fmt: skip
    """Return a map whose density swells and shrinks smoothly by chance, with a symmetry.

    Parameters
    ----------
    volume
        The map.
    pixel_size_A
        Its pixel size.
    radius_A
        Of the particle.
    symmetry
        Point group, in its standard setting.
    start
        Number of the start, from 0.
    random
        Where chance comes from.
    threads
        Threads.

    Notes
    -----
    From random poses a map begins with noise at all resolutions, which the images' poses then cling to. Smooth patterns
    of a cubic group are few, so that one of some starts is near the particle's, from which its finer ones follow.
    """
    operators = np.asarray(point_group(symmetry).operators, np.float64)
    shortest_A = WAVELENGTHS[start % len(WAVELENGTHS)] * radius_A / math.sqrt(len(operators))
    directions = random.normal(size=(WAVES, 3))
    length = np.cbrt(random.uniform(size=WAVES)) / shortest_A / np.linalg.norm(directions, axis=1)
    phase = random.uniform(0.0, 2.0 * np.pi, WAVES)
    width_A = len(volume) * pixel_size_A
    box = min(len(volume), working_box(width_A, shortest_A))
    axis = (np.arange(box) - box // 2) * (width_A / box)
    field = np.zeros((box,) * 3)
    for operator in operators:
        for k, first in zip(2.0 * np.pi * (directions * length[:, None]) @ operator, phase, strict=True):
            z, y, x = (np.exp(1j * one * axis) for one in k[::-1])
            field += (z[:, None, None] * (y[:, None] * (x * np.exp(1j * first)))).real
    whole = resize(field.astype(np.float32), (len(volume),) * 3, workers=threads)
    pattern = whole - spherical(np.asarray(whole, np.float32))
    part = volume * pattern
    strength = SWELLING * math.sqrt(float((volume**2).sum()) / max(float((part**2).sum()), 1e-30))
    return np.asarray(volume + np.float32(strength) * part, np.float32)
