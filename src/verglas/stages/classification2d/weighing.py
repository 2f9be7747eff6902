"""The classes and poses of images in a round of 2D classification: drawn from their posterior, refined, weighed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import (
    Assignments,
    ClassSums,
    Drawing,
    ImageSearchSettings,
    ImageTemplates,
    ParticleImages,
    draw_images,
    prepare_image_reference,
    refine_draws,
)
from verglas.stages.classification2d.rounds import ClassState, half_of
from verglas.stages.classification2d.settings import ClassificationSettings

GRID_LIMIT_A = 15.0
"""The search over all poses needs no finer detail; finer rounds refine the poses that it draws."""
STEPS_A_LIMIT = 3.0
"""Resolution limit over the step between displacements."""
DRAWS = 32
"""Poses drawn from the posterior of each image."""
LEAST_SIGMA_A = 3.0
SIGMAS = 4.0
"""Displacements that are rarer than this are not looked at."""
LEAST_WEIGHT = 1e-3
"""Poses that are less probable for an image get nothing of it."""


@dataclass(frozen=True)
class ImageResult:
    """What a round says of each of its images, the best class first.

    Attributes
    ----------
    number
        Best class, from 0; shape (n,).
    psi
        In-plane angle in radians; shape (n,).
    displacements_A
        Minus the particle table's origin; shape (n, 2).
    log_likelihood
        What the best class adds to the log-likelihood; shape (n,).
    weight
        Weight of the best class, 0 to 1; shape (n,).
    """

    number: NDArray[np.int64]
    psi: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    weight: NDArray[np.float64]


def empty_rows(count: int) -> ImageResult:
    """Return the rows of particles that no round has seen yet."""
    zero = np.zeros(count)
    return ImageResult(np.full(count, -1, np.int64), zero.copy(), np.zeros((count, 2)), zero.copy(), zero.copy())


def search_settings(state: ClassState, settings: ClassificationSettings, limit_A: float) -> ImageSearchSettings:
    """Return how the engine searches in a round."""
    grid_limit = max(limit_A, GRID_LIMIT_A)
    sigma_A = max(state.shift_sigma_A, LEAST_SIGMA_A)
    return ImageSearchSettings(
        limit_A=grid_limit, low_A=settings.low_A, shift_step_A=grid_limit / STEPS_A_LIMIT,
        shift_range_A=min(settings.max_shift_A, SIGMAS * sigma_A), shift_sigma_A=sigma_A, keep=settings.keep,
        final_limit_A=limit_A, fit_scale=False,
    )  # fmt: skip


Templates = tuple[ImageTemplates, ImageTemplates]
"""Of the two half sets."""


def class_templates(
    state: ClassState, images: ParticleImages, settings: ClassificationSettings, limit_A: float
) -> Templates:
    """Return each half set's references ready for the search."""
    band = images.band
    how = search_settings(state, settings, limit_A)
    # Uneven magnification takes components beyond the limit.
    finest_A = limit_A / max(1.0, images.optics.largest_magnification)

    def of(half: int) -> ImageTemplates:
        return ImageTemplates(
            [
                prepare_image_reference(one, band.pixel_size_A, limit_A=finest_A, radius_A=settings.mask_radius_A)
                for one in state.references[half]
            ],
            band,
            how,
        )

    return of(0), of(1)


def weigh(
    state: ClassState,
    templates: Templates,
    images: ParticleImages,
    numbers: Any,
    settings: ClassificationSettings,
    sums: ClassSums,
    limit_A: float,
    *,
    threads: int = 1,
) -> ImageResult:
    """Weigh the classes and poses of some images and add them to the sums of the round.

    Parameters
    ----------
    state
        Of the round before.
    templates
        Its references, of :func:`class_templates`.
    images
        Prepared images.
    numbers
        Their places in the stack.
    settings
        Of the classification.
    sums
        What they are added to.
    limit_A
        Finest resolution of the round.
    threads
        Threads.

    Notes
    -----
    Each image is added at poses drawn from its posterior over all classes, angles and displacements, not at the best
    one alone: while averages are poor, the best pose of an image in noise is the one that fits the noise.
    """
    how = search_settings(state, settings, limit_A)
    prior = np.log(np.maximum(state.share, 1e-4))
    numbers = np.asarray(numbers, np.int64)
    halves, result = half_of(numbers), empty_rows(len(images))
    # One number for each place of the stack, so that it does not depend on what else is read with it.
    random = np.random.Generator(np.random.Philox([settings.seed, state.number + 1, 1]))
    uniform = random.random(int(numbers.max(initial=0)) + 1)[numbers]
    for half in (0, 1):
        rows = np.flatnonzero(halves == half)
        if not rows.size:
            continue
        some, drawing = images.select(rows), Drawing(DRAWS, uniform[rows], settings.smoothing)
        drawn = draw_images(templates[half], some, how, drawing, log_prior=prior, threads=threads)
        at = np.arange(len(rows))
        if limit_A >= GRID_LIMIT_A:
            weights = drawn.count / DRAWS
            sums.insert(some, half, Assignments.of_images(drawn.reference, drawn.psi, drawn.displacements_A, weights))
            best = np.argmax(drawn.evidence, axis=1)
            share = np.exp(drawn.evidence - drawn.evidence.max(axis=1, keepdims=True))
            result.number[rows], result.psi[rows] = best, drawn.best_psi[at, best]
            result.displacements_A[rows] = drawn.best_displacements_A[at, best]
            result.log_likelihood[rows], result.weight[rows] = drawn.gain[at, best], 1.0 / share.sum(axis=1)
            continue
        found = refine_draws(
            templates[half], some, how, drawn, log_prior=prior, factor=settings.smoothing, threads=threads
        )
        weights = np.where(found.weights < LEAST_WEIGHT, 0.0, found.weights)
        weights /= weights.sum(axis=1, keepdims=True)
        sums.insert(some, half, Assignments.of_images(found.reference, found.psi, found.displacements_A, weights))
        of_class = np.zeros((len(rows), settings.classes))
        np.add.at(of_class, (at[:, None], found.reference), weights)
        best = np.argmax(of_class, axis=1)
        first = np.argmax(found.reference == best[:, None], axis=1)
        result.number[rows], result.psi[rows] = best, found.psi[at, first]
        result.displacements_A[rows] = found.displacements_A[at, first]
        result.log_likelihood[rows], result.weight[rows] = found.log_likelihood[at, first], of_class[at, best]
    return result
