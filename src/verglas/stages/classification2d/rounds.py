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
from verglas.signal import irfft, rfft, shift, sphere_mask
from verglas.stages.classification2d.settings import ClassificationSettings

GRID_LIMIT_A = 15.0
"""The search over all poses needs no finer detail; the refinement that follows goes to the round's limit."""
STEPS_A_LIMIT = 3.0
"""Resolution limit over the step between displacements."""
DENSE = 0.3
"""Where a class average is denser than this part of its maximum, it counts for the centre of mass."""
LEAST_SHARE = 0.1
"""A class with less than this part of a fair share of the particles is filled anew."""
LEAST_SIGMA_A = 3.0
LEAST_WEIGHT = 1e-3
"""Classes that are less probable for an image get nothing of it."""
JOIN_A = 25.0
"""Finer than this each half set is aligned to its own averages, so that halves agree on what is there, not on noise."""
START_IMAGES = 40
"""Images in each of the averages that the first round starts from."""


@dataclass
class ClassState:
    """What is carried from round to round.

    Attributes
    ----------
    averages
        Class averages, protein positive; float32, shape (classes, box, box) at the working size.
    references
        What each half set is aligned to: alike to 25 A, of its own images beyond; shape (2, classes, box, box).
    share
        Part of the particles in each class; shape (classes,).
    shift_sigma_A
        Standard deviation of the particles' displacements along an axis.
    resolution_A
        Resolution of each class average: the last ring before the halves' correlation falls below 0.5; infinite where
        there is none.
    occupancy
        Particles in each class, as sums of weights; shape (classes,).
    number
        Rounds done.
    """

    averages: NDArray[np.float32]
    references: NDArray[np.float32]
    share: NDArray[np.float64]
    shift_sigma_A: float
    resolution_A: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    occupancy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    number: int = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as arrays by name, to be kept between rounds."""
        return {
            "averages": self.averages, "references": self.references, "share": self.share,
            "shift_sigma_A": np.array(self.shift_sigma_A), "resolution_A": self.resolution_A,
            "occupancy": self.occupancy, "number": np.array(self.number),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> ClassState:
        """Return the state that such arrays hold."""
        return cls(
            arrays["averages"], arrays["references"], arrays["share"], float(arrays["shift_sigma_A"]),
            arrays["resolution_A"], arrays["occupancy"], int(arrays["number"]),
        )  # fmt: skip


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
    averages = (0.5 * (made.half_images[0] + made.half_images[1])).astype(np.float32)
    share = np.full(settings.classes, 1.0 / settings.classes)
    return ClassState(averages, np.stack([averages, averages]), share, 0.5 * settings.max_shift_A)


def search_settings(state: ClassState, settings: ClassificationSettings, limit_A: float) -> ImageSearchSettings:
    """Return how the engine searches in a round."""
    grid_limit = max(limit_A, GRID_LIMIT_A)
    return ImageSearchSettings(
        limit_A=grid_limit, low_A=settings.low_A, shift_step_A=grid_limit / STEPS_A_LIMIT,
        shift_range_A=settings.max_shift_A, shift_sigma_A=max(state.shift_sigma_A, LEAST_SIGMA_A), keep=settings.keep,
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

    def of(half: int) -> ImageTemplates:
        return ImageTemplates(
            [
                prepare_image_reference(one, band.pixel_size_A, limit_A=limit_A, radius_A=settings.mask_radius_A)
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
    """Weigh the classes of some images and add them to the sums of the round.

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
    """
    how = search_settings(state, settings, limit_A)
    prior = np.log(np.maximum(state.share, 1e-4))
    count, halves = len(images), half_of(numbers)
    result = ImageResult(
        np.zeros(count, np.int64), np.zeros(count), np.zeros((count, 2)), np.zeros(count), np.zeros(count)
    )
    for half in (0, 1):
        rows = np.flatnonzero(halves == half)
        if not rows.size:
            continue
        some = images.select(rows)
        found = search_images(templates[half], some, how, log_prior=prior, threads=threads)
        weights = np.exp(settings.smoothing * (found.log_likelihood - found.log_likelihood[:, :1]))
        weights[weights < LEAST_WEIGHT * weights.sum(axis=1, keepdims=True)] = 0.0
        weights /= weights.sum(axis=1, keepdims=True)
        poses = Assignments.of_images(found.reference, found.psi, found.displacements_A, weights)
        sums.insert(some, half, poses)
        result.number[rows], result.psi[rows] = found.reference[:, 0], found.psi[:, 0]
        result.displacements_A[rows] = found.displacements_A[:, 0]
        result.log_likelihood[rows], result.weight[rows] = found.log_likelihood[:, 0], weights[:, 0]
    return result


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
    share = occupancy / max(float(occupancy.sum()), 1e-9)
    averages = made.images
    references = _joined(made, sums.box * sums.pixel_size_A)
    if not last:
        if settings.recentre:
            for number, average in enumerate(made.images):
                centre = _centre_of_mass(average, settings, sums.pixel_size_A)
                averages[number] = shift(average, -centre)
                for half in (0, 1):
                    references[half, number] = shift(references[half, number], -centre)
        share = _refill(references, share, sums.box * sums.pixel_size_A)
    moved = np.asarray(displacements_A, np.float64)
    return ClassState(
        averages, references, share,
        shift_sigma_A=float(np.sqrt(np.mean(moved**2))) if moved.size else state.shift_sigma_A,
        resolution_A=np.maximum(_resolution(made, sums), limit_A), occupancy=occupancy, number=state.number + 1,
    )  # fmt: skip


def _joined(made: ClassAverages, width_A: float) -> NDArray[np.float32]:
    """Return each half's references: the average of both up to where they are joined, its own, filtered, beyond."""
    box = made.images.shape[-1]
    ring = np.rint(np.hypot(np.fft.fftfreq(box, 1.0 / box)[:, None], np.arange(box // 2 + 1))).astype(np.int64)
    own = (ring > width_A / JOIN_A) & (ring < made.ssnr.shape[1])
    ring = np.minimum(ring, made.ssnr.shape[1] - 1)
    references: NDArray[np.float32] = np.empty_like(made.half_images)
    for number, average in enumerate(made.images):
        both = rfft(average)
        of_half = 0.5 * made.ssnr[number]
        wiener = (of_half / (of_half + 1.0)).astype(np.float32)[ring]
        for half in (0, 1):
            transform = np.where(own, rfft(made.half_images[half, number]) * wiener, both)
            references[half, number] = irfft(transform, average.shape)
    return references


def _centre_of_mass(
    average: NDArray[np.float32], settings: ClassificationSettings, pixel_size_A: float
) -> NDArray[np.float64]:
    """Return the centre (y, x) of a class average's density, in pixels from the middle."""
    box = len(average)
    place = np.arange(box) - box // 2
    inside = np.hypot(place[:, None], place) * pixel_size_A < settings.mask_radius_A
    density = np.where(inside & (average > DENSE * average.max(initial=0.0)), average, 0.0).astype(np.float64)
    total = density.sum()
    if not total > 0.0:
        return np.zeros(2)
    centre: NDArray[np.float64] = np.array([density.sum(axis=1) @ place, density.sum(axis=0) @ place]) / total
    return centre


def _refill(references: NDArray[np.float32], share: NDArray[np.float64], width_A: float) -> NDArray[np.float64]:
    """Give each class that nearly nobody is in half of the particles of the largest one, in place.

    It begins with the coarse features of that one, without the finer ones: images that these do not fit go over.
    """
    share = share.copy()
    fair = 1.0 / len(share)
    box = references.shape[-1]
    coarse = np.hypot(np.fft.fftfreq(box, 1.0 / box)[:, None], np.arange(box // 2 + 1)) <= width_A / JOIN_A
    for poor in np.flatnonzero(share < LEAST_SHARE * fair):
        rich = int(np.argmax(share))
        if share[rich] < fair:
            break
        for half in (0, 1):
            references[half, poor] = irfft(rfft(references[half, rich]) * coarse, references.shape[-2:])
        share[rich] = share[poor] = 0.5 * share[rich]
    return share


def _mask(sums: ClassSums, settings: ClassificationSettings) -> NDArray[np.float32]:

    mask: NDArray[np.float32] = sphere_mask(
        (sums.box, sums.box), settings.mask_radius_A, sums.pixel_size_A, edge_A=10.0
    )
    return mask


def _resolution(made: ClassAverages, sums: ClassSums) -> NDArray[np.float64]:
    """Return the last ring, in A, before each class's ring correlation first falls below 0.5."""
    width_A = sums.box * sums.pixel_size_A
    found = np.full(len(made.frc), np.inf)
    for number, curve in enumerate(made.frc):
        below = np.flatnonzero(curve[2:] < 0.5)
        last = int(below[0]) + 1 if below.size else len(curve) - 1
        if last > 1:
            found[number] = width_A / last
    return found
