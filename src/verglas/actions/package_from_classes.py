"""Package From Classes: the particles of selected 2D classes as a package, recentred and without duplicates."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.package_parts import (
    INTERPRETER_BYTES,
    SECONDS_PER_PIXEL,
    bring_rows,
    chunks_of,
    name_stack,
    record_package,
    target_like,
)
from verglas.errors import InputError, JobError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.formats import ParticleTable
    from verglas.stages.classification2d.choosing import Chosen
    from verglas.stages.extraction import BoxSettings

SAME_PIXEL = 1e-3


class PackageFromClasses(Action):
    """A refinement package from selections of 2D classes."""

    name = "package-from-classes"
    title = "Package From Classes"
    summary = "Make a package of the particles of selected 2D classes."

    class Parameters(ActionParameters):
        """Which particles are taken, and how their images are made."""

        recentre: bool = field(True, help="Move each particle's class to the middle of its image.")
        remove_duplicates_A: float | None = field(
            None, help="Of particles nearer than this only the best fitting stays; none: keep all.", unit="A", gt=0
        )
        worst_percent: float = field(
            0.0, help="Part of each class that is left out: what fits worst.", unit="%", ge=0, lt=100
        )
        cut_from: Literal["auto", "micrographs", "stack"] = field(
            "auto", help="Cut images anew from micrographs, or move those of the stack; auto: anew where possible."
        )
        box_size: int | None = field(
            None, help="Box in pixels of the new images; none: the package's field of view.", unit="pixels", ge=8,
            le=4096,
        )  # fmt: skip
        output_pixel_size_A: float | None = field(
            None, help="Pixel size of the images; none: the package's.", unit="A", gt=0
        )
        symmetry: str | None = field(None, help="Point group of the molecule; none: the package's.")
        classes: int = field(1, help="Number of classes to refine.", ge=1, le=1000)
        half_precision: bool = field(False, help="Store float16, half the size.")
        package_name: str | None = field(None, help="Name of the package; none: Refinement Package and its number.")
        least_certainty: float = field(
            0.0, help="Leave out particles less certain of their class than this.", ge=0, le=1, expert=True
        )

    inputs = (
        Input("selections", "selection", "Selections of classes, all of one package.", with_parents=True),
        Input("images", "image", "Micrographs to cut from.", required=False, default_all=True),
    )
    outputs = ("refinement_package",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the images will take, from the records alone."""
        from verglas.execution.resources import Estimate
        from verglas.geometry import point_group

        package = package_of(inputs["selections"])
        if parameters.symmetry is not None:
            point_group(parameters.symmetry)
        target = target_of(parameters, package)
        count, largest = package["count"], max(target.box, package["box_px"])
        pixels = max((image["n_x"] * image["n_y"] for image in inputs["images"]), default=0)
        return Estimate(
            memory_bytes=INTERPRETER_BYTES + 64 * 16 * largest**2 + 8 * pixels + 1000 * count + 8 * 64 * 2**20,
            disk_bytes=2 * count * target.box**2 * (2 if parameters.half_precision else 4),
            core_seconds=2 * count * largest**2 * SECONDS_PER_PIXEL + len(inputs["images"]) * pixels * 1e-8,
            tasks=max(len(inputs["images"]), len(chunks_of([count]))),
        )

    def run(self, context: JobContext) -> None:
        """Choose the particles, cut or move their images, and write the table."""
        from verglas.formats import ParticleTable
        from verglas.stages.extraction.recentring import at_new_centres, own_displacements_A

        if not context.pending(["package"], key=str):
            return
        parameters, package = context.parameters, package_of(context.inputs["selections"])
        chosen = chosen_particles(context.inputs["selections"], context.project, parameters)
        table = ParticleTable.load(context.project / package["particles_path"])
        part = table.select(chosen.rows)
        moved = at_new_centres(part, chosen.displacements_A if parameters.recentre else own_displacements_A(part))
        kept = kept_of(moved, chosen, parameters.remove_duplicates_A)
        moved, rows = moved.select(kept), chosen.rows[kept]
        from_micrographs = cuts_from_micrographs(parameters, moved, context.inputs["images"])
        make = cut_anew if from_micrographs else move_images
        made, parts, facts = make(context, package, moved, rows)
        name_stack(made, context, facts["box"], facts["pixel_size_A"])
        made["class_number"], made["occupancy"], made["log_likelihood"] = 0, 100.0, 0.0
        record_package(
            context, parts, made, box=facts["box"], pixel_size_A=facts["pixel_size_A"],
            half_precision=parameters.half_precision,
            values={
                "name": parameters.package_name, "symmetry": parameters.symmetry or package["symmetry"],
                "mass_kDa": package["mass_kDa"], "largest_dimension_A": package["largest_dimension_A"],
                "classes": parameters.classes, "contrast_inverted": bool(package["contrast_inverted"]),
                "start": "Random Parameters", "packages": [package["id"]],
                "selections": [one["id"] for one in context.inputs["selections"]],
                "duplicates": len(chosen.rows) - len(kept), "left_out_as_worst": chosen.left_out,
                "cut_from": "micrographs" if from_micrographs else "stack", "recentred": parameters.recentre,
            },
        )  # fmt: skip


def package_of(selections: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the package whose classes were selected.

    Raises
    ------
    InputError
        There are several, or a selection is empty.
    """
    packages = {one["parent"]["package"]: one["parent"].get("parent") for one in selections}
    if len(packages) != 1:
        numbers = ", ".join(f"{one['id']} ({one['name']}: package {one['parent']['package']})" for one in selections)
        raise InputError(f"these selections are of several packages; choose those of one with --selections: {numbers}.")
    if not any(one["members"] for one in selections):
        raise InputError("no class is selected; see `verglas classes suggest` and `verglas classes include`.")
    (package,) = packages.values()
    if package is None:
        raise InputError("the package of this classification is gone; bring it back with `verglas trash restore`.")
    return dict(package)


def target_of(parameters: Any, package: dict[str, Any]) -> Any:
    """Return what images that are moved become."""
    return target_like(package, output_pixel_size_A=parameters.output_pixel_size_A, box_size=parameters.box_size)


def chosen_particles(selections: list[dict[str, Any]], folder: Path, parameters: Any) -> Chosen:
    """Return the particles of all selections; of one that is in several, the first selection decides."""
    import numpy as np

    from verglas.formats import ParticleTable, read_stack
    from verglas.stages.classification2d.choosing import Chosen, choose_particles, class_centres

    found: list[Chosen] = []
    for selection in selections:
        if not selection["members"]:
            continue
        round_ = selection["parent"]
        averages, _ = read_stack(folder / round_["path"])
        centres = class_centres(averages, round_["pixel_size_A"], round_["mask_radius_A"])
        table = ParticleTable.load(folder / round_["particles_path"])
        found.append(
            choose_particles(
                table,
                selection["members"],
                centres,
                worst_percent=parameters.worst_percent,
                least_certainty=parameters.least_certainty,
            )
        )
    rows, first = np.unique(np.concatenate([one.rows for one in found]), return_index=True)
    return Chosen(
        rows, np.concatenate([one.displacements_A for one in found])[first],
        np.concatenate([one.log_likelihood for one in found])[first], sum(one.left_out for one in found),
    )  # fmt: skip


def kept_of(table: ParticleTable, chosen: Chosen, least_distance_A: float | None) -> NDArray[np.int64]:
    """Return which of the chosen particles stay when duplicates go."""
    import numpy as np

    from verglas.stages.extraction.combining import without_duplicates

    if least_distance_A is None:
        return np.arange(len(table))
    kept: NDArray[np.int64] = without_duplicates([table], least_distance_A, prefer=chosen.log_likelihood)[0]
    return kept


def cuts_from_micrographs(parameters: Any, table: ParticleTable, images: list[dict[str, Any]]) -> bool:
    """Tell whether images are cut anew.

    Raises
    ------
    InputError
        That is asked for, but a micrograph is not there.
    """
    from verglas.stages.extraction.recentring import by_micrograph

    if parameters.cut_from == "stack":
        return False
    missing = by_micrograph(table, [image["path"] for image in images])[1]
    if missing.size and parameters.cut_from == "micrographs":
        name = table.names_of("micrograph")[missing[0]] or "no micrograph"
        raise InputError(
            f"{missing.size} particles cannot be cut anew: particle {missing[0] + 1} is of {name}, which is not among "
            "the images. Import or choose it, or move the stack's images with --cut-from stack."
        )
    return not missing.size and bool(images)


Made = tuple["ParticleTable", list[Path], dict[str, Any]]


def move_images(context: JobContext, package: dict[str, Any], table: ParticleTable, rows: NDArray[np.int64]) -> Made:
    """Move images of the package's stack by whole pixels to the new centres; rests become origins."""
    import numpy as np

    from verglas.formats import ParticleTable
    from verglas.stages.extraction.combining import coordinate_pixel_A
    from verglas.stages.extraction.recentring import after_cutting

    target = target_of(context.parameters, package)
    old = ParticleTable.load(context.project / package["particles_path"]).select(rows)
    pixel_A = package["pixel_size_A"]
    size = coordinate_pixel_A(table)
    moved_A = np.stack(
        [(table[f"coordinate_{axis}_px"] - old[f"coordinate_{axis}_px"]) * size for axis in ("x", "y")], 1
    )
    centres = package["box_px"] // 2 + moved_A / pixel_A
    if not context.parameters.recentre:
        centres = np.full_like(centres, package["box_px"] // 2)
    shifts = np.floor(centres + 0.5) - (package["box_px"] // 2 + moved_A / pixel_A)
    parts = bring_rows(
        context, [package], [rows], target, half_precision=context.parameters.half_precision, centres_px=[centres]
    )
    after_cutting(table, shifts, pixel_A)
    return table, parts, {"box": target.box, "pixel_size_A": target.pixel_size_A}


def cut_anew(context: JobContext, package: dict[str, Any], table: ParticleTable, rows: NDArray[np.int64]) -> Made:
    """Cut images from the micrographs around the new centres, micrograph by micrograph."""
    import numpy as np

    from verglas.stages.extraction.recentring import after_cutting, by_micrograph

    images, parameters = context.inputs["images"], context.parameters
    found, _ = by_micrograph(table, [image["path"] for image in images])
    items = [{"image": images[place], "rows": some.tolist()} for place, some in found]
    items.sort(key=lambda item: item["image"]["id"])
    table.save(context.scratch / "chosen.npy")
    todo = [item for item in items if context.kept(image_key(item)) is None]
    work = partial(cut_micrograph, parameters=parameters.model_dump(), package=package)
    done = len(items) - len(todo)
    for item, cut in context.map(work, todo, key=image_key, phase="cutting particles", total=len(items), finished=done):
        context.keep(image_key(item), cut)
    whole = [item for item in items if context.kept(image_key(item)) is not None]
    if not whole:
        raise JobError("No particle could be cut; the messages of the micrographs say why.")
    order = np.concatenate([item["rows"] for item in whole]).astype(np.int64)
    shifts = np.concatenate([(context.kept(image_key(item)) or {})["shifts"] for item in whole])
    pixel_A = np.concatenate([np.full(len(item["rows"]), item["image"]["pixel_size_A"]) for item in whole])
    made = table.select(order)
    after_cutting(made, shifts, pixel_A)
    settings, made_A = settings_of(parameters, package, whole[0]["image"]["pixel_size_A"])
    parts = [context.scratch / f"{image_key(item)}.mrcs" for item in whole]
    return made, parts, {"box": settings.made_box, "pixel_size_A": made_A}


def image_key(item: dict[str, Any]) -> str:
    """Return the key of a micrograph's part."""
    return f"image-{item['image']['id']}"


def settings_of(parameters: Any, package: dict[str, Any], pixel_A: float) -> tuple[BoxSettings, float]:
    """Return how images are cut from micrographs of a pixel size, and the pixel size that they get."""
    from verglas.stages.extraction import BoxSettings

    target = target_of(parameters, package)
    box = 2 * max(4, round(target.box * target.pixel_size_A / pixel_A / 2))
    output = None if abs(target.pixel_size_A / pixel_A - 1.0) < SAME_PIXEL else target.box
    radius_A = target.background_radius_A
    settings = BoxSettings(
        box, output_box=output,
        background_radius_px=None if radius_A is None else min(radius_A / pixel_A, 0.47 * box),
    )  # fmt: skip
    return settings, pixel_A * box / settings.made_box


def cut_micrograph(
    item: dict[str, Any], task: Task, parameters: dict[str, Any], package: dict[str, Any]
) -> dict[str, Any]:
    """Cut the particles of one micrograph on a worker; return their shifts in its pixels."""
    import dataclasses

    import numpy as np

    from verglas.formats import ParticleTable
    from verglas.formats.images import read_image
    from verglas.stages.extraction.combining import places_A
    from verglas.stages.extraction.stacks import write_part

    if task.device != "cpu":
        raise InputError("Packages are made on CPUs; start it with the device cpu.")
    checked = PackageFromClasses.Parameters.model_validate(parameters)
    image = item["image"]
    settings, made_A = settings_of(checked, package, image["pixel_size_A"])
    settings = dataclasses.replace(
        settings, invert_contrast=bool(image.get("protein_is_white")) != bool(package["contrast_inverted"])
    )
    rows = np.array(item["rows"], np.int64)
    centres = places_A(ParticleTable.load(task.scratch / "chosen.npy").select(rows)) / image["pixel_size_A"]
    micrograph, _ = read_image(task.project / image["path"])
    shifts = write_part(
        task.scratch / f"{image_key(item)}.mrcs", micrograph, centres, settings, made_A,
        half_precision=checked.half_precision, threads=task.threads, progress=task.check,
    )  # fmt: skip
    return {"shifts": shifts}
