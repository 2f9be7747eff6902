"""Read EER movies: lists of single electrons in a TIFF container, rendered and grouped into frames.

Rows are not flipped: frame[0] is the first row of the detector, as in RELION and cisTEM.

References
----------
.. [1] Guo et al. 2020, Electron-event representation data enable efficient cryoEM file storage with full
   preservation of spatial and temporal resolution, IUCrJ 7, 860-869.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from verglas.errors import FormatError, InputError
from verglas.formats.image_header import ImageHeader
from verglas.formats.tiff_directory import Directory, read_directories

WIDTH, HEIGHT, COMPRESSION, OFFSETS, COUNTS = 256, 257, 259, 273, 279
METADATA, RUN_BITS, HORIZONTAL_BITS, VERTICAL_BITS = 65001, 65007, 65008, 65009
TAGS = frozenset(
    (WIDTH, HEIGHT, COMPRESSION, OFFSETS, COUNTS, METADATA, RUN_BITS, HORIZONTAL_BITS, VERTICAL_BITS)
)  # fmt: skip
EER_COMPRESSIONS = (65000, 65001, 65002)
MAX_SIDE = 1 << 14
PIXEL_SIZE = re.compile(r'sensorPixelSize\.width"[^>]*?(?:unit="([^"]*)")?[^>]*>\s*([-+0-9.eE]+)\s*<')


@dataclass(frozen=True)
class EerPage:
    """One raw frame: where its events lie and how many bits each part of an event takes."""

    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    run_bits: int
    horizontal_bits: int
    vertical_bits: int


def is_eer(directory: Directory) -> bool:
    """Tell whether a TIFF directory holds electron events."""
    return directory.integer(COMPRESSION, 1) in EER_COMPRESSIONS


def _read_pages(path: Path) -> tuple[list[EerPage], int, int, float | None]:
    directories = [directory for directory in read_directories(path, TAGS) if is_eer(directory)]
    if not directories:
        raise FormatError(path, "holds no electron events.", "Open it as a TIFF file.")
    file_bytes = path.stat().st_size
    n_x, n_y = directories[0].integer(WIDTH, 0), directories[0].integer(HEIGHT, 0)
    if not (1 <= n_x <= MAX_SIDE and 1 <= n_y <= MAX_SIDE):
        raise FormatError(path, f"is a damaged EER file: its size is {n_x} x {n_y}.", "Copy it again.")
    pages = []
    for number, directory in enumerate(directories, 1):
        if (directory.integer(WIDTH, 0), directory.integer(HEIGHT, 0)) != (n_x, n_y):
            raise FormatError(path, f"is a damaged EER file: frame {number} has another size.", "Copy it again.")
        compression = directory.integer(COMPRESSION, 1)
        bits = {65000: (8, 2, 2), 65001: (7, 2, 2)}.get(compression) or (
            directory.integer(RUN_BITS, 7), directory.integer(HORIZONTAL_BITS, 2), directory.integer(VERTICAL_BITS, 2),
        )  # fmt: skip
        if not (4 <= bits[0] <= 16 and 0 <= bits[1] <= 4 and 0 <= bits[2] <= 4):
            raise FormatError(path, f"is a damaged EER file: events of {bits} bits.", "Copy it again.")
        page = EerPage(directory.integers(OFFSETS), directory.integers(COUNTS), *bits)
        beyond = any(o < 0 or c < 1 or o + c > file_bytes for o, c in zip(page.offsets, page.counts))
        if not page.offsets or len(page.offsets) != len(page.counts) or beyond:
            raise FormatError(path, f"is cut short or damaged: frame {number} lies beyond its end.", "Copy it again.")
        pages.append(page)
    return pages, n_y, n_x, _pixel_size(directories[0].text(METADATA))


def _pixel_size(metadata: str) -> float | None:
    found = PIXEL_SIZE.search(metadata)
    if not found:
        return None
    unit_A = {"m": 1e10, "nm": 10.0, "": 1e10, None: 1e10, "A": 1.0}.get(found[1])
    try:
        size = float(found[2]) * (unit_A or 0.0)
    except ValueError:
        return None
    return size if 0.01 < size < 1000 else None


def read_eer_header(path: Path) -> ImageHeader:
    """Return what an EER file holds: its raw frames at the detector's own size."""
    pages, n_y, n_x, pixel_size_A = _read_pages(path)
    return ImageHeader(path, "eer", n_x, n_y, len(pages), "uint8", pixel_size_A)


class EerFrames:
    """The frames of an EER movie, rendered when asked for; several threads may read at once.

    Parameters
    ----------
    path
        The file.
    frames_per_image
        Raw frames summed into one frame; raw frames left over at the end are not used, as in RELION and cisTEM.
    super_resolution
        1, 2 or 4: pixels per detector pixel along each axis.

    Raises
    ------
    FormatError
        When the file is damaged.
    InputError
        When the grouping or super-resolution cannot be had.
    """

    def __init__(self, path: str | os.PathLike[str], *, frames_per_image: int = 1, super_resolution: int = 1) -> None:
        self.path = Path(path)
        self._pages, n_y, n_x, pixel_size_A = _read_pages(self.path)
        if not 1 <= frames_per_image <= len(self._pages):
            raise InputError(f"{path} has {len(self._pages)} raw frames: {frames_per_image} cannot make one frame.")
        if super_resolution not in (1, 2, 4):
            raise InputError(f"The super-resolution of EER movies is 1, 2 or 4, not {super_resolution}.")
        needed_bits = super_resolution.bit_length() - 1
        if any(min(page.horizontal_bits, page.vertical_bits) < needed_bits for page in self._pages):
            raise InputError(
                f"{path} does not record where in a pixel electrons hit: super-resolution 1 is all it has."
            )
        self._raw_shape, self._group, self._factor = (n_y, n_x), frames_per_image, super_resolution
        self.n_frames = len(self._pages) // frames_per_image
        self.n_y, self.n_x = n_y * super_resolution, n_x * super_resolution
        self.dtype = np.dtype(np.uint8 if frames_per_image < 256 else np.uint16)
        self.pixel_size_A = pixel_size_A / super_resolution if pixel_size_A else None
        self._file = open(self.path, "rb")  # noqa: SIM115
        self._lock = threading.Lock()

    def read_frame(self, index: int, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """Return frame ``index`` (from 0) as counts [y, x], into ``out`` if given.

        Raises
        ------
        FormatError
            When the events are damaged.
        """
        from verglas.kernels.eer import PADDING_BYTES, SOUND, TOO_MANY_PIXELS, add_events

        direct = out is not None and out.dtype == self.dtype and out.flags.c_contiguous
        counts = out if direct and out is not None else np.empty((self.n_y, self.n_x), self.dtype)
        counts[...] = 0
        for number in range(index * self._group, (index + 1) * self._group):
            page = self._pages[number]
            with self._lock:
                packed = b"".join(self._bytes(o, c) for o, c in zip(page.offsets, page.counts, strict=True))
            events = np.frombuffer(packed + bytes(PADDING_BYTES), np.uint8)
            state = add_events(
                events, *self._raw_shape, page.run_bits, page.horizontal_bits, page.vertical_bits,
                self._factor.bit_length() - 1, counts,
            )  # fmt: skip
            if state != SOUND:
                problem = "run beyond the last pixel" if state == TOO_MANY_PIXELS else "end before the last pixel"
                raise FormatError(self.path, f"the events of raw frame {number + 1} {problem}.", "Copy it again.")
        if out is None or direct:
            return counts
        out[...] = counts
        return out

    def _bytes(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(count)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
