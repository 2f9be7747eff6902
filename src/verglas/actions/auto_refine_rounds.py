"""A round of Auto Refine: its start, its work on workers, its record, and what is said at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from verglas.actions.auto_refine import given_limit_A, initial_volumes, settings_of, table_of
from verglas.actions.auto_refine_ctf import keep_for_ctf, table_now, was_refined
from verglas.actions.ctf_work import written_files
from verglas.actions.refinement_rounds import HAND_WORDS, chunk_size, fitting, kept_arrays, round_name, state_of
from verglas.actions.selection import only

if TYPE_CHECKING:
    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.stages.refinement import AutoRefineSettings, ClassMaps, PoseRows, RefinementState


def begin(context: JobContext) -> None:
    """Keep the state that the first round starts from, unless that was done."""
    from verglas.engine import ParticleStack
    from verglas.formats.mrc import read_mrc_volume
    from verglas.stages.refinement import first_state, rows_in_classes, rows_of_table

    if not context.pending([round_name(1)], key=str) or context.kept(round_name(0)) is not None:
        return
    context.progress(0, context.parameters.rounds, "noise and first reference")
    settings = settings_of(context.parameters, context.inputs, context.seed, context.project)
    chosen, package = initial_volumes(context.inputs, settings.classes), only("package", context.inputs["package"])
    volumes = [fitting(read_mrc_volume(context.project / one["path"]), package) for one in chosen]
    with ParticleStack(table_of(context.project, context.inputs), context.project) as stack:
        state = first_state(volumes, stack, settings, threads=context.threads)
        rows = rows_in_classes(rows_of_table(stack.table, stack.rows), len(volumes))
        context.keep(round_name(0), kept_arrays(state, rows))
    names = ", ".join(one["name"] for one in chosen)
    context.message(f"The initial volume ({names}) was low-passed to {settings.start_A:g} A.")
    given_A = given_limit_A(context.parameters, context.inputs)
    if settings.independent_halves and given_A < settings.start_A:
        context.message(
            f"The poses to begin with are from half sets that were aligned to one map to {given_A:.1f} A. Where they "
            "stay, agreement as far as that shows nothing.", "warning",
        )  # fmt: skip
    if not settings.independent_halves:
        context.message(
            "Both half sets are aligned to one reference: their agreement cannot show overfitting up to the limit of "
            "alignment, which is kept below the resolution that is reported. The policy half-sets can.",
            "warning",
        )


def run_round(context: JobContext, state: RefinementState, kept: dict[str, np.ndarray], number: int) -> None:
    """Run one round and record its refinement."""
    from verglas.engine import ParticleStack
    from verglas.execution.reduction import load_arrays
    from verglas.stages.refinement import PoseRows, RoundWork, find_doubts, finish_round, used_in_round

    settings = settings_of(context.parameters, context.inputs, context.seed, context.project)
    rows, name = PoseRows.from_arrays(kept), round_name(number)
    used = used_in_round(state, len(rows), settings)
    work = partial(round_chunk, parameters=context.parameters.model_dump(), inputs=context.inputs, number=number)
    total = context.chunk_sums(
        f"{name}-sums", work, used.tolist(), chunk_size=chunk_size(len(rows)),
        phase=f"round {number}, to {state.limit_A:.1f} A",
    )  # fmt: skip
    context.check()
    parts = [load_arrays(path) for path in sorted(context.scratch.glob(f"{name}-rows-*.npz"))]
    found = PoseRows.concatenate([PoseRows.from_arrays(part) for part in parts])
    table = table_now(context.scratch, context.project, context.inputs, state)
    with ParticleStack(table, context.project) as stack:
        done = RoundWork(state, rows, stack, settings, threads=context.threads)
        done.add_arrays(total)
        after, rows, maps = finish_round(
            done, used, found, refines_ctf=context.parameters.refine_ctf, threads=context.threads
        )
        if after.ctf_wanted:
            keep_for_ctf(context, settings, stack, rows, maps)
        context.keep(name, kept_arrays(after, rows))
        more: dict[str, Any] = {}
        if after.done:
            context.progress(0, 1, "what speaks against it")
            found_wanting = find_doubts(
                stack, rows, after, maps, settings, mass_kDa=only("package", context.inputs["package"])["mass_kDa"],
                threads=context.threads, check=context.check,
            )  # fmt: skip
            for text in found_wanting.warnings():
                context.message(text, "warning")
            more = found_wanting.values()
            context.progress(1, 1, "what speaks against it", now=True)
        record(context, settings, stack.table, stack.rows, state, after, rows, maps, more)


def round_chunk(
    places: Sequence[int], task: Task, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]], number: int
) -> dict[str, np.ndarray]:
    """Align and sum a chunk of particles on a worker; its rows are left in Scratch."""
    from verglas.actions.auto_refine import AutoRefine
    from verglas.engine import ParticleStack
    from verglas.execution.reduction import load_arrays, save_arrays
    from verglas.stages.refinement import PoseRows, RefinementState, RoundWork

    checked = AutoRefine.Parameters.model_validate(parameters)
    settings = settings_of(checked, inputs, task.seed, task.project)
    kept = load_arrays(task.scratch / f"{round_name(number - 1)}.npz")
    state, rows = RefinementState.from_arrays(state_of(kept)), PoseRows.from_arrays(kept)
    with ParticleStack(table_now(task.scratch, task.project, inputs, state), task.project) as stack:
        work = RoundWork(state, rows, stack, settings, threads=task.threads)
        found = work.add(places, task.check)
    save_arrays(task.scratch / f"{round_name(number)}-rows-{places[0]:09d}.npz", found.arrays())
    arrays: dict[str, np.ndarray] = work.arrays()
    return arrays


def record(
    context: JobContext, settings: AutoRefineSettings, table: ParticleTable, places: np.ndarray,
    before: RefinementState, after: RefinementState, rows: PoseRows, maps: list[ClassMaps], more: dict[str, Any],
) -> None:  # fmt: skip
    """Write and record a round, with more figures beside those of each round."""
    from verglas.actions.refinement_results import RefinedClass, record_refinement
    from verglas.stages.refinement import at_box, table_of_rows

    package, number = only("package", context.inputs["package"]), after.number
    box, pixel_size_A = package["box_px"], package["pixel_size_A"]
    ctf_refined = was_refined(context.scratch, before)
    figures: dict[str, Any] = {
        "round": number, "limit_A": round(before.limit_A, 3), "next_limit_A": round(after.limit_A, 3),
        "resolution_A": [round(one.resolution_A, 3) if math.isfinite(one.resolution_A) else None for one in maps],
        "percent_used": round(100.0 * float(rows.used.mean()), 2),
        "percent_searched": round(100.0 * float((rows.searched_A == before.limit_A).mean()), 2),
        "occupancy_percent": [round(100.0 * float(one), 2) for one in rows.occupancy.mean(axis=1)],
        "occupancy_change": round(after.changed, 5), "class_agreement": round(after.agreement, 4),
        "percent_turned": round(100.0 * after.turned, 2), "score": round(float(rows.score.mean()), 3),
        "shift_sigma_A": round(after.shift_sigma_A, 3), "final": after.done,
    }  # fmt: skip
    context.figures(**figures)
    name = f"Auto #{context.job.number} (Rnd. {number})"
    record_refinement(
        context, package,
        [RefinedClass(table_of_rows(table, places, rows, k), at_box(one.found, box, pixel_size_A, context.threads))
         for k, one in enumerate(maps)],
        key=round_name(number), name=name, volume_name=name, stem=f"volume_{context.job.number}_{number:02d}",
        method="auto", symmetry=settings.symmetry, number=number, rounds=settings.rounds, limit_A=before.limit_A,
        particles_used=int(rows.used.sum()), final=after.done,
        values={
            **figures, **more, "policy": context.parameters.policy, "regularisation": settings.regularisation,
            "ctf_refined": ctf_refined,
            "shared_to_A": min(
                settings.start_A if settings.independent_halves else round(before.limit_A, 3),
                given_limit_A(context.parameters, context.inputs),
            ),
        },
        # Its picture and phases are those of the first round with the new CTF.
        files=written_files(context) if ctf_refined and before.ctf_round == before.number else None,
    )  # fmt: skip


def end(context: JobContext, state: RefinementState) -> None:
    """Say what was reached."""
    reached = float(state.resolution_A[-1])
    start = context.parameters.initial_resolution_A
    if not reached < start:
        context.message(
            f"The halves agree no further than the {start:g} A to which the initial volume was low-passed: nothing "
            "says that these particles show it.", "warning",
        )  # fmt: skip
    else:
        context.message(f"{state.number} rounds; the halves agree to {reached:.2f} A (0.143).")
    context.message(HAND_WORDS)
