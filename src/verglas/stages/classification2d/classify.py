"""All rounds of a 2D classification in one process: for notebooks, tests and small stacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ClassSums
from verglas.formats import ParticleTable
from verglas.stages.classification2d.particles import WorkingImages
from verglas.stages.classification2d.rounds import (
    START_IMAGES,
    ClassState,
    ImageResult,
    Templates,
    class_templates,
    first_state,
    next_state,
    random_start,
    weigh,
)
from verglas.stages.classification2d.settings import ClassificationSettings

Reader = Callable[[NDArray[np.int64]], Any]
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
    read: Reader,
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
    noise, state = starting_point(read, defocus, working, settings, threads=threads)
    working = replace(working, noise=noise)
    result = empty_rows(particles)
    for number in range(1, settings.rounds + 1):
        used = used_in_round(number, particles, settings)
        sums = ClassSums(working.working_box, working.working_pixel_size_A, settings.classes, threads=threads)
        found = weigh_places(read, defocus, working, settings, state, sums, used, number, threads=threads)
        result.number[:] = -1
        for name in ("number", "psi", "displacements_A", "log_likelihood", "weight"):
            getattr(result, name)[used] = getattr(found, name)
        limit = settings.limit_A(number)
        state = next_state(state, sums, found.displacements_A, settings, limit, last=number == settings.rounds)
        if progress is not None:
            progress(number, state, result)
    return Classification(
        working.enlarge(state.averages), result.number, result.psi, result.displacements_A, result.log_likelihood,
        result.weight, state,
    )  # fmt: skip


def starting_point(
    read: Reader, defocus: NDArray[np.float64], working: WorkingImages, settings: ClassificationSettings, *,
    threads: int = 1,
) -> tuple[NDArray[np.float64], ClassState]:  # fmt: skip
    """Return the noise's spectrum and the state that the first round starts from; see :func:`classify_images`."""
    particles = len(defocus)
    if working.noise is None:
        some = np.unique(np.linspace(0, particles - 1, min(particles, NOISE_IMAGES)).astype(np.int64))
        working = working.with_noise(read(some), threads=threads)
    random = np.random.Generator(np.random.Philox([settings.seed, 0]))
    chosen = np.sort(random.choice(particles, min(particles, START_IMAGES * settings.classes), replace=False))
    images = working.prepare(read(chosen), defocus[chosen], settings.start_A, settings.low_A, threads=threads)
    state = first_state(random_start(images, chosen, settings, threads=threads), settings)
    assert working.noise is not None
    return working.noise, state


def empty_rows(particles: int) -> ImageResult:
    """Return the rows of particles that no round has seen yet."""
    zero = np.zeros(particles)
    return ImageResult(
        np.full(particles, -1, np.int64), zero.copy(), np.zeros((particles, 2)), zero.copy(), zero.copy()
    )


def weigh_places(
    read: Reader, defocus: NDArray[np.float64], working: WorkingImages, settings: ClassificationSettings,
    state: ClassState, sums: ClassSums, places: NDArray[np.int64], number: int, *, threads: int = 1,
    check: Callable[[], None] | None = None,
) -> ImageResult:  # fmt: skip
    """Weigh some particles in round ``number`` and add them to its sums; a few hundred are in memory at a time."""
    limit = settings.limit_A(number)
    templates: Templates | None = None
    parts = []
    for first in range(0, len(places), AT_ONCE):
        if check is not None:
            check()
        rows = places[first : first + AT_ONCE]
        images = working.prepare(read(rows), defocus[rows], limit, settings.low_A, threads=threads)
        templates = templates or class_templates(state, images, settings, limit)
        parts.append(weigh(state, templates, images, rows, settings, sums, limit, threads=threads))
    return ImageResult(
        np.concatenate([part.number for part in parts]), np.concatenate([part.psi for part in parts]),
        np.concatenate([part.displacements_A for part in parts]),
        np.concatenate([part.log_likelihood for part in parts]), np.concatenate([part.weight for part in parts]),
    )  # fmt: skip


def classified_table(
    table: ParticleTable, rows: NDArray[np.int64], number: Any, psi: Any, displacements_A: Any, log_likelihood: Any,
    weight: Any,
) -> ParticleTable:  # fmt: skip
    """Return a copy of a table with what a classification found of some of its particles.

    Particles that the round did not use, and those that are not active, have class 0.

    Parameters
    ----------
    table
        The particles.
    rows
        Which of them were classified.
    number, psi, displacements_A, log_likelihood, weight
        As in :class:`Classification`.
    """
    made = table.copy()
    used = np.asarray(number) >= 0
    made["class_number"] = np.zeros(len(made), np.int32)
    at = rows[used]
    columns = {
        "class_number": np.asarray(number)[used] + 1,
        "psi_deg": np.rad2deg(np.asarray(psi)[used]),
        "origin_x_A": -np.asarray(displacements_A)[used, 0],
        "origin_y_A": -np.asarray(displacements_A)[used, 1],
        "log_likelihood": np.asarray(log_likelihood)[used],
        "occupancy": 100.0 * np.asarray(weight)[used],
    }
    for name, values in columns.items():
        column = np.array(made[name])
        column[at] = values
        made[name] = column
    return made
