"""Substitute Noise: a package whose images hold noise beyond a resolution; refined alike, it tells overfitting."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.package_from_package import one_of_each, record_start
from verglas.actions.package_parts import INTERPRETER_BYTES, SECONDS_PER_PIXEL, name_stack, record_package
from verglas.actions.selection import only
from verglas.errors import InputError, JobError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task

CHUNK = 1000
AT_ONCE = 128


class SubstituteNoise(Action):
    """A package of images whose phases beyond a resolution are random."""

    name = "substitute-noise"
    title = "Substitute Noise"
    summary = "Make a package whose images hold noise beyond a resolution, to test a refinement for overfitting."

    class Parameters(ActionParameters):
        """Where noise begins."""

        beyond_A: float = field(
            help="Finest resolution that stays; coarser than the one to be tested, and than the limit of alignment.",
            unit="A", gt=0,
        )  # fmt: skip
        package_name: str | None = field(
            None, help="Name of the package; none: that of the old one and where its noise begins."
        )

    inputs = (
        Input("package", "package", "The package to start from: one."),
        Input("refinement", "refinement", "Parameters to begin with; none: the package's own.", required=False),
    )
    outputs = ("refinement_package", "refinement")

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the images will take, from the records alone."""
        from verglas.execution.resources import Estimate

        package, refinement = one_of_each(inputs)
        if parameters.beyond_A <= 2.0 * package["pixel_size_A"]:
            raise InputError(
                f"there is nothing beyond {parameters.beyond_A:g} A in pixels of {package['pixel_size_A']:g} A; give a "
                "coarser resolution with --beyond."
            )
        box, count = package["box_px"], package["count"]
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + AT_ONCE * 40 * box**2 + 600 * count * refinement["classes"],
            disk_bytes=2 * count * box**2 * 4, core_seconds=2.0 * count * box**2 * SECONDS_PER_PIXEL,
            tasks=-(-count // CHUNK),
        )  # fmt: skip

    def run(self, context: JobContext) -> None:
        """Make the images in chunks, join them, and record the package and what it starts with."""
        from verglas.formats import ParticleTable

        if context.device != "cpu":
            raise InputError("Substitute Noise runs on CPUs; start it with the device cpu.")
        package, refinement = one_of_each(context.inputs)
        tables = [ParticleTable.load(context.project / one["particles_path"]).copy() for one in refinement["details"]]
        starts = list(range(0, package["count"], CHUNK))
        todo = [first for first in starts if not part_of(context.scratch, first).exists()]
        work = partial(substitute_chunk, beyond_A=context.parameters.beyond_A, inputs=context.inputs)
        for _ in context.map(work, todo, key=str, phase="substituting", total=len(starts),
                             finished=len(starts) - len(todo)):  # fmt: skip
            context.check()
        parts = [part_of(context.scratch, first) for first in starts]
        if not all(part.exists() for part in parts):
            raise JobError("some images could not be made; see the failures above, then resume the job.")
        box, pixel_A = package["box_px"], package["pixel_size_A"]
        for table in tables:
            name_stack(table, context, box, pixel_A)
        symmetry = refinement["symmetry"] or package["symmetry"]
        if context.pending(["package"], key=str):
            record_package(
                context, parts, tables[0], box=box, pixel_size_A=pixel_A, half_precision=False,
                values={
                    "name": context.parameters.package_name
                    or f"{package['name']} - Noise Beyond {context.parameters.beyond_A:g} A",
                    "symmetry": symmetry, "mass_kDa": package["mass_kDa"],
                    "largest_dimension_A": package["largest_dimension_A"], "classes": len(tables),
                    "contrast_inverted": bool(package["contrast_inverted"]), "start": "Starting Parameters",
                    "packages": [package["id"]], "refinement": refinement["id"],
                    "noise_beyond_A": context.parameters.beyond_A,
                },
            )  # fmt: skip
        if context.pending(["start"], key=str):
            record_start(context, tables, "Starting Parameters", symmetry)


def part_of(scratch: Path, first: int) -> Path:
    """Return the stack of a chunk."""
    return scratch / f"part-{first:09d}.mrcs"


def substitute_chunk(first: int, task: Task, beyond_A: float, inputs: dict[str, list[dict[str, Any]]]) -> int:
    """Substitute noise in a chunk of images on a worker; return how many."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.formats import ParticleTable
    from verglas.formats.mrc import MrcStackWriter
    from verglas.stages.validation import substitute_noise

    package = only("package", inputs["package"])
    table = ParticleTable.load(task.project / package["particles_path"])
    last = min(first + CHUNK, len(table))
    # Copies of one image get one noise: what they share must not tell them apart.
    images = np.stack([table["image_name"], table["image_section"]], axis=-1).astype(np.int64)
    with (
        ParticleStack(table, task.project, np.arange(len(table))) as stack,
        MrcStackWriter(part_of(task.scratch, first), stack.box, stack.box, stack.pixel_size_A, "float32") as writer,
    ):
        for start in range(first, last, AT_ONCE):
            task.check()
            places = np.arange(start, min(start + AT_ONCE, last))
            seeds = [(task.seed, *image) for image in images[places].tolist()]
            writer.append(substitute_noise(stack.read(places), stack.pixel_size_A, beyond_A, seeds))
    return last - first
