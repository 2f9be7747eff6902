"""Find the local motion: one smooth model, fitted to all patches of all frames at once.

No patch is aligned by itself, since a patch of one frame holds too little. Each says how its correlation with the other
frames changes with its shift, slope and curvature; the model takes the Newton step that all patches together ask for,
each weighted by the errors of what it says and by how well it agrees with the others.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from verglas.stages.motion.layout import LowLayout
from verglas.stages.motion.local_model import LocalModel, PatchEquations, improve, patch_weights, time_basis
from verglas.stages.motion.patches import Patch, cut_patches

ROUNDS = 15
TERMINATION_A = 0.05
FEWEST_FRAMES = 5


@dataclass(frozen=True)
class LocalAlignment:
    """The local motion that was found.

    Attributes
    ----------
    model
        Its smooth model.
    x, y
        Coordinates of the patches' middles, -1 to 1 over the image, shape (patches,).
    patch_shifts_A
        What each patch asks for in each frame beyond the whole frame's shift, the model included, before any smoothing;
        shape (patches, frames, 2), mean zero over the frames.
    patch_errors_A
        Standard error of one of those (x, y), shape (patches, 2); infinite for a patch without signal.
    weights
        How far each patch was believed, shape (patches,).
    rounds
        Newton rounds used.
    converged
        Whether the last one moved nothing by more than 0.05 A.
    """

    model: LocalModel
    x: np.ndarray
    y: np.ndarray
    patch_shifts_A: np.ndarray
    patch_errors_A: np.ndarray
    weights: np.ndarray
    rounds: int
    converged: bool


def align_patches(
    frames: np.ndarray,
    counts: tuple[int, int],
    layout: LowLayout,
    shifts_A: np.ndarray,
    scales: np.ndarray,
    b_factor_A2: float,
    threads: int = 1,
) -> LocalAlignment | None:
    """Find the local motion of a movie whose whole frames have been aligned.

    Parameters
    ----------
    frames
        Decimated frames, float32 ``[frame, y, x]``, without their margin.
    counts
        Number of patches along y and x.
    layout
        Sizes of the decimated frames.
    shifts_A
        Shift to apply to each whole frame (x, y), shape (frames, 2).
    scales
        Factor that brings each frame to a common scale, 0 to leave it out.
    b_factor_A2
        Frequencies are weighted by exp(-B k^2 / 4).
    threads
        Number of threads; the result does not depend on it.

    Returns
    -------
    LocalAlignment or None
        None where there are too few frames.
    """
    if np.count_nonzero(scales) < FEWEST_FRAMES:
        return None
    with ThreadPoolExecutor(threads) as pool:
        patches = cut_patches(
            frames, counts, layout, shifts_A, scales, b_factor_A2, lambda work, items: list(pool.map(work, items))
        )
        x, y = np.array([patch.x for patch in patches]), np.array([patch.y for patch in patches])
        time = time_basis(len(shifts_A))
        coefficients = np.zeros((2, 6, time.shape[1]))
        weights = np.ones(len(patches))
        rounds, converged = 0, False
        while rounds < ROUNDS and not converged:
            rounds += 1
            local = model_at_patches(coefficients, x, y, len(shifts_A))
            equations = measure(patches, shifts_A + local, x, y, pool)
            weights = patch_weights(equations)
            coefficients, _ = improve(coefficients, equations, weights)
            moved = model_at_patches(coefficients, x, y, len(shifts_A)) - local
            converged = float(np.abs(moved).max()) <= TERMINATION_A
        with np.errstate(divide="ignore"):
            variances = np.array(
                [np.diag(np.linalg.inv(p)) if p[0, 0] > 0 else (np.inf, np.inf) for p in equations.precisions]
            )
    return LocalAlignment(
        LocalModel(coefficients, len(shifts_A)), x, y, local + equations.steps_A, np.sqrt(variances), weights,
        rounds, converged,
    )  # fmt: skip


def model_at_patches(coefficients_A: np.ndarray, x: np.ndarray, y: np.ndarray, frames: int) -> np.ndarray:
    """Return a model's shifts at patches, mean zero over the frames, shape (patches, frames, 2)."""
    shifts = LocalModel(coefficients_A, frames).shifts_A(x, y)
    return np.moveaxis(shifts - shifts.mean(axis=0), 2, 0)


def measure(
    patches: list[Patch], shifts_A: np.ndarray, x: np.ndarray, y: np.ndarray, pool: ThreadPoolExecutor
) -> PatchEquations:
    """Return what all patches say at given shifts, shape (patches, frames, 2)."""
    terms = np.array(list(pool.map(lambda pair: pair[0].terms(pair[1]), zip(patches, shifts_A))))
    used = patches[0].scales > 0
    # one curvature and one noise for all frames of a patch: those of single frames are mostly noise themselves
    mean = terms[:, used].mean(axis=1)
    bend, noise = _matrices(mean[:, 3:6]), _matrices(mean[:, 7:10])
    steps, precisions = np.zeros(shifts_A.shape), np.zeros((len(patches), 2, 2))
    share = (used.sum() - 1) / used.sum()
    for patch in range(len(patches)):
        curvatures = np.linalg.eigvalsh(bend[patch])
        if curvatures[0] <= 0.05 * abs(curvatures[1]) or mean[patch, 6] <= 0:
            continue
        inverse = np.linalg.inv(bend[patch])
        steps[patch, used] = share * terms[patch, used][:, 1:3] @ inverse
        precisions[patch] = np.linalg.inv(inverse @ noise[patch] @ inverse)
    return PatchEquations(x, y, steps, precisions)


def _matrices(terms: np.ndarray) -> np.ndarray:
    """Return symmetric matrices [[xx, xy], [xy, yy]] of columns xx, xy, yy."""
    return np.stack([terms[:, [0, 1]], terms[:, [1, 2]]], axis=1)
