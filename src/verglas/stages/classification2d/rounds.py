"""A round of 2D classification: weigh classes and poses of each image, sum the classes anew, recentre, refill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import (
    Assignments,
    ClassAverages,
    ClassSums,
    ImageSearchSettings,
    ImageTemplates,
    ParticleImages,
    prepare_image_reference,
    search_images,
)
from verglas.signal import shift, sphere_mask
from verglas.stages.classification2d.settings import ClassificationSettings

GRID_LIMIT_A = 18.0
"""The search over all poses needs no finer detail; the refinement that follows goes to the round's limit."""
STEPS_A_LIMIT = 3.0
"""Resolution limit over the step between displacements."""
LEAST_SHARE = 0.1
"""A class with less than this part of a fair share of the particles is filled anew."""
LEAST_SIGMA_A = 3.0
START_IMAGES = 40
"""Images in each of the averages that the first round starts from."""


@dataclass
class ClassState:
    """What is carried from round to round.

    Attributes
    ----------
    averages
        Class averages, protein positive; float32, shape (classes, box, box) at the working size.
    share
        Part of the particles in each class; shape (classes,).
    shift_sigma_A
        Standard deviation of the particles' displacements along an axis.
    resolution_A
        Resolution of each class average, where the halves' ring correlation falls to 0.5; infinite where it never was.
    occupancy
        Particles in each class, as sums of weights; shape (classes,).
    half_averages
        Of the two halves; used to split a class. Shape (2, classes, box, box).
    number
        Rounds done.
    """

    averages: NDArray[np.float32]
    share: NDArray[np.float64]
    shift_sigma_A: float
    resolution_A: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    occupancy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    half_averages: NDArray[np.float32] | None = None
    number: int = 0


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


def half_of(numbers: Any) -> NDArray[np.int64]:
    """Return the half set, 0 or 1, of particles by their place in the stack."""
    return np.asarray(numbers, np.int64) % 2


def random_start(
    images: ParticleImages, numbers: Any, settings: ClassificationSettings, *, threads: int = 1
) -> ClassSums:
    """Return sums of classes to which images were given at random, at random angles and small displacements.

    Parameters
    ----------
    images
        Prepared images, some tens a class.
    numbers
        Their places in the stack, which decide the halves.
    settings
        Of the classification.
    threads
        Threads.
    """
    random = np.random.Generator(np.random.Philox([settings.seed, 0]))
    count = len(images)
    sums = ClassSums(images.band.box, images.band.pixel_size_A, settings.classes, threads=threads)
    poses = Assignments(
        np.arange(count), random.permutation(count) % settings.classes, random.uniform(0.0, 2.0 * np.pi, count),
        random.normal(0.0, 0.1 * settings.mask_radius_A, (count, 2)), np.ones(count),
    )  # fmt: skip
    sums.insert(images, half_of(numbers), poses)
    return sums


def first_state(sums: ClassSums, settings: ClassificationSettings) -> ClassState:
    """Return the state from which the first round goes on."""
    made = sums.finish()
    # Independent halves of random averages share next to nothing: take them unfiltered, as strong as one class is.
    averages = 0.5 * (made.half_images[0] + made.half_images[1])
    share = np.full(settings.classes, 1.0 / settings.classes)
    return ClassState(averages.astype(np.float32), share, 0.5 * settings.max_shift_A)


def search_settings(state: ClassState, settings: ClassificationSettings, limit_A: float) -> ImageSearchSettings:
    """Return how the engine searches in a round."""
    grid_limit = max(limit_A, GRID_LIMIT_A)
    return ImageSearchSettings(
        limit_A=grid_limit, low_A=settings.low_A, shift_step_A=grid_limit / STEPS_A_LIMIT,
        shift_range_A=settings.max_shift_A, shift_sigma_A=max(state.shift_sigma_A, LEAST_SIGMA_A), keep=settings.keep,
        final_limit_A=limit_A, fit_scale=False,
    )  # fmt: skip


def class_templates(
    state: ClassState, images: ParticleImages, settings: ClassificationSettings, limit_A: float
) -> ImageTemplates:
    """Return class averages ready for the search."""
    band = images.band
    references = [
        prepare_image_reference(one, band.pixel_size_A, limit_A=limit_A, radius_A=settings.mask_radius_A)
        for one in state.averages
    ]
    return ImageTemplates(references, band, search_settings(state, settings, limit_A))


def weigh(
    state: ClassState,
    templates: ImageTemplates,
    images: ParticleImages,
    numbers: Any,
    settings: ClassificationSettings,
    sums: ClassSums,
    limit_A: float,
    *,
    threads: int = 1,
) -> ImageResult:
    """Weigh the classes of some images and add them to the sums of the round.

    Parameters
    ----------
    state
        Of the round before.
    templates
        Its class averages.
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
    """
    how = search_settings(state, settings, limit_A)
    prior = np.log(np.maximum(state.share, 1e-4))
    found = search_images(templates, images, how, log_prior=prior, threads=threads)
    gain = settings.smoothing * (found.log_likelihood - found.log_likelihood[:, :1])
    weights = np.exp(gain)
    weights /= weights.sum(axis=1, keepdims=True)
    weights[weights < 1e-3] = 0.0
    image = np.repeat(np.arange(len(images)), weights.shape[1])
    poses = Assignments(
        image, found.reference.ravel(), found.psi.ravel(), found.displacements_A.reshape(-1, 2), weights.ravel()
    )
    sums.insert(images, half_of(numbers), poses)
    return ImageResult(
        found.reference[:, 0], found.psi[:, 0], found.displacements_A[:, 0], found.log_likelihood[:, 0], weights[:, 0]
    )


def next_state(
    state: ClassState,
    sums: ClassSums,
    displacements_A: Any,
    settings: ClassificationSettings,
    limit_A: float,
    *,
    last: bool = False,
) -> ClassState:
    """Return the state after a round: averages from its sums, recentred, empty classes filled.

    Parameters
    ----------
    state
        Of the round before.
    sums
        Of all images of the round.
    displacements_A
        Of these images, shape (n, 2): their spread is the next round's prior.
    settings
        Of the classification.
    limit_A
        Finest resolution of the round.
    last
        Whether it was the last round, after which classes stay as they are.
    """
    made = sums.finish(mask=_mask(sums, settings))
    occupancy = made.occupancy.sum(axis=0)
    total = max(float(occupancy.sum()), 1e-9)
    averages = made.images
    share = occupancy / total
    if not last:
        if settings.recentre:
            averages = np.stack([recentred(one, settings, sums.pixel_size_A) for one in averages])
        averages, share = _refilled(averages, made, share)
    moved = np.asarray(displacements_A, np.float64)
    sigma = float(np.sqrt(np.mean(moved**2))) if moved.size else state.shift_sigma_A
    return ClassState(
        averages.astype(np.float32),
        share,
        sigma,
        _resolution(made, sums),
        occupancy,
        made.half_images,
        state.number + 1,
    )


def recentred(average: NDArray[np.float32], settings: ClassificationSettings, pixel_size_A: float) -> NDArray[Any]:
    """Return a class average with the centre of mass of its positive density in the middle."""
    box = len(average)
    place = (np.arange(box) - box // 2) * pixel_size_A
    inside = np.hypot(place[:, None], place) < settings.mask_radius_A
    density = np.where(inside & (average > 0.3 * average.max(initial=0.0)), average, 0.0).astype(np.float64)
    total = density.sum()
    if not total > 0.0:
        return average
    centre = np.array([(density.sum(axis=1) * place).sum(), (density.sum(axis=0) * place).sum()]) / total
    return np.asarray(shift(average, -centre / pixel_size_A))


def _refilled(
    averages: NDArray[np.float32], made: ClassAverages, share: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Give each class that nearly nobody is in half of the particles of the largest one."""
    averages, share = averages.copy(), share.copy()
    fair = 1.0 / len(share)
    for poor in np.flatnonzero(share < LEAST_SHARE * fair):
        rich = int(np.argmax(share))
        if share[rich] < fair:
            break
        for number, half in ((rich, 0), (poor, 1)):
            averages[number] = 0.5 * (averages[rich] + made.half_images[half, rich])
        share[rich] = share[poor] = 0.5 * share[rich]
    return averages, share


def _mask(sums: ClassSums, settings: ClassificationSettings) -> NDArray[np.float32]:

    mask: NDArray[np.float32] = sphere_mask(
        (sums.box, sums.box), settings.mask_radius_A, sums.pixel_size_A, edge_A=10.0
    )
    return mask


def _resolution(made: ClassAverages, sums: ClassSums) -> NDArray[np.float64]:
    """Return where each class's ring correlation first falls to 0.5, in A."""
    width_A = sums.box * sums.pixel_size_A
    found = np.full(len(made.frc), np.inf)
    for number, curve in enumerate(made.frc):
        below = np.flatnonzero(curve[2:] < 0.5)
        ring = int(below[0]) + 2 if below.size else len(curve) - 1
        if ring > 2:
            found[number] = width_A / ring
    return found
