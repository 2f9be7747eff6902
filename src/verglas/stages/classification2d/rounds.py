"""What passes from round to round of a 2D classification: averages made from sums, recentred, empty ones refilled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import Assignments, ClassAverages, ClassSums, ParticleImages
from verglas.signal import (
    apply_filter,
    cosine_lowpass,
    irfft,
    largest_components,
    rfft,
    shift,
    soft_edge,
    sphere_mask,
)  # fmt: skip
from verglas.stages.classification2d.settings import ClassificationSettings

DENSE = 0.3
"""Where a class average is denser than this part of its maximum, it counts for the centre of mass."""
LEAST_SHARE = 0.1
"""A class with less than this part of a fair share of the particles is filled anew."""
UNCLEAR_SHARE = 0.33
"""While the limit gets finer, also one with less than this that is resolved no better than half of the classes."""
RICH = 1.5
"""Only classes with so many fair shares are split."""
JOIN_A = 25.0
"""Finer than this each half set is aligned to its own averages, so that halves agree on what is there, not on noise."""
MASK_FILTER_A, MASK_LEVEL, MASK_EDGE_A = 20.0, 0.2, 10.0
"""Automatic masks hold what is denser than a fifth of the densest after this filter, grown, then softened by 10 A."""
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
    frc
        Correlation of the halves of each class in each ring; shape (classes, rings).
    number
        Rounds done.
    """

    averages: NDArray[np.float32]
    references: NDArray[np.float32]
    share: NDArray[np.float64]
    shift_sigma_A: float
    resolution_A: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    occupancy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    frc: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    number: int = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as arrays by name, to be kept between rounds."""
        return {
            "averages": self.averages, "references": self.references, "share": self.share,
            "shift_sigma_A": np.array(self.shift_sigma_A), "resolution_A": self.resolution_A,
            "occupancy": self.occupancy, "frc": self.frc, "number": np.array(self.number),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> ClassState:
        """Return the state that such arrays hold."""
        return cls(
            arrays["averages"], arrays["references"], arrays["share"], float(arrays["shift_sigma_A"]),
            arrays["resolution_A"], arrays["occupancy"], arrays["frc"], int(arrays["number"]),
        )  # fmt: skip


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
    halves = made.half_images
    if not last:
        if settings.recentre:
            for number, average in enumerate(made.images):
                centre = centre_of_mass(average, settings.mask_radius_A / sums.pixel_size_A)
                averages[number] = shift(average, -centre)
                for half in (0, 1):
                    references[half, number] = shift(references[half, number], -centre)
                    halves[half, number] = shift(halves[half, number], -centre)
        ramping = settings.limit_A(state.number + 1) > settings.finish_A
        resolved = _resolution(made, sums)
        unclear = resolved >= np.median(resolved) if ramping else np.zeros(len(resolved), bool)
        share = _refill(references, halves, share, unclear, sums.box * sums.pixel_size_A)
        if settings.automask:
            for number in range(settings.classes):
                references[:, number] *= density_mask(
                    references[:, number].mean(axis=0), sums.pixel_size_A, settings.mask_radius_A
                )
    moved = np.asarray(displacements_A, np.float64)
    return ClassState(
        averages, references, share,
        shift_sigma_A=float(np.sqrt(np.mean(moved**2))) if moved.size else state.shift_sigma_A,
        resolution_A=np.maximum(_resolution(made, sums), limit_A), occupancy=occupancy, frc=made.frc,
        number=state.number + 1,
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


def centre_of_mass(average: Any, radius_px: float) -> NDArray[np.float64]:
    """Return the centre (y, x) of the dense part of a class average within a radius, in pixels from the middle."""
    place = np.arange(len(average)) - len(average) // 2
    inside = np.hypot(place[:, None], place) < radius_px
    density = np.where(inside & (average > DENSE * average.max(initial=0.0)), average, 0.0).astype(np.float64)
    total = density.sum()
    if not total > 0.0:
        return np.zeros(2)
    centre: NDArray[np.float64] = np.array([density.sum(axis=1) @ place, density.sum(axis=0) @ place]) / total
    return centre


def _refill(
    references: NDArray[np.float32], halves: NDArray[np.float32], share: NDArray[np.float64],
    unclear: NDArray[np.bool_], width_A: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Give each class that few are in half of the particles of the largest one, in place, and return the new shares.

    Few are less than a tenth of a fair share, or, of unclear classes, a third. Of the largest class's two half
    averages one's coarse features become the new class and the other's replace its own: with the noise of both they
    differ, so that images can choose. The new class begins without finer features.
    """
    share = share.copy()
    fair = 1.0 / len(share)
    box = references.shape[-1]
    coarse = np.hypot(np.fft.fftfreq(box, 1.0 / box)[:, None], np.arange(box // 2 + 1)) <= width_A / JOIN_A
    for poor in np.argsort(share, kind="stable"):
        rich = int(np.argmax(share))
        if share[rich] < RICH * fair or share[poor] >= (UNCLEAR_SHARE if unclear[poor] else LEAST_SHARE) * fair:
            continue
        first, second = (np.where(coarse, rfft(halves[half, rich]), 0.0) for half in (0, 1))
        for half in (0, 1):
            own = rfft(references[half, rich])
            references[half, poor] = irfft(first, (box, box))
            references[half, rich] = irfft(np.where(coarse, second, own), (box, box))
        # A class is split once a round: its half averages are used up.
        share[poor] = share[rich] = 0.5 * share[rich]
        halves[:, rich] = halves[:, poor] = references[:, rich]
    return share


def density_mask(average: Any, pixel_size_A: float, radius_A: float) -> NDArray[np.float32]:
    """Return a soft mask of the largest connected dense part of a class average; all of it where there is none."""
    smooth = apply_filter(np.asarray(average, np.float32), pixel_size_A, cosine_lowpass(MASK_FILTER_A, 0.01))
    circle = sphere_mask(smooth.shape, radius_A, pixel_size_A) > 0.5
    level = MASK_LEVEL * float(smooth[circle].max(initial=0.0))
    dense = largest_components((smooth > level) & circle)
    if level <= 0.0 or not dense.any():
        return np.ones(smooth.shape, np.float32)
    mask: NDArray[np.float32] = soft_edge(dense, MASK_EDGE_A / pixel_size_A, extend_pixels=MASK_EDGE_A / pixel_size_A)
    return mask


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
