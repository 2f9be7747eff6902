"""Open a movie of any format and read its frames one at a time, from as many threads as you like."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from verglas.errors import FormatError, InputError
from verglas.formats.images import detect_kind


class _Frames(Protocol):
    """What the reader of one format offers."""

    n_frames: int
    n_y: int
    n_x: int
    dtype: np.dtype[Any]
    pixel_size_A: float | None

    def read_frame(self, index: int, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]: ...

    def close(self) -> None: ...


class _MrcFrames:
    """Frames of an MRC stack."""

    def __init__(self, path: Path) -> None:
        from verglas.formats.mrc import MrcStack

        self._stack = MrcStack(path)
        self.n_frames, self.n_y, self.n_x = self._stack.shape
        self.dtype, self.pixel_size_A = self._stack.dtype, self._stack.pixel_size_A

    def read_frame(self, index: int, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        frame = self._stack.section(index)
        if out is None:
            return np.array(frame)  # a copy: a view of the map would fault on pages when least expected
        out[...] = frame
        return out

    def close(self) -> None:
        self._stack.close()


class MovieReader:
    """Frames of a movie, each decoded when asked for.

    Row 0 of a frame is row 0 of an MRC or EER file and the last row of a TIFF file, as in cisTEM and RELION.
    ``read_frame`` may be called from several threads at once; decompression runs outside Python's lock.

    Attributes
    ----------
    path
        The file.
    n_frames, n_y, n_x
        Size of the movie (EER: after grouping and super-resolution).
    dtype
        Type of a pixel as stored.
    pixel_size_A
        Length of a pixel in Angstrom, or None where the file does not say.
    """

    def __init__(self, path: Path, frames: _Frames) -> None:
        self.path = path
        self._frames: _Frames | None = frames
        self.n_frames, self.n_y, self.n_x = frames.n_frames, frames.n_y, frames.n_x
        self.dtype, self.pixel_size_A = frames.dtype, frames.pixel_size_A

    def read_frame(self, index: int, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """Return frame ``index`` (from 0) as [y, x] in the movie's own type.

        Parameters
        ----------
        index
            Which frame.
        out
            Where to put it: [y, x] of a type that holds the movie's; by default a new array.

        Raises
        ------
        InputError
            When there is no such frame, the reader is closed or ``out`` does not fit.
        FormatError
            When the frame is damaged.
        """
        if self._frames is None:
            raise InputError(f"{self.path} is closed already.")
        if not 0 <= index < self.n_frames:
            raise InputError(f"{self.path} has no frame {index}: it has {self.n_frames}, counted from 0.")
        if out is not None and (
            out.shape != (self.n_y, self.n_x) or not np.can_cast(self.dtype, out.dtype, casting="same_kind")
        ):
            raise InputError(f"out is {out.dtype} {out.shape}, the movie {self.dtype} {(self.n_y, self.n_x)}.")
        return self._frames.read_frame(index, out)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[npt.NDArray[Any]]:
        """Yield frames ``start`` to ``stop`` (not included), reading each when it is asked for."""
        for index in range(start, self.n_frames if stop is None else stop):
            yield self.read_frame(index)

    def close(self) -> None:
        """Close the file."""
        if self._frames is not None:
            self._frames.close()
        self._frames = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_movie(
    path: str | os.PathLike[str], *, eer_frames_per_image: int | None = None, eer_super_resolution: int = 1
) -> MovieReader:
    """Open an MRC, TIFF or EER movie for reading frame by frame.

    Parameters
    ----------
    path
        The movie; its format is told from its content.
    eer_frames_per_image
        EER: raw frames summed into one frame (1 unless told); those left over at the end are not used.
    eer_super_resolution
        EER: pixels per detector pixel along each axis, 1, 2 or 4.

    Raises
    ------
    FormatError
        When the file is damaged or no movie.
    InputError
        When the EER options make no sense for the file.
    """
    path = Path(path)
    kind = detect_kind(path)
    frames: _Frames
    if kind == "mrc":
        frames = _MrcFrames(path)
    elif kind == "tiff":
        from verglas.formats.tiff import TiffFrames

        frames = TiffFrames(path)
    elif kind == "eer":
        from verglas.formats.eer import EerFrames

        per_image = 1 if eer_frames_per_image is None else eer_frames_per_image
        frames = EerFrames(path, frames_per_image=per_image, super_resolution=eer_super_resolution)
    else:
        raise FormatError(path, f"is a {kind.upper()} file, not a movie.", "Give an MRC, TIFF or EER movie.")
    return MovieReader(path, frames)
