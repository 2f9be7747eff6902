"""All rounds of a 2D classification in one process: for notebooks, tests and small stacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import Assignments, ClassSums
from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.stages.classification2d.particles import WorkingImages, blank_edges
from verglas.stages.classification2d.rounds import (
    START_IMAGES,
    ClassState,
    first_state,
    half_of,
    next_state,
    random_start,
)
from verglas.stages.classification2d.settings import ClassificationSettings
from verglas.stages.classification2d.weighing import ImageResult, Templates, class_templates, empty_rows, weigh

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


def used_in_round(number: int, usable: NDArray[np.int64], settings: ClassificationSettings) -> NDArray[np.int64]:
    """Return which of the usable particles round ``number``, from 1, uses, in order: drawn anew every round."""
    particles = len(usable)
    wanted = min(particles, max(1, round(settings.part_used(number, particles) * particles)))
    if wanted == particles:
        return usable
    random = np.random.Generator(np.random.Philox([settings.seed, number]))
    return usable[np.sort(random.choice(particles, wanted, replace=False))]


def usable_places(
    read: Reader, particles: int, settings: ClassificationSettings, *, check: Callable[[], None] | None = None
) -> NDArray[np.int64]:
    """Return the places of all particles, or of those whose images have no blank edge where these are excluded.

    Raises
    ------
    InputError
        None is left.
    """
    if not settings.exclude_blank_edges:
        return np.arange(particles)
    whole = np.ones(particles, bool)
    for first in range(0, particles, AT_ONCE):
        if check is not None:
            check()
        places = np.arange(first, min(first + AT_ONCE, particles))
        whole[places] = ~blank_edges(read(places))
    if not whole.any():
        raise InputError("every image has a blank edge; classify without excluding those.")
    return np.flatnonzero(whole)


def classify_images(
    read: Reader,
    defocus: Any,
    working: WorkingImages,
    settings: ClassificationSettings,
    *,
    start: ImageResult | None = None,
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
    start
        Classes and poses to go on from, such as those of an earlier round; random classes when None.
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
    usable = usable_places(read, particles, settings)
    if start is None:
        noise, state = starting_point(read, defocus, working, settings, usable, threads=threads)
        working = replace(working, noise=noise)
    else:
        working = working.with_noise(read(noise_places(usable)), threads=threads)
        sums = ClassSums(working.working_box, working.working_pixel_size_A, settings.classes, threads=threads)
        add_known(read, defocus, working, settings, sums, start, usable, threads=threads)
        state = continued_state(sums, start, settings)
    result = empty_rows(particles)
    for number in range(1, settings.rounds + 1):
        used = used_in_round(number, usable, settings)
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


def noise_places(usable: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the particles around which the noise is measured."""
    return usable[np.unique(np.linspace(0, len(usable) - 1, min(len(usable), NOISE_IMAGES)).astype(np.int64))]


def starting_point(
    read: Reader, defocus: NDArray[np.float64], working: WorkingImages, settings: ClassificationSettings,
    usable: NDArray[np.int64], *, threads: int = 1,
) -> tuple[NDArray[np.float64], ClassState]:  # fmt: skip
    """Return the noise's spectrum and the state that the first round starts from; see :func:`classify_images`."""
    if working.noise is None:
        working = working.with_noise(read(noise_places(usable)), threads=threads)
    random = np.random.Generator(np.random.Philox([settings.seed, 0]))
    wanted = min(len(usable), START_IMAGES * settings.classes)
    chosen = usable[np.sort(random.choice(len(usable), wanted, replace=False))]
    images = working.prepare(read(chosen), defocus[chosen], settings.start_A, settings.low_A, threads=threads)
    state = first_state(random_start(images, chosen, settings, threads=threads), settings)
    assert working.noise is not None
    return working.noise, state


def add_known(
    read: Reader, defocus: NDArray[np.float64], working: WorkingImages, settings: ClassificationSettings,
    sums: ClassSums, known: ImageResult, places: NDArray[np.int64], *, threads: int = 1,
    check: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """Add some particles to the sums of the classes, at the poses, that an earlier round gave them."""
    for first in range(0, len(places), AT_ONCE):
        if check is not None:
            check()
        rows = places[first : first + AT_ONCE]
        rows = rows[known.number[rows] >= 0]
        if not rows.size:
            continue
        images = working.prepare(read(rows), defocus[rows], settings.finish_A, settings.low_A, threads=threads)
        poses = Assignments(
            np.arange(len(rows)), known.number[rows], known.psi[rows], known.displacements_A[rows], known.weight[rows]
        )
        sums.insert(images, half_of(rows), poses)


def continued_state(sums: ClassSums, known: ImageResult, settings: ClassificationSettings) -> ClassState:
    """Return the state from which the first round goes on after an earlier classification.

    Its classes were summed anew with :func:`add_known`, each half set by itself, so that halves stay independent.
    """
    used = known.number >= 0
    empty = np.zeros((settings.classes, sums.box, sums.box), np.float32)
    none = ClassState(empty, np.stack([empty, empty]), np.zeros(settings.classes), 0.5 * settings.max_shift_A)
    state = next_state(none, sums, known.displacements_A[used], settings, settings.start_A)
    return replace(state, number=0)


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
