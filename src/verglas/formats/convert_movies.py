"""Convert movies between MRC, TIFF and EER, frame by frame, every value kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from verglas.errors import InputError
from verglas.formats.images import detect_kind
from verglas.formats.movies import MovieReader, open_movie
from verglas.formats.mrc import MrcStackWriter, storable_type
from verglas.formats.tiff_writer import Compression, write_tiff_movie


@dataclass(frozen=True)
class Conversion:
    """What became of one movie.

    Attributes
    ----------
    source, target
        The files.
    n_frames
        Frames written.
    dtype
        Type of a pixel in the target.
    source_bytes, target_bytes
        Sizes of the files.
    """

    source: Path
    target: Path
    n_frames: int
    dtype: str
    source_bytes: int
    target_bytes: int


def convert_movie(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, to: Literal["tif", "mrc"] | None = None,
    compression: Compression = "lzw", threads: int = 1, eer_frames_per_image: int | None = None,
    eer_super_resolution: int = 1, pixel_size_A: float | None = None, overwrite: bool = False,
) -> Conversion:  # fmt: skip
    """Convert one movie.

    A frame read from the target equals the frame read from the source, value by value; the order of rows on disk
    is turned round where the format asks for it. MRC has no sure unsigned bytes and no 32-bit integers: the first
    become 16-bit unsigned, the others float32, and a value that would not survive is an error.

    Parameters
    ----------
    source
        MRC, TIFF or EER movie.
    target
        The file to write.
    to
        Format to write; by default what the ending of ``target`` says.
    compression
        Of TIFF: ``lzw`` (read by cisTEM and RELION), ``deflate``, ``zstd`` or None.
    threads
        Frames decoded at once.
    eer_frames_per_image, eer_super_resolution
        How to render an EER movie, see `open_movie`; the grouping must be given.
    pixel_size_A
        Written instead of what the source says.
    overwrite
        Whether a file of that name may be replaced.

    Raises
    ------
    InputError
        When the target exists or is the source, its format is not known, an EER grouping is missing, or a type
        cannot be stored.
    FormatError
        When the source is damaged.
    """
    source, target = Path(source), Path(target)
    to = to or {".tif": "tif", ".tiff": "tif", ".mrc": "mrc", ".mrcs": "mrc"}.get(target.suffix.lower())  # type: ignore[assignment]
    if to not in ("tif", "mrc"):
        raise InputError(f"{target}: movies are written as .tif or .mrc; give one of these endings.")
    if target.exists() and (not overwrite or target.samefile(source)):
        raise InputError(f"{target} is there already; choose another name or folder, or allow it to be replaced.")
    with open_movie(
        source, eer_frames_per_image=eer_frames_per_image, eer_super_resolution=eer_super_resolution
    ) as movie:
        if eer_frames_per_image is None and detect_kind(source) == "eer":
            raise InputError(f"{source}: say how many of its {movie.n_frames} raw frames make one frame.")
        pixel_size_A = pixel_size_A or movie.pixel_size_A
        frames = _decode_ahead(movie, max(1, threads))
        if to == "tif":
            dtype = movie.dtype
            bound = movie.n_frames * (movie.n_y * movie.n_x * dtype.itemsize * 5 // 4 + 65536)
            n_frames = write_tiff_movie(
                target, frames, compression=compression, pixel_size_A=pixel_size_A, n_bytes_at_most=bound
            )
        else:
            dtype = storable_type(movie.dtype)
            with MrcStackWriter(target, movie.n_y, movie.n_x, pixel_size_A or 0.0, dtype) as writer:
                for frame in frames:
                    writer.append(frame)
            n_frames = movie.n_frames
    return Conversion(source, target, n_frames, dtype.name, source.stat().st_size, target.stat().st_size)


def _decode_ahead(movie: MovieReader, threads: int) -> Iterator[npt.NDArray[Any]]:
    """Yield all frames in order while other threads decode the next ones; at most ``threads`` + 1 are held."""
    if threads == 1:
        yield from movie.frames()
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(movie.read_frame, index) for index in range(min(threads, movie.n_frames))]
        for index in range(movie.n_frames):
            frame = waiting.pop(0).result()
            if index + threads < movie.n_frames:
                waiting.append(pool.submit(movie.read_frame, index + threads))
            yield frame
