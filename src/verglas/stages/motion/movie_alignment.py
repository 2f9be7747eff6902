"""Align one movie: from the file of frames to the dose-weighted sum and what belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from verglas.errors import FormatError, InputError
from verglas.microscopy.dose import frame_doses
from verglas.stages.motion.alignment import Alignment, AlignmentSettings, align
from verglas.stages.motion.budget import Estimate, plan_memory
from verglas.stages.motion.frames import Corrections, FrameDecimator, FrameSource, FrameStatistics, run_frames
from verglas.stages.motion.layout import Layout, plan_layout
from verglas.stages.motion.local_alignment import LocalAlignment, align_patches
from verglas.stages.motion.low_frequencies import LowFrequencies, low_frequency_reach, low_layout
from verglas.stages.motion.patches import patch_bytes, patch_counts
from verglas.stages.motion.pictures import amplitude_spectrum, scaled_copy
from verglas.stages.motion.summation import Summation, dose_weights, image_of, local_field, uniform_field


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
    """

    voltage_kV: float = 300.0
    pre_exposure_e_per_A2: float = 0.0
    dose_filter: bool = True
    restore_noise_power: bool = True
    first_frame: int = 1
    last_frame: int = 0
    output_pixel_size_A: float | None = None

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
        Size (y, x) of the frames in pixels, and their pixel size.
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
    output_pixel_size_A: float | None = None,
    references: int = 0,
    threads: int = 1,
    memory_bytes: int | None = None,
) -> Estimate:
    """Say what aligning a movie will take, without reading a frame.

    Parameters
    ----------
    movie, pixel_size_A, alignment, output_pixel_size_A, threads, memory_bytes
        As for `align_movie`.
    references
        Number of detector references (gain, dark) that will be given.

    Raises
    ------
    ResourceError
        If the movie cannot be aligned in the memory that is allowed.
    """
    source = open_source(movie)
    layout = plan_layout((source.n_y, source.n_x), pixel_size_A, output_pixel_size_A)
    return _plan(source, layout, alignment or AlignmentSettings(), references, threads, memory_bytes)


def _plan(
    source: FrameSource, layout: Layout, settings: AlignmentSettings, references: int, threads: int, memory: int | None
) -> Estimate:
    low = low_layout(layout.shape, layout.pixel_size_A, settings.b_factor_A2)
    reach_y, reach_x = low_frequency_reach(low, settings.b_factor_A2)
    patches = 0
    if settings.patches > 1:
        patches = patch_bytes(low, settings.patches, source.n_frames, settings.patch_b_factor_A2)
    return plan_memory(
        layout,
        low,
        (2 * reach_y + 1, reach_x + 1),
        source.n_frames,
        source.dtype.itemsize,
        references,
        threads,
        memory,
        patch_bytes=patches,
    )


def align_movie(
    movie: FrameSource | str | PathLike[str],
    *,
    pixel_size_A: float,
    dose_per_frame_e_per_A2: float = 0.0,
    gain: np.ndarray | None = None,
    dark: np.ndarray | None = None,
    outlier_sigmas: float = 12.0,
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
        Pixel size of the frames in A.
    dose_per_frame_e_per_A2
        Dose of one frame in e/A^2; needed for the dose filter.
    gain, dark
        Detector references of a frame's shape: ``(raw - dark) * gain``.
    outlier_sigmas
        Pixels further than this many standard deviations from the frame's mean become the mean.
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
    layout = plan_layout((source.n_y, source.n_x), pixel_size_A, sums.output_pixel_size_A)
    in_range = sums.summed(source.n_frames)
    if sums.dose_filter and not dose_per_frame_e_per_A2 > 0:
        raise InputError("The dose filter needs the dose of a frame, above zero; give it or switch the filter off.")
    references = sum(reference is not None for reference in (gain, dark))
    plan = _plan(source, layout, settings, references, threads, memory_bytes)
    reader = MovieReading(source, layout, Corrections(gain, dark, outlier_sigmas), settings, plan, threads, progress)
    reader.first_pass()
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
    )  # fmt: skip
    if local is None:
        field = uniform_field(layout, found.shifts_A)
    else:
        field = local_field(layout, found.shifts_A, local.model)
    total = Summation(layout, field, weights, reader.corrections, reader.statistics)
    reader.add_to(total)
    reader.forget_frames()
    transform = total.transform(threads)
    del total
    image = image_of(transform, layout, threads)
    doses = frame_doses(dose_per_frame_e_per_A2, source.n_frames, sums.pre_exposure_e_per_A2)[1:]
    return AlignedMovie(
        image, layout.output_pixel_size_A, layout.shape, layout.pixel_size_A, found.shifts_A, doses,
        amplitude_spectrum(transform, layout.stored),
        scaled_copy(transform, layout.stored, layout.output), summed, reader.statistics, found, local, plan,
    )  # fmt: skip


class MovieReading:
    """The frames of one movie on their way to the sum: all held at once, or read a second time in blocks."""

    def __init__(
        self,
        source: FrameSource,
        layout: Layout,
        corrections: Corrections,
        settings: AlignmentSettings,
        plan: Estimate,
        threads: int,
        progress: Callable[[], None] | None,
    ) -> None:
        frames = source.n_frames
        self.source, self.corrections = source, corrections
        self.plan, self.threads, self.progress = plan, threads, progress
        small = low_layout(layout.shape, layout.pixel_size_A, settings.b_factor_A2)
        self.decimator = FrameDecimator(small, corrections)
        self.low = LowFrequencies(
            small, frames, settings.b_factor_A2, settings.cross_half_width if settings.mask_central_cross else None
        )
        self.statistics = FrameStatistics(np.zeros(frames), np.zeros(frames), np.zeros(frames, np.int64))
        self.settings, frame_size = settings, (frames if settings.patches > 1 else 0, *small.decimated)
        self._small = np.empty(frame_size, np.float32)
        self._held = np.empty((plan.frames_at_once, *layout.shape), source.dtype)

    def first_pass(self) -> None:
        """Read every frame; keep its statistics, its low frequencies, and all of it where all frames fit."""
        holds_all = self.plan.passes == 1
        pixels = np.prod(self.decimator.layout.padded)

        def one(frame: int) -> None:
            raw = self.source.read_frame(frame, self._held[frame]) if holds_all else self.source.read_frame(frame)
            small, mean, sd, outliers = self.decimator.decimate(raw)
            self.statistics.mean[frame], self.statistics.sd[frame] = mean, sd
            self.statistics.outliers[frame] = outliers
            self.low.keep(frame, small, 1.0 / np.sqrt(sd**2 * pixels) if np.isfinite(sd) and sd > 0 else 1.0)
            if len(self._small):
                self._small[frame] = small
            self._report()

        run_frames(self.threads, one, range(self.source.n_frames))

    def _report(self) -> None:
        if self.progress is not None:
            self.progress()

    def local_motion(self, found: Alignment) -> LocalAlignment | None:
        """Return the local motion, or None where it was not asked for or the frames say nothing of it."""
        small = self.decimator.layout
        counts = patch_counts(small, self.settings.patches)
        del self.low  # its memory is needed for the patches
        if not len(self._small) or not found.found_signal or max(counts) < 2:
            return None
        rows, columns = (size // small.factor for size in small.shape)
        usable = self.statistics.usable()
        sd = np.where(usable, self.statistics.sd, 1.0)
        scales = np.where(usable, 1.0 / np.sqrt(sd**2 * np.prod(small.padded)), 0.0)
        return align_patches(
            self._small[:, :rows, :columns], counts, small, found.shifts_A, scales,
            self.settings.patch_b_factor_A2, self.threads,
        )  # fmt: skip

    def forget_decimated(self) -> None:
        """Free the decimated frames, which only the alignment needs."""
        self._small = self._small[:0].copy()

    def forget_frames(self) -> None:
        """Free the frames that are held."""
        del self._held

    def add_to(self, total: Summation) -> None:
        """Add every frame to the sums, decoding them again where they were not held."""
        frames, at_once = self.source.n_frames, self.plan.frames_at_once
        with ThreadPoolExecutor(self.threads) as pool:
            if self.plan.passes == 1:
                total.add(self._held, 0, pool)
                return
            for first in range(0, frames, at_once):
                count = min(at_once, frames - first)

                def one(frame: int, first: int = first) -> None:
                    self.source.read_frame(frame, self._held[frame - first])
                    self._report()

                run_frames(self.threads, one, range(first, first + count))
                total.add(self._held[:count], first, pool)
