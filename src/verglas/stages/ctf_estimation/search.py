"""Find the transfer function of a spectrum: along defocus, then in two dimensions, then by least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.kernels.ctf_fit import score_trials
from verglas.stages.ctf_estimation.points import Points, background_basis, solve

Array = np.ndarray[Any, Any]
DECAYS_A2 = (5.0, 20.0, 60.0)  # of the rings' amplitude, exp(-decay k^2), tried in the first search
SEEDS = 5
FINALISTS = 3
ROUNDS = 12
SETTLED_A = 0.5
PART_STEP_A, MEAN_STEP_A, MEAN_REACH_A = 200.0, 150.0, 300.0
"""Of the two-dimensional search: at 5 A rings are a turn wide where the defocus differs by 1270 A (300 kV)."""
SAME_A = 120.0  # finalists nearer than this lead to one fit


@dataclass(frozen=True)
class SearchSettings:
    """What is searched; the defaults suit most micrographs.

    Attributes
    ----------
    coarsest_A, finest_A
        Resolutions between which the spectrum is fitted.
    min_defocus_A, max_defocus_A
        Mean defocus.
    defocus_step_A
        Step of the first search.
    max_astigmatism_A
        Largest difference of the two defoci that is searched.
    astigmatism_tolerance_A
        Expected size of that difference, as a restraint for weak rings; none: no restraint.
    min_phase_shift, max_phase_shift, phase_step
        In radians; equal limits fix the phase shift.
    """

    coarsest_A: float = 30.0
    finest_A: float = 4.0
    min_defocus_A: float = 3000.0
    max_defocus_A: float = 50000.0
    defocus_step_A: float = 50.0
    max_astigmatism_A: float = 1200.0
    astigmatism_tolerance_A: float | None = None
    min_phase_shift: float = 0.0
    max_phase_shift: float = 0.0
    phase_step: float = math.radians(10.0)

    def __post_init__(self) -> None:
        if not 0 < self.finest_A < self.coarsest_A:
            raise InputError(
                f"The fit must go from a coarser to a finer resolution: {self.coarsest_A}, {self.finest_A}."
            )
        if not self.min_defocus_A < self.max_defocus_A or self.defocus_step_A <= 0:
            raise InputError("The search needs a smallest defocus below the largest, and a step above zero.")
        if not self.min_phase_shift <= self.max_phase_shift or self.phase_step <= 0 or self.max_astigmatism_A < 0:
            raise InputError("Phase shifts must go from small to large in positive steps, astigmatism be at least 0.")
        if self.astigmatism_tolerance_A is not None and self.astigmatism_tolerance_A <= 0:
            raise InputError("The tolerance of astigmatism must be above zero A, or none for no restraint.")

    @property
    def phases(self) -> Array:
        """Phase shifts of the first search in radians."""
        count = 1 + math.ceil((self.max_phase_shift - self.min_phase_shift) / self.phase_step - 1e-9)
        return np.linspace(self.min_phase_shift, self.max_phase_shift, count)


@dataclass(frozen=True)
class CtfValues:
    """A transfer function: mean defocus, the two parts of half its astigmatism (A), phase shift (radians)."""

    mean_A: float
    cosine_part_A: float
    sine_part_A: float
    phase_shift: float

    @property
    def half_astigmatism_A(self) -> float:
        """Half the difference of the two defoci."""
        return math.hypot(self.cosine_part_A, self.sine_part_A)

    @property
    def angle(self) -> float:
        """Direction of the larger defocus in radians, -pi/2 to pi/2, from +x towards +y."""
        return 0.5 * math.atan2(self.sine_part_A, self.cosine_part_A)


@dataclass(frozen=True)
class Fit:
    """A fitted transfer function.

    Attributes
    ----------
    values
        The transfer function.
    errors
        Standard errors of mean defocus, both parts of astigmatism (A) and phase shift (radians; 0 where fixed).
    score
        Correlation of spectrum and fitted rings after both were freed of all that is a smooth background.
    gain
        Part of the sum of squares that the rings explain.
    """

    values: CtfValues
    errors: tuple[float, float, float, float]
    score: float
    gain: float


def search(points: Points, settings: SearchSettings) -> Fit:
    """Return the best transfer function of all that several starts lead to.

    References
    ----------
    A. Rohou, N. Grigorieff, J. Struct. Biol. 192 (2015) 216, for the order of searches.
    """
    seeds = along_defocus(points, settings)
    background = orthogonal_background(points)
    fits = [
        refine(points, start, decay, settings, background)
        for start, decay in in_two_dimensions(points, seeds, settings)
    ]
    return max(fits, key=lambda fit: fit.gain)


def along_defocus(points: Points, settings: SearchSettings) -> list[tuple[CtfValues, float]]:
    """Return the best peaks of a search over defocus and phase shift on rotational averages, with their decay.

    Background and rings are fitted together, so that a few wide rings (small defocus) are not taken for background.
    """
    count = np.bincount(points.ring)
    rings = np.flatnonzero(count)
    weight = np.sqrt(count[rings])

    def averaged(what: Array) -> Array:
        return np.asarray(np.bincount(points.ring, what)[rings] / count[rings])

    squared, constant, per_A = averaged(points.squared), averaged(points.constant), averaged(points.per_A)
    curves = background_basis(squared, math.sqrt(squared[0]), math.sqrt(squared[-1])) * weight[:, None]
    orthogonal, _ = np.linalg.qr(curves)
    value = averaged(points.value) * weight
    value = value - orthogonal @ (orthogonal.T @ value)
    defocus = np.arange(
        settings.min_defocus_A, settings.max_defocus_A + settings.defocus_step_A, settings.defocus_step_A
    )
    scores = np.full((len(settings.phases), len(DECAYS_A2), len(defocus)), -np.inf)
    base = 2 * np.pi * (defocus[:, None] * per_A + constant)
    cosine, sine = np.cos(base), np.sin(base)
    for p, phase in enumerate(settings.phases):
        rings_of = (sine * math.sin(2 * phase) - cosine * math.cos(2 * phase)) * weight
        for d, decay in enumerate(DECAYS_A2):
            trial = rings_of * np.exp(-decay * squared)
            norm = (trial**2).sum(axis=1) - ((trial @ orthogonal) ** 2).sum(axis=1)
            scores[p, d] = trial @ value / np.sqrt(np.maximum(norm, 1e-6 * (trial**2).sum(axis=1)))
    best_decay = scores.argmax(axis=1)
    surface = scores.max(axis=1)
    seeds: list[tuple[CtfValues, float]] = []
    for _ in range(SEEDS):
        p, i = divmod(int(surface.argmax()), surface.shape[1])
        if not np.isfinite(surface[p, i]):
            break
        decay = DECAYS_A2[best_decay[p, i]]
        seeds.append((CtfValues(float(defocus[i]), 0.0, 0.0, float(settings.phases[p])), decay))
        near = abs(defocus - defocus[i]) < 400.0
        surface[max(0, p - 1) : p + 2, near] = -np.inf
    return seeds


def in_two_dimensions(
    points: Points, seeds: list[tuple[CtfValues, float]], settings: SearchSettings
) -> list[tuple[CtfValues, float]]:
    """Return the best trials on a grid of mean defocus and astigmatism around each seed."""
    coarse = points.within(max(settings.finest_A, 5.0))
    radius = 0.5 * settings.max_astigmatism_A
    reach = math.ceil(radius / PART_STEP_A)
    steps = np.arange(-reach, reach + 1) * PART_STEP_A
    parts = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    parts = parts[np.hypot(*parts.T) <= radius + 1e-6]
    means = np.arange(-MEAN_REACH_A, MEAN_REACH_A + 1.0, MEAN_STEP_A)
    found: list[tuple[float, CtfValues, float]] = []
    for seed, decay in seeds:
        grid = np.empty((len(means), len(parts), 4), np.float32)
        grid[..., 0] = seed.mean_A + means[:, None]
        grid[..., 1:3] = parts
        grid[..., 3] = seed.phase_shift / math.pi
        trials = grid.reshape(-1, 4)
        weight = np.exp(-decay * coarse.squared)
        scores = np.zeros(len(trials))
        arrays = (coarse.per_A, coarse.per_A * coarse.cosine, coarse.per_A * coarse.sine, coarse.constant)
        a, c, s, constant, data, expected = (
            np.ascontiguousarray(a, np.float32) for a in (*arrays, coarse.value * weight, weight)
        )
        score_trials(a, c, s, constant, data, expected, trials, scores)
        best = int(scores.argmax())
        mean, cosine, sine, _ = (float(v) for v in trials[best])
        found.append((float(scores[best]), CtfValues(mean, cosine, sine, seed.phase_shift), decay))
    found.sort(key=lambda item: -item[0])
    finalists: list[tuple[CtfValues, float]] = []
    for _, values, decay in found:
        if all(differ(values, other) for other, _ in finalists):
            finalists.append((values, decay))
    return finalists[:FINALISTS]


def differ(first: CtfValues, second: CtfValues) -> bool:
    """Say whether two transfer functions are so far apart that each deserves its own refinement."""
    apart = abs(first.mean_A - second.mean_A) > SAME_A
    apart |= abs(first.cosine_part_A - second.cosine_part_A) > SAME_A
    apart |= abs(first.sine_part_A - second.sine_part_A) > SAME_A
    return bool(apart or first.phase_shift != second.phase_shift)


def orthogonal_background(points: Points) -> Array:
    """Return orthonormal smooth curves of frequency that span the background, shape (curves, points)."""
    low, high = math.sqrt(points.squared.min()), math.sqrt(points.squared.max())
    basis = background_basis(points.squared, low, high)
    basis /= np.sqrt((basis**2).sum(axis=0))
    # twice: what rounding leaves after the first time is gone after the second
    for _ in range(2):
        basis = np.linalg.solve(np.linalg.cholesky(basis.T @ basis), basis.T).T
    return np.ascontiguousarray(basis.T)


def refine(
    points: Points, start: CtfValues, decay: float, settings: SearchSettings, background: Array | None = None
) -> Fit:
    """Fit background, ring amplitude and transfer function together by damped least squares.

    The amplitude of the rings is a decay times a parabola in k^2; a restraint adds (astigmatism / tolerance)^2 to
    the sum of squares in units of its variance. All that is a smooth background is taken off data and rings alike,
    which is the same as fitting it with them; `background` is that of `orthogonal_background` if it is there already.
    """
    if background is None:
        background = orthogonal_background(points)

    def cleaned(rows: Array) -> Array:
        left: Array = rows - (rows @ background.T) @ background
        return left

    x = points.squared * (1.0 / points.squared.max())
    envelope = np.exp(-decay * points.squared) * np.stack([np.ones_like(x), x, x**2])
    slopes = 2 * np.pi * np.stack([points.per_A, points.per_A * points.cosine, points.per_A * points.sine])
    if settings.max_phase_shift > settings.min_phase_shift:
        slopes = np.concatenate([slopes, np.full((1, len(x)), 2.0)])
    value = cleaned(points.value)
    total = float(points.value @ points.value)
    theta = np.array([start.mean_A, start.cosine_part_A, start.sine_part_A, start.phase_shift])
    restraint = np.zeros(len(slopes))
    if settings.astigmatism_tolerance_A is not None:
        restraint[1:3] = (2.0 / settings.astigmatism_tolerance_A) ** 2

    def linear(theta: Array) -> tuple[Array, Array, Array, float]:
        turns = 2 * np.pi * points.turns(*theta)
        shapes = cleaned(-np.cos(turns) * envelope)
        solution = solve(shapes.T, value)
        residual = value - solution @ shapes
        amplitude = np.maximum(solution @ envelope, 0.0)
        return turns, amplitude, residual, float(residual @ residual)

    turns, amplitude, residual, squares = linear(theta)
    damping = 1e-3
    normal = np.eye(len(slopes))
    for _ in range(ROUNDS):
        gradient = cleaned(amplitude * np.sin(turns) * slopes)
        variance = squares / len(x)
        normal = gradient @ gradient.T + np.diag(restraint * variance)
        right = gradient @ residual - restraint * variance * theta[: len(restraint)]
        moved = theta.copy()
        step = np.linalg.solve(normal + np.diag(np.diag(normal) * damping + 1e-12), right)
        moved[: len(step)] += np.clip(step, -300.0, 300.0)
        moved[3] = np.clip(moved[3], settings.min_phase_shift, settings.max_phase_shift)
        trial = linear(moved)
        penalty = [float(restraint @ t[: len(restraint)] ** 2) * variance for t in (theta, moved)]
        if trial[3] + penalty[1] <= squares + penalty[0]:
            settled = bool(np.all(abs(moved - theta)[:3] < SETTLED_A))
            theta, (turns, amplitude, residual, squares), damping = moved, trial, damping * 0.2
            if settled:
                break
        else:
            damping = max(damping, 1e-3) * 10.0
    errors = np.zeros(4)
    errors[: len(normal)] = np.sqrt(np.diag(np.linalg.pinv(normal)) * squares / len(x))
    rings = cleaned(-np.cos(turns) * amplitude)
    product = float(rings @ points.value)
    score = product / math.sqrt(max(float(rings @ rings) * total, 1e-300))
    inside = settings.min_defocus_A - 500.0 <= theta[0] <= settings.max_defocus_A + 500.0
    gain = 1.0 - float(((points.value - rings) ** 2).sum()) / total if inside and product > 0 else -1.0
    return Fit(CtfValues(*theta.tolist()), (errors[0], errors[1], errors[2], errors[3]), score, gain)
