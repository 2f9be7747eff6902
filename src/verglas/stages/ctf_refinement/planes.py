"""From what single particles say of their defocus to an estimate of each, drawn towards its micrograph's plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

FINER = 4
"""Profiles are interpolated to so many times finer steps."""
ROUNDS = 30
SETTLED_A = 0.5
FIRST_SPREAD_A = 150.0
LEAST_SPREAD_A, MOST_SPREAD_A, SPREADS = 1.0, 1000.0, 400
LEAST_PRECISION = 1e-8
OFFSET_SIGMA_A = 300.0
SLOPE_SIGMA = 0.1
"""Deviation of planes' slopes in A of defocus per A across the micrograph, before anything is known of them."""
MOST_AT_ONCE = 8192


@dataclass(frozen=True)
class DefocusEstimate:
    """The change of each particle's defocus.

    Attributes
    ----------
    change_A, deviation_A
        Mean and deviation of the posterior; shape (n,).
    plane_A
        Change that the micrograph's plane has at the particle; shape (n,).
    alone_A, alone_deviation_A
        The same with nothing known of other particles: what the particle itself says; shape (n,).
    spread_A
        Deviation of particles about their micrograph's plane, over all micrographs.
    """

    change_A: NDArray[np.float64]
    deviation_A: NDArray[np.float64]
    plane_A: NDArray[np.float64]
    alone_A: NDArray[np.float64]
    alone_deviation_A: NDArray[np.float64]
    spread_A: float


def estimate_defocus(
    profile: NDArray[np.float32], changes_A: NDArray[np.float64], micrograph: NDArray[np.int64],
    positions_A: NDArray[np.float64] | None,
) -> DefocusEstimate:  # fmt: skip
    """Estimate the change of defocus of particles.

    Each micrograph has a plane, or an offset where positions are not known, and particles lie about it with one
    deviation. Both are found in turn with the posteriors of the particles, which are summed over whole profiles: a
    particle that says little, or is ambiguous, is drawn to the plane, and one that says much is not.

    Parameters
    ----------
    profile
        Log-likelihood of each change for each particle, shape (n, changes).
    changes_A
        The changes, in even steps.
    micrograph
        Number of each particle's micrograph, shape (n,).
    positions_A
        Where on it a particle lies, shape (n, 2).

    References
    ----------
    B. Efron, C. Morris, "Data analysis using Stein's estimator and its generalizations", J. Am. Stat. Assoc. 70 (1975)
    311: estimates of many alike things gain by being drawn together as far as they are seen to differ.
    """
    count = len(profile)
    fine = np.linspace(changes_A[0], changes_A[-1], FINER * (len(changes_A) - 1) + 1)
    design = _designs(micrograph, positions_A)
    plane, spread = np.zeros(count), FIRST_SPREAD_A
    mean, variance = np.zeros(count), np.zeros(count)
    groups = [np.flatnonzero(micrograph == number) for number in np.unique(micrograph)]
    interpolated = [
        CubicSpline(changes_A, profile[first : first + MOST_AT_ONCE].astype(np.float64), axis=1)(fine)
        for first in range(0, count, MOST_AT_ONCE)
    ]
    for _ in range(ROUNDS):
        for number, values in enumerate(interpolated):
            some = slice(number * MOST_AT_ONCE, number * MOST_AT_ONCE + len(values))
            mean[some], variance[some] = _moments(values, fine, plane[some], spread)
        before, plane_before = spread, plane.copy()
        said, weight = _said(mean, variance, plane, spread)
        for mine in groups:
            plane[mine] = _plane(design[mine], said[mine], weight[mine], spread)
        spread = _likely_spread(said - plane, weight)
        if abs(spread - before) < SETTLED_A and np.abs(plane - plane_before).max(initial=0.0) < SETTLED_A:
            break
    alone, alone_variance = np.zeros(count), np.zeros(count)
    for number, values in enumerate(interpolated):
        some = slice(number * MOST_AT_ONCE, number * MOST_AT_ONCE + len(values))
        mean[some], variance[some] = _moments(values, fine, plane[some], spread)
        alone[some], alone_variance[some] = _moments(values, fine, np.zeros(len(values)), np.inf)
    return DefocusEstimate(mean, np.sqrt(variance), plane, alone, np.sqrt(alone_variance), spread)


def _moments(
    values: NDArray[np.float64], fine: NDArray[np.float64], centre: NDArray[np.float64], spread: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance of each posterior."""
    logarithm = values - 0.5 * ((fine - centre[:, None]) / spread) ** 2
    weight = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ fine
    return mean, np.maximum(weight @ fine**2 - mean**2, 0.0)


def _designs(micrograph: NDArray[np.int64], positions_A: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return what planes are made of for each particle: 1, x and y about the middle of its micrograph's particles."""
    design = np.zeros((len(micrograph), 3))
    design[:, 0] = 1.0
    if positions_A is not None:
        for number in np.unique(micrograph):
            mine = micrograph == number
            design[mine, 1:] = positions_A[mine] - positions_A[mine].mean(axis=0)
    return design


def _said(
    mean: NDArray[np.float64], variance: NDArray[np.float64], plane: NDArray[np.float64], spread: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each particle says by itself near its posterior, and its precision: the posterior less the prior."""
    precision = np.maximum(1.0 / np.maximum(variance, 1e-6) - 1.0 / spread**2, 0.0)
    weighed = mean / np.maximum(variance, 1e-6) - plane / spread**2
    said = np.where(precision > LEAST_PRECISION, weighed / np.maximum(precision, LEAST_PRECISION), plane)
    return said, np.where(precision > LEAST_PRECISION, precision, 0.0)


def _plane(
    design: NDArray[np.float64], said: NDArray[np.float64], precision: NDArray[np.float64], spread: float
) -> NDArray[np.float64]:
    """Return the plane of a micrograph at its particles."""
    prior = np.diag([1.0 / OFFSET_SIGMA_A**2, 1.0 / SLOPE_SIGMA**2, 1.0 / SLOPE_SIGMA**2])
    weight = precision / (1.0 + precision * spread**2)
    normal = (design.T * weight) @ design + prior
    plane: NDArray[np.float64] = design @ np.linalg.solve(normal, design.T @ (weight * said))
    return plane


def _likely_spread(left: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Return the most likely deviation of particles about their planes, from what they say and how sure that is."""
    known = precision > 0.0
    if not known.any():
        return LEAST_SPREAD_A
    squared, own = left[known] ** 2, 1.0 / precision[known]
    tried = np.geomspace(LEAST_SPREAD_A, MOST_SPREAD_A, SPREADS)
    likelihood = [-0.5 * float(np.sum(np.log(own + one**2) + squared / (own + one**2))) for one in tried]
    return float(tried[int(np.argmax(likelihood))])
