"""Find Particles: pick particles in micrographs with a disc, a ring, a Laplacian of Gaussian, images or a map."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.one_by_one import one_by_one
from verglas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.stages.picking import PickingSettings, TemplateImages
    from verglas.stages.picking.pick import Picks

STRANGE_PART = 0.6
ROTATIONS_OF_A_MAP = 600


class FindParticles(Action):
    """Picking, one set of positions a micrograph."""

    name = "find-particles"
    title = "Find Particles"
    summary = "Pick particles in micrographs by a matched filter."

    class Parameters(ActionParameters):
        """What a user may set; radii and threshold are worth a look at a few micrographs."""

        picker: Literal["disc", "ring", "log", "templates"] = field(
            "disc", help="disc; ring (a hollow sphere); log (without CTF); templates (images, class averages or a map)."
        )
        radius_A: float = field(80.0, help="Characteristic radius of the particle.", unit="A", gt=0)
        inner_radius_A: float = field(0.0, help="Radius of its cavity, for the ring.", unit="A", ge=0)
        max_radius_A: float = field(120.0, help="Largest radius; picks keep twice its distance.", unit="A", gt=0)
        min_distance_A: float | None = field(
            None, help="Least distance of picks; none: twice the largest radius.", unit="A", gt=0
        )
        threshold: float = field(6.0, help="Least score.", unit="standard deviations of the noise", ge=0.1)
        template_images: str | None = field(None, help="Stack of 2D images for templates, protein white.")
        template_pixel_size_A: float | None = field(
            None, help="Pixel size of those images; none: as their file says.", unit="A", gt=0
        )
        template_class_numbers: str | None = field(
            None, help="Classes whose averages are used, such as 1,4,7-9; none: all that hold particles."
        )
        rotation_step_deg: float = field(15.0, help="Step of views and rotations.", unit="degrees", gt=0, le=90)
        template_symmetry: str = field("C1", help="Symmetry of the template map.")
        use_ctf: bool = field(True, help="Multiply templates by each micrograph's CTF.")
        avoid_abnormal_mean: bool = field(True, help="Leave out ice, carbon and other areas of unusual grey value.")
        avoid_high_variance: bool = field(False, help="Leave out large areas of high variance.")
        avoid_low_variance: bool = field(False, help="Leave out areas of low variance: empty ones.")
        save_picture: bool = field(True, help="Write a picture of each micrograph with its picks.")
        highest_resolution_A: float = field(30.0, help="Finest detail used.", unit="A", gt=0, expert=True)
        edge_distance_A: float | None = field(
            None, help="Least distance from the edges; none: the largest radius.", unit="A", ge=0, expert=True
        )
        mean_limit: float = field(3.0, help="Grey values this far off are unusual.", unit="FWHM", gt=0, expert=True)
        high_variance_limit: float = field(4.0, help="Variance this far above the usual is high.", unit="FWHM",
                                           gt=0, expert=True)  # fmt: skip
        low_variance_limit: float = field(0.5, help="Variance this far below the usual is low.", unit="FWHM",
                                          gt=0, expert=True)  # fmt: skip
        background_boxes: int = field(50, help="Quiet boxes in which the noise is measured.", ge=1, expert=True)
        background_factor: float | None = field(
            2.0, help="Most unexplained background of a pick: ice, carbon and clumps have more; none: any.",
            unit="medians of all picks", gt=0, expert=True,
        )  # fmt: skip
        max_background: float | None = field(
            None, help="Most unexplained background of a pick.", unit="standard deviations of the noise", gt=0,
            expert=True,
        )  # fmt: skip
        score_factor: float | None = field(
            2.0, help="Highest score of a pick: dark blobs of dirt and ice have more; none: any.",
            unit="medians of all picks", gt=0, expert=True,
        )  # fmt: skip
        max_score: float | None = field(
            None, help="Highest score of a pick.", unit="standard deviations of the noise", gt=0, expert=True
        )

    inputs = (
        Input("images", "image", "Micrographs with a CTF."),
        Input("template_map", "volume", "A map whose projections are the templates.", required=False),
        Input(
            "template_classes",
            "classification",
            "A 2D classification whose averages are the templates.",
            required=False,
        ),
    )
    outputs = ("particle_positions",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the micrographs will take, from their records alone."""
        from verglas.execution.resources import Estimate
        from verglas.stages.picking.budget import plan_picking

        settings_of(parameters)
        given = check_templates(parameters, inputs)
        templates = 1
        if parameters.picker == "templates":
            turns = 360.0 / parameters.rotation_step_deg
            views = 10.0
            if given is not None:
                views = given["classes"] if given["kind"] == "classification" else turns * turns / math.pi
            templates = round(turns * views)
        memory, disk, seconds = 0, 0, 0.0
        for image in inputs["images"]:
            one = plan_picking(
                (image["n_y"] or 0, image["n_x"] or 0), image["pixel_size_A"] or 1.0, parameters.highest_resolution_A,
                templates, picture=parameters.save_picture,
            )  # fmt: skip
            memory, disk = max(memory, one.memory_bytes), disk + one.disk_bytes
            seconds += one.cpu_seconds
        return Estimate(memory_bytes=memory, disk_bytes=disk, core_seconds=seconds, tasks=len(inputs["images"]))

    def run(self, context: JobContext) -> None:
        """Pick in every micrograph that has no result yet."""
        images = context.inputs["images"]
        template = check_templates(context.parameters, context.inputs)
        work = partial(pick_one, parameters=context.parameters.model_dump(), template=template)
        one_by_one(context, images, work, kind="particle_positions", phase="picking", warnings_about=warnings_about)


def warnings_about(image: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """Return what a person should know about the picks of a micrograph."""
    said = []
    if values["count"] == 0:
        said.append(f"{image['name']}: nothing was picked; lower the threshold or look at its picture.")
    if values["avoided_part"] > STRANGE_PART:
        said.append(f"{image['name']}: {values['avoided_part']:.0%} of it was avoided as ice, carbon or empty.")
    return said


def settings_of(parameters: Any) -> PickingSettings:
    """Return the stage's settings.

    Raises
    ------
    InputError
        They contradict each other.
    """
    from verglas.stages.picking import AreaSettings, PickingSettings

    if parameters.picker == "ring" and not parameters.inner_radius_A < parameters.radius_A:
        raise InputError("the ring's inner radius must lie below its radius.")
    areas = AreaSettings(
        low_variance=parameters.low_variance_limit if parameters.avoid_low_variance else None,
        high_variance=parameters.high_variance_limit if parameters.avoid_high_variance else None,
        abnormal_mean=parameters.mean_limit if parameters.avoid_abnormal_mean else None,
        edge_distance_A=(parameters.max_radius_A if parameters.edge_distance_A is None else parameters.edge_distance_A),
    )
    return PickingSettings(
        shape=parameters.picker, radius_A=parameters.radius_A, inner_radius_A=parameters.inner_radius_A,
        max_radius_A=parameters.max_radius_A, min_distance_A=parameters.min_distance_A,
        threshold=parameters.threshold, highest_resolution_A=parameters.highest_resolution_A,
        background_boxes=parameters.background_boxes, background_factor=parameters.background_factor,
        max_background=parameters.max_background,
        score_factor=parameters.score_factor, max_score=parameters.max_score, areas=areas,
    )  # fmt: skip


def check_templates(parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> dict[str, Any] | None:
    """Return the record of the map or classification that gives the templates, None where a file or nothing does.

    Raises
    ------
    InputError
        Templates are missing, are two things at once, would not be used, or are of a class that is not there.
    """
    records = [*inputs.get("template_map", []), *inputs.get("template_classes", [])]
    given = len(records) + (parameters.template_images is not None)
    if parameters.picker == "templates" and given != 1:
        raise InputError(
            "the template picker takes either --template-images, one --template-map or one --template-classes."
        )
    if parameters.picker != "templates" and given:
        raise InputError("templates were given, but another picker was chosen: add --picker templates.")
    if records and records[0]["kind"] == "classification" and parameters.template_class_numbers is not None:
        from verglas.project.class_selections import parse_classes

        beyond = [one for one in parse_classes(parameters.template_class_numbers) if one > records[0]["classes"]]
        if beyond:
            raise InputError(f"{records[0]['name']} has classes 1 to {records[0]['classes']}: there is no {beyond[0]}.")
    return records[0] if records else None


def class_averages(classification: dict[str, Any], numbers: str | None, project: Path) -> tuple[NDArray[Any], float]:
    """Return the averages of chosen classes of a 2D classification, protein white, and their pixel size.

    Raises
    ------
    InputError
        Nobody is in a class, or in any.
    """
    from verglas.formats import read_stack
    from verglas.project.class_selections import parse_classes

    name = classification["name"]
    images, file_pixel_A = read_stack(project / classification["path"])
    chosen = [number for number, image in enumerate(images, 1) if image.std() > 0]
    if numbers is not None:
        wanted = parse_classes(numbers)
        empty = [one for one in wanted if one not in chosen]
        if empty:
            raise InputError(f"{name}: nobody is in its class {empty[0]}; leave it out.")
        chosen = wanted
    if not chosen:
        raise InputError(f"{name}: none of its classes holds particles.")
    return images[[number - 1 for number in chosen]], classification.get("pixel_size_A") or file_pixel_A


def templates_of(
    parameters: Any, template: dict[str, Any] | None, project: Path, threads: int
) -> Callable[[float], TemplateImages]:
    """Return what makes the templates at a pixel size, from the record of a map or a classification, or from a file."""
    from verglas.formats import read_stack, read_volume
    from verglas.stages.picking import map_projections, template_images

    if template is not None and template["kind"] == "classification":
        averages, averages_A = class_averages(template, parameters.template_class_numbers, project)
        return lambda pixel_size_A: template_images(
            averages, averages_A, pixel_size_A, rotation_step_deg=parameters.rotation_step_deg,
            diameter_A=2 * parameters.max_radius_A,
        )  # fmt: skip
    if template is not None:
        volume, file_pixel_A = read_volume(project / template["path"])
        size_A = template.get("pixel_size_A") or file_pixel_A
        if not size_A:
            raise InputError(f"{template['name']}: its pixel size is not known. Import it with --pixel-size.")
        return lambda pixel_size_A: map_projections(
            volume, size_A, pixel_size_A, step_deg=parameters.rotation_step_deg,
            symmetry=parameters.template_symmetry, threads=threads,
        )  # fmt: skip
    images, file_pixel_A = read_stack(project / parameters.template_images)
    images_A = parameters.template_pixel_size_A or file_pixel_A
    if not images_A:
        raise InputError(f"{parameters.template_images}: its pixel size is not known; give --template-pixel-size.")
    return lambda pixel_size_A: template_images(
        images, images_A, pixel_size_A, rotation_step_deg=parameters.rotation_step_deg,
        diameter_A=2 * parameters.max_radius_A,
    )  # fmt: skip


def picks_in(
    image: dict[str, Any], checked: Any, template: dict[str, Any] | None, project: Path, *, threads: int,
    progress: Callable[[], None] | None = None,
) -> Picks:  # fmt: skip
    """Pick in one micrograph.

    Parameters
    ----------
    image
        Its record.
    checked
        Parameters of `FindParticles`.
    template
        Record of the map or classification that gives the templates.
    project
        The project folder.
    threads
        Threads.
    progress
        Called now and then; may raise to stop.

    Raises
    ------
    InputError
        The micrograph has no pixel size or CTF, or templates are missing.
    """
    from verglas.formats.images import read_image
    from verglas.microscopy import Optics
    from verglas.stages.picking import pick_particles

    if not image.get("pixel_size_A"):
        raise InputError(f"{image['name']}: its pixel size is not known. Import it again with --pixel-size.")
    optics = defocus = None
    if checked.use_ctf and checked.picker != "log":
        if image.get("ctf_estimation") is None or image.get("defocus_u_A") is None:
            raise InputError(f"{image['name']}: it has no CTF. Run find-ctf first, or pick with --no-use-ctf.")
        optics = Optics(image["voltage_kV"], image["cs_mm"], image["amplitude_contrast"], image["pixel_size_A"])
        defocus = (
            image["defocus_u_A"], image["defocus_v_A"], math.radians(image["defocus_angle_deg"]),
            math.radians(image["phase_shift_deg"] or 0.0),
        )  # fmt: skip
    make = None
    if checked.picker == "templates":
        make = templates_of(checked, template, project, threads)
    micrograph, _ = read_image(project / image["path"])
    return pick_particles(
        micrograph, image["pixel_size_A"], optics, defocus, settings=settings_of(checked), make_templates=make,
        protein_is_white=bool(image.get("protein_is_white")), threads=threads, progress=progress,
    )  # fmt: skip


def pick_one(
    image: dict[str, Any], task: Task, parameters: dict[str, Any], template: dict[str, Any] | None = None
) -> tuple[dict[str, str], dict[str, Any]]:
    """Pick in one micrograph on a worker and write the files into the job's results."""
    from verglas.stages.picking.results import result_values, write_picks

    if task.device != "cpu":
        raise InputError("Find Particles runs on CPUs; start it with the device cpu.")
    checked = FindParticles.Parameters.model_validate(parameters)
    found = picks_in(image, checked, template, task.project, threads=task.threads, progress=task.check)
    files = write_picks(found, task.results, f"image_{image['id']}", title=image["name"], picture=checked.save_picture)
    values = result_values(found) | {"file_bytes": files["positions"].stat().st_size}
    return {role: str(path) for role, path in files.items()}, values


def preview_picks(
    image: dict[str, Any], parameters: dict[str, Any], template: dict[str, Any] | None, project: Path
) -> dict[str, Any]:
    """Return what would be picked in one micrograph, as plain JSON; nothing is written.

    Returns
    -------
    dict
        ``x_A``, ``y_A``, ``score`` of the picks, all ``candidates``' scores, ``avoided_part`` and ``radius_A``.
    """
    from verglas.stages.picking.results import result_values

    checked = FindParticles.check_parameters(parameters)
    check_templates(checked, {"template_map": [] if template is None else [template]})
    found = picks_in(image, checked, template, project, threads=1)
    picks, values = found.candidates[found.chosen], result_values(found)
    return {
        "count": len(picks), "x_A": picks["x_A"].astype(float).tolist(), "y_A": picks["y_A"].astype(float).tolist(),
        "score": picks["peak_height"].astype(float).tolist(),
        "candidates": found.candidates["peak_height"].astype(float).tolist(),
        **{name: values[name] for name in ("avoided_part", "radius_A", "median_score")},
    }  # fmt: skip
