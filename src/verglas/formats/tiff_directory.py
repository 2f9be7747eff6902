"""Walk the directories of a TIFF file, classic or Big, either byte order, without trusting any of their numbers."""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from verglas.errors import FormatError

MAX_DIRECTORIES = 1 << 20
MAX_TAG_VALUES = 1 << 24
TYPE_CODES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii",
              11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}  # fmt: skip
Value = tuple[float, ...] | bytes


@dataclass(frozen=True)
class Directory:
    """One TIFF directory (an image): its tags by number, and the byte order of the file."""

    tags: dict[int, Value]
    order: Literal["<", ">"]

    def integer(self, tag: int, default: int) -> int:
        """Return the first value of a tag as an integer."""
        value = self.tags.get(tag)
        return int(value[0]) if value else default

    def integers(self, tag: int) -> tuple[int, ...]:
        """Return all values of a tag as integers; empty when it is missing."""
        return tuple(int(value) for value in self.tags.get(tag, ()))

    def number(self, tag: int) -> float | None:
        """Return the first value of a tag as a float (a rational is divided), or None."""
        value = self.tags.get(tag)
        if not value or isinstance(value, bytes):
            return None
        if len(value) == 2:
            return value[0] / value[1] if value[1] else None
        return float(value[0])

    def text(self, tag: int) -> str:
        """Return a tag's text; empty when it is missing."""
        value = self.tags.get(tag, b"")
        return value.split(b"\0")[0].decode("utf-8", "replace") if isinstance(value, bytes) else ""


def read_directories(path: Path, wanted: frozenset[int], *, limit: int = MAX_DIRECTORIES) -> list[Directory]:
    """Read the chain of directories of a TIFF file.

    Parameters
    ----------
    path
        The file.
    wanted
        Numbers of the tags to read; others are passed over.
    limit
        Read at most so many directories.

    Raises
    ------
    FormatError
        When the file is no TIFF, its chain runs in a circle or out of the file, or a tag claims more than is there.
    """
    file_bytes = os.path.getsize(path)
    with open(path, "rb") as stream:
        walker = _Walker(stream, path, file_bytes, wanted)
        directories: list[Directory] = []
        seen: set[int] = set()
        position = walker.first
        while position and len(directories) < limit:
            if position in seen or len(directories) >= MAX_DIRECTORIES:
                raise walker.wrong("its directories run in a circle")
            seen.add(position)
            directory, position = walker.read(position)
            directories.append(directory)
    if not directories:
        raise FormatError(path, "is a TIFF file without an image.", "Copy it again.")
    return directories


class _Walker:
    """Reads single directories from an open file."""

    def __init__(self, stream: BinaryIO, path: Path, file_bytes: int, wanted: frozenset[int]) -> None:
        self.stream, self.path, self.file_bytes, self.wanted = stream, path, file_bytes, wanted
        start = stream.read(16)
        self.order: Literal["<", ">"] = ">" if start.startswith(b"MM") else "<"
        known = start[:2] in (b"II", b"MM") and len(start) >= 8
        version = struct.unpack_from(self.order + "H", start, 2)[0] if known else 0
        if version not in (42, 43) or (version == 43 and len(start) < 16):
            raise FormatError(path, "is not a TIFF file.", "Check what it is, or copy it again.")
        self.big = version == 43
        code, place = ("Q", 8) if self.big else ("I", 4)
        self.first = int(struct.unpack_from(self.order + code, start, place)[0])

    def wrong(self, problem: str) -> FormatError:
        return FormatError(self.path, f"is a damaged TIFF file: {problem}.", "Copy it again.")

    def bytes_at(self, position: int, n_bytes: int) -> bytes:
        if position < 0 or n_bytes < 0 or position + n_bytes > self.file_bytes:
            raise self.wrong(f"it points to byte {position + n_bytes}, the file has {self.file_bytes}")
        self.stream.seek(position)
        content = self.stream.read(n_bytes)
        if len(content) != n_bytes:
            raise self.wrong("it ends too early")
        return content

    def read(self, position: int) -> tuple[Directory, int]:
        count_code, entry_bytes, offset_code = ("Q", 20, "Q") if self.big else ("H", 12, "I")
        count_bytes, offset_bytes = struct.calcsize("=" + count_code), struct.calcsize("=" + offset_code)
        (count,) = struct.unpack(self.order + count_code, self.bytes_at(position, count_bytes))
        if not 1 <= count <= 4096:
            raise self.wrong(f"a directory has {count} entries")
        block = self.bytes_at(position + count_bytes, count * entry_bytes + offset_bytes)
        tags: dict[int, Value] = {}
        for place in range(0, count * entry_bytes, entry_bytes):
            tag, kind, n_values = struct.unpack_from(self.order + "HH" + offset_code, block, place)
            if tag not in self.wanted or kind not in TYPE_CODES:
                continue
            value_start = place + entry_bytes - offset_bytes
            code = TYPE_CODES[kind]
            n_bytes = n_values * struct.calcsize("=" + code)
            if n_values > MAX_TAG_VALUES or n_bytes > self.file_bytes:
                raise self.wrong(f"tag {tag} claims {n_values} values")
            if n_bytes <= offset_bytes:
                raw = block[value_start : value_start + n_bytes]
            else:
                raw = self.bytes_at(struct.unpack_from(self.order + offset_code, block, value_start)[0], n_bytes)
            tags[tag] = self._decode(tag, code, n_values, raw)
        (following,) = struct.unpack_from(self.order + offset_code, block, count * entry_bytes)
        return Directory(tags, self.order), int(following)

    def _decode(self, tag: int, code: str, n_values: int, raw: bytes) -> Value:
        if code == "s":
            return raw
        values: tuple[float, ...] = struct.unpack(f"{self.order}{n_values * len(code)}{code[0]}", raw)
        if code in "fd" and not all(math.isfinite(value) for value in values):
            raise self.wrong(f"tag {tag} is not a finite number")
        return values
