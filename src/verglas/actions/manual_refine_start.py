"""What the first round of Manual Refine starts from: chosen references, or those of the parameters given."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from verglas.actions.manual_refine_settings import has_halves, settings_of, tables_of
from verglas.actions.refinement_rounds import chunk_size, fitting, kept_arrays, round_name
from verglas.actions.selection import only

if TYPE_CHECKING:
    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.stages.refinement import ManualSettings


def begin(context: JobContext) -> None:
    """Keep the state that the first round starts from, unless that was done."""
    from verglas.engine import ParticleStack
    from verglas.stages.refinement import manual_state, rows_of_tables

    if not context.pending([round_name(1)], key=str) or context.kept(round_name(0)) is not None:
        return
    context.progress(0, context.parameters.rounds, "noise and first references")
    parameters, inputs = context.parameters, context.inputs
    settings = settings_of(parameters, inputs, context.seed, context.project)
    tables = tables_of(context.project, parameters, inputs, context.seed)
    chosen = inputs.get("references") or []
    if not chosen or parameters.randomise_occupancies:
        pairs = start_references(context, settings, tables)
    else:
        pairs = chosen_references(context, settings, chosen)
    with ParticleStack(tables[0], context.project) as stack:
        rows = rows_of_tables(tables, stack.rows)
        # What maps of these very particles owe to each of them is known.
        rows.used[:] = not chosen or parameters.randomise_occupancies
        state = manual_state(pairs, stack, rows, settings, threads=context.threads)
    context.keep(round_name(0), kept_arrays(state, rows))
    if not settings.independent_halves:
        context.message(
            "Both half sets are aligned to one reference: their agreement cannot show overfitting up to the limit of "
            f"alignment, {settings.limit_A:g} A, nor a little beyond. The policy half-sets can.", "warning",
        )  # fmt: skip


def chosen_references(
    context: JobContext, settings: ManualSettings, chosen: list[dict[str, Any]]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return what each half set is aligned to in each class, from volumes; warn of limits too fine for them."""
    from verglas.formats.mrc import read_mrc_volume
    from verglas.stages.refinement import reference_of_halves

    package = only("package", context.inputs["package"])
    pairs = []
    for number, volume in enumerate(chosen, start=1):
        context.message(f"Class {number} begins with {volume['name']}.")
        known_A = volume.get("resolution_A")
        if known_A and settings.limit_A < settings.finest_honest_A(known_A):
            beyond = "goes beyond" if settings.limit_A < known_A else "comes near"
            context.message(
                f"Alignment to {settings.limit_A:g} A {beyond} the {known_A:.2f} A of {volume['name']}: noise may be "
                f"aligned to noise. Keep the limit at {settings.finest_honest_A(known_A):.2f} A or coarser.", "warning",
            )  # fmt: skip
        if settings.independent_halves and has_halves(volume):
            first, second = (
                fitting(read_mrc_volume(context.project / volume[f"half_map_{half}_path"]), package) for half in (1, 2)
            )
            pairs.append(reference_of_halves(first, second, package["pixel_size_A"], settings, context.threads))
            continue
        one = fitting(read_mrc_volume(context.project / volume["path"]), package)
        pairs.append((one, one))
        if settings.independent_halves:
            context.message(
                f"{volume['name']} has no half maps: both half sets begin with it, to {settings.limit_A:g} A, and up "
                "to there their agreement shows nothing.", "warning",
            )  # fmt: skip
    return pairs


def start_references(
    context: JobContext, settings: ManualSettings, tables: Sequence[ParticleTable]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Reconstruct a reference for each class from the parameters that are given, and record them as volumes."""
    from verglas.engine.reconstruction import Reconstruction
    from verglas.errors import NumericalError
    from verglas.stages.reconstruction import result_values, write_reconstruction
    from verglas.stages.refinement import reference_of_halves

    package = only("package", context.inputs["package"])
    box, pixel_A = package["box_px"], package["pixel_size_A"]
    pairs = []
    for number, table in enumerate(tables, start=1):
        name = f"Start Params #{context.job.number} - Class #{number}"
        total = context.chunk_sums(
            f"start-{number}", partial(start_chunk, number=number - 1, parameters=context.parameters.model_dump(),
                                       inputs=context.inputs, symmetry=settings.symmetry),
            range(len(table)), chunk_size=chunk_size(len(table)), phase=name,
        )  # fmt: skip
        context.check()
        work = Reconstruction(
            box, pixel_A, settings.symmetry, oversampling=settings.oversampling, threads=context.threads
        )
        work.add(total)
        found = work.finish()
        if found.half_maps is None:
            raise NumericalError(f"{name}: all its particles are in one half set, so there is no reference.")
        first, second = found.half_maps
        pairs.append(
            reference_of_halves(first, second, pixel_A, settings, context.threads)
            if settings.independent_halves
            else (found.map, found.map)
        )
        stem = f"volume_{context.job.number}_00_{number}"
        made = write_reconstruction(found, context.results, stem, pixel_A)
        context.result(f"start-class-{number}", "reconstruction", made, {
            **result_values(found, pixel_A), "name": name, "package": package["id"], "symmetry": settings.symmetry,
            "mass_kDa": package["mass_kDa"], "largest_dimension_A": package["largest_dimension_A"], "stem": stem,
            "file_bytes": made["map"].stat().st_size,
        })  # fmt: skip
    context.message("References were reconstructed from the parameters given.")
    return pairs


def start_chunk(
    places: Sequence[int], task: Task, number: int, parameters: dict[str, Any],
    inputs: dict[str, list[dict[str, Any]]], symmetry: str,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return the sums of some particles of one class at the given parameters, on a worker."""
    import numpy as np

    from verglas.actions.manual_refine import ManualRefine
    from verglas.engine.reconstruct_particles import reconstruct_particles

    checked = ManualRefine.Parameters.model_validate(parameters)
    table = tables_of(task.project, checked, inputs, task.seed)[number]
    work = reconstruct_particles(
        table, task.project, symmetry, oversampling=checked.oversampling, threads=task.threads,
        rows=np.arange(places[0], places[-1] + 1), progress=lambda _done, _total: task.check(),
    )  # fmt: skip
    return work.arrays()
