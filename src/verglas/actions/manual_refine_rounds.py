"""A round of Manual Refine: particles aligned and then inserted on workers, and its record."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from verglas.actions.manual_refine_settings import settings_of, tables_of
from verglas.actions.refinement_rounds import HAND_WORDS, chunk_size, kept_arrays, round_name, state_of
from verglas.actions.selection import only

if TYPE_CHECKING:
    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.stages.refinement import ClassMaps, ManualSettings, PoseRows, RefinementState, RoundWork


def run_round(context: JobContext, state: RefinementState, kept: dict[str, np.ndarray], number: int) -> None:
    """Align, weigh and insert the particles of one round, and record its refinement."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.execution.reduction import load_arrays
    from verglas.stages.refinement import (
        PoseRows,
        RoundWork,
        blank_edges,
        finish_manual_round,
        insertion_weights,
        particles_moved,
        used_in_round,
    )

    settings = settings_of(context.parameters, context.inputs, context.seed, context.project)
    rows, name = PoseRows.from_arrays(kept), round_name(number)
    used = used_in_round(state, len(rows), settings)
    asked = {"parameters": context.parameters.model_dump(), "inputs": context.inputs, "number": number}
    noise = context.chunk_sums(
        f"{name}-sums", partial(align_chunk, **asked), used.tolist(), chunk_size=chunk_size(len(rows)),
        phase=f"round {number}, aligning to {state.limit_A:.1f} A",
    )  # fmt: skip
    context.check()
    parts = [load_arrays(path) for path in sorted(context.scratch.glob(f"{name}-rows-*.npz"))]
    cpu = sum(float(part.pop("cpu_seconds")) for part in parts)
    found = PoseRows.concatenate([PoseRows.from_arrays(part) for part in parts])
    tables = tables_of(context.project, context.parameters, context.inputs, context.seed)
    with ParticleStack(tables[0], context.project) as stack:
        done = RoundWork(state, rows, stack, settings, threads=context.threads)
        blank = blank_edges(stack, used) if settings.blank_edges else np.zeros(len(used), np.bool_)
        weights, decay = insertion_weights(done, used, found, blank)
        context.keep(f"{name}-weights", {**found.arrays(), "used": used, "weights": weights, "decay": decay})
        total = context.chunk_sums(
            f"{name}-maps-sums", partial(insert_chunk, **asked), range(len(used)), chunk_size=chunk_size(len(rows)),
            phase=f"round {number}, adding to the maps",
        )  # fmt: skip
        context.check()
        done.add_arrays({**total, **noise})
        before = rows.occupancy[:, used]
        after, rows, maps = finish_manual_round(done, used, found, threads=context.threads)
        context.keep(name, kept_arrays(after, rows))
        moved = particles_moved(before, rows.occupancy[:, used])
        record(context, settings, tables, stack.rows, after, rows, maps, moved, 1e3 * cpu / len(used))


def align_chunk(
    places: Sequence[int], task: Task, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]], number: int
) -> dict[str, np.ndarray]:
    """Align a chunk of particles on a worker; its rows are left in Scratch, and what its models leave is returned."""
    import time

    import numpy as np

    from verglas.execution.reduction import save_arrays

    start = time.process_time()
    with opened_round(task, parameters, inputs, number) as work:
        found = work.align(places, task.check)
        arrays: dict[str, np.ndarray] = {"noise_sum": work.noise_sum, "noise_count": work.noise_count}
    seconds = {"cpu_seconds": np.array(time.process_time() - start)}
    save_arrays(task.scratch / f"{round_name(number)}-rows-{places[0]:09d}.npz", {**found.arrays(), **seconds})
    return arrays


def insert_chunk(
    items: Sequence[int], task: Task, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]], number: int
) -> dict[str, np.ndarray]:
    """Add a chunk of aligned particles to the maps on a worker, by their weights."""
    import numpy as np

    from verglas.execution.reduction import load_arrays
    from verglas.stages.refinement import PoseRows

    kept = load_arrays(task.scratch / f"{round_name(number)}-weights.npz")
    some = np.asarray(items, np.int64)
    found = PoseRows.from_arrays(kept).select(some)
    with opened_round(task, parameters, inputs, number) as work:
        work.insert(kept["used"][some], found, kept["weights"][:, some], kept["decay"][:, some], task.check)
        arrays: dict[str, np.ndarray] = work.arrays()
    return {name: array for name, array in arrays.items() if not name.startswith("noise_")}


@contextmanager
def opened_round(
    task: Task, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]], number: int
) -> Iterator[RoundWork[ManualSettings]]:
    """Open the work of a round on a worker."""
    from verglas.actions.manual_refine import ManualRefine
    from verglas.engine import ParticleStack
    from verglas.execution.reduction import load_arrays
    from verglas.stages.refinement import PoseRows, RefinementState, RoundWork

    checked = ManualRefine.Parameters.model_validate(parameters)
    settings = settings_of(checked, inputs, task.seed, task.project)
    kept = load_arrays(task.scratch / f"{round_name(number - 1)}.npz")
    state, rows = RefinementState.from_arrays(state_of(kept)), PoseRows.from_arrays(kept)
    with ParticleStack(tables_of(task.project, checked, inputs, task.seed)[0], task.project) as stack:
        yield RoundWork(state, rows, stack, settings, threads=task.threads)


def record(
    context: JobContext, settings: ManualSettings, tables: Sequence[ParticleTable], places: np.ndarray,
    after: RefinementState, rows: PoseRows, maps: list[ClassMaps], moved: float, cpu_ms: float,
) -> None:  # fmt: skip
    """Write and record a round."""
    from verglas.actions.refinement_results import RefinedClass, record_refinement
    from verglas.stages.refinement import at_box, table_of_rows

    package, number = only("package", context.inputs["package"]), after.number
    box, pixel_size_A = package["box_px"], package["pixel_size_A"]
    figures: dict[str, Any] = {
        "round": number, "limit_A": round(settings.limit_A, 3),
        "classification_limit_A": round(settings.classification_limit_A(number, settings.limit_A), 3),
        "resolution_A": [round(one.resolution_A, 3) if math.isfinite(one.resolution_A) else None for one in maps],
        "percent_used": round(100.0 * float(rows.used.mean()), 2),
        "occupancy_percent": [round(100.0 * float(one), 2) for one in after.share],
        "occupancy_change": round(after.changed, 5),
        "percent_changing_class": round(100.0 * moved, 3),
        "agreement": round(after.agreement, 4),
        "score": round(float(rows.score[:, rows.used].mean()), 3), "final": after.done,
    }  # fmt: skip
    context.figures(**figures, cpu_ms_per_particle=round(cpu_ms, 3))
    kind = "Local" if settings.mode == "local" else "Global"
    which = f" (Rnd. {number})" if settings.rounds > 1 else ""
    shared = settings.start_A if math.isfinite(settings.start_A) else None
    record_refinement(
        context, package,
        [RefinedClass(table_of_rows(tables[k], places, rows, k),
                      at_box(one.found, box, pixel_size_A, context.threads)) for k, one in enumerate(maps)],
        key=round_name(number),
        name=f"{'Local Refinement' if kind == 'Local' else 'Global Search'} #{context.job.number}{which}",
        volume_name=f"{kind} #{context.job.number} (Rnd. {number})",
        stem=f"volume_{context.job.number}_{number:02d}", method=settings.mode, symmetry=settings.symmetry,
        number=number, rounds=settings.rounds, limit_A=settings.limit_A, particles_used=int(rows.used.sum()),
        final=after.done,
        values={**figures, "policy": context.parameters.policy, "shared_to_A": shared},
    )  # fmt: skip


def end(context: JobContext, state: RefinementState) -> None:
    """Say what was reached, and whether the limit went beyond it."""
    from verglas.stages.refinement.doubts import OWN_CLASSES

    settings = settings_of(context.parameters, context.inputs, context.seed)
    reached, limit = float(state.resolution_A[-1]), state.limit_A
    if not math.isfinite(reached):
        context.message("The half maps do not agree at any resolution.", "warning")
    elif limit < settings.finest_honest_A(reached):
        context.message(
            f"The halves agree to {reached:.2f} A (0.143), hardly further than the {limit:g} A that were aligned to: "
            "particles may have been aligned to noise. Repeat with a coarser limit, or substitute noise to test it "
            "(substitute-noise).", "warning",
        )  # fmt: skip
    else:
        context.message(f"{state.number} rounds; the best class's halves agree to {reached:.2f} A (0.143).")
    if settings.classes > 1 and settings.independent_halves and state.agreement < OWN_CLASSES:
        context.message(
            f"The half sets have found different classes (what tells classes apart correlates by {state.agreement:.2f} "
            "only): go on as long as particles change their classes, or use fewer.", "warning",
        )  # fmt: skip
    context.message(HAND_WORDS)
