"""Measures of a map's trustworthiness, each from arrays that others have made."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.engine.angular_distribution import sampling_compensation
from verglas.engine.half_maps import HalfMapCurves, finite, judge_halves, mask_warnings
from verglas.engine.map_alignment import align_maps
from verglas.engine.shared_start import SharedStart
from verglas.errors import InputError
from verglas.signal import (
    Anisotropy,
    DirectionalCorrelation,
    ShellCorrelation,
    anisotropy,
    directional_fsc,
    fourier_shell_correlation,
    resolution_at,
)
from verglas.stages.validation.hand import MIRRORED, RIGHT, UNDETERMINED, HandEvidence

UNEVEN = 0.7
POOR_VIEWS = 0.6
MODEL_THRESHOLD = 0.5
HAND_LEAD = 0.02
LEAST_PARTICLES = 50
SUBSETS = 5


@dataclass(frozen=True)
class ModelComparison:
    """A map beside the density of an atomic model, after the density was brought onto the map.

    Attributes
    ----------
    correlation
        FSC within the mask.
    resolution_A
        Where it falls below 0.5; None where it never reaches that.
    hand
        In which hand it fits better; undetermined where neither leads by 0.02.
    """

    correlation: ShellCorrelation
    resolution_A: float | None
    hand: HandEvidence


@dataclass(frozen=True)
class ResLog:
    """Resolution over the number of particles, and the B-factor of the line through ln N over 1 / d^2.

    Attributes
    ----------
    particles, resolution_A
        Of each subset, shape (n,).
    b_factor_A2
        Twice the slope; None with fewer than three finite points, or where resolution does not grow with particles.
    """

    particles: NDArray[np.int64]
    resolution_A: NDArray[np.float64]
    b_factor_A2: float | None


@dataclass(frozen=True)
class Validation:
    """All that was measured of a map.

    Attributes
    ----------
    curves
        Correlations of the halves.
    directional, spread
        By direction, and their summary.
    efficiency
        Sampling compensation factor of the views; None where poses are not known.
    warnings
        What a person should know.
    """

    curves: HalfMapCurves
    directional: DirectionalCorrelation
    spread: Anisotropy
    efficiency: float | None
    warnings: tuple[str, ...]


def validate_halves(
    first: NDArray[np.float32], second: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float, *,
    views: NDArray[np.float64] | None = None, weights: NDArray[np.float64] | None = None,
    molecular_mass_kDa: float | None = None, outer_radius_A: float | None = None,
    shared: SharedStart | None = None, threads: int = 1,
) -> Validation:  # fmt: skip
    """Measure two half maps and the views that they come from.

    Parameters
    ----------
    first, second
        Half maps, not filtered, one cubic shape.
    mask
        Soft mask, same shape.
    pixel_size_A
        Pixel size in A.
    views, weights
        Directions that particles were seen from (:func:`verglas.engine.angular_distribution.all_views`).
    molecular_mass_kDa
        Mass of the particle, where known.
    outer_radius_A
        Radius within which it lies, where known.
    shared
        What both halves were once aligned to, where that is known.
    threads
        Threads.
    """
    curves = judge_halves(
        first, second, mask, pixel_size_A, molecular_mass_kDa=molecular_mass_kDa, shared=shared, threads=threads
    )
    directional = directional_fsc(first, second, pixel_size_A, mask=mask, workers=threads)
    spread = anisotropy(directional)
    efficiency = sampling_compensation(views, weights) if views is not None else None
    said = mask_warnings(
        first, second, mask, pixel_size_A, curves, molecular_mass_kDa=molecular_mass_kDa,
        outer_radius_A=outer_radius_A, threads=threads,
    )  # fmt: skip
    start = curves.start_words()
    if start is not None:
        said.append(start)
    elif curves.resolution_A is None:
        said.append("the halves agree on nothing above 0.143: there is no resolution to speak of.")
    elif curves.resolution.kind == "never below":
        said.append(
            "the halves agree up to the Nyquist frequency: pixels limit the map, or its halves are not independent."
        )
    if curves.resolution.rises_again_at_A:
        places = ", ".join(f"{place:.2f}" for place in curves.resolution.rises_again_at_A[:3])
        said.append(f"the corrected correlation rises above 0.143 again at {places} A: chance, or the mask's doing.")
    if spread.ratio < UNEVEN:
        said.append(
            f"the resolution goes from {spread.best_A:.2f} to {spread.worst_A:.2f} A with the direction: views are "
            "missing."
        )
    if efficiency is not None and efficiency < POOR_VIEWS:
        said.append(
            f"the views are only {efficiency:.2f} as efficient as even ones: tilt the grid or change the support."
        )
    return Validation(curves, directional, spread, efficiency, tuple(said))


def compare_with_model(
    volume: NDArray[np.float32], density: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float, *,
    threads: int = 1,
) -> ModelComparison:  # fmt: skip
    """Bring a model's density onto a map, in either hand, and correlate the two within a mask.

    Parameters
    ----------
    volume
        The map, protein bright.
    density
        Density of the model on the same grid, anywhere near the middle.
    mask
        Soft mask around the particle in the map.
    pixel_size_A
        Pixel size in A.
    threads
        Threads.

    Raises
    ------
    InputError
        If shapes differ.
    """
    if density.shape != volume.shape or mask.shape != volume.shape:
        raise InputError(f"map {volume.shape}, density {density.shape} and mask {mask.shape} must be of one shape.")
    found = align_maps(density, volume, pixel_size_A, threads=threads)
    correlation = fourier_shell_correlation(found.map, volume, pixel_size_A, mask=mask, workers=threads)
    lead = found.correlation - found.other_hand
    says = UNDETERMINED if lead < HAND_LEAD else MIRRORED if found.mirrored else RIGHT
    words = f"the better hand of the model correlates more by {lead:.3f}: {says}"
    resolution = resolution_at(correlation.frequency_per_A, correlation.fsc, MODEL_THRESHOLD)
    return ModelComparison(correlation, finite(resolution), HandEvidence("model", says, float(lead), words))


def subset_sizes(particles: int) -> list[int]:
    """Return the sizes of subsets for :func:`fit_reslog`: all, half, a quarter ... down to 50, five at most."""
    sizes = [particles >> step for step in range(SUBSETS)]
    return [size for size in sizes if size >= LEAST_PARTICLES]


def fit_reslog(particles: list[int], resolutions_A: list[float | None]) -> ResLog:
    """Fit the line of ln N over 1 / d^2, whose slope is half the B-factor.

    Parameters
    ----------
    particles
        Number of particles of each subset.
    resolutions_A
        Resolution of each; None where there is none, not a number where it is that of the pixels.

    References
    ----------
    Rosenthal & Henderson (2003), J. Mol. Biol. 333, 721; Stagg et al. (2014), J. Struct. Biol. 185, 418.
    """
    resolution = np.array([math.inf if one is None else one for one in resolutions_A], np.float64)
    count = np.array(particles, np.int64)
    used = np.isfinite(resolution)
    b_A2 = None
    if used.sum() >= 3 and np.ptp(resolution[used]) > 0.0:
        # Resolution is what scatters, so it is fitted over the number of particles.
        slope = np.polyfit(np.log(count[used]), 1.0 / resolution[used] ** 2, 1)[0]
        b_A2 = float(2.0 / slope) if slope > 0.0 else None
    return ResLog(count, resolution, b_A2)
