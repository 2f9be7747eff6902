"""What actions that make refinement packages share: images brought to one size, parts joined, tables written."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.errors import InputError, JobError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.stages.extraction.combining import Target

CHUNK = 512
INTERPRETER_BYTES = 230 * 2**20
SECONDS_PER_PIXEL = 1e-7
Chunk = tuple[int, int, int]
"""Package, first and last of its chosen rows."""


def stack_name(context: JobContext) -> str:
    """Return where the job's stack will lie in the project."""
    from verglas.project.result_kinds.refinement_package import stack_stem

    return f"Assets/ParticleStacks/{stack_stem(context.job.number, 'package')}.mrcs"


def record_package(
    context: JobContext, parts: Sequence[Path], table: ParticleTable, *, box: int, pixel_size_A: float,
    half_precision: bool, values: dict[str, Any],
) -> None:  # fmt: skip
    """Join the parts of a stack, write its table and picture, and record the package.

    Parameters
    ----------
    context
        The job's.
    parts
        Stacks, in the order of the table.
    table
        The particles.
    box, pixel_size_A
        Of the images.
    half_precision
        Store float16.
    values
        What else is known of the package.
    """
    from verglas.formats import write_particles
    from verglas.stages.extraction.stacks import join_parts, write_montage

    stem = Path(stack_name(context)).stem
    files = {role: context.results / f"{stem}{ending}" for role, ending in
             (("stack", ".mrcs"), ("particles", ".npy"), ("star", ".star"), ("picture", ".png"))}  # fmt: skip

    def joined(count: int) -> None:
        context.progress(count, len(parts), "joining the stack")
        context.check()

    join_parts(files["stack"], parts, box, pixel_size_A, half_precision=half_precision, progress=joined)
    table.save(files["particles"])
    write_particles(table, files["star"])
    write_montage(files["picture"], files["stack"], f"{len(table)} particles")
    context.result("package", "refinement_package", files, {
        "count": len(table), "micrographs": len(set(table.names_of("micrograph"))), "box_px": box,
        "pixel_size_A": pixel_size_A, "file_bytes": files["stack"].stat().st_size,
        "half_set_1": int((table["half_set"] == 1).sum()), "half_set_2": int((table["half_set"] == 2).sum()), **values,
    })  # fmt: skip


def name_stack(table: ParticleTable, context: JobContext, box: int, pixel_size_A: float) -> None:
    """Number a table's particles as they lie in the job's stack, whose box and pixel size it gets."""
    import numpy as np

    count = len(table)
    table["position"] = table["image_section"] = np.arange(1, count + 1)
    table.set_names("image_name", [stack_name(context)] * count)
    for group in table.optics:
        if not group.micrograph_pixel_size_A:
            group.micrograph_pixel_size_A = float(table["pixel_size_A"][0])
        group.image_size_px = box
    table["pixel_size_A"] = pixel_size_A


def target_like(
    package: dict[str, Any], *, output_pixel_size_A: float | None = None, box_size: int | None = None
) -> Target:
    """Return box, pixel size and contrast of images like a package's, where no others are asked for."""
    from verglas.stages.extraction.combining import Target

    pixel_A = output_pixel_size_A or package["pixel_size_A"]
    box = box_size or 2 * max(4, round(package["box_px"] * package["pixel_size_A"] / pixel_A / 2))
    size_A = package["largest_dimension_A"]
    return Target(box, pixel_A, bool(package["contrast_inverted"]), 0.6 * size_A if size_A else None)


def bring_rows(
    context: JobContext, packages: list[dict[str, Any]], rows: Sequence[np.ndarray], target: Target, *,
    half_precision: bool = False, centres_px: Sequence[np.ndarray] | None = None,
) -> list[Path]:  # fmt: skip
    """Bring chosen rows of packages to one box, pixel size and contrast on the workers.

    Parameters
    ----------
    context
        The job's.
    packages
        Their records.
    rows
        Of each package's table, in the order in which its images are wanted.
    target
        What images become.
    half_precision
        Store float16.
    centres_px
        Places in each image, x and y from its first pixel, that whole pixels nearest to them become the middle; none:
        images stay where they are.

    Returns
    -------
    list of Path
        Parts in order.

    Raises
    ------
    JobError
        Some images could not be read.
    """
    kept = {f"rows_{number}": one for number, one in enumerate(rows)}
    kept |= {f"centres_{number}": one for number, one in enumerate(centres_px or ())}
    context.keep("rows", kept)
    chunks = chunks_of([len(one) for one in rows])
    todo = [chunk for chunk in chunks if not part_of(context.scratch, chunk).exists()]
    work = partial(bring_chunk, packages=packages, target=target, half_precision=half_precision)
    done = len(chunks) - len(todo)
    for _ in context.map(work, todo, key=key_of, phase="bringing images together", total=len(chunks), finished=done):
        context.check()
    parts = [part_of(context.scratch, chunk) for chunk in chunks]
    if not all(part.exists() for part in parts):
        raise JobError("Some images could not be read (see the failures), so no package was made.")
    return parts


def chunks_of(counts: Sequence[int]) -> list[Chunk]:
    """Return (package, first, last) ranges of so many rows of each package."""
    return [
        (number, first, min(first + CHUNK, count))
        for number, count in enumerate(counts)
        for first in range(0, count, CHUNK)
    ]


def key_of(chunk: Chunk) -> str:
    """Return the key of a range."""
    return f"package-{chunk[0]}-{chunk[1]:08d}"


def part_of(scratch: Path, chunk: Chunk) -> Path:
    """Return where the images of a range lie until the stack is joined."""
    return scratch / f"{key_of(chunk)}.mrcs"


def bring_chunk(
    chunk: Chunk, task: Task, packages: list[dict[str, Any]], target: Target, half_precision: bool
) -> int:  # fmt: skip
    """Bring a range of one package's images to the target on a worker; return how many."""
    import numpy as np

    from verglas.execution.reduction import load_arrays
    from verglas.formats import ParticleTable
    from verglas.formats.mrc import MrcStack, MrcStackWriter
    from verglas.stages.extraction import cut_boxes
    from verglas.stages.extraction.combining import bring_to
    from verglas.stages.extraction.stacks import AT_ONCE, stored

    if task.device != "cpu":
        raise InputError("Packages are made on CPUs; start it with the device cpu.")
    number, first, last = chunk
    package = packages[number]
    table = ParticleTable.load(task.project / package["particles_path"])
    kept = load_arrays(task.scratch / "rows.npz")
    rows, centres = kept[f"rows_{number}"][first:last], kept.get(f"centres_{number}")
    sections = table["image_section"][rows].astype(np.int64) - 1
    path = part_of(task.scratch, chunk)
    with (
        MrcStack(task.project / package["path"]) as stack,
        MrcStackWriter(path, target.box, target.box, target.pixel_size_A, stored(half_precision)) as writer,
    ):
        for start in range(0, len(sections), AT_ONCE):
            task.check()
            images = np.asarray(stack.read(sections[start : start + AT_ONCE]), np.float32)
            if centres is not None:
                places = centres[first + start : first + start + len(images)]
                images = np.concatenate(
                    [cut_boxes(image, place, len(image))[0] for image, place in zip(images, places, strict=True)]
                )
            writer.append(bring_to(images, package["pixel_size_A"], bool(package["contrast_inverted"]), target))
    return len(sections)
