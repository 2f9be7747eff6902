"""Displacements of images whose directions are known, drawn by their probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import ParticleImages
from verglas.engine.polar_grid import hexagonal_shifts
from verglas.engine.polar_images import shift_penalty
from verglas.engine.reference import Reference
from verglas.engine.threads import single_blas_thread

AT_ONCE = 256


def draw_displacements(
    references: Sequence[Reference],
    images: ParticleImages,
    rotations: NDArray[np.float64],
    which: NDArray[np.int64],
    uniform: NDArray[np.float64],
    *,
    limit_A: float,
    step_A: float,
    sigma_A: float,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Draw a displacement of each image from a hexagonal grid about its middle.

    Parameters
    ----------
    references
        Prepared maps, at their own scale.
    images
        Prepared images.
    rotations, which
        Rotation of each image and the number of its map; shapes (n, 3, 3) and (n,).
    uniform
        A random number from 0 to 1 for each image, which decides; shape (n,).
    limit_A
        Resolution.
    step_A, sigma_A
        Step of the grid, and the deviation of the prior on each coordinate; the grid reaches 3 of them.
    threads
        Threads.

    Returns
    -------
    ndarray, shape (n, 2)
        In A.
    """
    part = images.band.up_to(limit_A)
    points = len(part)
    grid = hexagonal_shifts(step_A, 3.0 * sigma_A)
    penalty = shift_penalty(grid, sigma_A)
    phase = 2.0 * np.pi * (np.outer(part.kx_per_A, grid[:, 0]) + np.outer(part.ky_per_A, grid[:, 1]))
    cosines, sines = np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)
    u, v = (k[:points] for k in images.true_k_per_A)
    found = np.empty((len(images), 2))
    for number, reference in enumerate(references):
        rows = np.flatnonzero(which == number)
        for first in range(0, rows.size, AT_ONCE):
            some = rows[first : first + AT_ONCE]
            model = images.transfer[some, :points] * reference.slices(rotations[some], u, v, threads=threads)
            product = np.conj(model) * images.data[some, :points]
            with single_blas_thread():
                score = product.real @ cosines - product.imag @ sines
            logs = 2.0 * score.astype(np.float64) - penalty
            weights = np.exp(logs - logs.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            chosen = (np.cumsum(weights, axis=1) < uniform[some, None]).sum(axis=1)
            found[some] = grid[np.minimum(chosen, len(grid) - 1)]
    return found
