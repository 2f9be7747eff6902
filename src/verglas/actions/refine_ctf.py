"""Refine CTF: defocus, astigmatism, beam tilt and other aberrations of a refinement's particles, then its maps anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.ctf_work import (
    CHUNK,
    CtfSource,
    measured_defocus,
    measured_groups,
    prepare_chunks,
    sentences,
    written_files,
)
from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.selection import only
from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from verglas.engine.reconstructed_map import ReconstructedMap
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.project import Project
    from verglas.stages.ctf_refinement import CtfRefinementSettings, GroupFits

MASK_PART = 0.65
FINEST_A = 3.5
INTERPRETER_BYTES = 300 * 2**20
SECONDS_A_PIXEL = 1.2e-7
SECONDS_A_VOXEL = 1e-5


class RefineCTF(Action):
    """CTF parameters of one refinement."""

    name = "refine-ctf"
    title = "Refine CTF"
    summary = "Refine defocus, beam tilt and other aberrations at the poses of a refinement."

    class Parameters(ActionParameters):
        """What is refined."""

        defocus: bool = field(True, help="Refine each particle's defocus, drawn towards its micrograph's plane.")
        beam_tilt: bool = field(True, help="Refine the beam tilt of each optics group.")
        astigmatism: bool = field(False, help="Refine the astigmatism of each micrograph.")
        trefoil: bool = field(False, help="Refine the threefold astigmatism of each optics group.")
        tetrafoil: bool = field(False, help="Refine the fourfold astigmatism of each optics group.")
        magnification: bool = field(False, help="Refine the uneven magnification of each optics group.")
        high_resolution_A: float | None = field(
            None, help="Finest resolution used; none: what the halves agree on, 3.5 A at the finest.", unit="A", gt=0
        )
        low_resolution_A: float = field(30.0, help="Coarsest resolution used.", unit="A", gt=0, expert=True)
        defocus_range_A: float = field(500.0, help="Largest change of defocus.", unit="A", gt=0)
        defocus_step_A: float = field(20.0, help="Step of the search of defocus.", unit="A", gt=0, expert=True)
        least_significance: float = field(
            10.0, help="Aberrations are changed only where the log-likelihood gains more.", ge=0, expert=True
        )
        mask_radius_A: float | None = field(
            None, help="Radius of the particle; none: 0.65 of its largest dimension.", unit="A", gt=0
        )
        auto_mask: bool = field(True, help="Find the particle in the maps and mask its surroundings.", expert=True)
        oversampling: int = field(2, help="How many times finer the transform is sampled.", ge=1, le=4, expert=True)

    inputs = (
        Input("refinement", "refinement", "The refinement: one, with maps.", with_parents=True, default_all=False),
    )
    outputs = ("reconstruction", "refinement")

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Look up what the halves of the refinement were once aligned to."""
        from verglas.project.references import shared_limit_of

        return {"refinement": [{**one, "shared_to_A": shared_limit_of(project, one)} for one in inputs["refinement"]]}

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what it will take, from the records alone."""
        from verglas.engine.reconstruction import memory_needed
        from verglas.execution.resources import Estimate

        refinement, package = chosen(inputs)
        settings_of(parameters, inputs)
        box, particles, classes = package["box_px"], package["count"], refinement["classes"]
        sums = memory_needed(box, parameters.oversampling)
        chunks = -(-particles // CHUNK)
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + sums + 12 * (2 * box) ** 3 + 2 * classes * 4 * (2 * box) ** 3
            + 128 * 90 * box**2,
            disk_bytes=(chunks + 2) * classes * sums + classes * (12 * box**3 + 500 * particles),
            core_seconds=3 * particles * box**2 * SECONDS_A_PIXEL
            + (4 * chunks + 6 * classes) * box**3 * SECONDS_A_VOXEL,
            tasks=chunks,
        )  # fmt: skip

    def run(self, context: JobContext) -> None:
        """Measure, fit, and make the maps anew."""
        if context.device != "cpu":
            raise InputError("Refine CTF runs on CPUs; start it with the device cpu.")
        if not context.pending([RESULT], key=str):
            return
        source = source_of(context)
        chunks = prepare_chunks(context, source)
        context.check()
        defocus = measured_defocus(context, source, chunks)
        context.check()
        groups = measured_groups(context, source, chunks, defocus)
        context.check()
        finish(context, defocus, groups)


RESULT = "refinement"


def chosen(inputs: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the refinement and its package.

    Raises
    ------
    InputError
        It has no half maps.
    """
    refinement = only("refinement", inputs["refinement"])
    lacking = [number for number, one in enumerate(refinement["details"], start=1) if not one["half_map_1_path"]]
    if lacking:
        raise InputError(
            f"{refinement['name']} has no half maps of class {lacking[0]}, to which its images could be compared; "
            "choose a round of a refinement, or run auto-refine or manual-refine first."
        )
    return refinement, refinement["parent"]


def settings_of(parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> CtfRefinementSettings:
    """Return the stage's settings, with what is not given from refinement and package."""
    from verglas.engine import MaskSettings
    from verglas.stages.ctf_refinement import CtfRefinementSettings

    refinement, package = chosen(inputs)
    size, reached = package["largest_dimension_A"], refinement["resolution_A"]
    if size is None and parameters.mask_radius_A is None:
        raise InputError(f"{package['name']} has no largest dimension; give --mask-radius.")
    if reached is None and parameters.high_resolution_A is None:
        raise InputError(f"{refinement['name']} has no resolution; give --high-resolution.")
    nyquist = 2.0 * package["pixel_size_A"]
    limit = parameters.high_resolution_A or max(FINEST_A, reached)
    return CtfRefinementSettings(
        mask_radius_A=parameters.mask_radius_A or MASK_PART * size, limit_A=max(limit, nyquist / 0.95),
        low_A=parameters.low_resolution_A, defocus=parameters.defocus, astigmatism=parameters.astigmatism,
        beam_tilt=parameters.beam_tilt, trefoil=parameters.trefoil, tetrafoil=parameters.tetrafoil,
        magnification=parameters.magnification, defocus_range_A=parameters.defocus_range_A,
        defocus_step_A=parameters.defocus_step_A, least_significance=parameters.least_significance,
        mask=MaskSettings(automatic=parameters.auto_mask),
    )  # fmt: skip


def tables_of(project: Path, inputs: dict[str, list[dict[str, Any]]]) -> list[ParticleTable]:
    """Return the particles of each class."""
    from verglas.formats import ParticleTable

    refinement, package = chosen(inputs)
    tables = [ParticleTable.load(project / one["particles_path"]) for one in refinement["details"]]
    for table in tables:
        if len(table) != package["count"]:
            raise InputError(f"{refinement['name']} has {len(table)} particles, not {package['count']}.")
    return tables


def source_of(context: JobContext) -> CtfSource:
    """Return the particles and half maps of the refinement."""
    details = chosen(context.inputs)[0]["details"]
    return CtfSource(
        tuple(str(one["particles_path"]) for one in details),
        tuple((str(one["half_map_1_path"]), str(one["half_map_2_path"])) for one in details),
        settings_of(context.parameters, context.inputs),
    )


def title_of(parameters: Any) -> str:
    """Return what such a refinement is called, as cisTEM calls it."""
    shared = parameters.beam_tilt or parameters.trefoil or parameters.tetrafoil or parameters.magnification
    own = parameters.defocus or parameters.astigmatism
    odd = "Beam Tilt" if parameters.beam_tilt else "Aberration"
    return " & ".join(word for word, used in (("Defocus", own), (odd, shared)) if used) + " Refinement"


def finish(context: JobContext, defocus: dict[str, np.ndarray], groups: dict[int, GroupFits]) -> None:
    """Write the new tables, make the maps anew, say what they gained and record it all."""
    import numpy as np

    from verglas.actions.refinement_results import RefinedClass, record_refinement
    from verglas.engine import ParticleStack
    from verglas.stages.ctf_refinement.refine import updated_table

    refinement, package = chosen(context.inputs)
    settings, number = settings_of(context.parameters, context.inputs), context.job.number
    tables = tables_of(context.project, context.inputs)
    with ParticleStack(tables[0], context.project) as stack:
        changed = [updated_table(table, stack, defocus["defocus"], groups) for table in tables]
    classes, gains = [], []
    for k, table in enumerate(changed):
        found, before = remade(context, k, table, settings)
        after = found.resolution.resolution_A if found.resolution is not None else np.inf
        gains.append([_finite(before), _finite(after)])
        context.message(
            f"Class #{k + 1}: the halves agree to {after:.2f} A, to {before:.2f} A with the CTF as it was "
            "(within the same mask)."
        )
        classes.append(RefinedClass(table, found))
    values: dict[str, Any] = {"resolution_before_and_after_A": gains, "groups": [
        {"group": group, "beam_tilt_mrad": [fit.after.beam_tilt_x_mrad, fit.after.beam_tilt_y_mrad],
         "found": sentences(fit)} for group, fit in groups.items()
    ]}  # fmt: skip
    values["shared_to_A"] = refinement.get("shared_to_A")
    if "change_A" in defocus:
        values |= {
            "defocus_change_rms_A": float(np.sqrt(np.mean(defocus["change_A"] ** 2))),
            "defocus_deviation_A": float(np.sqrt(np.mean(defocus["deviation_A"] ** 2))),
            "defocus_spread_A": float(defocus["spread_A"]),
        }  # fmt: skip
    context.figures(**{name: value for name, value in values.items() if isinstance(value, float)})
    record_refinement(
        context, package, classes, key=RESULT, name=f"{title_of(context.parameters)} #{number}",
        volume_name=f"CTF Refine #{number}", stem=f"volume_{number}_ctf", method="ctf",
        symmetry=refinement["symmetry"], number=1, rounds=1, limit_A=settings.limit_A,
        particles_used=package["count"], final=True, values=values, files=written_files(context),
    )  # fmt: skip


def _finite(value: float) -> float | None:
    import math

    return round(float(value), 3) if math.isfinite(value) else None


def remade(
    context: JobContext, k: int, table: ParticleTable, settings: CtfRefinementSettings
) -> tuple[ReconstructedMap, float]:
    """Return a class's maps at its new CTF, and the resolution that its maps had before within the same mask."""
    from verglas.engine import reference_mask
    from verglas.engine.half_maps import judge_halves
    from verglas.engine.reconstruction import Reconstruction
    from verglas.engine.shared_start import SharedStart
    from verglas.formats.mrc import read_mrc_volume

    refinement, package = chosen(context.inputs)
    box, pixel_size_A = package["box_px"], package["pixel_size_A"]
    path = context.scratch / f"particles_{k}.npy"
    if not path.exists():
        table.save(path)
    total = context.chunk_sums(
        f"map-{k}", partial(insert_chunk, k=k, parameters=context.parameters.model_dump(), inputs=context.inputs),
        range(package["count"]), chunk_size=5 * CHUNK, phase=f"map of class {k + 1}",
    )  # fmt: skip
    work = Reconstruction(
        box, pixel_size_A, refinement["symmetry"], oversampling=context.parameters.oversampling,
        threads=context.threads,
    )  # fmt: skip
    work.add(total)
    detail = refinement["details"][k]
    first, second = (read_mrc_volume(context.project / detail[f"half_map_{half}_path"])[0] for half in (1, 2))
    mask = reference_mask(
        0.5 * (first + second), pixel_size_A, settings.mask_radius_A, settings.mask, context.threads
    )  # fmt: skip
    limit_A = refinement.get("shared_to_A")
    shared = SharedStart(limit_A, settings.mask_radius_A, refinement["symmetry"]) if limit_A else None
    before = judge_halves(first, second, mask, pixel_size_A, shared=shared, threads=context.threads)
    found = work.finish(mask=mask)
    assert found.half_maps is not None
    after = judge_halves(*found.half_maps, mask, pixel_size_A, shared=shared, threads=context.threads)
    found = replace(found, corrected=after.corrected, resolution=after.resolution)
    return found, float(before.resolution.resolution_A)


def insert_chunk(
    chunk: Sequence[int], task: Task, k: int, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]]
) -> dict[str, np.ndarray]:
    """Return the sums of some particles of a class, on a worker."""
    import numpy as np

    from verglas.engine.reconstruct_particles import reconstruct_particles
    from verglas.formats import ParticleTable

    refinement, _ = chosen(inputs)
    work = reconstruct_particles(
        ParticleTable.load(task.scratch / f"particles_{k}.npy"), task.project, refinement["symmetry"],
        oversampling=parameters["oversampling"], threads=task.threads,
        rows=np.arange(chunk[0], chunk[-1] + 1), progress=lambda _done, _total: task.check(),
    )  # fmt: skip
    arrays: dict[str, np.ndarray] = work.arrays()
    return arrays
