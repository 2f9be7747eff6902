"""All rounds of a refinement in one process (for notebooks, tests and small stacks), and what ends each round."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleStack
from verglas.engine.reconstructed_map import ReconstructedMap
from verglas.formats import ParticleTable
from verglas.geometry import point_group
from verglas.stages.refinement.class_matching import exchange_classes, match_classes
from verglas.stages.refinement.class_references import class_references
from verglas.stages.refinement.class_start import begin_classes
from verglas.stages.refinement.maps import ClassMaps, at_box, check_filled, class_maps, limit_of
from verglas.stages.refinement.own_part import own_parts
from verglas.stages.refinement.rounds import RoundWork, used_in_round
from verglas.stages.refinement.rows import PoseRows, rows_in_classes, rows_of_table, table_of_rows
from verglas.stages.refinement.settings import (
    CHANGED,
    FOUND_ROUNDS,
    GROWTH,
    IMPROVEMENT,
    LEAST_ROUNDS,
    LEAST_ROUNDS_OF_CLASSES,
    MOST_SEARCHES_AGAIN,
    QUIET_ROUNDS,
    SEARCHING,
    TURNED,
    TURNED_DEG,
    AutoRefineSettings,
)
from verglas.stages.refinement.state import RefinementState, first_state


@dataclass(frozen=True)
class Refinement:
    """What a refinement found.

    Attributes
    ----------
    state
        After the last round.
    rows
        Of all active particles.
    tables
        One for each class.
    maps
        One for each class, at the stack's box.
    """

    state: RefinementState
    rows: PoseRows
    tables: list[ParticleTable]
    maps: list[ReconstructedMap]


def finish_round(
    work: RoundWork[AutoRefineSettings], used: NDArray[np.int64], found: PoseRows, *, refines_ctf: bool = False,
    threads: int = 1,
) -> tuple[RefinementState, PoseRows, list[ClassMaps]]:  # fmt: skip
    """Make the maps of a round and the state that the next one starts from.

    Parameters
    ----------
    work
        With the sums of all its particles.
    used
        Places of the particles that it used.
    found
        Their rows.
    refines_ctf
        The caller refines the CTF once, when the state asks for it: as soon as nothing else improves, or before the
        last round. Rounds then go on until nothing improves again.
    threads
        Threads.
    """
    state, settings, stack = work.state, work.settings, work.stack
    before = work.rows
    rows = before.copy()
    rows.used[:] = False
    rows.put(used, found)
    several, alone = rows.classes > 1, rows.classes < settings.classes
    halves = [(one.half_map(0), one.half_map(1)) for one in work.sums]
    agreement = 1.0
    if several:
        for one in work.sums:
            check_filled(one)
        limit_A = work.plan.classification_limit_A
        found_order = match_classes(halves, work.pixel_size_A, settings.mask_radius_A, limit_A, threads=threads)
        agreement = found_order.agreement
        if settings.independent_halves:
            exchange_classes(work.sums, found_order.order)
            halves = [(one[0], halves[k][1]) for one, k in zip(halves, found_order.order, strict=True)]
            rows.permute(found_order.order, np.flatnonzero(work.halves == 1))
    local = settings.regularisation == "local"
    shared = class_references(work.sums, halves, settings, threads) if several else None
    maps = [
        class_maps(
            one,
            pair,
            settings,
            threads,
            local_filters=local,
            sources=None if shared is None else shared.sources[k],
            masks=None if shared is None else shared.masks,
        )
        for k, (one, pair) in enumerate(zip(work.sums, halves, strict=True))
    ]
    changed = float(np.abs(found.occupancy - before.occupancy[:, used]).sum(axis=0).mean()) / 2.0
    if not several:
        changed = 0.0
    elif state.number == 0 or work.splits:
        changed = 1.0
    moved = found.displacements_A[found.occupancy.argmax(axis=0), np.arange(len(used))] - found.centre_A
    resolutions = np.append(state.resolution_A, min(one.resolution_A for one in maps))
    agreed = np.append(state.agreed_A, min(one.agreed_A for one in maps))
    number = state.number + 1
    box_A = stack.box * stack.pixel_size_A
    # The next references are the maps of this round: no limit goes beyond their pixels.
    finest = settings.finest_limit_A(work.pixel_size_A)
    limit = limit_of(maps, box_A, settings, state.limit_A, finest)
    searching = float(settings.search_chance(rows.searched_A, limit).mean()) if settings.search_first else 0.0
    # What is finer than any limit can be is no improvement.
    finest_ever = settings.finest_limit_A(stack.pixel_size_A)
    reached = np.maximum(agreed, finest_ever)[state.since :]
    turned = _turned(before, rows, used, settings)
    at_the_end = max(state.limit_A, limit) <= (1.0 + 1e-6) * finest_ever
    quiet = at_the_end and reached[-1] <= finest_ever and turned < TURNED
    settled = _is_settled(reached, state, changed, searching, several, quiet=quiet)
    again = state.searches_again + int(state.search_all)
    # References have become better since particles were searched, even at one resolution: all are searched once more.
    turns = 2 if state.halved else 1
    enough = (
        state.classes_round > 0
        or again >= MOST_SEARCHES_AGAIN * turns
        or (again >= turns and not (state.search_all and max(turned, state.turned) > TURNED))
    )
    # Classes are looked for once one map has nothing more to give, and with as many rounds left to refine them.
    classes_wanted = alone and (settled or number >= settings.rounds // 2)
    search_all = ((settled and settings.search_first and not enough) or again % turns > 0) and not alone
    halved = state.halved and not (settled and not search_all) and not classes_wanted
    settled = settled and not search_all and not alone and len(used) == len(rows)
    last = number == settings.rounds - 1
    ctf_wanted = refines_ctf and not state.ctf_round and (settled or last) and not state.final and not classes_wanted
    since = len(resolutions) if ctf_wanted or classes_wanted or (state.halved and not halved) else state.since
    part = max(state.part if number > 1 else 0.0, settings.part_wanted(limit, len(rows)))
    if len(reached) > 1 and not _improved(reached):
        part = min(1.0, GROWTH * part)
    next_state = RefinementState(
        references=np.stack([one.references for one in maps], axis=1),
        noise=next_noise(work),
        share=_share(rows, used, state),
        limit_A=limit,
        before_A=state.limit_A,
        part=part,
        shift_sigma_A=float(np.sqrt(np.mean(moved**2))),
        resolution_A=resolutions,
        agreed_A=agreed,
        changed=changed,
        agreement=agreement,
        number=number,
        halved=halved,
        since=since,
        search_all=search_all,
        searches_again=again,
        turned=turned,
        final=(settled and not ctf_wanted) or last,
        done=state.final,
        ctf_wanted=ctf_wanted,
        ctf_round=state.ctf_round,
        classes_wanted=classes_wanted,
        classes_round=number if classes_wanted else state.classes_round,
        own_part=own_parts(
            maps, rows, work.halves, settings, work.pixel_size_A, None if shared is None else shared.ratio
        ) if several and state.classes_round else np.zeros((2, 1, 1)),
    )  # fmt: skip
    return next_state, rows, maps


def _share(rows: PoseRows, used: NDArray[np.int64], state: RefinementState) -> NDArray[np.float64]:
    """Return the prior of each class: its part of the particles, but equal ones until classes have come apart.

    A class that happens to get more at first would otherwise draw all others to itself.
    """
    least = FOUND_ROUNDS if state.classes_round else LEAST_ROUNDS_OF_CLASSES
    if state.rounds_of_classes + 1 < least:
        return np.full(rows.classes, 1.0 / rows.classes)
    share: NDArray[np.float64] = rows.occupancy[:, used].mean(axis=1)
    return share


def _improved(resolutions: NDArray[np.float64], rounds: int = 1) -> bool:
    """Tell whether the last rounds have brought a finer resolution than any before."""
    best_before = resolutions[:-rounds].min(initial=math.inf)
    return bool(resolutions[-rounds:].min() < (1.0 - IMPROVEMENT) * best_before)


def _is_settled(
    resolutions: NDArray[np.float64], state: RefinementState, changed: float, searching: float, several: bool, *,
    quiet: bool,
) -> bool:  # fmt: skip
    """Tell whether another round like the last one, which began from a state, would bring nothing.

    Rounds that bring nothing have to be waited for, unless it is known already: ``quiet`` says that the round went as
    far as any can, that halves agree so far, and that hardly any poses turned.
    """
    least = LEAST_ROUNDS_OF_CLASSES if several and not state.classes_round else LEAST_ROUNDS
    done = state.rounds_of_classes + 1 if several else state.number + 1
    if done < least - 1 or changed >= CHANGED or searching >= SEARCHING:
        return False
    return quiet or (len(resolutions) > QUIET_ROUNDS and not _improved(resolutions, QUIET_ROUNDS))


def _turned(before: PoseRows, after: PoseRows, used: NDArray[np.int64], settings: AutoRefineSettings) -> float:
    """Return which part of some particles has turned, in its best class."""
    best = after.occupancy[:, used].argmax(axis=0)
    turn = point_group(settings.symmetry).distance(before.rotations[best, used], after.rotations[best, used])
    return float(np.mean(turn > math.radians(TURNED_DEG)))


def next_noise(work: RoundWork[Any]) -> NDArray[np.float64]:
    """Return the noise as models have left it up to the round's limit, and as before, on the last ratio, beyond."""
    noise = work.state.noise.copy()
    for group, (total, count) in enumerate(zip(work.noise_sum, work.noise_count, strict=True)):
        known = np.flatnonzero(count > 0)
        if known.size:
            ratio = np.interp(np.arange(noise.shape[1]), known, total[known] / count[known])
            # Few components of the last rings: their mean is what carries on.
            ratio[known[-1] + 1 :] = (total[known[-3:]] / count[known[-3:]]).mean()
            noise[group] *= ratio
    return noise


def refine_particles(
    table: ParticleTable,
    folder: str | os.PathLike[str],
    volume: Any,
    settings: AutoRefineSettings,
    *,
    threads: int = 1,
    progress: Callable[[RefinementState, PoseRows, list[ClassMaps]], None] | None = None,
) -> Refinement:
    """Refine the particles of a table against an initial volume until nothing improves.

    Parameters
    ----------
    table
        Particles with their stacks, half sets, CTF parameters, and poses as far as they are known.
    folder
        What relative names of stacks are relative to.
    volume
        Initial map, protein positive, at the particles' box and pixel size; or one for each class.
    settings
        How.
    threads
        Threads.
    progress
        Called after each round.

    Returns
    -------
    Refinement

    References
    ----------
    S. H. W. Scheres, S. Chen, "Prevention of overfitting in cryo-EM structure determination", Nat. Methods 9 (2012)
    853, for independent half sets. T. Grant, A. Rohou, N. Grigorieff, "cisTEM", eLife 7 (2018) e35383, for the other
    policy and the schedules.
    """
    with ParticleStack(table, folder) as stack:
        state = first_state(volume, stack, settings, threads=threads)
        rows = rows_in_classes(rows_of_table(table, stack.rows), state.references.shape[1])
        maps: list[ClassMaps] = []
        while not state.done:
            used = used_in_round(state, len(stack), settings)
            work = RoundWork(state, rows, stack, settings, threads=threads)
            found = work.add(used)
            state, rows, maps = finish_round(work, used, found, threads=threads)
            if progress is not None:
                progress(state, rows, maps)
            if state.classes_wanted:
                state, rows = begin_classes(state, rows, stack, settings, threads=threads)
        finals = [at_box(one.found, stack.box, stack.pixel_size_A, threads) for one in maps]
        tables = [table_of_rows(table, stack.rows, rows, k) for k in range(settings.classes)]
    return Refinement(state, rows, tables, finals)
