"""Manual refinement: rounds of the common mechanism with the user's settings, for one class or several."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleStack, apply_reference_mask, background_noise, reference_mask
from verglas.engine.reconstructed_map import signal_to_noise
from verglas.errors import InputError, NumericalError
from verglas.formats import ParticleTable
from verglas.signal import apply_filter, curve
from verglas.stages.refinement.centring import centred
from verglas.stages.refinement.class_matching import exchange_classes, match_classes
from verglas.stages.refinement.insertion import blank_edges, insertion_weights
from verglas.stages.refinement.manual_settings import ManualSettings
from verglas.stages.refinement.maps import ClassMaps, at_box, class_maps, judge
from verglas.stages.refinement.own_part import own_parts
from verglas.stages.refinement.refine import Refinement, next_noise
from verglas.stages.refinement.rounds import RoundWork, used_in_round
from verglas.stages.refinement.rows import PoseRows, rows_of_tables, table_of_rows
from verglas.stages.refinement.state import RefinementState

Map = NDArray[np.float32]


def reference_of_halves(
    first: Map, second: Map, pixel_size_A: float, settings: ManualSettings, threads: int = 1
) -> tuple[Map, Map]:
    """Return what each half set is aligned to: its own half map, filtered by what the halves agree on.

    Parameters
    ----------
    first, second
        Half maps, not filtered.
    pixel_size_A
        Their pixel size.
    settings
        Of the refinement.
    threads
        Threads.
    """
    mask = reference_mask(0.5 * (first + second), pixel_size_A, settings.mask_radius_A, settings.mask, threads)
    ratio = signal_to_noise(
        judge(first, second, mask, pixel_size_A, settings.seed, threads).corrected, of_average=False
    )
    shells = np.arange(len(ratio)) / (len(first) * pixel_size_A)
    wiener = curve(shells, ratio / (1.0 + ratio))
    one, other = (apply_filter(half, pixel_size_A, wiener, workers=threads) for half in (first, second))
    return one, other


def manual_state(
    volumes: Sequence[tuple[Map, Map]], stack: ParticleStack, rows: PoseRows, settings: ManualSettings, *,
    threads: int = 1,
) -> RefinementState:  # fmt: skip
    """Return the state that the first round starts from.

    Parameters
    ----------
    volumes
        For each class, the map that each half set is aligned to, protein positive, at the stack's box.
    stack
        The particles.
    rows
        What is known of them, one class for each volume.
    settings
        Of the refinement.
    threads
        Threads.

    Raises
    ------
    InputError
        Volumes, classes and particles do not fit.
    """
    box, pixel_A = stack.box, stack.pixel_size_A
    if not len(volumes) == settings.classes == rows.classes:
        raise InputError(
            f"{settings.classes} classes need a reference and parameters each, not {len(volumes)} references and "
            f"parameters of {rows.classes}."
        )
    reach_A = max(settings.mask_radius_A, settings.search_radius_A)
    references = np.empty((2, len(volumes), box, box, box), np.float32)
    for k, halves in enumerate(volumes):
        for half, volume in enumerate(halves):
            if np.shape(volume) != (box,) * 3:
                raise InputError(
                    f"the reference of class {k + 1} must have {box} voxels a side as the particles, not "
                    f"{np.shape(volume)}."
                )
            if half and volume is halves[0]:
                references[1, k] = references[0, k]
            else:
                mask = reference_mask(volume, pixel_A, reach_A, settings.mask, threads)
                references[half, k] = apply_reference_mask(volume, mask, pixel_A, settings.mask, threads)
    spread = rows.centre_A - rows.centre_A.mean(axis=0)
    return RefinementState(
        references=references,
        noise=background_noise(stack, settings.mask_radius_A, threads=threads),
        share=rows.occupancy.mean(axis=1),
        limit_A=settings.limit_A,
        before_A=settings.limit_A,
        part=settings.part,
        shift_sigma_A=float(np.sqrt(np.mean(spread**2))),
        resolution_A=np.zeros(0),
    )


def finish_manual_round(
    work: RoundWork[ManualSettings], used: NDArray[np.int64], found: PoseRows, *, threads: int = 1
) -> tuple[RefinementState, PoseRows, list[ClassMaps]]:
    """Make the maps of a round and the state that the next one starts from.

    Parameters
    ----------
    work
        With the sums of all its particles.
    used
        Places of the particles that it used.
    found
        Their rows.
    threads
        Threads.

    Raises
    ------
    NumericalError
        A class has lost all its particles of a half set.
    """
    state, settings, rows = work.state, work.settings, work.rows.copy()
    before = rows.occupancy[:, used]
    rows.used[:] = False
    rows.put(used, found)
    for k, sums in enumerate(work.sums):
        if not sums.images.all():
            raise NumericalError(
                f"class {k + 1} has {' and '.join(map(str, sums.images.tolist()))} particles in the two half sets: it "
                "is empty. Go on from the round before with fewer classes (package-from-package with --class-map)."
            )
    halves, agreement = [(one.half_map(0), one.half_map(1)) for one in work.sums], 1.0
    if settings.classes > 1:
        focus, stack = settings.switches.focus, work.stack
        matched = match_classes(
            halves, work.pixel_size_A, settings.mask_radius_A, work.plan.classification_limit_A, threads=threads,
            mask=None if focus is None else focus.mask(work.box, stack.box, stack.pixel_size_A, threads),
        )  # fmt: skip
        agreement = matched.agreement
        if settings.independent_halves:
            exchange_classes(work.sums, matched.order)
            halves = [(one[0], halves[k][1]) for one, k in zip(halves, matched.order, strict=True)]
            rows.permute(matched.order, np.flatnonzero(work.halves == 1))
    changed = float(np.abs(rows.occupancy[:, used] - before).sum(axis=0).mean()) / 2.0
    maps = [class_maps(one, pair, settings, threads) for one, pair in zip(work.sums, halves, strict=True)]
    if settings.autocentre:
        for k, one in enumerate(maps):
            maps[k], moved_A = centred(one, work.pixel_size_A, settings.symmetry, threads)
            rows.displacements_A[k] += (rows.rotations[k] @ moved_A)[:, :2]
    number = state.number + 1
    return (
        replace(
            state,
            references=np.stack([one.references for one in maps], axis=1),
            noise=next_noise(work),
            share=rows.occupancy[:, used].mean(axis=1),
            resolution_A=np.append(state.resolution_A, min(one.resolution_A for one in maps)),
            changed=changed if settings.classes > 1 else 0.0,
            agreement=agreement,
            number=number,
            done=number == settings.rounds,
            own_part=own_parts(maps, rows, work.halves, settings, work.pixel_size_A),
        ),
        rows,
        maps,
    )


def particles_moved(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Return the part of the particles whose most occupied class has changed; occupancies of shape (classes, n)."""
    return float(np.mean(before.argmax(axis=0) != after.argmax(axis=0)))


def refine_manually(
    tables: Sequence[ParticleTable],
    folder: str | os.PathLike[str],
    volumes: Sequence[Any],
    settings: ManualSettings,
    *,
    threads: int = 1,
    progress: Callable[[RefinementState, PoseRows, list[ClassMaps]], None] | None = None,
) -> Refinement:
    """Run all rounds of a manual refinement in one process.

    Parameters
    ----------
    tables
        Particles with the parameters of each class.
    folder
        What relative names of stacks are relative to.
    volumes
        For each class, one map for both half sets, or a pair of half maps.
    settings
        How.
    threads
        Threads.
    progress
        Called after each round.
    """
    with ParticleStack(tables[0], folder) as stack:
        rows = rows_of_tables(tables, stack.rows)
        pairs = [
            reference_of_halves(volume[0], volume[1], stack.pixel_size_A, settings, threads)
            if isinstance(volume, tuple) and settings.independent_halves
            else (volume, volume)
            for volume in volumes
        ]
        state = manual_state(pairs, stack, rows, settings, threads=threads)
        maps: list[ClassMaps] = []
        while not state.done:
            used = used_in_round(state, len(stack), settings)
            work = RoundWork(state, rows, stack, settings, threads=threads)
            found = work.align(used)
            blank = blank_edges(stack, used) if settings.blank_edges else np.zeros(len(used), np.bool_)
            work.insert(used, found, *insertion_weights(work, used, found, blank))
            state, rows, maps = finish_manual_round(work, used, found, threads=threads)
            if progress is not None:
                progress(state, rows, maps)
        finals = [at_box(one.found, stack.box, stack.pixel_size_A, threads) for one in maps]
        made = [table_of_rows(table, stack.rows, rows, k) for k, table in enumerate(tables)]
    return Refinement(state, rows, made, finals)
