"""Find CTF: defocus, astigmatism and phase shift of micrographs from their Thon rings."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.one_by_one import one_by_one
from verglas.errors import InputError

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.stages.ctf_estimation import SearchSettings

STATED_THREADS = 8
ICY = 1.5
DOUBTFUL = 0.1


class FindCtf(Action):
    """CTF estimation, one result a micrograph."""

    name = "find-ctf"
    title = "Find CTF"
    summary = "Estimate defocus, astigmatism and phase shift of micrographs."

    class Parameters(ActionParameters):
        """What a user may set; the defaults suit most micrographs."""

        amplitude_contrast: float = field(0.07, help="Amplitude contrast.", ge=0, lt=1)
        box_size: int = field(512, help="Edge of the amplitude spectrum.", unit="pixels", ge=128, le=4096)
        min_resolution_A: float = field(30.0, help="Lowest resolution of the fit.", unit="A", gt=0)
        max_resolution_A: float = field(4.0, help="Highest resolution of the fit.", unit="A", gt=0)
        min_defocus_A: float = field(3000.0, help="Least defocus searched.", unit="A")
        max_defocus_A: float = field(50000.0, help="Largest defocus searched.", unit="A")
        restrain_astigmatism: bool = field(False, help="Hold astigmatism small where rings are weak.")
        tolerated_astigmatism_A: float = field(
            500.0, help="Astigmatism that the restraint expects.", unit="A", gt=0, expert=True
        )
        additional_phase_shift: bool = field(False, help="Search the shift of a phase plate too.")
        min_phase_shift_deg: float = field(0.0, help="Least phase shift searched.", unit="degrees", ge=-180, le=360)
        max_phase_shift_deg: float = field(180.0, help="Largest phase shift searched.", unit="degrees", ge=-180, le=360)
        phase_shift_step_deg: float = field(10.0, help="Step of that search.", unit="degrees", gt=0, expert=True)
        defocus_step_A: float = field(50.0, help="Step of the first search.", unit="A", gt=0, expert=True)
        max_astigmatism_A: float = field(1200.0, help="Largest astigmatism searched.", unit="A", ge=0, expert=True)
        resample_if_pixel_too_small: bool = field(
            True, help="Let the spectrum end at twice the finest pixel size where pixels are finer.", expert=True
        )
        finest_pixel_size_A: float = field(1.4, help="That pixel size.", unit="A", gt=0, expert=True)

    inputs = (Input("images", "image", "Aligned sums or imported micrographs."),)
    outputs = ("ctf_estimation",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the micrographs will take, from their records alone."""
        from verglas.execution.resources import Estimate
        from verglas.stages.ctf_estimation.budget import plan_estimate

        settings_of(parameters)
        threads = min(STATED_THREADS, os.cpu_count() or 1)
        memory, disk, seconds = 0, 0, 0.0
        for image in inputs["images"]:
            one = plan_estimate(
                (image["n_y"] or 0, image["n_x"] or 0),
                image["pixel_size_A"] or 1.0,
                parameters.box_size,
                finest_pixel_of(parameters),
                threads,
                search_phase=parameters.additional_phase_shift,
            )
            memory, disk = max(memory, one.memory_bytes), disk + one.disk_bytes
            seconds += one.cpu_seconds
        return Estimate(memory_bytes=memory, disk_bytes=disk, core_seconds=seconds, tasks=len(inputs["images"]))

    def run(self, context: JobContext) -> None:
        """Fit every micrograph that has no result yet."""
        images = context.inputs["images"]
        work = partial(find_one, parameters=context.parameters.model_dump())
        one_by_one(context, images, work, kind="ctf_estimation", phase="fitting CTFs", warnings_about=warnings_about)


def finest_pixel_of(parameters: Any) -> float | None:
    """Return the pixel size below which the spectrum is cut, or None for no cut."""
    return float(parameters.finest_pixel_size_A) if parameters.resample_if_pixel_too_small else None


def settings_of(parameters: Any) -> SearchSettings:
    """Return the stage's settings.

    Raises
    ------
    InputError
        Limits contradict each other.
    """
    from verglas.stages.ctf_estimation import SearchSettings

    low, high = parameters.min_phase_shift_deg, parameters.max_phase_shift_deg
    if not parameters.additional_phase_shift:
        low = high = 0.0
    return SearchSettings(
        coarsest_A=parameters.min_resolution_A, finest_A=parameters.max_resolution_A,
        min_defocus_A=parameters.min_defocus_A, max_defocus_A=parameters.max_defocus_A,
        defocus_step_A=parameters.defocus_step_A, max_astigmatism_A=parameters.max_astigmatism_A,
        astigmatism_tolerance_A=parameters.tolerated_astigmatism_A if parameters.restrain_astigmatism else None,
        min_phase_shift=math.radians(low), max_phase_shift=math.radians(high),
        phase_step=math.radians(parameters.phase_shift_step_deg),
    )  # fmt: skip


def warnings_about(image: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """Return what a person should know about a fit."""
    name, said = image["name"], []
    if values["fit_resolution_A"] is None:
        said.append(f"{name}: no Thon rings follow the fit; its defocus means nothing.")
    elif values["failure_probability"] > DOUBTFUL:
        said.append(
            f"{name}: weak Thon rings; with a probability of {values['failure_probability']:.0%} the defocus is off by "
            "more than 500 A."
        )
    if values["fit_is_aliased"]:
        said.append(
            f"{name}: beyond {values['aliasing_resolution_A']:.1f} A rings are too narrow for the spectrum's box of "
            f"{values['box']} pixels; a larger one (--box-size) shows them."
        )
    if values["iciness"] is not None and values["iciness"] > ICY:
        said.append(f"{name}: strong ice ring (iciness {values['iciness']:.1f}).")
    return said


def find_one(image: dict[str, Any], task: Task, parameters: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Fit one micrograph on a worker and write its files into the job's results."""
    from verglas.formats.images import read_image
    from verglas.stages.ctf_estimation import estimate_ctf
    from verglas.stages.ctf_estimation.results import result_values, write_estimate

    if task.device != "cpu":
        raise InputError("Find CTF runs on CPUs; start it with the device cpu.")
    checked = FindCtf.Parameters.model_validate(parameters)
    for column, option in (("pixel_size_A", "--pixel-size"), ("voltage_kV", "--voltage"), ("cs_mm", "--cs")):
        if image.get(column) is None:
            raise InputError(f"{image['name']}: its {column} is not known. Import it again with {option}.")
    array, _ = read_image(task.project / image["path"])
    found = estimate_ctf(
        array, image["pixel_size_A"], voltage_kV=image["voltage_kV"], spherical_aberration_mm=image["cs_mm"],
        amplitude_contrast=checked.amplitude_contrast, box=checked.box_size,
        finest_pixel_A=finest_pixel_of(checked), settings=settings_of(checked), threads=task.threads,
    )  # fmt: skip
    files = write_estimate(found, task.results, f"image_{image['id']}", title=image["name"], source=image["path"])
    return {role: str(path) for role, path in files.items()}, result_values(found)
