"""Write TIFF movies frame by frame, compressed, with every tag that strict readers ask for.

References
----------
.. [1] TIFF Revision 6.0, Adobe 1992; the BigTIFF extension.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from verglas.errors import InputError
from verglas.formats.atomic_write import write_whole

Compression = Literal["lzw", "deflate", "zstd"] | None
COMPRESSION_NUMBERS = {None: 1, "lzw": 5, "deflate": 8, "zstd": 50000}
PIXEL_TYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32")
STRIP_BYTES = 1 << 20
CLASSIC_BYTES = 3_900_000_000
SHORT, LONG, RATIONAL, LONG8 = 3, 4, 5, 16


def write_tiff_movie(
    path: str | os.PathLike[str], frames: Iterable[npt.NDArray[Any]], *, compression: Compression = "lzw",
    pixel_size_A: float | None = None, n_bytes_at_most: int | None = None,
) -> int:  # fmt: skip
    """Write frames [y, x] one by one as a whole TIFF movie, rows in TIFF order (row 0 of a frame is the last).

    Parameters
    ----------
    path
        Where the movie shall be.
    frames
        Frames of one shape and type (8, 16 or 32-bit integers, float16, float32).
    compression
        ``lzw`` (which cisTEM and RELION read), ``deflate``, ``zstd`` or None.
    pixel_size_A
        Length of a pixel in Angstrom, kept in the resolution tags; None leaves it unknown.
    n_bytes_at_most
        Upper bound of the uncompressed movie; from 3.9 GB on, or without bound, BigTIFF is written.

    Returns
    -------
    int
        The number of frames.

    Raises
    ------
    InputError
        When there is no frame, or frames differ in shape or type.
    """
    if compression not in COMPRESSION_NUMBERS:
        raise InputError(f"{path}: TIFF movies are compressed by lzw, deflate, zstd or not at all, not {compression}.")
    big = n_bytes_at_most is None or n_bytes_at_most > CLASSIC_BYTES
    n_frames = 0
    shape, dtype = None, None
    with write_whole(path) as temporary_path, open(temporary_path, "wb") as stream:
        pages = _PageWriter(stream, big, compression, pixel_size_A)
        for frame in frames:
            shape, dtype = shape or frame.shape, dtype or frame.dtype
            if frame.ndim != 2 or frame.size == 0 or frame.shape != shape or frame.dtype != dtype:
                unlike = f"frame {n_frames + 1} is {frame.dtype} {frame.shape}, the first was {dtype} {shape}"
                raise InputError(f"{path}: {unlike}; all frames of a movie must be alike images.")
            if dtype.name not in PIXEL_TYPES:
                raise InputError(f"{path}: TIFF movies cannot hold pixels of type {dtype}.")
            pages.write(np.ascontiguousarray(frame[::-1], dtype.newbyteorder("<")))
            n_frames += 1
        if n_frames == 0:
            raise InputError(f"{path}: there is no frame to write.")
    return n_frames


def _encoder(compression: Compression) -> Callable[[bytes], bytes | bytearray]:
    import imagecodecs

    encoders: dict[Compression, Callable[[bytes], bytes | bytearray]] = {
        None: bytes,
        "lzw": imagecodecs.lzw_encode,
        "deflate": imagecodecs.deflate_encode,
        "zstd": imagecodecs.zstd_encode,
    }
    return encoders[compression]


def _pixels_per_cm(pixel_size_A: float) -> tuple[int, int]:
    """Return the resolution as a ratio of two 32-bit integers, as near as they can come."""
    per_cm = 1e8 / pixel_size_A
    ratio = Fraction(per_cm).limit_denominator(max(1, int((2**32 - 1) / max(per_cm, 1.0)) - 1))
    return ratio.numerator, ratio.denominator


class _PageWriter:
    """Appends pages, each its strips followed by its directory, to an open little-endian TIFF file."""

    def __init__(self, stream: BinaryIO, big: bool, compression: Compression, pixel_size_A: float | None) -> None:
        self.stream, self.big = stream, big
        self.compression, self.encode = compression, _encoder(compression)
        self.resolution = _pixels_per_cm(pixel_size_A) if pixel_size_A else None
        self.word, self.word_type = ("<Q", LONG8) if big else ("<I", LONG)
        stream.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0))
        self.link = 8 if big else 4

    def write(self, pixels: npt.NDArray[Any]) -> None:
        n_y, n_x = pixels.shape
        rows = max(1, min(n_y, STRIP_BYTES // (n_x * pixels.itemsize)))
        offsets, counts = [], []
        for row in range(0, n_y, rows):
            strip = self.encode(pixels[row : row + rows].tobytes())
            offsets.append(self.stream.tell())
            counts.append(len(strip))
            self.stream.write(strip)
        entries: list[tuple[int, int, list[int]]] = [
            (256, LONG, [n_x]), (257, LONG, [n_y]), (258, SHORT, [8 * pixels.itemsize]),
            (259, SHORT, [COMPRESSION_NUMBERS[self.compression]]), (262, SHORT, [1]),
            (273, self.word_type, offsets), (277, SHORT, [1]), (278, LONG, [rows]), (279, self.word_type, counts),
            (284, SHORT, [1]),
            # cisTEM refuses files that leave this one to its default
            (339, SHORT, [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]]),
        ]  # fmt: skip
        if self.resolution:
            entries += [(282, RATIONAL, [*self.resolution]), (283, RATIONAL, [*self.resolution]), (296, SHORT, [3])]
        self._directory(sorted(entries))

    def _directory(self, entries: list[tuple[int, int, list[int]]]) -> None:
        """Write a directory with the values that do not fit into it, and point the one before to it."""
        word_bytes = struct.calcsize(self.word)
        body = b""
        for tag, kind, values in entries:
            code = {SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}[kind]
            count = len(values) // 2 if kind == RATIONAL else len(values)
            packed = struct.pack(f"<{len(values)}{code}", *values)
            if len(packed) > word_bytes:
                where = self._align()
                self.stream.write(packed)
                packed = struct.pack(self.word, where)
            body += struct.pack("<HH", tag, kind) + struct.pack(self.word, count) + packed.ljust(word_bytes, b"\0")
        where = self._align()
        self.stream.write(struct.pack("<Q" if self.big else "<H", len(entries)) + body)
        following = self.stream.tell()
        self.stream.write(bytes(word_bytes))
        end = self.stream.tell()
        self.stream.seek(self.link)
        self.stream.write(struct.pack(self.word, where))
        self.stream.seek(end)
        self.link = following

    def _align(self) -> int:
        """Go on at a multiple of eight bytes and return where that is."""
        self.stream.write(bytes(-self.stream.tell() % 8))
        return self.stream.tell()
