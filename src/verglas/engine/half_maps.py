"""What two half maps say: a mask around the particle, the correlations of the halves, and the resolution."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.engine.shared_start import SharedStart
from verglas.errors import InputError
from verglas.formats import read_volume
from verglas.signal import (
    BFactorFit,
    Guinier,
    Resolution,
    apply_filter,
    automatic_mask,
    corrected_fsc,
    cosine_lowpass,
    fit_b_factor,
    fourier_shell_correlation,
    largest_components,
    part_fsc,
    resolution_at,
    soft_edge,
    sphere_mask,
)
from verglas.signal.fsc import PROTEIN_DENSITY_DALTON_PER_A3
from verglas.signal.masks import mask_volume_A3

THRESHOLD = 0.143
MASK_LOWPASS_A = 15.0
MASK_LEVEL = 0.1
MASK_GROWTH_A = 4.0
MASK_EDGE_A = 12.0
RADIUS_PART = 0.45
"""Of a box is the radius of a particle whose size nobody has said."""
LEAST_SHELLS = 3
MASK_CAUSED = 0.2
"""Correlation of random phases at the resolution that is called the mask's own doing."""
SMALLER_THAN_PARTICLE = 1.0
LEFT_OUTSIDE = 0.5
"""Part of the amplitude of the particle's low-resolution signal outside the mask that is called too much."""


@dataclass(frozen=True)
class HalfMapCurves:
    """Correlations of two half maps, shape (shells,) each, and the resolutions where they fall below 0.143.

    Attributes
    ----------
    frequency_per_A
        Of the shells.
    unmasked, masked
        Without and within the mask.
    randomised
        Within the mask, after the phases beyond ``randomised_from_A`` were made random: the mask's own doing.
    corrected
        The masked curve, corrected for that.
    part_fsc
        The masked curve, corrected for the solvent within the mask instead; None where no mass is known.
    randomised_from_A
        Where random phases begin; 0 where the halves correlate too far for any.
    resolution
        Where ``corrected`` falls below 0.143.
    """

    frequency_per_A: NDArray[np.float64]
    unmasked: NDArray[np.float64]
    masked: NDArray[np.float64]
    randomised: NDArray[np.float64]
    corrected: NDArray[np.float64]
    part_fsc: NDArray[np.float64] | None
    randomised_from_A: float
    resolution: Resolution

    @property
    def resolution_A(self) -> float | None:
        """The resolution in A, or None where no shell reaches the threshold."""
        return finite(self.resolution)

    def start_words(self) -> str | None:
        """Return what has to be said where the resolution is that of what both halves were once aligned to."""
        if self.resolution.kind != "start":
            return None
        return (
            f"both halves were once aligned to one map at {self.resolution.resolution_A:g} A, and what agrees beyond "
            "may be that or chance: no finer resolution is given."
        )

    def resolutions(self) -> dict[str, float | None]:
        """Return the resolution in A of each curve by name; None where it never reaches 0.143."""
        curves = {"unmasked": self.unmasked, "masked": self.masked, "corrected": self.corrected}
        if self.part_fsc is not None:
            curves["part_fsc"] = self.part_fsc
        return {name: finite(resolution_at(self.frequency_per_A, curve, THRESHOLD)) for name, curve in curves.items()}

    def table(self) -> dict[str, list[float]]:
        """Return the curves as plain JSON."""
        names = ("frequency_per_A", "unmasked", "masked", "randomised", "corrected", "part_fsc")
        return {
            name: [round(float(value), 6) for value in getattr(self, name)]
            for name in names
            if getattr(self, name) is not None
        }


def finite(resolution: Resolution) -> float | None:
    """Return a resolution in A, or None where there is none."""
    return float(resolution.resolution_A) if math.isfinite(resolution.resolution_A) else None


def judge_halves(
    first: NDArray[np.float32], second: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float, *,
    molecular_mass_kDa: float | None = None, shared: SharedStart | None = None, threads: int = 1,
) -> HalfMapCurves:  # fmt: skip
    """Correlate two half maps in all the ways that their resolution is judged by.

    Parameters
    ----------
    first, second
        Half maps, not filtered, one cubic shape [z, y, x].
    mask
        Soft mask around the particle, 0 to 1, same shape.
    pixel_size_A
        Pixel size in A.
    molecular_mass_kDa
        Mass of the particle, for ``part_fsc``.
    shared
        What both halves were once aligned to, where that is known: it limits the resolution.
    threads
        Threads.

    Raises
    ------
    InputError
        If shapes differ.

    References
    ----------
    Chen et al. (2013), Ultramicroscopy 135, 24; Sindelar & Grigorieff (2012), J. Struct. Biol. 180, 26.
    """
    unmasked = fourier_shell_correlation(first, second, pixel_size_A, workers=threads)
    frequency = unmasked.frequency_per_A
    fallen = np.flatnonzero(unmasked.fsc[1:] < 0.8)
    if not fallen.size or fallen[0] + 1 >= len(frequency) - 2:
        # Halves that correlate up to the Nyquist frequency leave no shell whose phases could be made random.
        masked = fourier_shell_correlation(first, second, pixel_size_A, mask=mask, workers=threads).fsc
        randomised, corrected, start_A = np.zeros_like(masked), masked, 0.0
    else:
        found = corrected_fsc(first, second, mask, pixel_size_A, workers=threads)
        masked, randomised, corrected = found.masked, found.randomised, found.corrected
        start_A = found.randomised_from_A
    part = None
    if molecular_mass_kDa:
        part = part_fsc(masked, mask_volume_A3(mask, pixel_size_A), molecular_mass_kDa)
    resolution = resolution_at(frequency, corrected, THRESHOLD)
    if shared is not None:
        resolution = shared.judge(resolution, frequency, unmasked.components, corrected, mask)
    return HalfMapCurves(frequency, unmasked.fsc, masked, randomised, corrected, part, start_A, resolution)


def particle_mask(
    volume: NDArray[np.float32], pixel_size_A: float, *, outer_radius_A: float | None = None,
    inner_radius_A: float = 0.0, molecular_mass_kDa: float | None = None, threads: int = 1,
) -> NDArray[np.float32]:  # fmt: skip
    """Return a soft mask around the particle in a map: low-pass at 15 A, threshold, largest part, growth, soft edge.

    Parameters
    ----------
    volume
        Mean of the half maps, dense particle bright, shape (n, n, n).
    pixel_size_A
        Pixel size in A.
    outer_radius_A
        Nothing outside this sphere counts; 95 % of half the box when None.
    inner_radius_A
        The sphere within is left out, with a soft edge.
    molecular_mass_kDa
        Where it is known, the threshold is lowered until the mask, before it grows, holds the particle's volume.
    threads
        Threads.

    Returns
    -------
    ndarray
        float32 in 0 ... 1.

    Raises
    ------
    InputError
        If the radii leave nothing.
    """
    box = len(volume)
    largest = 0.5 * box * pixel_size_A - MASK_EDGE_A
    outer_A = min(outer_radius_A or 0.95 * 0.5 * box * pixel_size_A, 0.5 * box * pixel_size_A)
    lowpass_A = max(MASK_LOWPASS_A, 3.0 * pixel_size_A)
    growth, edge = MASK_GROWTH_A / pixel_size_A, min(MASK_EDGE_A, max(0.2 * largest, 0.0)) / pixel_size_A
    core = automatic_mask(
        volume, pixel_size_A, outer_A, lowpass_A=lowpass_A, level=MASK_LEVEL, workers=threads
    )  # fmt: skip
    if molecular_mass_kDa:
        core = _enlarged(volume, core, pixel_size_A, outer_A, lowpass_A, molecular_mass_kDa, threads)
    mask: NDArray[np.float32] = soft_edge(core > 0.5, edge, extend_pixels=growth)
    if inner_radius_A > 0.0:
        mask *= 1.0 - sphere_mask(mask.shape, inner_radius_A, pixel_size_A, edge_A=MASK_EDGE_A)
    if not mask.max() > 0.5:
        raise InputError(
            f"no particle was found between {inner_radius_A:g} and {outer_A:g} A from the centre: choose other radii "
            "or give a mask."
        )
    return mask


def spherical_shell_mask(
    box: int, outer_radius_A: float, pixel_size_A: float, *, inner_radius_A: float = 0.0, edge_A: float = MASK_EDGE_A
) -> NDArray[np.float32]:
    """Return a sphere with a soft edge beyond its radius, and on request without the sphere inside it."""
    mask: NDArray[np.float32] = sphere_mask((box,) * 3, outer_radius_A, pixel_size_A, edge_A=edge_A)
    if inner_radius_A > 0.0:
        mask *= 1.0 - sphere_mask((box,) * 3, inner_radius_A, pixel_size_A, edge_A=edge_A)
    return mask


def read_mask(path: str | os.PathLike[str], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Read a mask.

    Raises
    ------
    InputError
        It has another shape, or values that are not between 0 and 1.
    """
    mask, _ = read_volume(path)
    if mask.shape != shape or not (mask.min() >= -1e-3 and 0.5 < mask.max() <= 1.001):
        raise InputError(f"{path} is no mask for this map: it must have {shape} voxels with values from 0 to 1.")
    clipped: NDArray[np.float32] = np.clip(mask, 0.0, 1.0).astype(np.float32)
    return clipped


def guinier_fit(plot: Guinier, from_A: float, to_A: float) -> BFactorFit | None:
    """Return the line through a Guinier plot between two resolutions, or None where too few shells lie there."""
    frequency = np.sqrt(plot.squared_frequency_per_A2)
    used = np.isfinite(plot.log_amplitude) & (frequency >= 1 / from_A) & (frequency <= 1 / to_A)
    return fit_b_factor(plot, from_A, to_A) if used.sum() >= LEAST_SHELLS else None


def mask_warnings(
    first: NDArray[np.float32], second: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float,
    curves: HalfMapCurves, *, molecular_mass_kDa: float | None = None, outer_radius_A: float | None = None,
    threads: int = 1,
) -> list[str]:  # fmt: skip
    """Return what is wrong with a mask: smaller than the particle, cutting into it, or making correlation itself.

    Parameters
    ----------
    first, second
        Half maps.
    mask
        The mask that they were judged with.
    pixel_size_A
        Pixel size in A.
    curves
        From :func:`judge_halves`.
    molecular_mass_kDa
        Mass of the particle, where known.
    outer_radius_A
        Radius of the particle: what lies farther out is no part of it; the box's when None.
    threads
        Threads.
    """
    said = []
    volume_A3 = mask_volume_A3(mask, pixel_size_A)
    if molecular_mass_kDa:
        particle_A3 = 1000.0 * molecular_mass_kDa / PROTEIN_DENSITY_DALTON_PER_A3
        if volume_A3 < SMALLER_THAN_PARTICLE * particle_A3:
            said.append(
                f"the mask holds {volume_A3:.0f} A^3, less than the {particle_A3:.0f} A^3 of a particle of "
                f"{molecular_mass_kDa:g} kDa: it is too small, and the curves within it are not the particle's."
            )
    part = signal_outside(first, second, mask, pixel_size_A, outer_radius_A=outer_radius_A, threads=threads)
    if part > LEFT_OUTSIDE:
        said.append(
            f"the density outside the mask is {part:.2f} times as strong as inside at {MASK_LOWPASS_A:g} A, and both "
            "halves agree on it: the mask cuts the particle. Enlarge it."
        )
    if curves.resolution_A is not None and curves.randomised_from_A > 0.0:
        shell = int(np.argmin(np.abs(curves.frequency_per_A - 1.0 / curves.resolution_A)))
        random = float(np.mean(curves.randomised[max(1, shell - 2) : shell + 3]))
        if random > MASK_CAUSED:
            said.append(
                f"random phases correlate by {random:.2f} within the mask at {curves.resolution_A:.2f} A: the mask is "
                "too tight or its edge too sharp. Soften it."
            )
    return said


def signal_outside(
    first: NDArray[np.float32], second: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float, *,
    outer_radius_A: float | None = None, threads: int = 1,
) -> float:  # fmt: skip
    """Return how strong the signal at 15 A is outside a mask: its amplitude in the strongest 1 % over that inside.

    Signal is what both halves hold: the voxel-wise mean, in units of the halves' own difference.
    """
    shell = 2.0 / (len(first) * pixel_size_A)
    lowpass = cosine_lowpass(max(MASK_LOWPASS_A, 3.0 * pixel_size_A), shell)
    mean, difference = (
        apply_filter(one, pixel_size_A, lowpass, workers=threads) for one in (0.5 * (first + second), first - second)
    )
    within = sphere_mask(mask.shape, outer_radius_A or RADIUS_PART * len(first) * pixel_size_A, pixel_size_A) > 0.5
    inside, outside = (mask > 0.5) & within, (mask < 0.1) & within
    if not inside.any() or outside.sum() < 100:
        return 0.0
    solvent = float(np.median(mean[outside]))
    noise = 0.5 * float(np.sqrt(np.mean(difference[outside] ** 2)))
    clump = largest_components(outside & (mean - solvent > 0.25 * float(np.percentile(mean[inside] - solvent, 90))))
    if clump.sum() * pixel_size_A**3 < MASK_LOWPASS_A**3:
        return 0.0
    strength = float((mean[clump] - solvent).mean())
    if strength < 5.0 * noise:
        return 0.0
    return strength / float(np.percentile(mean[inside] - solvent, 90))


def _enlarged(
    volume: NDArray[np.float32], core: NDArray[np.float32], pixel_size_A: float, outer_A: float, lowpass_A: float,
    molecular_mass_kDa: float, threads: int,
) -> NDArray[np.float32]:  # fmt: skip
    """Return the core, or a larger one where it does not hold the particle's volume."""
    wanted = 1000.0 * molecular_mass_kDa / PROTEIN_DENSITY_DALTON_PER_A3 / pixel_size_A**3
    if core.sum() >= wanted:
        return core
    edge = 2.0 / (len(volume) * pixel_size_A)
    filtered = apply_filter(volume, pixel_size_A, cosine_lowpass(lowpass_A, edge), workers=threads)
    within = sphere_mask(volume.shape, outer_A, pixel_size_A) > 0.5
    values = np.sort(filtered[within])
    level = values[max(0, len(values) - int(wanted) - 1)]
    larger: NDArray[np.float32] = largest_components((filtered >= level) & within).astype(np.float32)
    return larger if larger.sum() > core.sum() else core
