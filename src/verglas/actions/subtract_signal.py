"""Subtract Signal: a package whose images hold one region of the particle, as far as a map knows the rest."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.package_from_package import one_of_each, record_start
from verglas.actions.package_parts import INTERPRETER_BYTES, SECONDS_PER_PIXEL, name_stack, record_package
from verglas.actions.refinement_rounds import fitting
from verglas.actions.selection import only
from verglas.errors import InputError, JobError

if TYPE_CHECKING:
    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable

CHUNK = 1000
AT_ONCE = 128
MASK_PART = 0.65


class SubtractSignal(Action):
    """A package of images without what lies outside a sphere or mask."""

    name = "subtract-signal"
    title = "Subtract Signal"
    summary = "Take the signal outside a region off the particles' images."

    class Parameters(ActionParameters):
        """Which region stays."""

        class_number: int = field(1, help="Class of the refinement whose poses and map are used.", ge=1)
        focus_x_A: float = field(0.0, help="Centre of the sphere that stays, from the first voxel.", unit="A", ge=0)
        focus_y_A: float = field(0.0, help="Centre of the sphere that stays, from the first voxel.", unit="A", ge=0)
        focus_z_A: float = field(0.0, help="Centre of the sphere that stays, from the first voxel.", unit="A", ge=0)
        focus_radius_A: float = field(30.0, help="Its radius.", unit="A", gt=0)
        recentre: bool = field(False, help="Move the region's centre to the middle of the images.")
        box_size: int | None = field(
            None, help="Box of the images after recentring; none: as before.", unit="pixels", ge=8, le=4096
        )
        mask_radius_A: float | None = field(
            None, help="Radius of the particle; none: 0.65 of its largest dimension.", unit="A", gt=0
        )
        package_name: str | None = field(
            None, help="Name of the package; none: that of the old one and that its signal was subtracted."
        )

    inputs = (
        Input("package", "package", "The package to start from: one."),
        Input("refinement", "refinement", "Its refinement, with half maps: one."),
        Input("focus_mask", "volume", "A mask of what stays, above zero inside, instead of the sphere.",
              required=False),
    )  # fmt: skip
    outputs = ("refinement_package", "refinement")

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the images will take, from the records alone."""
        from verglas.execution.resources import Estimate

        package, _ = one_of_each(inputs)
        detail_of(parameters, inputs)
        radius_of(parameters, package)
        box, count = package["box_px"], package["count"]
        made = parameters.box_size or box
        if made > box or (made != box and not parameters.recentre):
            raise InputError(
                f"a box of {made} pixels needs --recentre, and must not be larger than the {box} there are."
            )
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + 16 * 4 * (2 * box) ** 3 + AT_ONCE * 60 * box**2,
            disk_bytes=2 * count * made**2 * 4, core_seconds=30.0 * count * box**2 * SECONDS_PER_PIXEL,
            tasks=-(-count // CHUNK),
        )  # fmt: skip

    def run(self, context: JobContext) -> None:
        """Subtract in chunks, join them, and record the package and what it starts with."""
        if context.device != "cpu":
            raise InputError("Subtract Signal runs on CPUs; start it with the device cpu.")
        package, refinement = one_of_each(context.inputs)
        parameters = context.parameters
        table = table_of(context.project, parameters, context.inputs)
        starts = list(range(0, len(table), CHUNK))
        todo = [first for first in starts if not part_of(context.scratch, first).exists()]
        work = partial(subtract_chunk, parameters=parameters.model_dump(), inputs=context.inputs)
        for _ in context.map(work, todo, key=str, phase="subtracting", total=len(starts),
                             finished=len(starts) - len(todo)):  # fmt: skip
            context.check()
        parts = [part_of(context.scratch, first) for first in starts]
        if not all(part.exists() for part in parts):
            raise JobError("some images could not be made; see the failures above, then resume the job.")
        box, pixel_A = parameters.box_size or package["box_px"], package["pixel_size_A"]
        if parameters.recentre:
            _, table = recentred(table, focus_of(context.project, parameters, context.inputs), package)
        name_stack(table, context, box, pixel_A)
        if context.pending(["package"], key=str):
            record_package(
                context, parts, table, box=box, pixel_size_A=pixel_A, half_precision=False,
                values={
                    "name": parameters.package_name or f"{package['name']} - Subtracted",
                    "symmetry": "C1", "mass_kDa": package["mass_kDa"],
                    "largest_dimension_A": package["largest_dimension_A"], "classes": 1,
                    "contrast_inverted": bool(package["contrast_inverted"]), "start": "Starting Parameters",
                    "packages": [package["id"]], "refinement": refinement["id"], "subtracted": True,
                },
            )  # fmt: skip
        if context.pending(["start"], key=str):
            record_start(context, [table], "Starting Parameters", "C1")


def detail_of(parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the class of the refinement that is used.

    Raises
    ------
    InputError
        There is none, or it has no half maps.
    """
    refinement = only("refinement", inputs["refinement"])
    if parameters.class_number > refinement["classes"]:
        raise InputError(f"{refinement['name']} has {refinement['classes']} classes, not {parameters.class_number}.")
    detail: dict[str, Any] = refinement["details"][parameters.class_number - 1]
    if not (detail["half_map_1_path"] and detail["half_map_2_path"]):
        raise InputError(f"{refinement['name']} has no half maps to subtract; run manual-refine first.")
    return detail


def radius_of(parameters: Any, package: dict[str, Any]) -> float:
    """Return the particle's radius."""
    size = package["largest_dimension_A"]
    if parameters.mask_radius_A is None and size is None:
        raise InputError(f"{package['name']} has no largest dimension; give --mask-radius.")
    return float(parameters.mask_radius_A or MASK_PART * size)


def focus_of(project: Path, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Any:
    """Return the region that stays."""
    from verglas.formats.mrc import read_mrc_volume
    from verglas.stages.refinement import Focus

    volume = None
    if inputs.get("focus_mask"):
        chosen = only("focus_mask", inputs["focus_mask"])
        volume = fitting(read_mrc_volume(project / chosen["path"]), only("package", inputs["package"]))
    centre = (parameters.focus_x_A, parameters.focus_y_A, parameters.focus_z_A)
    return Focus(centre, parameters.focus_radius_A, volume)


def table_of(project: Path, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> ParticleTable:
    """Return the particles with the poses of the class."""
    from verglas.formats import ParticleTable

    return ParticleTable.load(project / detail_of(parameters, inputs)["particles_path"]).copy()


def recentred(table: ParticleTable, focus: Any, package: dict[str, Any]) -> tuple[np.ndarray, ParticleTable]:
    """Return where the region is in each image, in pixels from the first one, and the table that goes with it."""
    from verglas.stages.refinement.subtraction import recentre

    return recentre(table, focus.from_middle_A(package["box_px"], package["pixel_size_A"]), package["box_px"])


def part_of(scratch: Path, first: int) -> Path:
    """Return the stack of a chunk."""
    return scratch / f"part-{first:09d}.mrcs"


def subtract_chunk(
    first: int, task: Task, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]]
) -> int:  # fmt: skip
    """Subtract from a chunk of images on a worker; return how many."""
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.formats.mrc import MrcStackWriter, read_mrc_volume
    from verglas.stages.extraction import cut_boxes
    from verglas.stages.refinement.subtraction import Subtraction

    checked = SubtractSignal.Parameters.model_validate(parameters)
    package, detail = only("package", inputs["package"]), detail_of(checked, inputs)
    table, focus = table_of(task.project, checked, inputs), focus_of(task.project, checked, inputs)
    box, pixel_A = package["box_px"], package["pixel_size_A"]
    made = checked.box_size or box
    maps = [read_mrc_volume(task.project / detail[f"half_map_{half}_path"])[0] for half in (1, 2)]
    kept = focus.mask(box, box, pixel_A, task.threads)
    centres = recentred(table, focus, package)[0] if checked.recentre else None
    last = min(first + CHUNK, len(table))
    with (
        ParticleStack(table, task.project, np.arange(len(table))) as stack,
        MrcStackWriter(part_of(task.scratch, first), made, made, pixel_A, "float32") as writer,
    ):
        work = Subtraction(
            stack, maps, kept, radius_of(checked, package), detail["resolution_A"] or 0.0, threads=task.threads
        )
        for start in range(first, last, AT_ONCE):
            task.check()
            places = np.arange(start, min(start + AT_ONCE, last))
            images = work.images(places)
            if centres is not None:
                images = np.concatenate(
                    [cut_boxes(image, centres[place : place + 1], made)[0]
                     for image, place in zip(images, places, strict=True)]
                )  # fmt: skip
            writer.append(images)
    return last - first
