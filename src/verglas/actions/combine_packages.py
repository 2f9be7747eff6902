"""Combine Packages: join refinement packages into one of one box and pixel size; also resamples one alone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.errors import InputError, JobError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.stages.extraction.combining import Target

CHUNK = 512
INTERPRETER_BYTES = 230 * 2**20
SECONDS_PER_PIXEL = 1e-7


class CombinePackages(Action):
    """One refinement package from several, or from one at another pixel size."""

    name = "combine-packages"
    title = "Combine Packages"
    summary = "Join refinement packages, or resample one."

    class Parameters(ActionParameters):
        """What the joint images shall be; the first package decides what is not said."""

        output_pixel_size_A: float | None = field(
            None, help="Pixel size of all images; none: the first package's.", unit="A", gt=0
        )
        box_size: int | None = field(
            None, help="Box of all images; none: the first package's field of view.", unit="pixels", ge=8, le=4096
        )
        remove_duplicates_A: float | None = field(
            None, help="Leave out particles nearer than this to an earlier one; none: keep all.", unit="A", gt=0
        )
        half_precision: bool = field(False, help="Store float16, half the size.")
        package_name: str | None = field(None, help="Name of the package; none: Refinement Package and its number.")

    inputs = (Input("packages", "package", "Refinement packages."),)
    outputs = ("refinement_package",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the images will take, from the packages' records alone."""
        from verglas.execution.resources import Estimate

        packages = inputs["packages"]
        target = target_of(parameters, packages)
        count = sum(package["count"] for package in packages)
        largest = max(target.box, *(package["box_px"] for package in packages))
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + 64 * 16 * largest**2 + count * 600,
            disk_bytes=2 * count * target.box**2 * (2 if parameters.half_precision else 4),
            core_seconds=count * largest**2 * SECONDS_PER_PIXEL,
            tasks=len(chunks_of(packages)),
        )

    def run(self, context: JobContext) -> None:
        """Bring all images to one size, join them, and write the table."""
        from verglas.formats import ParticleTable, write_particles
        from verglas.project.result_kinds.refinement_package import stack_stem
        from verglas.stages.extraction.combining import join_tables
        from verglas.stages.extraction.stacks import join_parts, write_montage

        if not context.pending(["package"], key=str):
            return
        parameters, packages = context.parameters, context.inputs["packages"]
        target = target_of(parameters, packages)
        stem = stack_stem(context.job.number, "package")
        tables = [ParticleTable.load(context.project / package["particles_path"]) for package in packages]
        joined, kept = join_tables(
            tables, target, f"Assets/ParticleStacks/{stem}.mrcs", least_distance_A=parameters.remove_duplicates_A
        )
        context.keep("rows", {str(number): rows for number, rows in enumerate(kept)})
        chunks = chunks_of([{"count": len(rows)} for rows in kept])
        todo = [chunk for chunk in chunks if not part_path(context.scratch, chunk).exists()]
        work = partial(bring_chunk, packages=packages, parameters=parameters.model_dump())
        done = len(chunks) - len(todo)
        for _ in context.map(work, todo, key=key_of, phase="resampling", total=len(chunks), finished=done):
            context.check()
        parts = [part_path(context.scratch, chunk) for chunk in chunks]
        if not all(part.exists() for part in parts):
            raise JobError("Some images could not be read (see the failures), so the packages were not combined.")
        files = {role: context.results / f"{stem}{ending}" for role, ending in
                 (("stack", ".mrcs"), ("particles", ".npy"), ("star", ".star"), ("picture", ".png"))}  # fmt: skip

        def progress(count: int) -> None:
            context.progress(count, len(parts), "joining the stack")
            context.check()

        join_parts(files["stack"], parts, target.box, target.pixel_size_A,
                   half_precision=parameters.half_precision, progress=progress)  # fmt: skip
        joined.save(files["particles"])
        write_particles(joined, files["star"])
        write_montage(files["picture"], files["stack"], f"{len(joined)} particles")
        first = packages[0]
        kept_facts = ("symmetry", "mass_kDa", "largest_dimension_A", "classes", "start")
        values = {name: first[name] for name in kept_facts} | {
            "name": parameters.package_name, "count": len(joined), "box_px": target.box,
            "pixel_size_A": target.pixel_size_A, "contrast_inverted": target.contrast_inverted,
            "micrographs": len(set(joined.names_of("micrograph"))), "file_bytes": files["stack"].stat().st_size,
            "packages": [package["id"] for package in packages],
            "duplicates": sum(map(len, tables)) - len(joined),
        }  # fmt: skip
        context.result("package", "refinement_package", files, values)


def target_of(parameters: Any, packages: list[dict[str, Any]]) -> Target:
    """Return what all images become.

    Raises
    ------
    InputError
        Packages of different sizes are to be joined and no common size was given.
    """
    from verglas.stages.extraction.combining import SAME_PIXEL, Target

    first = packages[0]
    for other in packages[1:]:
        same = abs(other["pixel_size_A"] / first["pixel_size_A"] - 1) < SAME_PIXEL
        if not same and parameters.output_pixel_size_A is None:
            raise InputError(
                f"{first['name']} has pixels of {first['pixel_size_A']:g} A and {other['name']} of "
                f"{other['pixel_size_A']:g} A; say to which all shall come: --output-pixel-size."
            )
        if other["symmetry"] != first["symmetry"]:
            raise InputError(f"{first['name']} and {other['name']} differ in symmetry; they do not belong together.")
    pixel_A = parameters.output_pixel_size_A or first["pixel_size_A"]
    box = parameters.box_size or 2 * max(4, round(first["box_px"] * first["pixel_size_A"] / pixel_A / 2))
    size_A = first["largest_dimension_A"]
    return Target(box, pixel_A, bool(first["contrast_inverted"]), 0.6 * size_A if size_A else None)


Chunk = tuple[int, int, int]


def chunks_of(packages: list[dict[str, Any]]) -> list[Chunk]:
    """Return (package, first, last) ranges of the particles kept of each package."""
    return [
        (number, first, min(first + CHUNK, package["count"]))
        for number, package in enumerate(packages)
        for first in range(0, package["count"], CHUNK)
    ]


def key_of(chunk: Chunk) -> str:
    """Return the key of a range."""
    return f"package-{chunk[0]}-{chunk[1]:08d}"


def part_path(scratch: Path, chunk: Chunk) -> Path:
    """Return where the images of a range lie until the stack is joined."""
    return scratch / f"{key_of(chunk)}.mrcs"


def bring_chunk(chunk: Chunk, task: Task, packages: list[dict[str, Any]], parameters: dict[str, Any]) -> int:
    """Bring a range of one package's images to the target on a worker; return how many."""
    import numpy as np

    from verglas.execution.reduction import load_arrays
    from verglas.formats import ParticleTable
    from verglas.formats.mrc import MrcStack, MrcStackWriter
    from verglas.stages.extraction.combining import bring_to
    from verglas.stages.extraction.stacks import AT_ONCE, stored

    if task.device != "cpu":
        raise InputError("Combine Packages runs on CPUs; start it with the device cpu.")
    checked = CombinePackages.Parameters.model_validate(parameters)
    number, first, last = chunk
    package = packages[number]
    target = target_of(checked, packages)
    table = ParticleTable.load(task.project / package["particles_path"])
    rows = load_arrays(task.scratch / "rows.npz")[str(number)][first:last]
    sections = table["image_section"][rows].astype(np.int64) - 1
    path = part_path(task.scratch, chunk)
    with (
        MrcStack(task.project / package["path"]) as stack,
        MrcStackWriter(path, target.box, target.box, target.pixel_size_A, stored(checked.half_precision)) as writer,
    ):
        for start in range(0, len(sections), AT_ONCE):
            task.check()
            images = stack.read(sections[start : start + AT_ONCE])
            writer.append(bring_to(images, package["pixel_size_A"], bool(package["contrast_inverted"]), target))
    return len(sections)
