"""Stream a movie's frames: decode, correct, transform, and keep what alignment and sum need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from verglas.errors import InputError
from verglas.kernels import movie as kernels
from verglas.stages.motion.layout import Layout, mirrored

ROWS_AT_ONCE = 64
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


@dataclass
class Workspace:
    """The buffers of one thread: a raw frame, a block of corrected rows, a half transform."""

    raw: np.ndarray
    rows: np.ndarray
    transform: np.ndarray


@dataclass
class FrameTransformer:
    """Turn frames into transforms with preallocated buffers, one set a thread.

    Attributes
    ----------
    source
        The movie.
    layout
        Its sizes.
    corrections
        Detector corrections.
    columns
        How many columns of the transforms are needed.
    """

    source: FrameSource
    layout: Layout
    corrections: Corrections
    columns: int
    _local: threading.local = field(default_factory=threading.local, repr=False)

    def __post_init__(self) -> None:
        self.corrections.check(self.layout.shape)
        self._source_y = mirrored(self.layout.shape[0], self.layout.padded[0])
        self._source_x = mirrored(self.layout.shape[1], self.layout.padded[1])
        gain, dark = self.corrections.gain, self.corrections.dark
        self._gain = NO_REFERENCE if gain is None else np.ascontiguousarray(gain, np.float32)
        self._dark = NO_REFERENCE if dark is None else np.ascontiguousarray(dark, np.float32)

    def _workspace(self) -> Workspace:
        if not hasattr(self._local, "workspace"):
            padded_y, padded_x = self.layout.padded
            self._local.workspace = Workspace(
                np.empty(self.layout.shape, self.source.dtype),
                np.empty((ROWS_AT_ONCE, padded_x), np.float32),
                np.empty((padded_y, self.columns), np.complex64),
            )
        workspace: Workspace = self._local.workspace
        return workspace

    def transform(self, index: int) -> tuple[np.ndarray, float, float, int]:
        """Decode, correct and transform one frame.

        Parameters
        ----------
        index
            Which frame.

        Returns
        -------
        transform : ndarray, complex64 ``[ky, columns]``
            Without normalisation, in this thread's buffer: the next call overwrites it. Zeros for a frame that is
            constant or not finite.
        mean, sd, outliers
            Of the corrected frame; mean and standard deviation from rows spread over it.
        """
        import scipy.fft

        space = self._workspace()
        raw = self.source.read_frame(index, space.raw)
        rows = max(1, self.layout.shape[0] // ROWS_SAMPLED)
        mean, sd = kernels.frame_moments(raw[::rows], self._dark[::rows], self._gain[::rows])
        if not (np.isfinite(mean) and np.isfinite(sd)) or sd == 0:
            space.transform[...] = 0
            return space.transform, float(mean), float(sd), 0
        outliers = self._transform_rows(raw, float(mean), float(sd), space)
        scipy.fft.fft(space.transform, axis=0, overwrite_x=True)
        return space.transform, float(mean), float(sd), outliers

    def _transform_rows(self, raw: np.ndarray, mean: float, sd: float, space: Workspace) -> int:
        import scipy.fft

        outliers = 0
        limit = np.float32(self.corrections.outlier_sigmas * sd)
        for first in range(0, self.layout.padded[0], ROWS_AT_ONCE):
            source_y = self._source_y[first : first + ROWS_AT_ONCE]
            rows = space.rows[: len(source_y)]
            outliers += kernels.correct_rows(
                raw, self._dark, self._gain, np.float32(mean), limit, source_y, self._source_x, rows
            )
            space.transform[first : first + len(source_y)] = scipy.fft.rfft(rows, axis=1)[:, : self.columns]
        return outliers


def run_frames(threads: int, work: Callable[[int], Any], frames: Iterable[int]) -> list[Any]:
    """Run ``work(frame)`` for all frames on a number of threads; the first error stops what has not begun."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, frame) for frame in frames]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
