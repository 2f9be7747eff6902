"""A pose of each image, drawn by its probability from the scores of all poses on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from verglas.engine.grid_search import Chunk, SearchSettings, Templates, each_chunk
from verglas.engine.images import ParticleImages
from verglas.engine.polar_grid import quarter_angles
from verglas.kernels.arrays import to_numpy


@dataclass(frozen=True)
class DrawnPoses:
    """One pose of each image, drawn from the posterior on the grid.

    Attributes
    ----------
    rotations, displacements_A, reference
        Shapes (n, 3, 3), (n, 2) and (n,).
    gain
        By how much all poses together, weighed by their priors, raise the log-likelihood of the image; shape (n,).
    directions
        Over how many directions the posterior is spread: 1 / sum of squared probabilities; shape (n,).
    """

    rotations: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    reference: NDArray[np.int64]
    gain: NDArray[np.float64]
    directions: NDArray[np.float64]


def draw_poses(
    library: Templates,
    images: ParticleImages,
    settings: SearchSettings,
    uniform: NDArray[np.float64],
    *,
    temperature: float = 1.0,
    centre_A: NDArray[np.float64] | None = None,
    threads: int = 1,
) -> DrawnPoses:
    """Draw a pose of each image by its probability, the references taken at their own scale.

    A faint reference tells poses apart faintly, so that where little is known the draws are wide by themselves; at the
    best scale of each pose, as :func:`verglas.engine.coarse_search` has it, chance likenesses of noise would count too
    much.

    Parameters
    ----------
    library, images, settings, centre_A, threads
        As :func:`verglas.engine.coarse_search`; ``keep`` does not matter.
    uniform
        Two random numbers from 0 to 1 for each image, which decide; shape (n, 2).
    temperature
        Log-likelihoods are divided by it: above 1, less probable poses are drawn more often.

    Returns
    -------
    DrawnPoses
    """
    parts = each_chunk(
        library, images, settings, centre_A, threads, partial(_drawn, uniform=uniform, temperature=temperature)
    )
    centre = 0.0 if centre_A is None else centre_A
    return DrawnPoses(
        np.concatenate([p.rotations for p in parts]),
        np.concatenate([p.displacements_A for p in parts]) + centre,
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("reference", "gain", "directions")),
    )


def _drawn(chunk: Chunk, uniform: NDArray[np.float64], temperature: float) -> DrawnPoses:
    """Draw a direction of each image by the sum of its poses' likelihoods, then one of those poses by its own."""
    from verglas.kernels.polar import fold_posterior

    library, grid, count = chunk.library, chunk.library.grid, chunk.count
    logs, penalty = np.empty((count, 2, len(library))), to_numpy(chunk.penalty)
    for some, sums, norms in chunk.each_tile():
        best, total = (np.empty((count, 2, norms.shape[1]), np.float32) for _ in range(2))
        host = to_numpy(sums)
        fold_posterior(host[0], host[1], host[2], host[3], to_numpy(norms), penalty, 1.0 / temperature, best, total)
        logs[:, :, some] = best.astype(np.float64) / temperature + np.log(total)
    logs += library.log_prior / temperature
    flat = logs.reshape(count, -1)
    chosen, weights = _pick(flat, uniform[chunk.images, 0])
    whole = 4 * (quarter_angles(grid).size - 1)
    angles = np.linspace(0.0, 2.0 * np.pi, whole, endpoint=False, dtype=np.float64)
    phase = np.outer(grid.orders, angles)
    turns = np.concatenate([np.cos(phase), np.sin(phase)])
    steps = len(chunk.shifts)
    scores = np.empty((count, steps, angles.size))
    for n in range(count):
        several = np.stack([chunk.products(n, shift, int(chosen[n])).ravel() for shift in range(steps)])
        scores[n] = several @ turns
    scores = (2.0 * scores - penalty[:, None]).reshape(count, -1) / temperature
    place, _ = _pick(scores, uniform[chunk.images, 1])
    shift, angle = np.divmod(place, angles.size)
    top = flat.max(axis=1)
    # The mean over all poses of the grid is what no knowledge of the pose leaves of the likelihood.
    poses = flat.shape[1] * steps * angles.size
    evidence = temperature * (top + np.log(np.exp(flat - top[:, None]).sum(axis=1)) - np.log(poses))
    return DrawnPoses(
        chunk.poses(chosen, angles[angle]), chunk.shifts[shift], library.reference[chosen % len(library)], evidence,
        1.0 / (weights**2).sum(axis=1),
    )  # fmt: skip


def _pick(logs: NDArray[np.float64], uniform: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return an entry of each row, drawn by its probability, and all probabilities."""
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    chosen = (np.cumsum(weights, axis=1) < uniform[:, None]).sum(axis=1)
    return np.minimum(chosen, logs.shape[1] - 1), weights
