"""Find CTF: defocus, astigmatism and phase shift of micrographs from their Thon rings."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from verglas.actions.align_movies import frame_pixel, frame_shape, magnification_of, references_of, super_resolution
from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.one_by_one import one_by_one
from verglas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.stages.ctf_estimation import SearchSettings

STATED_THREADS = 8
OUTLIER_SIGMAS = 12.0
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
        find_thickness: bool = field(False, help="Find the specimen's thickness from the nodes of its rings.")
        thickness_max_resolution_A: float = field(
            3.0, help="Highest resolution of the rings that tell the thickness.", unit="A", gt=0, expert=True
        )
        find_tilt: bool = field(False, help="Find the specimen's tilt from the defocus of the micrograph's parts.")
        max_tilt_deg: float = field(60.0, help="Largest tilt searched.", unit="degrees", gt=0, le=75, expert=True)
        frames_to_average: int = field(
            3, help="Frames of a movie that are summed before their spectrum is taken.", ge=1, expert=True
        )
        resample_if_pixel_too_small: bool = field(
            True, help="Let the spectrum end at twice the finest pixel size where pixels are finer.", expert=True
        )
        finest_pixel_size_A: float = field(1.4, help="That pixel size.", unit="A", gt=0, expert=True)

    inputs = (
        Input("images", "image", "Aligned sums or imported micrographs."),
        Input("movies", "movie", "Movies of the images: spectra of these are averaged instead.", required=False),
    )
    outputs = ("ctf_estimation",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the micrographs will take, from their records alone."""
        from verglas.execution.resources import Estimate
        from verglas.stages.ctf_estimation.budget import plan_estimate

        settings_of(parameters)
        threads = min(STATED_THREADS, os.cpu_count() or 1)
        memory, disk, seconds = 0, 0, 0.0
        movies = {movie["id"]: movie for movie in inputs.get("movies", [])}
        for image in inputs["images"]:
            movie = movies.get(image.get("parent_movie") or 0)
            shape, pixel_size_A = (image["n_y"] or 0, image["n_x"] or 0), image["pixel_size_A"] or 1.0
            if movie is not None:
                shape, pixel_size_A = frame_shape(movie), frame_pixel(movie)
            one = plan_estimate(
                shape,
                pixel_size_A,
                parameters.box_size,
                finest_pixel_of(parameters),
                threads,
                search_phase=parameters.additional_phase_shift,
                find_tilt=parameters.find_tilt,
            )
            groups = 1
            if movie is not None:  # frame, its copies, references
                groups = -(-movie["n_frames"] // parameters.frames_to_average)
                memory = max(memory, one.memory_bytes + 24 * shape[0] * shape[1])
            memory, disk = max(memory, one.memory_bytes), disk + one.disk_bytes
            seconds += one.cpu_seconds * groups
        return Estimate(memory_bytes=memory, disk_bytes=disk, core_seconds=seconds, tasks=len(inputs["images"]))

    def run(self, context: JobContext) -> None:
        """Fit every micrograph that has no result yet."""
        images = context.inputs["images"]
        movies = {movie["id"]: movie for movie in context.inputs.get("movies", [])}
        work = partial(find_one, parameters=context.parameters.model_dump(), movies=movies)
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


def find_one(
    image: dict[str, Any], task: Task, parameters: dict[str, Any], movies: dict[int, dict[str, Any]] | None = None
) -> tuple[dict[str, str], dict[str, Any]]:
    """Fit one micrograph on a worker and write its files into the job's results.

    Parameters
    ----------
    image, task, parameters
        The micrograph's record, where to work, the action's parameters.
    movies
        Movies by number; an image whose movie is among them is fitted to the movie's frames, in groups.
    """
    from verglas.formats.images import read_image
    from verglas.stages.ctf_estimation import estimate_ctf
    from verglas.stages.ctf_estimation.results import result_values, write_estimate

    if task.device != "cpu":
        raise InputError("Find CTF runs on CPUs; start it with the device cpu.")
    checked = FindCtf.Parameters.model_validate(parameters)
    for column, option in (("pixel_size_A", "--pixel-size"), ("voltage_kV", "--voltage"), ("cs_mm", "--cs")):
        if image.get(column) is None:
            raise InputError(f"{image['name']}: its {column} is not known. Import it again with {option}.")
    movie = (movies or {}).get(image.get("parent_movie") or 0)
    if movies and movie is None:
        raise InputError(f"{image['name']}: its movie is not among those chosen; choose it too, or fit to images.")
    if movie is not None and magnification_of(movie) is not None:
        raise InputError(
            f"{image['name']}: its movie's magnification is anisotropic, seen as astigmatism in its frames. Fit to the "
            "aligned sum, where it is corrected."
        )
    power: Any
    if movie is None:
        (power, _), pixel_size_A = read_image(task.project / image["path"]), image["pixel_size_A"]
    else:
        power, pixel_size_A = movie_groups(movie, task, checked.frames_to_average), frame_pixel(movie)
    found = estimate_ctf(
        power, pixel_size_A, voltage_kV=image["voltage_kV"], spherical_aberration_mm=image["cs_mm"],
        amplitude_contrast=checked.amplitude_contrast, box=checked.box_size,
        finest_pixel_A=finest_pixel_of(checked), settings=settings_of(checked), threads=task.threads,
        largest_tilt_deg=checked.max_tilt_deg if checked.find_tilt else None,
        thickness_finest_A=checked.thickness_max_resolution_A if checked.find_thickness else None,
    )  # fmt: skip
    files = write_estimate(found, task.results, f"image_{image['id']}", title=image["name"], source=image["path"])
    values = result_values(found) | {"fitted_to": "image" if movie is None else "movie"}
    return {role: str(path) for role, path in files.items()}, values


def movie_groups(movie: dict[str, Any], task: Task, count: int) -> Iterator[NDArray[Any]]:
    """Yield sums of consecutive frames of a movie, without dark and gain, defects and outliers at the mean."""
    import numpy as np

    from verglas.formats.movies import open_movie
    from verglas.stages.ctf_estimation import frame_groups

    gain, dark = references_of(movie, task.project, None)

    def frames() -> Iterator[NDArray[Any]]:
        with open_movie(
            task.project / movie["path"], eer_frames_per_image=movie.get("eer_frames_per_image"),
            eer_super_resolution=super_resolution(movie),
        ) as source:  # fmt: skip
            for raw in source.frames():
                task.check()
                frame = raw.astype(np.float32)
                if dark is not None:
                    frame -= dark
                if gain is not None:
                    frame *= gain
                works = np.isfinite(frame) if gain is None else np.isfinite(frame) & (gain != 0)
                mean, sd = float(frame[works].mean()), float(frame[works].std())
                yield np.where(works & (abs(frame - mean) <= OUTLIER_SIGMAS * sd), frame, np.float32(mean))

    return frame_groups(frames(), count)
