"""Create Package: cut picked particles from unbinned micrographs into one stack, with the table to refine from."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.package_parts import INTERPRETER_BYTES, record_package, stack_name
from verglas.errors import InputError, JobError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.stages.extraction import BoxSettings, MicrographFacts

PIXEL_TOLERANCE = 1e-3
BYTES_PER_MICROGRAPH_PIXEL = 8
SECONDS_PER_BOX_PIXEL = 1.2e-7


class CreatePackage(Action):
    """A refinement package from picks: stack, table, RELION star."""

    name = "create-package"
    title = "Create Package"
    summary = "Cut picked particles into a stack, ready for refinement."

    class Parameters(ActionParameters):
        """What a user must say of the molecule, and how images are made."""

        largest_dimension_A: float = field(help="Largest dimension of the molecule.", unit="A", gt=0)
        symmetry: str = field("C1", help="Point group of the molecule.")
        molecular_weight_kDa: float | None = field(None, help="Its mass.", unit="kDa", gt=0)
        box_size: int | None = field(
            None, help="Box in pixels of the micrographs; none: 2.2 times the dimension.", unit="pixels", ge=8, le=4096
        )
        output_pixel_size_A: float | None = field(
            None, help="Pixel size of the images; none: that of the micrographs.", unit="A", gt=0
        )
        classes: int = field(1, help="Number of classes to refine.", ge=1, le=1000)
        white_protein: bool = field(False, help="Make protein white on black, as RELION likes it.")
        half_precision: bool = field(False, help="Store float16, half the size.")
        package_name: str | None = field(None, help="Name of the package; none: Refinement Package and its number.")
        random_angles: bool = field(True, help="Start with random angles.", expert=True)
        normalise: bool = field(True, help="Bring backgrounds to mean 0 and deviation 1.", expert=True)
        subtract_ramp: bool = field(True, help="Subtract a plane, not only the mean.", expert=True)
        background_radius_A: float | None = field(
            None, help="Background begins here; none: half of the largest dimension plus a tenth.", unit="A", gt=0,
            expert=True,
        )  # fmt: skip
        outlier_sigmas: float = field(
            6.0, help="Pixels further off than this become the mean.", unit="standard deviations", gt=3, expert=True
        )

    inputs = (
        Input("positions", "positions", "Picks."),
        Input("images", "image", "The micrographs they were made in; picks in others are left out."),
    )
    outputs = ("refinement_package",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the particles will take, from their records alone."""
        from verglas.execution.resources import Estimate
        from verglas.geometry import point_group

        point_group(parameters.symmetry)
        items, _ = matched(inputs)
        settings, _ = geometry_of(parameters, items)
        count = sum(item["positions"]["count"] for item in items)
        bytes_each = settings.made_box**2 * (2 if parameters.half_precision else 4)
        pixels = max(item["image"]["n_x"] * item["image"]["n_y"] for item in items)
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + BYTES_PER_MICROGRAPH_PIXEL * pixels + 8 * 64 * 2**20,
            disk_bytes=2 * count * bytes_each,
            core_seconds=count * settings.box**2 * SECONDS_PER_BOX_PIXEL + len(items) * pixels * 1e-8,
            tasks=len(items),
        )

    def run(self, context: JobContext) -> None:
        """Cut every micrograph's particles, then join them and write the table."""
        if not context.pending(["package"], key=str):
            return
        parameters = context.parameters
        items, without = matched(context.inputs)
        if without:
            context.message(f"{without} sets of picks lie in micrographs that were not chosen.", level="warning")
        settings, pixel_size_A = geometry_of(parameters, items)
        todo = [item for item in items if context.kept(key_of(item)) is None]
        work = partial(cut_one, parameters=parameters.model_dump(), box=settings.box, output_box=settings.output_box)
        done = len(items) - len(todo)
        for item, places in context.map(
            work, todo, key=key_of, phase="cutting particles", total=len(items), finished=done
        ):
            context.keep(key_of(item), places)
        whole = [item for item in items if context.kept(key_of(item)) is not None]
        parts = [part_path(context.scratch, item) for item in whole]
        if not parts:
            raise JobError("No particle could be cut; the messages of the micrographs say why.")
        table, values = table_and_values(context, whole, settings, pixel_size_A)
        record_package(
            context, parts, table, box=settings.made_box, pixel_size_A=pixel_size_A,
            half_precision=parameters.half_precision, values=values,
        )  # fmt: skip


def key_of(item: dict[str, Any]) -> str:
    """Return the key of a micrograph's part."""
    return f"image-{item['image']['id']}"


def part_path(scratch: Path, item: dict[str, Any]) -> Path:
    """Return where the part of a micrograph lies until the stack is joined."""
    return scratch / f"{key_of(item)}.mrcs"


def matched(inputs: dict[str, list[dict[str, Any]]]) -> tuple[list[dict[str, Any]], int]:
    """Return picks with their micrographs, by the micrographs' numbers, and how many sets of picks have none.

    Raises
    ------
    InputError
        There is nothing to cut, or a micrograph is not fit for it.
    """
    images = {image["id"]: image for image in inputs["images"]}
    chosen = [one for one in inputs["positions"] if one["image"] in images]
    items = [{"positions": one, "image": images[one["image"]]} for one in chosen if one["count"]]
    if not items:
        raise InputError("there are no picks in these micrographs; run find-particles or import coordinates.")
    items.sort(key=lambda item: (item["image"]["id"], item["positions"]["id"]))
    for image in (item["image"] for item in items):
        if image.get("ctf_estimation") is None and image.get("defocus_u_A") is None:
            raise InputError(f"{image['name']}: it has no CTF. Run find-ctf, or choose a group of images without it.")
        for column, option in (("pixel_size_A", "--pixel-size"), ("voltage_kV", "--voltage"), ("cs_mm", "--cs")):
            if image.get(column) is None:
                raise InputError(f"{image['name']}: its {column} is not known. Import it again with {option}.")
    first = items[0]["image"]
    for image in (item["image"] for item in items):
        if abs(image["pixel_size_A"] / first["pixel_size_A"] - 1) > PIXEL_TOLERANCE:
            raise InputError(
                f"{image['name']} has pixels of {image['pixel_size_A']:g} A and {first['name']} of "
                f"{first['pixel_size_A']:g} A. Make one package of each, then combine them."
            )
    return items, len(inputs["positions"]) - len(chosen)


def geometry_of(parameters: Any, items: list[dict[str, Any]]) -> tuple[BoxSettings, float]:
    """Return how images are made (contrast aside) and the pixel size that they get."""
    from verglas.stages.extraction import BoxSettings, default_box

    pixel_A = items[0]["image"]["pixel_size_A"]
    box = parameters.box_size or default_box(parameters.largest_dimension_A, pixel_A)
    wanted = parameters.output_pixel_size_A or pixel_A
    output = 2 * max(4, round(box * pixel_A / wanted / 2))
    output = box if parameters.output_pixel_size_A is None else output
    radius_A = parameters.background_radius_A or 0.6 * parameters.largest_dimension_A
    settings = BoxSettings(
        box, output_box=None if output == box else output, background_radius_px=radius_A / pixel_A,
        outlier_sigmas=parameters.outlier_sigmas, normalise=parameters.normalise, ramp=parameters.subtract_ramp,
    )  # fmt: skip
    return settings, pixel_A * box / settings.made_box


def cut_one(
    item: dict[str, Any], task: Task, parameters: dict[str, Any], box: int, output_box: int | None
) -> dict[str, Any]:
    """Cut the particles of one micrograph on a worker; return their centres and shifts in its pixels."""
    import dataclasses

    import numpy as np

    from verglas.formats.images import read_image
    from verglas.formats.npy import read_npy
    from verglas.stages.extraction.stacks import write_part

    if task.device != "cpu":
        raise InputError("Create Package runs on CPUs; start it with the device cpu.")
    checked = CreatePackage.Parameters.model_validate(parameters)
    image = item["image"]
    picks = read_npy(task.project / item["positions"]["path"])
    centres = np.stack([picks["x_A"], picks["y_A"]], 1).astype(np.float64) / image["pixel_size_A"]
    settings, pixel_size_A = geometry_of(checked, [item])
    settings = dataclasses.replace(
        settings, box=box, output_box=output_box,
        invert_contrast=bool(image.get("protein_is_white")) != checked.white_protein,
    )  # fmt: skip
    micrograph, _ = read_image(task.project / image["path"])
    shifts = write_part(
        part_path(task.scratch, item), micrograph, centres, settings, pixel_size_A,
        half_precision=checked.half_precision, threads=task.threads, progress=task.check,
    )  # fmt: skip
    return {"centres": centres, "shifts": shifts}


def facts_of(image: dict[str, Any]) -> MicrographFacts:
    """Return what particles inherit from a micrograph's record."""
    from verglas.stages.extraction import MicrographFacts

    return MicrographFacts(
        number=image["id"], name=image["path"], pixel_size_A=image["pixel_size_A"],
        shape=(image["n_y"], image["n_x"]), voltage_kV=image["voltage_kV"], cs_mm=image["cs_mm"],
        amplitude_contrast=0.07 if image.get("amplitude_contrast") is None else image["amplitude_contrast"],
        defocus_u_A=image["defocus_u_A"], defocus_v_A=image["defocus_v_A"],
        defocus_angle_deg=image["defocus_angle_deg"] or 0.0, phase_shift_deg=image["phase_shift_deg"] or 0.0,
        tilt_axis_deg=image.get("tilt_axis_deg") or 0.0, tilt_angle_deg=image.get("tilt_angle_deg") or 0.0,
    )  # fmt: skip


def table_and_values(
    context: JobContext, items: list[dict[str, Any]], settings: BoxSettings, pixel_size_A: float
) -> tuple[ParticleTable, dict[str, Any]]:
    """Return the particles' table and what is known of the package."""
    from verglas.stages.extraction import particle_table

    parameters = context.parameters
    kept = [context.kept(key_of(item)) or {} for item in items]
    table = particle_table(
        [(facts_of(item["image"]), one["centres"], one["shifts"]) for item, one in zip(items, kept, strict=True)],
        stack=stack_name(context), box=settings.made_box, pixel_size_A=pixel_size_A,
        contrast_inverted=parameters.white_protein, seed=context.seed, random_angles=parameters.random_angles,
    )  # fmt: skip
    return table, {
        "name": parameters.package_name, "symmetry": parameters.symmetry, "mass_kDa": parameters.molecular_weight_kDa,
        "largest_dimension_A": parameters.largest_dimension_A, "classes": parameters.classes,
        "contrast_inverted": parameters.white_protein,
        "start": "Random Parameters" if parameters.random_angles else "Starting Parameters",
    }  # fmt: skip
