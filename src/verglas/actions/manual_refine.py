"""Manual Refine: rounds with limits, masks and moves of the user's; also 3D classification, with or without a focus."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    from verglas.project import Project
    from verglas.stages.refinement import ClassMaps, ManualSettings, PoseRows, RefinementState, RoundWork

MASK_PART, SEARCH_MASK_PART, SEARCH_PART, LOW_PART, LOWEST_A = 0.65, 0.8, 0.15, 1.5, 300.0
INTERPRETER_BYTES = 300 * 2**20
SECONDS_A_PIXEL, SECONDS_A_VOXEL = 8e-7, 1e-5
NEAR = 1.0
"""A limit finer than the resolution of the reference by this factor is warned of."""


class ManualRefine(Action):
    """Refinement or classification of one package as the user says."""

    name = "manual-refine"
    title = "Manual Refine"
    summary = "Refine or classify particles in 3D, with all limits, masks and moves set by hand."

    class Parameters(ActionParameters):
        """What a user may set; numbers that are not given follow from the package."""

        mode: Literal["local", "global"] = field("local", help="Refine the given poses, or search all poses.")
        rounds: int = field(1, help="Number of rounds.", ge=1, le=200)
        high_resolution_A: float = field(30.0, help="Finest resolution of alignment.", unit="A", gt=0)
        classification_resolution_A: float = field(
            30.0, help="Finest resolution that decides about classes; never finer than that of alignment.", unit="A",
            gt=0,
        )  # fmt: skip
        policy: Literal["half-sets", "one-reference"] = field(
            "half-sets", help="Each half set has its own reference, or one for both."
        )
        percent: float = field(100.0, help="Part of the particles that each round uses.", unit="%", gt=0, le=100)
        refine_psi: bool = field(True, help="Refine the in-plane angle.")
        refine_theta: bool = field(True, help="Refine the tilt of the view.")
        refine_phi: bool = field(True, help="Refine the direction of the tilt.")
        refine_x: bool = field(True, help="Refine the shift in x.")
        refine_y: bool = field(True, help="Refine the shift in y.")
        refine_occupancies: bool = field(True, help="Update the occupancies of several classes.")
        randomise_occupancies: bool = field(False, help="Begin with each particle in one class, drawn by the seed.")
        mask_radius_A: float | None = field(
            None, help="Radius of the particle; none: 0.65 of its largest dimension.", unit="A", gt=0
        )
        auto_mask: bool = field(True, help="Find the particle in each map and mask its surroundings.")
        autocentre: bool = field(False, help="Move each map's centre of mass to the middle of the box.")
        focus: bool = field(False, help="Classes may differ within a sphere alone.")
        focus_x_A: float = field(0.0, help="Centre of the sphere, from the first voxel of the map.", unit="A", ge=0)
        focus_y_A: float = field(0.0, help="Centre of the sphere, from the first voxel of the map.", unit="A", ge=0)
        focus_z_A: float = field(0.0, help="Centre of the sphere, from the first voxel of the map.", unit="A", ge=0)
        focus_radius_A: float = field(30.0, help="Radius of the sphere; 30 to 40 A suit most.", unit="A", gt=0)
        focus_by: Literal["map", "circle"] = field(
            "map", help="Maps differ within the focus alone, or residuals count where it is seen (Frealign X).",
            expert=True,
        )  # fmt: skip
        refine_defocus: bool = field(False, help="Search each particle's own defocus.")
        defocus_range_A: float = field(500.0, help="Range of that search.", unit="A", gt=0, expert=True)
        defocus_step_A: float = field(50.0, help="Step of that search.", unit="A", gt=0, expert=True)
        symmetry: str | None = field(None, help="Point group; none: that of the refinement or package.")
        low_resolution_A: float | None = field(
            None, help="Coarsest resolution; none: 1.5 times the largest dimension, at most 300.", unit="A", gt=0,
            expert=True,
        )  # fmt: skip
        search_mask_radius_A: float | None = field(
            None, help="Mask of references in searches; none: 0.8 of the largest dimension.", unit="A", gt=0,
            expert=True,
        )  # fmt: skip
        results_to_refine: int = field(20, help="Poses of each search that are refined.", ge=1, le=200, expert=True)
        also_refine_input: bool = field(
            True, help="A search's pose is taken only where it is more likely than the given one, refined.",
            expert=True,
        )  # fmt: skip
        angular_step_deg: float | None = field(
            None, help="Between directions of a search; none: by resolution and size.", unit="degrees", gt=0,
            expert=True,
        )  # fmt: skip
        search_range_x_A: float | None = field(
            None, help="Largest change of x in a search; none: 0.15 of the largest dimension.", unit="A", ge=0,
            expert=True,
        )  # fmt: skip
        search_range_y_A: float | None = field(
            None, help="Largest change of y in a search; none: 0.15 of the largest dimension.", unit="A", ge=0,
            expert=True,
        )  # fmt: skip
        reset_angles: bool = field(False, help="Begin with random angles.", expert=True)
        reset_shifts: bool = field(False, help="Begin with no shifts.", expert=True)
        score_weight_A2: float = field(
            2.0, help="B-factor by which a particle counts less for each point its score is below the mean.",
            unit="A^2", ge=0, expert=True,
        )  # fmt: skip
        adjust_scores: bool = field(True, help="Take out of the scores what depends on defocus.", expert=True)
        score_threshold: float = field(
            0.0, help="Into the maps go: 0: all; up to 1: the best-scoring part; above: the least score.", ge=0,
            expert=True,
        )  # fmt: skip
        exclude_blank_edges: bool = field(
            False, help="Leave images out of the maps that reach over a micrograph's edge.", expert=True
        )
        reconstruction_limit_A: float = field(0.0, help="Finest resolution of the maps; 0: all.", unit="A", ge=0,
                                              expert=True)  # fmt: skip
        crop: bool = field(False, help="Fourier-crop images to what the limit needs.", expert=True)
        likelihood_blurring: bool = field(
            False, help="Particles go into maps at several in-plane angles, by their likelihoods.", expert=True
        )
        smoothing: float = field(1.0, help="Power of those likelihoods.", gt=0, le=1, expert=True)
        mask_edge_A: float = field(10.0, help="Width of the mask's soft edge.", unit="A", ge=0, expert=True)
        outside_weight: float = field(0.0, help="What is outside the mask counts so much.", ge=0, le=1, expert=True)
        outside_low_pass_A: float | None = field(
            None, help="What is outside the mask is low-passed here; none: not.", unit="A", gt=0, expert=True
        )
        oversampling: int = field(2, help="How many times finer the transform is sampled.", ge=1, le=4, expert=True)

    inputs = (
        Input("package", "package", "The refinement package: one."),
        Input("refinement", "refinement", "Parameters to begin with; none: the package's latest.", required=False),
        Input(
            "references", "volume", "Initial volumes in the order of the classes; none: the package's active ones.",
            required=False,
        ),
        Input("mask", "volume", "A mask, above zero inside, instead of the automatic one.", required=False),
        Input("focus_mask", "volume", "A mask, above zero inside, instead of the sphere of the focus.",
              required=False),
    )  # fmt: skip
    outputs = ("reconstruction", "refinement")

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Choose the latest refinement of the package, and the active reference of each class."""
        from verglas.project.references import active_references, shared_limit

        if len(inputs["package"]) != 1:
            return inputs
        package = inputs["package"][0]
        if not inputs["refinement"]:
            own = [one for one in project.assets("refinement") if one["package"] == package["id"]]
            inputs = {**inputs, "refinement": own[-1:]}
        if not inputs["references"]:
            classes = inputs["refinement"][0]["classes"] if inputs["refinement"] else 1
            found = [one["volume"] for one in active_references(project, package["id"])][:classes]
            if len(found) == classes and all(found):
                inputs = {**inputs, "references": [project.asset("volume", int(number)) for number in found]}
        limits = [{**one, "shared_to_A": shared_limit(project, one)} for one in inputs["references"]]
        return {**inputs, "references": limits}

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the refinement will take, from the records alone."""
        from verglas.engine.reconstruction import memory_needed
        from verglas.execution.resources import Estimate

        package = only("package", inputs["package"])
        settings = settings_of(parameters, inputs, 1)
        box, particles, classes = package["box_px"], package["count"], settings.classes
        chosen = len(inputs.get("references") or [])
        if chosen not in (0, classes):
            raise InputError(f"{classes} classes need a reference each, or none; {chosen} were chosen.")
        sums = memory_needed(box, settings.oversampling)
        chunks = -(-particles // chunk_size(particles))
        references = 12 * (2 * box) ** 3 + 4 * classes * 4 * (2 * box) ** 3
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + 3 * classes * sums + references + 256 * 60 * box**2,
            disk_bytes=(chunks + 2) * classes * sums + settings.rounds * classes * (12 * box**3 + 250 * particles),
            core_seconds=settings.rounds
            * (particles * classes * box**2 * SECONDS_A_PIXEL + (8 * classes + chunks) * box**3 * SECONDS_A_VOXEL),
            tasks=chunks,
        )

    def run(self, context: JobContext) -> None:
        """Run the rounds that have no result yet."""
        from verglas.stages.refinement import RefinementState

        if context.device != "cpu":
            raise InputError("Manual Refine runs on CPUs; start it with the device cpu.")
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


def parameters_before(inputs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the refinement to begin with: the one chosen, or what the package began with.

    Raises
    ------
    InputError
        It is of another package.
    """
    from verglas.project.result_kinds.refinement import start_parameters

    package = only("package", inputs["package"])
    if not inputs.get("refinement"):
        return start_parameters(package)
    refinement = only("refinement", inputs["refinement"])
    if refinement["package"] != package["id"]:
        raise InputError(f"{refinement['name']} is of package {refinement['package']}, not of {package['name']}.")
    return refinement


def settings_of(
    parameters: Any, inputs: dict[str, list[dict[str, Any]]], seed: int, project: Path | None = None
) -> ManualSettings:
    """Return the stage's settings, with what is not given from the package; with a project, masks are read too."""
    from verglas.engine import MaskSettings
    from verglas.formats.mrc import read_mrc_volume
    from verglas.stages.refinement import AlignmentSwitches, Focus, ManualSettings
    from verglas.stages.refinement.manual_settings import MOVES

    package, before = only("package", inputs["package"]), parameters_before(inputs)
    size = package["largest_dimension_A"]
    if size is None and None in (parameters.mask_radius_A, parameters.search_range_x_A, parameters.search_range_y_A):
        raise InputError(
            f"{package['name']} has no largest dimension; give --mask-radius, --search-range-x and --search-range-y."
        )
    radius = parameters.mask_radius_A or MASK_PART * size
    width = package["box_px"] * package["pixel_size_A"]
    if radius > 0.5 * width:
        raise InputError(f"a mask of radius {radius:g} A does not fit into a box of {width:g} A; give --mask-radius.")
    wider = parameters.search_mask_radius_A or min(max(SEARCH_MASK_PART * (size or 0.0), radius), 0.5 * width)

    def read(name: str) -> np.ndarray | None:
        if project is None or not inputs.get(name):
            return None
        return fitting(read_mrc_volume(project / only(name, inputs[name])["path"]), package)

    mask = MaskSettings(
        automatic=parameters.auto_mask, volume=read("mask"), edge_A=parameters.mask_edge_A,
        outside_weight=parameters.outside_weight, outside_lowpass_A=parameters.outside_low_pass_A or 0.0,
    )  # fmt: skip
    focus = None
    if parameters.focus or inputs.get("focus_mask"):
        volume = read("focus_mask")
        centre = (parameters.focus_x_A, parameters.focus_y_A, parameters.focus_z_A)
        focus = Focus(centre, parameters.focus_radius_A, volume, parameters.focus_by)
        if volume is None:
            focus.from_middle_A(package["box_px"], package["pixel_size_A"])
    independent = parameters.policy == "half-sets"
    return ManualSettings(
        mask_radius_A=radius, search_radius_A=wider, mode=parameters.mode, rounds=parameters.rounds,
        symmetry=parameters.symmetry or before["symmetry"] or package["symmetry"] or "C1", classes=before["classes"],
        independent_halves=independent, start_A=shared_resolution_A(parameters, inputs),
        limit_A=max(parameters.high_resolution_A, 2.0 * package["pixel_size_A"] / 0.95),
        low_A=parameters.low_resolution_A or min(LOWEST_A, LOW_PART * (size or 2.0 * radius)),
        class_limit_A=parameters.classification_resolution_A,
        reconstruction_limit_A=parameters.reconstruction_limit_A, crop=parameters.crop,
        part=0.01 * parameters.percent,
        moves=tuple(move for move in MOVES if getattr(parameters, f"refine_{move}")),
        keep=parameters.results_to_refine, spacing=math.radians(parameters.angular_step_deg or 0.0),
        search_range_x_A=_range(parameters.search_range_x_A, size),
        search_range_y_A=_range(parameters.search_range_y_A, size),
        switches=AlignmentSwitches(
            occupancies=parameters.refine_occupancies, keep_input=parameters.also_refine_input,
            defocus_range_A=parameters.defocus_range_A if parameters.refine_defocus else 0.0,
            defocus_step_A=parameters.defocus_step_A, focus=focus,
            blurring=parameters.smoothing if parameters.likelihood_blurring else 0.0,
        ),
        score_b_factor_A2=parameters.score_weight_A2, adjust_scores=parameters.adjust_scores,
        score_threshold=parameters.score_threshold, blank_edges=parameters.exclude_blank_edges,
        autocentre=parameters.autocentre, mask=mask, oversampling=parameters.oversampling, seed=seed,
    )  # fmt: skip


def _range(given: float | None, size: float | None) -> float:
    return SEARCH_PART * (size or 0.0) if given is None else given


def has_halves(volume: dict[str, Any]) -> bool:
    """Tell whether a volume has half maps of its own."""
    return bool(volume.get("half_map_1_path") and volume.get("half_map_2_path"))


def shared_resolution_A(parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> float:
    """Return the resolution to which the half sets have ever been aligned to one map; infinite where never."""
    limit_A, chosen = parameters.high_resolution_A, inputs.get("references") or []
    if parameters.policy == "one-reference" or not all(has_halves(one) for one in chosen):
        return float(limit_A)
    known = [one["shared_to_A"] for one in chosen if one.get("shared_to_A")]
    return float(min(known, default=math.inf))


def tables_of(
    project: Path, parameters: Any, inputs: dict[str, list[dict[str, Any]]], seed: int
) -> list[ParticleTable]:
    """Return the particles with the parameters of each class to begin with."""
    import numpy as np

    from verglas.formats import ParticleTable
    from verglas.geometry import matrix_to_euler, random_rotations

    package, before = only("package", inputs["package"]), parameters_before(inputs)
    tables = [ParticleTable.load(project / one["particles_path"]).copy() for one in before["details"]]
    for table in tables:
        if len(table) != package["count"]:
            raise InputError(f"{before['name']}: its table has {len(table)} particles, not {package['count']}.")
    angles = [np.rad2deg(one) for one in matrix_to_euler(random_rotations(len(tables[0]), seed))]
    drawn = np.random.Generator(np.random.Philox([seed, 0, 2])).integers(0, len(tables), len(tables[0]))
    for number, table in enumerate(tables):
        if parameters.reset_angles:
            for name, values in zip(("rot_deg", "tilt_deg", "psi_deg"), angles, strict=True):
                table[name] = values
        if parameters.reset_shifts:
            table["origin_x_A"] = table["origin_y_A"] = 0.0
        if parameters.randomise_occupancies:
            table["occupancy"] = 100.0 * (drawn == number)
    return tables


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
        if known_A and settings.limit_A < NEAR * known_A:
            context.message(
                f"Alignment to {settings.limit_A:g} A goes beyond the {known_A:.2f} A of {volume['name']}: noise may "
                "be aligned to noise. Keep the limit coarser than the resolution.", "warning",
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

    from verglas.engine.reconstruct_particles import reconstruct_particles

    checked = ManualRefine.Parameters.model_validate(parameters)
    table = tables_of(task.project, checked, inputs, task.seed)[number]
    work = reconstruct_particles(
        table, task.project, symmetry, oversampling=checked.oversampling, threads=task.threads,
        rows=np.arange(places[0], places[-1] + 1), progress=lambda _done, _total: task.check(),
    )  # fmt: skip
    return work.arrays()


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
    reached, limit = float(state.resolution_A[-1]), state.limit_A
    if not math.isfinite(reached):
        context.message("The half maps do not agree at any resolution.", "warning")
    elif limit < reached:
        context.message(
            f"The halves agree to {reached:.2f} A (0.143), no further than the {limit:g} A that were aligned to: "
            "particles may have been aligned to noise. Repeat with a coarser limit.", "warning",
        )  # fmt: skip
    else:
        context.message(f"{state.number} rounds; the best class's halves agree to {reached:.2f} A (0.143).")
