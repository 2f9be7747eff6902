"""Generate 3D: maps from the particles of refinement packages, at their own poses or those of refinements."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from verglas.engine.reconstructed_map import ReconstructedMap
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.project import Project

CHUNK = 10_000
"""Particles of one partial sum: part of the answer, so not a setting."""
MASK_PART = 0.6
EDGE_PIXELS = 6.0
INTERPRETER_BYTES = 260 * 2**20
SECONDS_PER_BOX_PIXEL = 8e-8
SECONDS_PER_VOXEL = 2e-6
SIDES = {"none": 0, "correct": 1, "other-hand": -1}


class Generate3D(Action):
    """A map, its half maps and their correlation from each package, or each class of a refinement."""

    name = "generate-3d"
    title = "Generate 3D"
    summary = "Reconstruct maps from the particles of refinement packages."

    class Parameters(ActionParameters):
        """How particles are weighted and maps are judged."""

        symmetry: str | None = field(None, help="Point group; none: the package's.")
        mask_radius_A: float | None = field(
            None, help="Halves are compared within this radius; none: 0.6 of the largest dimension.", unit="A", gt=0
        )
        inner_radius_A: float = field(0.0, help="Halves are not compared within this radius.", unit="A", ge=0)
        score_weight_A2: float = field(
            2.0, help="B-factor by which a particle counts less for each point its score is below the mean.",
            unit="A^2", ge=0,
        )  # fmt: skip
        adjust_scores: bool = field(
            True, help="Take out of the scores what depends on defocus, before they are used."
        )  # fmt: skip
        score_threshold: float = field(
            0.0, help="0: all particles; up to 1: the best-scoring part; above: the least score.", ge=0
        )
        ewald_sphere: Literal["none", "correct", "other-hand"] = field(
            "none", help="Correct for the curvature of the Ewald sphere, for this or the other hand.", expert=True
        )
        oversampling: int = field(2, help="How many times finer the transform is sampled.", ge=1, le=4, expert=True)

    inputs = (
        Input("packages", "package", "Refinement packages, taken as they are unless refinements are given."),
        Input("refinements", "refinement", "Refinements, whose poses are used: every class.", required=False),
        Input("mask", "volume", "Mask, 0 to 1, within which halves are compared.", required=False),
    )
    outputs = ("reconstruction",)
    two_profiles = True

    @classmethod
    def fill_in(cls, project: Project, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Look up what the halves of each refinement, or those of a package's own poses, were once aligned to."""
        from verglas.project.references import shared_limit_of, shared_limit_of_package

        refinements = [{**one, "shared_to_A": shared_limit_of(project, one)} for one in inputs["refinements"]]
        packages = [{**one, "shared_to_A": shared_limit_of_package(project, one)} for one in inputs["packages"]]
        return {**inputs, "packages": packages, "refinements": refinements}

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the sums and maps will take, from the records alone."""
        from verglas.engine.reconstruction import memory_needed
        from verglas.execution.resources import Estimate
        from verglas.geometry import point_group

        masks = inputs.get("mask") or []
        if len(masks) > 1:
            raise InputError("give one mask at most.")
        memory, disk, seconds, tasks = 0, 0, 0.0, 0
        for source in sources_of(parameters, inputs):
            point_group(source.symmetry)
            box, count = source.package["box_px"], source.package["count"]
            if masks and (masks[0]["n_x"], masks[0]["n_y"], masks[0]["n_z"]) != (box, box, box):
                raise InputError(f"{masks[0]['name']} is no mask for {source.package['name']}, whose box is {box} px.")
            chunks = -(-count // CHUNK)
            needed = memory_needed(box, parameters.oversampling)
            memory = max(memory, 2 * needed)
            disk += 12 * box**3 + chunks * needed
            seconds += count * box**2 * SECONDS_PER_BOX_PIXEL + 3 * box**3 * SECONDS_PER_VOXEL
            tasks += chunks
        return Estimate(memory_bytes=INTERPRETER_BYTES + memory, disk_bytes=disk, core_seconds=seconds, tasks=tasks)

    def run(self, context: JobContext) -> None:
        """Sum each source's particles in chunks, then make its maps."""
        sources = sources_of(context.parameters, context.inputs)
        for source in context.pending(sources, key=lambda source: source.key):
            reconstruct_source(context, source)


@dataclass(frozen=True)
class Source:
    """What one map is made from: a package at the poses of its own table, or of one class of a refinement."""

    key: str
    name: str
    package: dict[str, Any]
    particles_path: str
    symmetry: str
    shared_to_A: float | None = None
    """Resolution to which both half sets were once aligned to one map."""


def sources_of(parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> list[Source]:
    """Return what maps are made from.

    Raises
    ------
    InputError
        There are no packages, or a refinement's package is not among them.
    """
    packages, refinements = inputs["packages"], inputs.get("refinements") or []
    if not packages:
        raise InputError("there are no refinement packages; run create-package or import particles.")
    if not refinements:
        return [
            Source(
                f"package_{one['id']}_1", f"Generated from Package #{one['id']} - Class #1", one,
                one["particles_path"], str(parameters.symmetry or one["symmetry"] or "C1"), one.get("shared_to_A"),
            )
            for one in packages
        ]  # fmt: skip
    by_number = {one["id"]: one for one in packages}
    found = []
    for refinement in refinements:
        package = by_number.get(refinement["package"])
        if package is None:
            raise InputError(
                f"{refinement['name']} belongs to package {refinement['package']}, which was not chosen: leave out "
                "--packages or name it there."
            )
        symmetry = str(parameters.symmetry or refinement["symmetry"] or package["symmetry"] or "C1")
        found += [
            Source(
                f"{refinement['id']}_{number}", f"Generated from #{refinement['id']} - Class #{number}", package,
                detail["particles_path"], symmetry, refinement.get("shared_to_A"),
            )
            for number, detail in enumerate(refinement["details"], start=1)
        ]  # fmt: skip
    return found


def reconstruct_source(context: JobContext, source: Source) -> None:
    """Make the volume of one source."""
    from verglas.engine.angular_distribution import views_of
    from verglas.engine.reconstruction import Reconstruction
    from verglas.project.result_kinds.reconstruction import volume_stem
    from verglas.stages.reconstruction import result_values, write_reconstruction

    parameters, package = context.parameters, source.package
    sums = context.chunk_sums(
        f"sums-{source.key}", partial(sum_chunk, source=asdict(source), parameters=parameters.model_dump()),
        range(package["count"]), chunk_size=CHUNK, phase=f"{source.name}: adding particles",
    )  # fmt: skip
    context.check()
    box, pixel_size_A = package["box_px"], package["pixel_size_A"]
    work = Reconstruction(
        box, pixel_size_A, source.symmetry, oversampling=parameters.oversampling, threads=context.threads
    )
    work.add(sums)
    mask = mask_of(context, package)
    found = judged_by_start(work.finish(mask=mask, molecular_mass_kDa=package["mass_kDa"]), source, mask, pixel_size_A)
    if found.resolution is None:
        context.message(f"{source.name}: all particles are in one half, so nothing says its resolution.", "warning")
    table = table_of(context.project, source, parameters)
    stem = volume_stem(context.job.number, source.key)
    files = write_reconstruction(
        found, context.results, stem, pixel_size_A, views_seen=views_of(table, source.symmetry)
    )
    values = result_values(found, pixel_size_A)
    values |= {
        "name": source.name, "package": package["id"], "symmetry": source.symmetry,
        "mass_kDa": package["mass_kDa"], "largest_dimension_A": package["largest_dimension_A"],
        "file_bytes": files["map"].stat().st_size, "shared_to_A": source.shared_to_A,
    }  # fmt: skip
    context.result(source.key, "reconstruction", files, values)


def judged_by_start(
    found: ReconstructedMap, source: Source, mask: NDArray[np.float32] | None, pixel_size_A: float
) -> ReconstructedMap:
    """Return maps with no finer resolution than halves were once aligned to, unless more than chance agrees."""
    import numpy as np

    from verglas.engine.half_maps import RADIUS_PART
    from verglas.engine.shared_start import SharedStart

    if source.shared_to_A is None or found.resolution is None or found.correlation is None or found.corrected is None:
        return found
    box = len(found.map)
    radius_A = MASK_PART * (source.package["largest_dimension_A"] or 0.0) or RADIUS_PART * box * pixel_size_A
    resolution = SharedStart(source.shared_to_A, radius_A, source.symmetry).judge(
        found.resolution, found.correlation.frequency_per_A, found.correlation.components, found.corrected,
        np.ones((box,) * 3, np.float32) if mask is None else mask,
    )  # fmt: skip
    return replace(found, resolution=resolution)


def mask_of(context: JobContext, package: dict[str, Any]) -> NDArray[np.float32] | None:
    """Return the mask that was given, or a sphere where the particle's size is known."""
    from verglas.engine.half_maps import read_mask, spherical_shell_mask

    parameters, box, pixel_size_A = context.parameters, package["box_px"], package["pixel_size_A"]
    if context.inputs.get("mask"):
        mask: NDArray[np.float32] = read_mask(context.project / context.inputs["mask"][0]["path"], (box,) * 3)
        return mask
    radius_A = parameters.mask_radius_A or MASK_PART * (package["largest_dimension_A"] or 0.0)
    if not 0.0 < radius_A < 0.5 * box * pixel_size_A:
        return None
    sphere: NDArray[np.float32] = spherical_shell_mask(
        box, radius_A, pixel_size_A, inner_radius_A=parameters.inner_radius_A, edge_A=EDGE_PIXELS * pixel_size_A
    )
    return sphere


def sum_chunk(
    chunk: Sequence[int], task: Task, source: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return the sums of some particles of a source, on a worker."""
    import numpy as np

    from verglas.engine.reconstruct_particles import reconstruct_particles

    checked, one = Generate3D.Parameters.model_validate(parameters), Source(**source)
    work = reconstruct_particles(
        table_of(task.project, one, checked), task.project, one.symmetry, oversampling=checked.oversampling,
        threads=task.threads, device=task.device, score_b_factor_A2=checked.score_weight_A2,
        ewald_sphere=SIDES[checked.ewald_sphere], rows=np.arange(chunk[0], chunk[-1] + 1),
        progress=lambda _done, _total: task.check(),
    )  # fmt: skip
    return work.arrays()


def table_of(project: Path, source: Source, parameters: Any) -> ParticleTable:
    """Return a source's particles, those with lower scores than asked for not active."""
    from verglas.engine.reconstruct_particles import adjusted_scores, best_scores
    from verglas.formats import ParticleTable

    table = ParticleTable.load(project / source.particles_path)
    if len(table) != source.package["count"]:
        raise InputError(f"{source.name}: its table has {len(table)} particles, not {source.package['count']}.")
    table = table.copy()
    if parameters.adjust_scores:
        table["score"] = adjusted_scores(table)
    table["active"] = table["active"] * best_scores(table, parameters.score_threshold)
    return table
