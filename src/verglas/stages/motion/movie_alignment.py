"""Align one movie: from the file of frames to the dose-weighted sum and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np

from verglas.errors import FormatError, InputError
from verglas.microscopy.dose import frame_doses
from verglas.stages.motion.alignment import Alignment, AlignmentSettings, align
from verglas.stages.motion.budget import SUMS, Estimate, plan_memory
from verglas.stages.motion.frames import Corrections, FrameSource, FrameStatistics
from verglas.stages.motion.layout import Layout, plan_layout
from verglas.stages.motion.local_alignment import LocalAlignment
from verglas.stages.motion.low_frequencies import low_frequency_reach, low_layout
from verglas.stages.motion.magnification import Magnification
from verglas.stages.motion.patches import patch_bytes
from verglas.stages.motion.pictures import amplitude_spectrum, scaled_copy
from verglas.stages.motion.reading import MovieReading
from verglas.stages.motion.summation import Summation, displacement_field, dose_weights, image_of


@dataclass(frozen=True)
class SumSettings:
    """What steers the sum of the aligned frames.

    Attributes
    ----------
    voltage_kV
        Acceleration voltage, for the dose filter.
    pre_exposure_e_per_A2
        Dose the specimen had received before the first frame.
    dose_filter
        Weight frames by radiation damage.
    restore_noise_power
        Keep the sum's noise white under the dose filter.
    first_frame, last_frame
        Frames to sum, counted from 1; 0 as the last one means the movie's last. All frames are aligned.
    output_pixel_size_A
        Pixel size of the sum, reached by cropping transforms; None keeps the frames'.
    unweighted
        Give the sum without dose filter too.
    halves
        Give the sums of the even and of the odd frames too, counted from 1 and weighted like the sum.
    """

    voltage_kV: float = 300.0
    pre_exposure_e_per_A2: float = 0.0
    dose_filter: bool = True
    restore_noise_power: bool = True
    first_frame: int = 1
    last_frame: int = 0
    output_pixel_size_A: float | None = None
    unweighted: bool = False
    halves: bool = False

    @property
    def planes(self) -> int:
        """How many images are summed in real space at most."""
        return SUMS * (2 if self.halves else 1) + int(self.unweighted)

    @property
    def images(self) -> int:
        """How many images come out."""
        return 1 + 2 * int(self.halves) + int(self.unweighted)

    def summed(self, frames: int) -> np.ndarray:
        """Return which of a movie's frames enter the sum.

        Raises
        ------
        InputError
            If the range is empty or reaches past the movie.
        """
        last = self.last_frame or frames
        if not 1 <= self.first_frame <= last <= frames:
            raise InputError(
                f"Frames {self.first_frame} to {last} cannot be summed: the movie has {frames}. Count from 1; 0 as the "
                "last frame means the end."
            )
        index = np.arange(1, frames + 1)
        return (index >= self.first_frame) & (index <= last)


@dataclass(frozen=True)
class AlignedMovie:
    """What the alignment of one movie gives.

    Attributes
    ----------
    sum
        Aligned, weighted sum, float32 ``[y, x]``, mean zero.
    pixel_size_A
        Its pixel size.
    frame_shape, frame_pixel_size_A
        Size (y, x) of the frames in pixels, and their pixel size (corrected for anisotropic magnification).
    shifts_A
        Shift to apply to each frame (x, y) in A, shape (frames, 2); zero at the middle frame.
    dose_after_frame_e_per_A2
        Accumulated dose at the end of each frame, shape (frames,).
    spectrum
        Amplitude spectrum of the sum, 512 x 512, origin in the middle, edges at the Nyquist frequency.
    scaled
        Copy of the sum with a longest side of at most 1200 pixels.
    summed
        Which frames are in the sum, shape (frames,).
    statistics
        Mean, standard deviation and outliers of each frame.
    alignment
        How the shifts were found.
    local
        The local motion and how it was found; None where whole frames were aligned only.
    estimate
        The memory, disk and time that were foreseen.
    magnification
        The anisotropic magnification that was corrected, or None.
    bad_pixels
        Number of pixels that were found hot or dead all through the movie.
    other_sums
        What else was asked for: ``unweighted``, ``even``, ``odd``.
    """

    sum: np.ndarray
    pixel_size_A: float
    frame_shape: tuple[int, int]
    frame_pixel_size_A: float
    shifts_A: np.ndarray
    dose_after_frame_e_per_A2: np.ndarray
    spectrum: np.ndarray
    scaled: np.ndarray
    summed: np.ndarray
    statistics: FrameStatistics
    alignment: Alignment
    local: LocalAlignment | None
    estimate: Estimate
    magnification: Magnification | None = None
    bad_pixels: int = 0
    other_sums: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def edge_A(self) -> float:
        """Width of the rim in A where, for the shifts, not every frame holds its own image."""
        shifts = self.shifts_A[:, :, None]
        if self.local is not None:
            sides = np.linspace(-1.0, 1.0, 9)
            shifts = shifts + self.local.model.shifts_A(np.tile(sides, 9), np.repeat(sides, 9))
        return float(np.abs(shifts[self.summed]).max(initial=0.0))


def open_source(movie: FrameSource | str | PathLike[str]) -> FrameSource:
    """Return a movie that is ready to be read: a file is opened, anything else passes."""
    if isinstance(movie, str | PathLike):
        from verglas.formats.movies import open_movie

        return open_movie(Path(movie))
    return movie


def estimate(
    movie: FrameSource | str | PathLike[str],
    *,
    pixel_size_A: float,
    alignment: AlignmentSettings | None = None,
    summation: SumSettings | None = None,
    references: int = 0,
    threads: int = 1,
    memory_bytes: int | None = None,
) -> Estimate:
    """Say what aligning a movie will take, without reading a frame.

    Parameters
    ----------
    movie, pixel_size_A, alignment, summation, threads, memory_bytes
        As for `align_movie`.
    references
        Number of detector references (gain, dark) that will be given.

    Raises
    ------
    ResourceError
        If the movie cannot be aligned in the memory that is allowed.
    """
    source, sums = open_source(movie), summation or SumSettings()
    layout = plan_layout((source.n_y, source.n_x), pixel_size_A, sums.output_pixel_size_A)
    return plan_movie(
        layout, source.n_frames, source.dtype.itemsize, alignment or AlignmentSettings(), sums, references, threads,
        memory_bytes,
    )  # fmt: skip


def plan_movie(
    layout: Layout,
    frames: int,
    bytes_per_pixel: int,
    settings: AlignmentSettings,
    sums: SumSettings,
    references: int,
    threads: int,
    memory_bytes: int | None = None,
) -> Estimate:
    """Say what aligning a movie of a certain size will take; parameters as for `plan_memory` and `align_movie`."""
    low = low_layout(layout.shape, layout.pixel_size_A, settings.b_factor_A2)
    reach_y, reach_x = low_frequency_reach(low, settings.b_factor_A2)
    patches = 0
    if settings.patches > 1:
        patches = patch_bytes(low, settings.patches, frames, settings.patch_b_factor_A2)
    return plan_memory(
        layout, low, (2 * reach_y + 1, reach_x + 1), frames, bytes_per_pixel, references, threads, memory_bytes,
        patch_bytes=patches, sums=sums.planes, images=sums.images,
    )  # fmt: skip


def align_movie(
    movie: FrameSource | str | PathLike[str],
    *,
    pixel_size_A: float,
    dose_per_frame_e_per_A2: float = 0.0,
    gain: np.ndarray | None = None,
    dark: np.ndarray | None = None,
    outlier_sigmas: float = 12.0,
    find_bad_pixels: bool = True,
    magnification: Magnification | None = None,
    alignment: AlignmentSettings | None = None,
    summation: SumSettings | None = None,
    threads: int = 1,
    memory_bytes: int | None = None,
    progress: Callable[[], None] | None = None,
) -> AlignedMovie:
    """Align the frames of a movie, wholly and locally, and sum them, weighted for radiation damage.

    Parameters
    ----------
    movie
        File of frames, or an opened movie, or `ArrayMovie`.
    pixel_size_A
        Pixel size of the frames in A, before the magnification is corrected.
    dose_per_frame_e_per_A2
        Dose of one frame in e/A^2; needed for the dose filter.
    gain, dark
        Detector references of a frame's shape: ``(raw - dark) * gain``.
    outlier_sigmas
        Pixels further than this many standard deviations from the frame's mean become the mean.
    find_bad_pixels
        Find pixels that are hot or dead all through the movie and give them the mean.
    magnification
        What corrects an anisotropic magnification; pixels become smaller by its mean scale.
    alignment
        What steers the alignment.
    summation
        What steers the sum.
    threads
        Number of threads; the result does not depend on it.
    memory_bytes
        Memory that may be used; None takes what holding every frame needs. With less, frames are decoded
        twice.
    progress
        Called after each frame that was decoded; it may raise to stop the work.

    Returns
    -------
    AlignedMovie

    Raises
    ------
    InputError
        If a parameter makes no sense or a reference does not fit.
    FormatError
        If no frame of the movie holds an image, or the file is damaged.
    ResourceError
        If the memory does not suffice.

    Examples
    --------
    >>> from verglas.stages.motion import align_movie
    >>> aligned = align_movie("movie.tif", pixel_size_A=0.83, dose_per_frame_e_per_A2=1.2, threads=4)  # doctest: +SKIP
    >>> aligned.shifts_A[:, 0]  # doctest: +SKIP

    References
    ----------
    T. Grant, N. Grigorieff, "Measuring the optimal exposure for single particle cryo-EM using a 2.6 A reconstruction
    of rotavirus VP6", eLife 4 (2015) e06980.
    """
    settings, sums = alignment or AlignmentSettings(), summation or SumSettings()
    settings.check()
    source = open_source(movie)
    if magnification is not None:
        magnification.check()
        pixel_size_A = pixel_size_A / magnification.mean_scale
    layout = plan_layout((source.n_y, source.n_x), pixel_size_A, sums.output_pixel_size_A)
    in_range = sums.summed(source.n_frames)
    if sums.dose_filter and not dose_per_frame_e_per_A2 > 0:
        raise InputError("The dose filter needs the dose of a frame, above zero; give it or switch the filter off.")
    references = sum(reference is not None for reference in (gain, dark))
    plan = plan_movie(layout, source.n_frames, source.dtype.itemsize, settings, sums, references, threads, memory_bytes)
    reader = MovieReading(source, layout, Corrections(gain, dark, outlier_sigmas), settings, plan, threads, progress)
    reader.first_pass()
    if find_bad_pixels:
        reader.leave_out_bad_pixels()
    usable = reader.statistics.usable()
    if not usable.any():
        raise FormatError(
            str(movie), "no frame holds an image: all are constant or not finite.", "Leave this movie out."
        )
    found = align(reader.low, usable, settings, threads)
    local = reader.local_motion(found)
    reader.forget_decimated()
    summed = in_range & usable
    if not summed.any():
        raise InputError("None of the frames to sum holds an image; choose other frames.")
    weights = dose_weights(
        layout, summed,
        dose_per_frame_e_per_A2=dose_per_frame_e_per_A2, pre_exposure_e_per_A2=sums.pre_exposure_e_per_A2,
        voltage_kV=sums.voltage_kV, dose_filter=sums.dose_filter, restore_noise_power=sums.restore_noise_power,
        unweighted=sums.unweighted and sums.dose_filter, halves=sums.halves,
    )  # fmt: skip
    places = displacement_field(layout, found.shifts_A, None if local is None else local.model, magnification)
    total = Summation(layout, places, weights, reader.corrections, reader.statistics)
    reader.add_to(total)
    reader.forget_frames()
    transforms = total.transforms(threads)
    del total
    transform = transforms.pop("sum")
    image = image_of(transform, layout, threads)
    others = {name: image_of(one, layout, threads) for name, one in transforms.items()}
    doses = frame_doses(dose_per_frame_e_per_A2, source.n_frames, sums.pre_exposure_e_per_A2)[1:]
    return AlignedMovie(
        image, layout.output_pixel_size_A, layout.shape, layout.pixel_size_A, found.shifts_A, doses,
        amplitude_spectrum(transform, layout.stored),
        scaled_copy(transform, layout.stored, layout.output), summed, reader.statistics, found, local, plan,
        magnification, reader.bad_pixels, others,
    )  # fmt: skip
