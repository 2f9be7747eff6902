"""All rounds of a 2D classification in one process: for notebooks, tests and small stacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ClassSums
from verglas.stages.classification2d.particles import WorkingImages
from verglas.stages.classification2d.rounds import (
    START_IMAGES,
    ClassState,
    ImageResult,
    class_templates,
    first_state,
    next_state,
    random_start,
    weigh,
)
from verglas.stages.classification2d.settings import ClassificationSettings

AT_ONCE = 500
NOISE_IMAGES = 2000


@dataclass(frozen=True)
class Classification:
    """What a classification found.

    Attributes
    ----------
    averages
        Class averages at the stack's box and pixel size, protein positive; shape (classes, box, box).
    number
        Class of each particle, from 0; -1 where the last round did not use it. Shape (n,).
    psi, displacements_A, log_likelihood, weight
        As in :class:`ImageResult`, for all particles.
    state
        Of the last round.
    """

    averages: NDArray[np.float32]
    number: NDArray[np.int64]
    psi: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    weight: NDArray[np.float64]
    state: ClassState


def used_in_round(number: int, particles: int, settings: ClassificationSettings) -> NDArray[np.int64]:
    """Return which particles round ``number``, from 1, uses, in order: drawn anew every round."""
    wanted = min(particles, max(1, round(settings.part_used(number, particles) * particles)))
    if wanted == particles:
        return np.arange(particles)
    random = np.random.Generator(np.random.Philox([settings.seed, number]))
    return np.sort(random.choice(particles, wanted, replace=False))


def classify_images(
    read: Callable[[NDArray[np.int64]], Any],
    defocus: Any,
    working: WorkingImages,
    settings: ClassificationSettings,
    *,
    threads: int = 1,
    progress: Callable[[int, ClassState, ImageResult], None] | None = None,
) -> Classification:
    """Classify the images of one stack.

    Parameters
    ----------
    read
        Returns images by their places, shape (n, box, box).
    defocus
        Of all particles, shape (particles, 4): u and v in A, angle of u and phase shift in radians.
    working
        Size and optics of the images; the noise is measured where that was not done.
    settings
        How.
    threads
        Threads.
    progress
        Called after each round.

    Returns
    -------
    Classification

    References
    ----------
    F. J. Sigworth, "A maximum-likelihood approach to single-particle image refinement", J. Struct. Biol. 122 (1998)
    328. S. H. W. Scheres et al., "Maximum-likelihood multi-reference refinement for electron microscopy images", J.
    Mol. Biol. 348 (2005) 139.
    """
    defocus = np.asarray(defocus, np.float64)
    particles = len(defocus)
    if working.noise is None:
        some = np.unique(np.linspace(0, particles - 1, min(particles, NOISE_IMAGES)).astype(np.int64))
        working = working.with_noise(read(some), threads=threads)
    random = np.random.Generator(np.random.Philox([settings.seed, 0]))
    chosen = np.sort(random.choice(particles, min(particles, START_IMAGES * settings.classes), replace=False))
    start = working.prepare(read(chosen), defocus[chosen], settings.start_A, settings.low_A, threads=threads)
    state = first_state(random_start(start, chosen, settings, threads=threads), settings)
    result = ImageResult(
        np.full(particles, -1), np.zeros(particles), np.zeros((particles, 2)), np.zeros(particles), np.zeros(particles)
    )
    for number in range(1, settings.rounds + 1):
        limit = settings.limit_A(number)
        used = used_in_round(number, particles, settings)
        sums = ClassSums(working.working_box, working.working_pixel_size_A, settings.classes, threads=threads)
        result.number[:] = -1
        templates = None
        for first in range(0, len(used), AT_ONCE):
            rows = used[first : first + AT_ONCE]
            images = working.prepare(read(rows), defocus[rows], limit, settings.low_A, threads=threads)
            templates = templates or class_templates(state, images, settings, limit)
            found = weigh(state, templates, images, rows, settings, sums, limit, threads=threads)
            for name in ("number", "psi", "displacements_A", "log_likelihood", "weight"):
                getattr(result, name)[rows] = getattr(found, name)
        state = next_state(state, sums, result.displacements_A[used], settings, limit, last=number == settings.rounds)
        if progress is not None:
            progress(number, state, result)
    return Classification(
        working.enlarge(state.averages), result.number, result.psi, result.displacements_A, result.log_likelihood,
        result.weight, state,
    )  # fmt: skip
