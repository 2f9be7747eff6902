"""Read TIFF images and movies frame by frame.

References
----------
.. [1] TIFF Revision 6.0, Adobe 1992; the BigTIFF extension.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from verglas.errors import FormatError
from verglas.formats.image_header import ImageHeader
from verglas.formats.tiff_directory import Directory, read_directories

WIDTH, HEIGHT, BITS, COMPRESSION, FILL_ORDER = 256, 257, 258, 259, 266
OFFSETS, SAMPLES, ROWS, COUNTS = 273, 277, 278, 279
X_RESOLUTION, RESOLUTION_UNIT, PREDICTOR = 282, 296, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SAMPLE_FORMAT = 322, 323, 324, 325, 339
TAGS = frozenset((
    WIDTH, HEIGHT, BITS, COMPRESSION, FILL_ORDER, OFFSETS, SAMPLES, ROWS, COUNTS, X_RESOLUTION, RESOLUTION_UNIT,
    PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SAMPLE_FORMAT,
))  # fmt: skip
COMPRESSIONS = {1: "none", 5: "lzw", 8: "deflate", 32773: "packbits", 32946: "deflate", 50000: "zstd"}
MAX_SIDE = 1 << 17
MAX_EXPANSION = 1 << 15


@dataclass(frozen=True)
class TiffPage:
    """Where one frame of a TIFF file lies and how it is stored."""

    n_x: int
    n_y: int
    bits: int
    dtype: np.dtype[Any]
    order: Literal["<", ">"]
    compression: int
    predictor: int
    fill_order: int
    segment_shape: tuple[int, int]
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    pixel_size_A: float | None


def read_tiff_pages(path: Path, *, limit: int | None = None) -> list[TiffPage]:
    """Read and check the directories of a TIFF file; reduced copies of another size are left out.

    Raises
    ------
    FormatError
        When the file is damaged or stores its pixels in a way that no movie does.
    """
    directories = read_directories(path, TAGS) if limit is None else read_directories(path, TAGS, limit=limit)
    file_bytes = path.stat().st_size
    pages = [_parse_page(directory, path, file_bytes) for directory in directories]
    first = pages[0]
    for number, page in enumerate(pages):
        if (page.n_x, page.n_y, page.dtype) != (first.n_x, first.n_y, first.dtype):
            raise FormatError(
                path, f"frame {number + 1} is {page.n_x} x {page.n_y} {page.dtype.name}, the first is "
                f"{first.n_x} x {first.n_y} {first.dtype.name}.", "Give a movie whose frames are alike.",
            )  # fmt: skip
    return pages


def _parse_page(directory: Directory, path: Path, file_bytes: int) -> TiffPage:
    def wrong(problem: str) -> FormatError:
        return FormatError(path, f"cannot be read as a TIFF movie: {problem}.", "Copy or export it again.")

    n_x, n_y = directory.integer(WIDTH, 0), directory.integer(HEIGHT, 0)
    if not (1 <= n_x <= MAX_SIDE and 1 <= n_y <= MAX_SIDE):
        raise wrong(f"its size is {n_x} x {n_y}")
    if directory.integer(SAMPLES, 1) != 1:
        raise wrong("it has several colours")
    compression = directory.integer(COMPRESSION, 1)
    if compression not in COMPRESSIONS:
        raise wrong(f"compression {compression} is not one of none, LZW, deflate, zstd, packbits")
    bits, sample_format = directory.integer(BITS, 1), directory.integer(SAMPLE_FORMAT, 1)
    kind = {1: "u", 2: "i", 3: "f", 4: "u"}.get(sample_format, "")
    name = f"{kind}{max(bits, 8) // 8}"
    allowed = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")
    if bits not in (4, 8, 16, 32, 64) or name not in allowed or (bits == 4 and kind != "u"):
        raise wrong(f"pixels of {bits} bits and sample format {sample_format} are not known")
    predictor = directory.integer(PREDICTOR, 1)
    if predictor not in (1, 2, 3) or (predictor == 2 and kind == "f") or (predictor == 3 and kind != "f"):
        raise wrong(f"predictor {predictor} does not go with its pixels")
    if bits == 4 and predictor != 1:
        raise wrong("4-bit pixels with a predictor")
    if TILE_OFFSETS in directory.tags:
        shape = directory.integer(TILE_HEIGHT, 0), directory.integer(TILE_WIDTH, 0)
        offsets, counts = directory.integers(TILE_OFFSETS), directory.integers(TILE_COUNTS)
    else:
        shape = min(directory.integer(ROWS, n_y), n_y), n_x
        offsets, counts = directory.integers(OFFSETS), directory.integers(COUNTS)
    if not (1 <= shape[0] <= MAX_SIDE and 1 <= shape[1] <= MAX_SIDE):
        raise wrong(f"its strips or tiles are {shape[1]} x {shape[0]}")
    n_segments = -(-n_y // shape[0]) * -(-n_x // shape[1])
    segment_bytes = shape[0] * -(-shape[1] * bits // 8)
    if not counts and compression == 1 and n_segments == 1:
        counts = (segment_bytes,)
    if len(offsets) < n_segments or len(counts) < n_segments:
        raise wrong(f"it has {len(offsets)} strips or tiles, its size needs {n_segments}")
    offsets, counts = offsets[:n_segments], counts[:n_segments]
    for offset, count in zip(offsets, counts, strict=True):
        if offset < 0 or count < 1 or offset + count > file_bytes:
            raise wrong(f"a strip or tile lies beyond its end (it has {file_bytes} bytes): it is cut short or damaged")
        if segment_bytes > count * MAX_EXPANSION:
            raise wrong(f"{count} bytes cannot hold a strip or tile of {segment_bytes}")
    return TiffPage(
        n_x, n_y, bits, np.dtype(name), directory.order, compression, predictor, directory.integer(FILL_ORDER, 1),
        shape, offsets, counts, _pixel_size(directory),
    )  # fmt: skip


def _pixel_size(directory: Directory) -> float | None:
    """Return the pixel size from the resolution tags, or None where they speak of printing, not of molecules."""
    resolution = directory.number(X_RESOLUTION)
    unit_A = {2: 2.54e8, 3: 1e8}.get(directory.integer(RESOLUTION_UNIT, 2))
    if unit_A is None or resolution is None or resolution <= 0:
        return None
    size = unit_A / resolution
    return size if 0.01 < size < 1000 else None


class TiffFrames:
    """The frames of a TIFF file, decoded when asked for; several threads may read at once.

    Rows come in MRC order: row 0 is the last row of the file, as cisTEM, RELION and IMOD read TIFF.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.pages = read_tiff_pages(self.path)
        self._file = open(self.path, "rb")  # noqa: SIM115
        self._lock = threading.Lock()
        first = self.pages[0]
        self.n_frames, self.n_y, self.n_x = len(self.pages), first.n_y, first.n_x
        self.dtype, self.pixel_size_A = first.dtype, first.pixel_size_A

    def read_frame(self, index: int, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """Return frame ``index`` (from 0) as [y, x] in its own type, into ``out`` if given.

        Raises
        ------
        FormatError
            When the compressed pixels are damaged.
        """
        page = self.pages[index]
        if out is None:
            out = np.empty((page.n_y, page.n_x), page.dtype)[::-1]
        in_file_order = out[::-1]
        rows, columns = page.segment_shape
        across = -(-page.n_x // columns)
        for number, (offset, count) in enumerate(zip(page.offsets, page.counts, strict=True)):
            y, x = number // across * rows, number % across * columns
            # the last strip has only the rows that are left; tiles are always whole
            height = min(rows, page.n_y - y) if columns == page.n_x else rows
            try:
                segment = _decode_segment(self._bytes(offset, count), page, height, columns)
            except (RuntimeError, ValueError, TypeError, OverflowError) as error:
                raise FormatError(
                    self.path, f"the pixels of frame {index + 1} are damaged: {error}.", "Copy it again."
                ) from error
            part = in_file_order[y : y + rows, x : x + columns]
            part[...] = segment[: part.shape[0], : part.shape[1]]
        return out

    def _bytes(self, offset: int, count: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _decode_segment(raw: bytes | bytearray, page: TiffPage, height: int, width: int) -> npt.NDArray[Any]:
    """Return one strip or tile [height, width] in the page's type and the machine's byte order."""
    import imagecodecs

    row_bytes = -(-width * page.bits // 8)
    n_bytes = height * row_bytes
    if page.fill_order == 2:
        raw = imagecodecs.bitorder_decode(raw)
    method = COMPRESSIONS[page.compression]
    if method == "none":
        content: Any = raw
    else:
        decode = {
            "lzw": imagecodecs.lzw_decode, "deflate": imagecodecs.deflate_decode,
            "zstd": imagecodecs.zstd_decode, "packbits": imagecodecs.packbits_decode,
        }[method]  # fmt: skip
        content = decode(raw, out=bytearray(n_bytes))
    if len(content) < n_bytes:
        raise ValueError(f"{len(content)} of {n_bytes} bytes in a strip or tile")
    if page.bits == 4:
        packed = np.frombuffer(content, np.uint8, height * row_bytes).reshape(height, row_bytes)
        return np.stack((packed >> 4, packed & 15), axis=-1).reshape(height, -1)
    stored = page.dtype.newbyteorder("=" if page.predictor == 3 else page.order)
    pixels = np.frombuffer(content, stored, height * width).reshape(height, width)
    if page.predictor == 3:
        as_file = np.frombuffer(content, page.dtype.newbyteorder(page.order), height * width).reshape(height, width)
        return np.asarray(imagecodecs.floatpred_decode(as_file, axis=-1)).astype(page.dtype, copy=False)
    if page.predictor == 2:
        return np.cumsum(pixels, axis=1, dtype=page.dtype)
    return pixels


def read_tiff_header(path: Path) -> ImageHeader:
    """Return what a TIFF file holds; its pixels are not touched."""
    pages = read_tiff_pages(path)
    first = pages[0]
    return ImageHeader(path, "tiff", first.n_x, first.n_y, len(pages), first.dtype.name, first.pixel_size_A)
