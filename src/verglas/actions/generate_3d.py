"""Generate 3D: maps from the particles of refinement packages at the poses that their tables hold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable

CHUNK = 10_000
"""Particles of one partial sum: part of the answer, so not a setting."""
MASK_PART = 0.6
EDGE_PIXELS = 6.0
INTERPRETER_BYTES = 260 * 2**20
SECONDS_PER_BOX_PIXEL = 8e-8
SECONDS_PER_VOXEL = 2e-6
SIDES = {"none": 0, "correct": 1, "other-hand": -1}


class Generate3D(Action):
    """A map, its half maps and their correlation from each package."""

    name = "generate-3d"
    title = "Generate 3D"
    summary = "Reconstruct maps from the particles of refinement packages."

    class Parameters(ActionParameters):
        """How particles are weighted and maps are judged."""

        symmetry: str | None = field(None, help="Point group; none: the package's.")
        mask_radius_A: float | None = field(
            None, help="Halves are compared within this radius; none: 0.6 of the largest dimension.", unit="A", gt=0
        )
        score_weight_A2: float = field(
            2.0, help="B-factor by which a particle counts less for each point its score is below the mean.",
            unit="A^2", ge=0,
        )  # fmt: skip
        score_threshold: float = field(
            0.0, help="0: all particles; up to 1: the best-scoring part; above: the least score.", ge=0
        )
        ewald_sphere: Literal["none", "correct", "other-hand"] = field(
            "none", help="Correct for the curvature of the Ewald sphere, for this or the other hand.", expert=True
        )
        oversampling: int = field(2, help="How many times finer the transform is sampled.", ge=1, le=4, expert=True)

    inputs = (Input("packages", "package", "Refinement packages."),)
    outputs = ("reconstruction",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the sums and maps will take, from the packages' records alone."""
        from verglas.engine.reconstruction import memory_needed
        from verglas.execution.resources import Estimate
        from verglas.geometry import point_group

        packages = inputs["packages"]
        if not packages:
            raise InputError("there are no refinement packages; run create-package or import particles.")
        memory, disk, seconds, tasks = 0, 0, 0.0, 0
        for package in packages:
            point_group(symmetry_of(parameters, package))
            box, count, chunks = package["box_px"], package["count"], -(-package["count"] // CHUNK)
            needed = memory_needed(box, parameters.oversampling)
            memory = max(memory, 2 * needed)
            disk += 12 * box**3 + chunks * needed
            seconds += count * box**2 * SECONDS_PER_BOX_PIXEL + 3 * box**3 * SECONDS_PER_VOXEL
            tasks += chunks
        return Estimate(memory_bytes=INTERPRETER_BYTES + memory, disk_bytes=disk, core_seconds=seconds, tasks=tasks)

    def run(self, context: JobContext) -> None:
        """Sum each package's particles in chunks, then make its maps."""
        packages = context.inputs["packages"]
        for package in context.pending(packages, key=lambda package: str(package["id"])):
            reconstruct_package(context, package)


def symmetry_of(parameters: Any, package: dict[str, Any]) -> str:
    """Return the point group that a package is reconstructed with."""
    return str(parameters.symmetry or package["symmetry"] or "C1")


def reconstruct_package(context: JobContext, package: dict[str, Any]) -> None:
    """Make the volume of one package."""
    from verglas.engine.reconstruction import Reconstruction
    from verglas.project.result_kinds.reconstruction import volume_stem
    from verglas.signal import sphere_mask
    from verglas.stages.reconstruction import result_values, write_reconstruction

    parameters, number = context.parameters, package["id"]
    symmetry = symmetry_of(parameters, package)
    sums = context.chunk_sums(
        f"package-{number}", partial(sum_chunk, package=package, parameters=parameters.model_dump()),
        range(package["count"]), chunk_size=CHUNK, phase=f"{package['name']}: adding particles",
    )  # fmt: skip
    context.check()
    box, pixel_size_A = package["box_px"], package["pixel_size_A"]
    work = Reconstruction(box, pixel_size_A, symmetry, oversampling=parameters.oversampling, threads=context.threads)
    work.add(sums)
    radius_A = parameters.mask_radius_A or MASK_PART * (package["largest_dimension_A"] or 0.0)
    mask = None
    if 0.0 < radius_A < 0.5 * box * pixel_size_A:
        mask = sphere_mask((box,) * 3, radius_A, pixel_size_A, edge_A=EDGE_PIXELS * pixel_size_A)
    found = work.finish(mask=mask, molecular_mass_kDa=package["mass_kDa"])
    if found.resolution is None:
        context.message(f"{package['name']}: all particles are in one half, so nothing says its resolution.", "warning")
    files = write_reconstruction(found, context.results, volume_stem(context.job.number, str(number)), pixel_size_A)
    values = result_values(found, pixel_size_A)
    values |= {
        "name": f"Generated from #{number} - Class #1", "package": number, "symmetry": symmetry,
        "file_bytes": files["map"].stat().st_size,
    }  # fmt: skip
    context.result(str(number), "reconstruction", files, values)


def sum_chunk(
    chunk: Sequence[int], task: Task, package: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return the sums of some particles of a package, on a worker."""
    import numpy as np

    from verglas.engine.reconstruct_particles import reconstruct_particles

    if task.device != "cpu":
        raise InputError("Generate 3D runs on CPUs; start it with the device cpu.")
    checked = Generate3D.Parameters.model_validate(parameters)
    table = table_of(task, package, checked.score_threshold)
    work = reconstruct_particles(
        table, task.project, symmetry_of(checked, package), oversampling=checked.oversampling, threads=task.threads,
        score_b_factor_A2=checked.score_weight_A2, ewald_sphere=SIDES[checked.ewald_sphere],
        rows=np.arange(chunk[0], chunk[-1] + 1), progress=lambda _done, _total: task.check(),
    )  # fmt: skip
    return work.arrays()


def table_of(task: Task, package: dict[str, Any], score_threshold: float) -> ParticleTable:
    """Return a package's particles, those with lower scores than asked for not active."""
    from verglas.engine.reconstruct_particles import best_scores
    from verglas.formats import ParticleTable

    table = ParticleTable.load(task.project / package["particles_path"])
    if len(table) != package["count"]:
        raise InputError(f"{package['name']}: its table has {len(table)} particles, not {package['count']}.")
    table = table.copy()
    table["active"] = table["active"] * best_scores(table, score_threshold)
    return table
