"""Align Movies: bring the frames of movies into register and sum them, weighted for radiation damage."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import Action, ActionParameters, Input, field
from verglas.actions.one_by_one import one_by_one
from verglas.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.execution.tasks import Task
    from verglas.stages.motion.alignment import AlignmentSettings
    from verglas.stages.motion.magnification import Magnification
    from verglas.stages.motion.movie_alignment import SumSettings

STATED_THREADS = 8
LARGEST_PIXEL_BYTES = 4
EER_PIXEL_BYTES = 2


class AlignMovies(Action):
    """Alignment of movies, whole frames and local motion, one result a movie."""

    name = "align-movies"
    title = "Align Movies"
    summary = "Align the frames of movies and sum them with dose weighting."

    class Parameters(ActionParameters):
        """What a user may set; the defaults suit most movies."""

        min_shift_A: float = field(2.0, help="Least shift looked at in the first search.", unit="A", ge=0)
        max_shift_A: float = field(40.0, help="Largest shift looked at in one search.", unit="A", gt=0)
        patches: int = field(
            6, help="Patches along the longer side that follow local motion; 1: whole frames only.", ge=1, le=20
        )
        dose_filter: bool = field(True, help="Weight frames by radiation damage.")
        restore_noise_power: bool = field(True, help="Keep the noise of the sum white under the dose filter.")
        pre_exposure_e_per_A2: float = field(0.0, help="Dose before the first frame.", unit="e/A^2", ge=0)
        output_pixel_size_A: float | None = field(
            None, help="Pixel size of the sums; none: as set at import.", unit="A", gt=0
        )
        unweighted_sum: bool = field(False, help="Write the sum without dose filter too.")
        half_sums: bool = field(False, help="Write the sums of even and of odd frames too.")
        save_scaled_sum: bool = field(True, help="Write a small copy of each sum too.")
        termination_A: float = field(
            0.1, help="The rounds end when no frame moves further.", unit="A", gt=0, expert=True
        )
        max_rounds: int = field(10, help="Rounds of refinement at most.", ge=1, le=100, expert=True)
        b_factor_A2: float = field(
            1500.0, help="Weight of frequencies: exp(-B k^2 / 4).", unit="A^2", gt=0, expert=True
        )
        mask_central_cross: bool = field(True, help="Leave out frequencies beside the axes.", expert=True)
        cross_half_width: int = field(1, help="Half-width of that cross.", unit="Fourier pixels", ge=0, expert=True)
        patch_b_factor_A2: float = field(
            800.0, help="Weight of frequencies in patches: exp(-B k^2 / 4).", unit="A^2", gt=0, expert=True
        )
        running_average: int = field(1, help="Odd number of frames aligned as one.", ge=1, expert=True)
        smooth_shifts: bool = field(True, help="Smooth the path by as much as its errors ask for.", expert=True)
        first_frame: int = field(1, help="First frame to sum.", ge=1, expert=True)
        last_frame: int = field(0, help="Last frame to sum; 0: the movie's last.", ge=0, expert=True)
        outlier_sigmas: float = field(
            12.0, help="Pixels further off than this become the mean.", unit="standard deviations", gt=3, expert=True
        )
        find_bad_pixels: bool = field(True, help="Leave out pixels hot or dead all through a movie.", expert=True)
        defects: str | None = field(
            None, help="File of defects: an image, or text lines `x y width height` in pixels.", expert=True
        )
        half_precision_sum: bool = field(False, help="Write sums as float16, half the size.", expert=True)

    inputs = (Input("movies", "movie", "Movies to align."),)
    outputs = ("movie_alignment",)

    def estimate(self, parameters: Any, inputs: dict[str, list[dict[str, Any]]]) -> Estimate:
        """Say what the movies will take, from their records alone."""
        from verglas.execution.resources import Estimate
        from verglas.stages.motion.layout import plan_layout
        from verglas.stages.motion.movie_alignment import plan_movie

        threads = min(STATED_THREADS, os.cpu_count() or 1)
        memory, disk, seconds = 0, 0, 0.0
        for movie in inputs["movies"]:
            alignment, sums = settings_of(movie, parameters)
            layout = plan_layout(frame_shape(movie), corrected_pixel(movie), sums.output_pixel_size_A)
            references = sum(bool(movie.get(role)) for role in ("gain_path", "dark_path"))
            references = max(references, int(parameters.defects is not None))
            pixel_bytes = EER_PIXEL_BYTES if movie.get("eer_frames_per_image") else LARGEST_PIXEL_BYTES
            one = plan_movie(layout, movie["n_frames"], pixel_bytes, alignment, sums, references, threads)
            memory, disk = max(memory, one.memory_bytes), disk + one.disk_bytes
            seconds += one.cpu_seconds
        return Estimate(memory_bytes=memory, disk_bytes=disk, core_seconds=seconds, tasks=len(inputs["movies"]))

    def run(self, context: JobContext) -> None:
        """Align every movie that has no result yet."""
        movies = context.inputs["movies"]
        work = partial(align_one, parameters=context.parameters.model_dump())
        one_by_one(
            context, movies, work, kind="movie_alignment", phase="aligning movies", warnings_about=warnings_about
        )


def output_pixel(movie: dict[str, Any], parameters: Any) -> float | None:
    """Return the pixel size wanted for a movie's sum, or None for that of its frames."""
    if parameters.output_pixel_size_A is not None:
        return float(parameters.output_pixel_size_A)
    binning = movie.get("output_binning") or 1.0
    return frame_pixel(movie) * float(binning) if binning > 1.0 else None


def super_resolution(movie: dict[str, Any]) -> int:
    """Return how many pixels a movie's frames have for each of its file's, along each axis (EER)."""
    return int(movie.get("eer_super_resolution") or 1)


def frame_shape(movie: dict[str, Any]) -> tuple[int, int]:
    """Return rows and columns of a movie's frames as they are decoded."""
    return int(movie["n_y"]) * super_resolution(movie), int(movie["n_x"]) * super_resolution(movie)


def frame_pixel(movie: dict[str, Any]) -> float:
    """Return the pixel size of a movie's frames as they are decoded, in A."""
    return float(movie["pixel_size_A"]) / super_resolution(movie)


def magnification_of(movie: dict[str, Any]) -> Magnification | None:
    """Return what corrects a movie's anisotropic magnification, or None."""
    from verglas.stages.motion.magnification import Magnification

    if movie.get("mag_distortion_major") is None or movie.get("mag_distortion_minor") is None:
        return None
    return Magnification(
        movie.get("mag_distortion_angle_deg") or 0.0, movie["mag_distortion_major"], movie["mag_distortion_minor"]
    )


def corrected_pixel(movie: dict[str, Any]) -> float:
    """Return the pixel size of a movie's frames with their magnification corrected, in A."""
    found = magnification_of(movie)
    return frame_pixel(movie) / (1.0 if found is None else found.mean_scale)


def warnings_about(movie: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """Return what a person should know about an alignment."""
    name, said = movie["name"], []
    if not values["found_signal"]:
        said.append(f"{name}: the frames have nothing in common above noise; they were summed without shifts.")
    elif not values["converged"]:
        said.append(f"{name}: the alignment had not settled after {values['rounds']} rounds; look at its path.")
    if values["frames_left_out"]:
        frames = ", ".join(str(frame) for frame in values["frames_left_out"])
        said.append(f"{name}: frames {frames} hold no image and were left out.")
    return said


def settings_of(movie: dict[str, Any], parameters: Any) -> tuple[AlignmentSettings, SumSettings]:
    """Return the stage's settings for a movie."""
    from verglas.stages.motion.alignment import AlignmentSettings
    from verglas.stages.motion.movie_alignment import SumSettings

    alignment = AlignmentSettings(
        min_shift_A=parameters.min_shift_A, max_shift_A=parameters.max_shift_A, b_factor_A2=parameters.b_factor_A2,
        mask_central_cross=parameters.mask_central_cross, cross_half_width=parameters.cross_half_width,
        termination_A=parameters.termination_A, max_rounds=parameters.max_rounds,
        running_average=parameters.running_average, smooth=parameters.smooth_shifts,
        patches=parameters.patches, patch_b_factor_A2=parameters.patch_b_factor_A2,
    )  # fmt: skip
    sums = SumSettings(
        voltage_kV=movie["voltage_kV"], pre_exposure_e_per_A2=parameters.pre_exposure_e_per_A2,
        dose_filter=parameters.dose_filter, restore_noise_power=parameters.restore_noise_power,
        first_frame=parameters.first_frame, last_frame=parameters.last_frame,
        output_pixel_size_A=output_pixel(movie, parameters),
        unweighted=parameters.unweighted_sum, halves=parameters.half_sums,
    )  # fmt: skip
    return alignment, sums


def align_one(movie: dict[str, Any], task: Task, parameters: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Align one movie on a worker and write its files into the job's results."""
    from verglas.formats.movies import open_movie
    from verglas.stages.motion.movie_alignment import align_movie
    from verglas.stages.motion.results import result_values, write_aligned

    if task.device != "cpu":
        raise InputError("Align Movies runs on CPUs; start it with the device cpu.")
    checked = AlignMovies.Parameters.model_validate(parameters)
    alignment, sums = settings_of(movie, checked)
    gain, dark = references_of(movie, task.project, checked.defects)
    with open_movie(
        task.project / movie["path"], eer_frames_per_image=movie.get("eer_frames_per_image"),
        eer_super_resolution=super_resolution(movie),
    ) as source:  # fmt: skip
        aligned = align_movie(
            source, pixel_size_A=frame_pixel(movie), magnification=magnification_of(movie),
            find_bad_pixels=checked.find_bad_pixels, dose_per_frame_e_per_A2=movie.get("dose_per_frame_e_A2") or 0.0,
            gain=gain, dark=dark, outlier_sigmas=checked.outlier_sigmas, alignment=alignment, summation=sums,
            threads=task.threads, progress=task.check,
        )  # fmt: skip
    files = write_aligned(
        aligned, task.results, f"movie_{movie['id']}", title=movie["name"],
        scaled=checked.save_scaled_sum, half_precision=checked.half_precision_sum,
    )  # fmt: skip
    values = result_values(aligned) | {
        "file_bytes": files["sum"].stat().st_size,
        "dose_per_frame_e_per_A2": movie.get("dose_per_frame_e_A2"),
        "pre_exposure_e_per_A2": checked.pre_exposure_e_per_A2,
    }
    return {role: str(path) for role, path in files.items()}, values


def references_of(
    movie: dict[str, Any], project: Path, defects: str | None
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Return gain and dark of a movie as float32 of its frames' shape, or None; defects have gain 0."""
    import numpy as np

    from verglas.formats.references import defect_mask, load_dark, load_gain

    shape, is_eer = frame_shape(movie), bool(movie.get("eer_frames_per_image"))
    gain = dark = None
    if movie.get("gain_path"):
        gain = load_gain(project / movie["gain_path"], shape, for_eer=is_eer)
    if movie.get("dark_path"):
        dark = load_dark(project / movie["dark_path"], shape)
    if defects is not None:
        finer = super_resolution(movie)
        mask = defect_mask(path=project / defects, shape=(shape[0] // finer, shape[1] // finer))
        gain = np.ones(shape, np.float32) if gain is None else gain
        gain[mask.repeat(finer, 0).repeat(finer, 1)] = 0.0
    return gain, dark
