"""The defocus of single particles: a search along a line, then the optimiser, where it explains the image better."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import ParticleImages
from verglas.engine.reference import Reference
from verglas.engine.refinement import RefinementSettings, refine_poses
from verglas.errors import InputError


def search_defocus(
    reference: Reference,
    images: ParticleImages,
    rotations: Any,
    displacements_A: Any,
    *,
    range_A: float,
    step_A: float,
    limit_A: float = 0.0,
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the change of each image's mean defocus that explains it best, at a given pose.

    Parameters
    ----------
    reference
        Prepared to the images' limit or finer.
    images
        Prepared images.
    rotations, displacements_A
        Their poses, shapes (n, 3, 3) and (n, 2).
    range_A, step_A
        How far from the present defocus to search, and in what steps; the best step is then refined.
    limit_A
        Finest resolution used; 0: the images' own.
    threads
        Threads.

    Returns
    -------
    change_A : ndarray, shape (n,)
        0 where the present defocus is the best.
    log_likelihood : ndarray, shape (n,)
        With it.

    Raises
    ------
    InputError
        If range or step make no sense.
    """
    if not (range_A > 0.0 and 0.0 < step_A <= range_A):
        raise InputError(f"a defocus search of {range_A:g} A in steps of {step_A:g} A makes no sense.")
    held = RefinementSettings(phi=False, theta=False, psi=False, x=False, y=False, limit_A=limit_A)
    count = len(images)
    steps = np.concatenate([[0.0], np.arange(step_A, range_A + 0.5 * step_A, step_A)])
    steps = np.concatenate([steps, -steps[1:]])
    likelihood = np.empty((len(steps), count))
    for n, change in enumerate(steps):
        moved = images if change == 0.0 else images.with_defocus(_moved(images, np.full(count, change)), threads)
        likelihood[n] = refine_poses(reference, moved, rotations, displacements_A, held, threads=threads).log_likelihood
    # Of equals the first: no change.
    change = steps[likelihood.argmax(axis=0)]
    best = likelihood.max(axis=0)
    free = replace(held, defocus=True)
    found = refine_poses(
        reference, images.with_defocus(_moved(images, change), threads), rotations, displacements_A, free,
        threads=threads,
    )  # fmt: skip
    finer = found.defocus[:, :2].mean(axis=1) - images.defocus[:, :2].mean(axis=1)
    good = (found.log_likelihood > best) & (np.abs(finer) <= range_A)
    return np.where(good, finer, change), np.where(good, found.log_likelihood, best)


def _moved(images: ParticleImages, change_A: NDArray[np.float64]) -> NDArray[np.float64]:
    defocus = images.defocus.copy()
    defocus[:, :2] += change_A[:, None]
    return defocus
