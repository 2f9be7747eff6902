"""Stream a movie's frames: decode and correct them, and keep what alignment and sum need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from verglas.errors import InputError
from verglas.kernels import movie as kernels
from verglas.stages.motion.layout import LowLayout, mirrored

ROWS_SAMPLED = 500
NO_REFERENCE = np.zeros((0, 0), np.float32)


class FrameSource(Protocol):
    """What a movie must offer: its size, and any frame on demand from any thread (`verglas.formats.open_movie`)."""

    n_frames: int
    n_y: int
    n_x: int
    dtype: np.dtype[Any]

    def read_frame(self, index: int, out: np.ndarray | None = None) -> np.ndarray:
        """Decode one frame, into ``out`` where it is given."""


class ArrayMovie:
    """A movie that lies in memory: a `FrameSource` for notebooks and tests.

    Parameters
    ----------
    frames
        Shape (frames, y, x).

    Raises
    ------
    InputError
        If the array has another shape.
    """

    def __init__(self, frames: np.ndarray) -> None:
        if frames.ndim != 3:
            raise InputError(f"A movie in memory has the shape (frames, y, x), not {frames.shape}.")
        self.frames = frames
        self.n_frames, self.n_y, self.n_x = (int(size) for size in frames.shape)
        self.dtype = frames.dtype

    def read_frame(self, index: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return one frame."""
        if out is None:
            frame: np.ndarray = np.ascontiguousarray(self.frames[index])
            return frame
        out[...] = self.frames[index]
        return out


@dataclass(frozen=True)
class Corrections:
    """Detector corrections: ``(raw - dark) * gain``, then outliers to the mean.

    Attributes
    ----------
    gain, dark
        float32 references of a frame's shape, or None.
    outlier_sigmas
        Pixels further than this many standard deviations from the frame's mean become the mean.
    """

    gain: np.ndarray | None = None
    dark: np.ndarray | None = None
    outlier_sigmas: float = 12.0

    def check(self, shape: tuple[int, int]) -> None:
        """Raise `InputError` unless the references fit frames of a shape."""
        for name, reference in (("gain", self.gain), ("dark", self.dark)):
            if reference is not None and reference.shape != shape:
                raise InputError(
                    f"The {name} reference is {reference.shape[1]} x {reference.shape[0]} pixels, the frames "
                    f"{shape[1]} x {shape[0]}. Give the reference that belongs to this movie."
                )

    def without(self, places: np.ndarray, shape: tuple[int, int]) -> Corrections:
        """Return the same corrections with further defects: ``places`` (y, x) of frames of a shape."""
        gain = np.ones(shape, np.float32) if self.gain is None else np.array(self.gain, np.float32)
        gain[places[:, 0], places[:, 1]] = 0.0
        return replace(self, gain=gain)

    def references(self) -> tuple[np.ndarray, np.ndarray]:
        """Return gain and dark as the kernels take them: float32, and of shape (0, 0) where there is none."""
        gain = NO_REFERENCE if self.gain is None else np.ascontiguousarray(self.gain, np.float32)
        dark = NO_REFERENCE if self.dark is None else np.ascontiguousarray(self.dark, np.float32)
        return gain, dark


@dataclass
class FrameStatistics:
    """Mean, standard deviation and outliers of each corrected frame."""

    mean: np.ndarray
    sd: np.ndarray
    outliers: np.ndarray

    def usable(self) -> np.ndarray:
        """Return which frames hold an image: finite, mean and spread within a factor of three of what is typical.

        Means are not judged where the median is small beside the spread (background already subtracted).
        """
        finite: np.ndarray = np.isfinite(self.mean) & np.isfinite(self.sd) & (self.sd > 0)
        if not finite.any():
            return finite
        typical = float(np.median(self.mean[finite]))
        if typical > 0 and float(np.median(self.sd[finite])) < 20 * typical:
            finite &= (self.mean > typical / 3) & (self.mean < typical * 3)
        spread = float(np.median(self.sd[finite])) if finite.any() else 0.0
        finite &= (self.sd > spread / 3) & (self.sd < spread * 3)
        return finite


class FrameDecimator:
    """Correct decoded frames and bring them to the coarse pixels on which the alignment works.

    Parameters
    ----------
    layout
        Sizes of the decimated frames.
    corrections
        Detector corrections.

    Raises
    ------
    InputError
        If a reference does not fit the frames.
    """

    def __init__(self, layout: LowLayout, corrections: Corrections) -> None:
        corrections.check(layout.shape)
        self.layout, self.corrections = layout, corrections
        self._gain, self._dark = corrections.references()
        self._source_y = mirrored(layout.shape[0], layout.padded[0])
        self._source_x = mirrored(layout.shape[1], layout.padded[1])

    def decimate(self, raw: np.ndarray) -> tuple[np.ndarray, float, float, int]:
        """Correct and decimate one frame.

        Parameters
        ----------
        raw
            Frame ``[y, x]`` as it was decoded.

        Returns
        -------
        small : ndarray, float32
            Of the shape ``layout.decimated``, mean near zero; zeros for a frame that is constant or not finite.
        mean, sd, outliers
            Of the corrected frame; mean and standard deviation from rows spread over it.
        """
        small = np.zeros(self.layout.decimated, np.float32)
        rows = max(1, self.layout.shape[0] // ROWS_SAMPLED)
        mean, sd = kernels.frame_moments(raw[::rows], self._dark[::rows], self._gain[::rows])
        if not (np.isfinite(mean) and np.isfinite(sd)) or sd == 0:
            return small, float(mean), float(sd), 0
        limit = np.float32(self.corrections.outlier_sigmas * sd)
        outliers = kernels.decimate_frame(
            raw, self._dark, self._gain, np.float32(mean), limit,
            self._source_y, self._source_x, self.layout.factor, small,
        )  # fmt: skip
        return small, float(mean), float(sd), int(outliers)

    def padded_places(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels (y, x) of a frame, and where each lies in the padded frame: near an edge more than once."""
        sources, padded = [], []
        for y, x in places:
            for row in np.flatnonzero(self._source_y == y):
                for column in np.flatnonzero(self._source_x == x):
                    sources.append((y, x))
                    padded.append((row, column))
        return np.array(sources, np.int64).reshape(-1, 2), np.array(padded, np.int64).reshape(-1, 2)

    def take_off(
        self, raw: np.ndarray, small: np.ndarray, mean: float, sd: float, sources: np.ndarray, padded: np.ndarray
    ) -> None:
        """Take off what some pixels have put into a decimated frame; places as `padded_places` returns them."""
        if np.isfinite(mean) and np.isfinite(sd) and sd > 0:
            limit = np.float32(self.corrections.outlier_sigmas * sd)
            kernels.take_off_pixels(
                raw, self._dark, self._gain, np.float32(mean), limit, sources, padded, self.layout.factor, small
            )


def run_frames(threads: int, work: Callable[[int], Any], frames: Iterable[int]) -> list[Any]:
    """Run ``work(frame)`` for all frames on a number of threads; the first error stops what has not begun."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, frame) for frame in frames]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
