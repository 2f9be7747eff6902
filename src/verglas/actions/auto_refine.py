"""Auto Refine: poses and maps of a package in rounds until nothing improves; every round is kept as a refinement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.refinement_rounds import (
    chunk_size,
    fitting,
    forget,
    kept_arrays,
    last_whole_round,
    round_name,
    state_of,
)
from verglas.actions.selection import only
from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.stages.refinement import AutoRefineSettings, ClassMaps, PoseRows, RefinementState

MASK_PART = 0.65
SEARCH_PART = 0.15
LOW_PART = 1.5
LOWEST_A = 300.0
INTERPRETER_BYTES = 300 * 2**20
USUAL_ROUNDS = 9
SECONDS_A_PIXEL = 8e-7
"""Of one particle, round and class, for each pixel of its image."""
SECONDS_A_VOXEL = 1e-5
LOCAL_BYTES_A_VOXEL = 48
"""Four transforms, the same in one band, and the errors of all filters."""


class AutoRefine(Action):
    """Automatic refinement of one package."""

    name = "auto-refine"
    title = "Auto Refine"
    summary = "Refine poses and maps in rounds, to the resolution that the particles give."

    class Parameters(ActionParameters):
        """What a user may set; numbers that are not given follow from the package."""

        policy: Literal["half-sets", "one-reference"] = field(
            "half-sets", help="Each half set has its own reference; or one for both, aligned to less than is reported."
        )
        regularisation: Literal["fsc", "local"] = field(
            "fsc",
            help="Filter references by one FSC curve, or at each place by what the other half set confirms there.",
        )
        classes: int | None = field(None, help="Number of classes; none: the package's.", ge=1, le=100)
        symmetry: str | None = field(None, help="Point group; none: the package's.")
        initial_resolution_A: float = field(
            20.0, help="The initial volume is low-passed here; the first round goes no further.", unit="A", gt=0
        )
        mask_radius_A: float | None = field(
            None, help="Radius of the particle; none: 0.65 of its largest dimension.", unit="A", gt=0
        )
        auto_mask: bool = field(True, help="Find the particle in each map and mask its surroundings.")
        search_first: bool = field(True, help="Search all poses first; otherwise refine those that are given.")
        rounds: int = field(25, help="The most rounds.", ge=2, le=200)
        finest_resolution_A: float | None = field(
            None, help="No round goes further; none: as far as the pixels allow.", unit="A", gt=0, expert=True
        )
        low_resolution_A: float | None = field(
            None, help="Coarsest resolution; none: 1.5 times the largest dimension, at most 300.", unit="A", gt=0,
            expert=True,
        )  # fmt: skip
        search_range_A: float | None = field(
            None, help="Largest change of a shift in a search; none: 0.15 of the largest dimension.", unit="A", ge=0,
            expert=True,
        )  # fmt: skip
        results_to_refine: int = field(
            16, help="Poses of each search that are refined; more for weak signals.", ge=1, le=200, expert=True
        )
        mask_edge_A: float = field(10.0, help="Width of the mask's soft edge.", unit="A", ge=0, expert=True)
        outside_weight: float = field(0.0, help="What is outside the mask counts so much.", ge=0, le=1, expert=True)
        outside_low_pass_A: float | None = field(
            None, help="What is outside the mask is low-passed here; none: not.", unit="A", gt=0, expert=True
        )
        oversampling: int = field(2, help="How many times finer the transform is sampled.", ge=1, le=4, expert=True)

    inputs = (
        Input("package", "package", "The refinement package: one."),
        Input("reference", "volume", "The initial volume: one, or one for each class.", required=False),
        Input(
            "refinement", "refinement", "Poses to begin with; the package's own where none is given.", required=False
        ),
        Input("mask", "volume", "A mask, above zero inside, instead of the automatic one.", required=False),
    )
    outputs = ("reconstruction", "refinement")
    two_profiles = True

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the refinement will take, from the records alone."""
        from verglas.engine.reconstruction import memory_needed
        from verglas.execution.resources import Estimate

        package = only("package", inputs["package"])
        settings = settings_of(parameters, inputs, 1)
        initial_volumes(inputs, settings.classes)
        box, particles, classes = package["box_px"], package["count"], settings.classes
        sums = memory_needed(box, settings.oversampling)
        chunks = -(-particles // chunk_size(particles))
        references = 12 * (2 * box) ** 3 + 2 * classes * 4 * (2 * box) ** 3
        if settings.regularisation == "local":
            references += LOCAL_BYTES_A_VOXEL * box**3
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + 3 * classes * sums + references + 256 * 60 * box**2,
            disk_bytes=(chunks + 2) * classes * sums + settings.rounds * classes * (12 * box**3 + 250 * particles),
            core_seconds=USUAL_ROUNDS
            * (particles * box**2 * SECONDS_A_PIXEL + (2 + 6 * classes + chunks) * box**3 * SECONDS_A_VOXEL),
            tasks=chunks,
        )

    def run(self, context: JobContext) -> None:
        """Run the rounds that have no result yet."""
        from verglas.stages.refinement import RefinementState

        if context.device != "cpu":
            raise InputError("Auto Refine runs on CPUs; start it with the device cpu.")
        begin(context)
        number = last_whole_round(context)
        while True:
            kept = context.kept(round_name(number))
            assert kept is not None, "a round's arrays are kept until the next one is recorded"
            state = RefinementState.from_arrays(state_of(kept))
            if state.done:
                break
            number += 1
            run_round(context, state, kept, number)
            forget(context.scratch, number)
            context.check()
        end(context, state)


def initial_volumes(inputs: dict[str, list[dict[str, Any]]], classes: int) -> list[dict[str, str]]:
    """Return path and name of each initial volume: those chosen, or those of the refinement's classes.

    One volume serves all classes.

    Raises
    ------
    InputError
        There is none, or there are several but not one for each class.
    """
    chosen = [{"path": one["path"], "name": one["name"]} for one in inputs.get("reference") or []]
    if chosen:
        if len(chosen) not in {1, classes}:
            raise InputError(
                f"{len(chosen)} initial volumes do not fit {classes} class(es); choose one, or one for each class."
            )
        return chosen
    if inputs.get("refinement"):
        refinement = only("refinement", inputs["refinement"])
        found = [
            {"path": one["volume_path"], "name": f"{refinement['name']} - Class #{number}"}
            for number, one in enumerate(refinement["details"], start=1)
        ]
        chosen = found if len(found) == classes else found[:1]
        if all(one["path"] for one in chosen):
            return chosen
    raise InputError("there is no initial volume; choose one with --reference (see `verglas list volumes`).")


def settings_of(
    parameters: Any, inputs: dict[str, list[dict[str, Any]]], seed: int, project: Path | None = None
) -> AutoRefineSettings:
    """Return the stage's settings, with what is not given from the package; with a project, masks are read too."""
    from verglas.engine import MaskSettings
    from verglas.formats.mrc import read_mrc_volume
    from verglas.stages.refinement import AutoRefineSettings

    package = only("package", inputs["package"])
    size = package["largest_dimension_A"]
    if size is None and None in (parameters.mask_radius_A, parameters.search_range_A):
        raise InputError(f"{package['name']} has no largest dimension; give --mask-radius and --search-range.")
    radius = parameters.mask_radius_A or MASK_PART * size
    width = package["box_px"] * package["pixel_size_A"]
    if radius > 0.5 * width:
        raise InputError(f"a mask of radius {radius:g} A does not fit into a box of {width:g} A; give --mask-radius.")
    volume = None
    if inputs.get("mask") and project is not None:
        volume = fitting(read_mrc_volume(project / only("mask", inputs["mask"])["path"]), package)
    mask = MaskSettings(
        automatic=parameters.auto_mask, volume=volume, edge_A=parameters.mask_edge_A,
        outside_weight=parameters.outside_weight, outside_lowpass_A=parameters.outside_low_pass_A or 0.0,
    )  # fmt: skip
    return AutoRefineSettings(
        mask_radius_A=radius, symmetry=parameters.symmetry or package["symmetry"] or "C1",
        classes=parameters.classes or package["classes"] or 1,
        independent_halves=parameters.policy == "half-sets", regularisation=parameters.regularisation,
        start_A=parameters.initial_resolution_A,
        low_A=parameters.low_resolution_A or min(LOWEST_A, LOW_PART * (size or 2.0 * radius)),
        finest_A=parameters.finest_resolution_A or 0.0,
        search_range_A=SEARCH_PART * size if parameters.search_range_A is None else parameters.search_range_A,
        keep=parameters.results_to_refine, search_first=parameters.search_first, rounds=parameters.rounds, mask=mask,
        oversampling=parameters.oversampling, seed=seed,
    )  # fmt: skip


def table_of(project: Path, inputs: dict[str, list[dict[str, Any]]]) -> ParticleTable:
    """Return the particles with the poses to begin with."""
    from verglas.formats import ParticleTable

    package = only("package", inputs["package"])
    path = package["particles_path"]
    if inputs.get("refinement"):
        refinement = only("refinement", inputs["refinement"])
        if refinement["package"] != package["id"]:
            raise InputError(f"{refinement['name']} is of package {refinement['package']}, not of {package['name']}.")
        path = refinement["details"][0]["particles_path"]
    table = ParticleTable.load(project / path)
    if len(table) != package["count"]:
        raise InputError(f"{package['name']}: the table {path} has {len(table)} particles, not {package['count']}.")
    return table


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
    with ParticleStack(table_of(context.project, context.inputs), context.project) as stack:
        done = RoundWork(state, rows, stack, settings, threads=context.threads)
        done.add_arrays(total)
        after, rows, maps = finish_round(done, used, found, threads=context.threads)
        context.keep(name, kept_arrays(after, rows))
        more: dict[str, Any] = {}
        if after.done:
            context.progress(0, 1, "what speaks against it")
            found_wanting = find_doubts(
                stack, rows, after, maps, settings, threads=context.threads, check=context.check
            )
            for text in found_wanting.warnings():
                context.message(text, "warning")
            more = found_wanting.values()
            context.progress(1, 1, "what speaks against it")
        record(context, settings, stack.table, stack.rows, state, after, rows, maps, more)


def round_chunk(
    places: Sequence[int], task: Task, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]], number: int
) -> dict[str, np.ndarray]:
    """Align and sum a chunk of particles on a worker; its rows are left in Scratch."""
    from verglas.engine import ParticleStack
    from verglas.execution.reduction import load_arrays, save_arrays
    from verglas.stages.refinement import PoseRows, RefinementState, RoundWork

    checked = AutoRefine.Parameters.model_validate(parameters)
    settings = settings_of(checked, inputs, task.seed, task.project)
    kept = load_arrays(task.scratch / f"{round_name(number - 1)}.npz")
    state, rows = RefinementState.from_arrays(state_of(kept)), PoseRows.from_arrays(kept)
    with ParticleStack(table_of(task.project, inputs), task.project) as stack:
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
        },
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
    context.message(
        "The hand of this map is undetermined: it is that of the initial volume, and images of untilted particles show "
        "none. A model, a tilt pair or the curvature of the Ewald sphere can decide it (see Validate 3D)."
    )
