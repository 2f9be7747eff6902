"""Classes begin: by how images depart from the one map of their half set, in ways that both half sets share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleStack
from verglas.engine.band_sums import working_box
from verglas.engine.reconstruct_particles import half_sets
from verglas.engine.reference_masks import reference_mask
from verglas.signal import resize
from verglas.stages.refinement.class_mixture import mixed_in_components
from verglas.stages.refinement.rounds import RoundWork
from verglas.stages.refinement.rows import PoseRows
from verglas.stages.refinement.settings import AutoRefineSettings
from verglas.stages.refinement.state import RefinementState
from verglas.stages.refinement.variation import Residuals, Variation, find_variation, in_common, views_of

LIMIT_A = 10.0
"""Nothing finer is looked at: there, signal is weaker and components of noise are many."""
MOST_PARTICLES = 10_000
"""Of a half set, by which classes are found; the others are in all classes alike until the next round."""
SPARE = 3
"""Components of each half set beyond those that tell its classes apart."""


def particles_asked(stack: ParticleStack, settings: AutoRefineSettings, half: int) -> NDArray[np.int64]:
    """Return the places of the particles by which a half set, 0 or 1, finds its classes, in order."""
    mine = np.flatnonzero(half_sets(stack.table)[stack.rows] == half)
    if len(mine) <= MOST_PARTICLES:
        return mine
    random = np.random.Generator(np.random.Philox([settings.seed, 5, half]))
    return np.sort(random.choice(mine, MOST_PARTICLES, replace=False))


def variation_of_half(
    state: RefinementState, rows: PoseRows, stack: ParticleStack, settings: AutoRefineSettings, half: int, *,
    threads: int = 1, check: Callable[[], None] | None = None,
) -> Variation:  # fmt: skip
    """Find in what ways the particles of a half set depart from its map, at the poses of one class.

    Parameters
    ----------
    state
        After the last round of one class.
    rows
        Of all particles.
    stack
        Their images.
    settings
        Of the refinement.
    half
        0 or 1.
    threads
        Threads.
    check
        Called now and then; raises where the job was asked to stop.

    Returns
    -------
    Variation
        Of the particles of :func:`particles_asked`.
    """
    asked = particles_asked(stack, settings, half)
    coarser = replace(state, limit_A=max(LIMIT_A, state.limit_A), final=False)
    work = RoundWork(coarser, rows, stack, settings, threads=threads)
    (reference,) = work.references(half)
    batches, order = [], []
    for places, images in work.prepared(asked, check):
        batches.append(views_of(reference, images, rows.rotations[0, places], rows.displacements_A[0, places], threads))
        order.append(places)
    width_A = stack.box * stack.pixel_size_A
    box = working_box(width_A, coarser.limit_A)
    volume = np.asarray(resize(state.references[half, 0], (box,) * 3, workers=threads), np.float32)
    mask = reference_mask(volume, width_A / box, settings.mask_radius_A, settings.mask, threads)
    residuals = Residuals(batches, coarser.limit_A, mask, settings.symmetry, threads)
    found = find_variation(residuals, settings.classes - 1 + SPARE, [settings.seed, 6, half], check)
    # Batches are of one optics group each: back to the order of the places.
    back = np.argsort(np.concatenate(order))
    return replace(found, product=found.product[back], power=found.power[back])


def begin_classes(
    state: RefinementState, rows: PoseRows, stack: ParticleStack, settings: AutoRefineSettings, *, threads: int = 1
) -> tuple[RefinementState, PoseRows]:
    """Find classes in each half set; return state and rows that the next round starts from."""
    found = [variation_of_half(state, rows, stack, settings, half, threads=threads) for half in (0, 1)]
    return with_classes(state, rows, stack, settings, found[0], found[1])


def with_classes(
    state: RefinementState, rows: PoseRows, stack: ParticleStack, settings: AutoRefineSettings, first: Variation,
    second: Variation,
) -> tuple[RefinementState, PoseRows]:  # fmt: skip
    """Return state and rows with particles put into classes by what both half sets have found.

    The half sets share which directions among their leading components are alike, and where classes are along these:
    numbers, but no voxels.
    """
    halves = in_common(first, second, settings.classes - 1)
    asked = np.concatenate([particles_asked(stack, settings, half) for half in (0, 1)])
    occupancy = np.full((settings.classes, len(rows)), 1.0 / settings.classes)
    occupancy[:, asked] = mixed_in_components(
        np.concatenate([one.product for one in halves]), np.concatenate([one.power for one in halves]),
        settings.classes, [settings.seed, 7],
    )  # fmt: skip
    return replace(state, classes_wanted=False), rows.split(occupancy)
