"""Read Gatan's DM3 and DM4 files: walk the tag tree, find the largest image, read it; rows are not flipped.

References
----------
.. [1] C. Boothroyd and G. Jefferis, descriptions of the DM3 and DM4 tag formats.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from verglas.errors import FormatError
from verglas.formats.image_header import ImageHeader

SIMPLE_TYPES = {2: "i2", 3: "i4", 4: "u2", 5: "u4", 6: "f4", 7: "f8", 8: "u1", 9: "i1", 10: "u1", 11: "i8", 12: "u8"}
PIXEL_TYPES = {1: "i2", 2: "f4", 6: "u1", 7: "i4", 9: "i1", 10: "u2", 11: "u4", 12: "f8"}
STRUCT, STRING, ARRAY = 15, 18, 20
MAX_DEPTH, MAX_TAGS, KEEP_VALUES = 64, 1_000_000, 64
UNITS_A = {"nm": 10.0, "µm": 1e4, "um": 1e4, "A": 1.0, "Å": 1.0, "pm": 0.01}


@dataclass
class _Array:
    """A long array of the file: where it lies and of what type it is."""

    offset: int
    count: int
    code: str


@dataclass
class _Tree:
    """All tags by path, such as ``ImageList/1/ImageData/DataType``."""

    tags: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _DmImage:
    header: ImageHeader
    dtype: np.dtype[Any]
    offset: int


class _Parser:
    """Reads the tag tree; every count and position is checked against the size of the file."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.stream, self.path = stream, path
        self.file_bytes = os.fstat(stream.fileno()).st_size
        self.n_tags = 0
        self.tree = _Tree()
        start = self.read(4)
        (self.version,) = struct.unpack(">i", start)
        if self.version not in (3, 4):
            raise FormatError(path, "is not a DM3 or DM4 file.", "Check what it is, or copy it again.")
        self.wide = "Q" if self.version == 4 else "I"
        self.size()
        (little,) = struct.unpack(">i", self.read(4))
        if little not in (0, 1):
            raise self.wrong("its byte order is neither")
        self.order: Literal["<", ">"] = "<" if little else ">"

    def wrong(self, problem: str) -> FormatError:
        return FormatError(self.path, f"is a damaged DM file: {problem}.", "Copy it again.")

    def read(self, n_bytes: int) -> bytes:
        if not 0 <= n_bytes <= self.file_bytes:
            raise self.wrong("a tag is longer than the file")
        content = self.stream.read(n_bytes)
        if len(content) != n_bytes:
            raise self.wrong("it ends too early")
        return content

    def size(self) -> int:
        return int(struct.unpack(">" + self.wide, self.read(struct.calcsize("=" + self.wide)))[0])

    def directory(self, prefix: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self.wrong("its tags are nested too deeply")
        self.read(2)  # sorted, open
        for number in range(1, self.size() + 1):
            self.n_tags += 1
            if self.n_tags > MAX_TAGS:
                raise self.wrong("it has too many tags")
            kind, label_bytes = struct.unpack(">BH", self.read(3))
            label = self.read(label_bytes).decode("latin-1") or str(number)
            name = f"{prefix}/{label}" if prefix else label
            if kind == 0:
                return
            if self.version == 4:
                self.size()
            if kind == 20:
                self.directory(name, depth + 1)
            elif kind == 21:
                self.tree.tags[name] = self.value()
            else:
                raise self.wrong(f"a tag of kind {kind}")

    def value(self) -> Any:
        if self.read(4) != b"%%%%":
            raise self.wrong("a tag does not begin as it should")
        n_info = self.size()
        if not 1 <= n_info <= 1 << 16:
            raise self.wrong("a tag describes itself at absurd length")
        info = [self.size() for _ in range(n_info)]
        return self._value(info)

    def _value(self, info: list[int]) -> Any:
        if info[0] in SIMPLE_TYPES and len(info) == 1:
            dtype = np.dtype(SIMPLE_TYPES[info[0]]).newbyteorder(self.order)
            return np.frombuffer(self.read(dtype.itemsize), dtype)[0].item()
        if info[0] == STRUCT:
            for code in self._field_types(info, 0):
                self.read(np.dtype(code).itemsize)
            return None
        if info[0] == STRING and len(info) == 2:
            self.read(2 * info[1])
            return None
        if info[0] == ARRAY and len(info) >= 3:
            if info[1] in SIMPLE_TYPES:
                codes = [SIMPLE_TYPES[info[1]]]
            elif info[1] == STRUCT:
                codes = self._field_types(info, 1)
            else:
                raise self.wrong(f"an array of type {info[1]}")
            return self._array(codes, info[-1])
        raise self.wrong(f"a value of type {info[0]}")

    def _field_types(self, info: list[int], place: int) -> list[str]:
        fields = info[place + 4 :: 2]
        count = info[place + 2] if len(info) > place + 2 else -1
        codes = [SIMPLE_TYPES.get(kind, "") for kind in fields[:count]] if 0 <= count <= len(fields) else [""]
        if "" in codes:
            raise self.wrong("a structure that makes no sense")
        return codes

    def _array(self, codes: list[str], count: int) -> Any:
        offset = self.stream.tell()
        n_bytes = count * sum(np.dtype(code).itemsize for code in codes)
        if offset + n_bytes > self.file_bytes:
            raise self.wrong("it is cut short: an array goes beyond its end")
        if len(codes) == 1 and codes[0] == "u2" and count <= KEEP_VALUES:
            return self.read(n_bytes).decode("utf-16-le" if self.order == "<" else "utf-16-be", "replace")
        self.stream.seek(n_bytes, os.SEEK_CUR)
        return _Array(offset, count, codes[0] if len(codes) == 1 else "")


def _find_image(path: Path) -> _DmImage:
    with open(path, "rb") as stream:
        parser = _Parser(stream, path)
        parser.directory("", 0)
    tags, found = parser.tree.tags, []
    for name, value in tags.items():
        if not name.endswith("/ImageData/Data") or not isinstance(value, (_Array, str)):
            continue
        base = name.removesuffix("Data")
        dtype = PIXEL_TYPES.get(tags.get(base + "DataType", 0))
        sizes = [tags.get(f"{base}Dimensions/{axis}", 1) for axis in (1, 2, 3)]
        if dtype is None or not isinstance(value, _Array) or any(type(n) is not int or n < 1 for n in sizes):
            continue
        n_x, n_y, n_z = sizes
        item = np.dtype(dtype).itemsize
        if value.code == "" or n_x * n_y * n_z * item > value.count * np.dtype(value.code).itemsize:
            raise parser.wrong(f"its {n_x} x {n_y} x {n_z} pixels do not lie in {value.count} values")
        scale, unit = (tags.get(f"{base}Calibrations/Dimension/1/{key}") for key in ("Scale", "Units"))
        size_A = float(scale) * UNITS_A.get(unit, 0.0) if isinstance(scale, float) and isinstance(unit, str) else 0.0
        header = ImageHeader(path, "dm", n_x, n_y, n_z, np.dtype(dtype).name, size_A if 0.01 < size_A < 1000 else None)
        found.append(_DmImage(header, np.dtype(dtype).newbyteorder(parser.order), value.offset))
    if not found:
        raise FormatError(path, "holds no image of real numbers.", "Export the image again.")
    return max(found, key=lambda image: image.header.n_x * image.header.n_y * image.header.n_sections)  # not the icon


def read_dm_header(path: Path) -> ImageHeader:
    """Return what the largest image of a DM3 or DM4 file is.

    Raises
    ------
    FormatError
        When the file is damaged or holds no image.
    """
    return _find_image(path).header


def read_dm(path: Path) -> npt.NDArray[Any]:
    """Return the largest image of a DM3 or DM4 file as [n, y, x] in its own type.

    Raises
    ------
    FormatError
        When the file is damaged or holds no image.
    """
    image = _find_image(path)
    shape = (image.header.n_sections, image.header.n_y, image.header.n_x)
    mapped = np.memmap(path, image.dtype, mode="r", offset=image.offset, shape=shape)
    return np.array(mapped, dtype=image.dtype.newbyteorder("="))
