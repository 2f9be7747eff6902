"""Text files of numbers, one row a line, read strictly."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

from verglas.errors import FormatError

SEPARATORS = re.compile(r"[,\s]+")


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the lines of a text file, or say that it is empty or no text."""
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError(path, "this is no text file.", "Choose another.") from None
    if not text.strip():
        raise FormatError(path, "the file is empty.", "Copy it again from where it came from.")
    if "\0" in text:
        raise FormatError(path, "this is no text file (it holds zero bytes).", "Choose another.")
    return text.splitlines()


def numbers_of(path: str | os.PathLike[str], number: int, line: str, least: int = 1) -> list[float]:
    """Return the numbers of one line; all must be finite, and at least ``least`` of them."""
    try:
        values = [float(word) for word in SEPARATORS.split(line.strip())]
    except ValueError:
        raise FormatError(path, f"line {number}: {line.strip()[:60]!r} holds something that is no number.") from None
    if len(values) < least:
        raise FormatError(path, f"line {number}: {len(values)} numbers, not {least} or more.", "Is the file cut short?")
    if not all(math.isfinite(value) for value in values) or "_" in line:
        raise FormatError(path, f"line {number}: a value is not finite.", "Remove that line.")
    return values
