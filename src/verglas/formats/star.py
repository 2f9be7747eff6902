"""STAR files: their blocks, items and loops, and a strict, fast reader."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.formats.star_rows import find_loop_rows

NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z|[+-]?(nan|inf|infinity)\Z", re.IGNORECASE)
INTEGER = re.compile(rb"[+-]?\d+\Z")

PathLike = str | os.PathLike[str]


@dataclass
class TextColumn:
    """Text values as indices into the list of the different ones, so that a million rows stay small.

    Attributes
    ----------
    indices
        int32, one a row.
    names
        The different values.
    sections
        The number before an ``@`` (as in ``000012@stack.mrcs``), one a row; None where names have none.
    """

    indices: NDArray[np.int32]
    names: list[str]
    sections: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def tolist(self) -> list[str]:
        """Return the values as strings, one a row."""
        plain = [self.names[k] for k in self.indices.tolist()]
        if self.sections is None:
            return plain
        return [f"{number:06d}@{name}" for number, name in zip(self.sections.tolist(), plain)]


Column = NDArray[Any] | TextColumn | Sequence[str]


class Loop:
    """One loop of a STAR file: labels (without their underscore) and a column for each.

    A loop that was read keeps the file's bytes and converts a column only when it is asked for. A loop to be written
    is made from columns: arrays of integers or reals, :class:`TextColumn`, or sequences of strings.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self.columns: dict[str, Column] = {
            label: column if isinstance(column, TextColumn) or is_words(column) else np.asarray(column)
            for label, column in columns.items()
        }
        lengths = {label: len(column) for label, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"The columns of a loop must have one length; these are {lengths}.")
        self.path, self.first_byte = "", 0
        self._size = next(iter(lengths.values()), 0)
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._starts: dict[str, NDArray[Any]] = {}
        self._values: dict[str, tuple[int, NDArray[np.float64]]] = {}

    @classmethod
    def from_bytes(
        cls,
        path: str,
        buffer: NDArray[np.uint8],
        labels: list[str],
        starts: NDArray[Any],
        values: NDArray[np.float64],
        kinds: NDArray[np.uint8],
    ) -> Loop:
        """Wrap what the reader found: the file's bytes, where each value starts and the numbers, (labels, rows)."""
        loop = cls({})
        loop.path, loop._buffer, loop._size = path, buffer, starts.shape[1]
        loop._starts = dict(zip(labels, starts))
        loop._values = dict(zip(labels, zip(kinds.tolist(), values)))
        return loop

    def __len__(self) -> int:
        return self._size

    def __contains__(self, label: str) -> bool:
        return label in self._starts or label in self.columns

    @property
    def labels(self) -> list[str]:
        """Labels in the order of the file, without their underscore."""
        return [*self._starts, *(label for label in self.columns if label not in self._starts)]

    def _places(self, label: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        from verglas.kernels.star_text import find_ends

        firsts, ends = np.empty(self._size, np.int64), np.empty(self._size, np.int64)
        find_ends(self._buffer, self._starts[label], firsts, ends)
        return firsts, ends

    def line_of(self, label: str, row: int) -> int:
        """Return the line of the file that holds a row, counted from 1."""
        return line_at(self._buffer, int(self._starts[label][row])) if label in self._starts else row + 1

    def column(self, label: str) -> NDArray[Any] | TextColumn:
        """Return a column as what it looks like: int64, float64 or text."""
        if label not in self._starts:
            given = self.columns[label]
            return given if isinstance(given, (np.ndarray, TextColumn)) else text_column(given)
        values = self._numbers(label)
        return self.text(label) if isinstance(values, int) else values

    def floats(self, label: str, *, finite: bool = False) -> NDArray[np.float64]:
        """Return a column as float64.

        Raises
        ------
        FormatError
            A value is no number, or (with ``finite``) is NaN or infinite.
        """
        values = self._numbers(label) if label in self._starts else np.asarray(self.columns[label])
        if isinstance(values, int):
            raise FormatError(
                self.path,
                f"line {self.line_of(label, values)}: {self.word(label, values)!r} in column _{label} is no number.",
                "Correct that line or remove it.",
            )
        real = values.astype(np.float64)
        if finite and not np.isfinite(real).all():
            row = int(np.argmin(np.isfinite(real)))
            raise FormatError(
                self.path, f"line {self.line_of(label, row)}: _{label} is {real[row]}.", "Remove or mend that particle."
            )
        return real

    def integers(self, label: str) -> NDArray[np.int64]:
        """Return a column as int64.

        Raises
        ------
        FormatError
            A value is no whole number.
        """
        values = self._numbers(label) if label in self._starts else np.asarray(self.columns[label])
        if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
            return values.astype(np.int64)
        real = self.floats(label)
        whole = np.isfinite(real) & (np.abs(real) < 2.0**53) & (real == np.rint(real))
        if not whole.all():
            row = int(np.argmin(whole))
            raise FormatError(
                self.path,
                f"line {self.line_of(label, row)}: {self.word(label, row)!r} in column _{label} is no whole number.",
                "Correct that line or remove it.",
            )
        return real.astype(np.int64)

    def word(self, label: str, row: int) -> str:
        """Return one value as the text that it is in the file."""
        if label not in self._starts:
            return str(self.columns[label][row])  # type: ignore[index]
        from verglas.kernels.star_text import find_ends

        firsts, ends = np.empty(1, np.int64), np.empty(1, np.int64)
        find_ends(self._buffer, self._starts[label][row : row + 1], firsts, ends)
        return decode(self.path, self._buffer[firsts[0] : ends[0]].tobytes())

    def text(self, label: str, *, sections: bool = False) -> TextColumn:
        """Return a column as text; with ``sections`` the number before ``@`` is taken off (-1: there is none)."""
        if label not in self._starts:
            given = self.columns[label]
            words = given.tolist() if isinstance(given, (np.ndarray, TextColumn)) else list(given)
            return text_column([str(word) for word in words], sections=sections)
        from verglas.kernels.star_text import differs_from_previous, split_sections

        firsts, ends = self._places(label)
        numbers = np.full(self._size, -1, np.int64)
        if sections:
            split_sections(self._buffer, firsts, ends, numbers)
        differs = np.empty(self._size, bool)
        differs_from_previous(self._buffer, firsts, ends, differs)
        heads = np.flatnonzero(differs)
        whole, numbering = memoryview(self._buffer.data), dict[bytes, int]()
        of_head = np.array(
            [
                numbering.setdefault(whole[a:b].tobytes(), len(numbering))
                for a, b in zip(firsts[heads].tolist(), ends[heads].tolist())
            ],
            dtype=np.int32,
        )
        indices = of_head[np.cumsum(differs) - 1] if self._size else np.empty(0, np.int32)
        return TextColumn(indices, [decode(self.path, name) for name in numbering], numbers if sections else None)

    def _numbers(self, label: str) -> NDArray[Any] | int:
        """Return the column as int64 or float64, or the row of the first value that is no number."""
        from verglas.kernels.number_text import EXACT_POWERS, POWERS, parse_column

        kind, read = self._values[label]
        if kind < 2 and self._size:
            return read.astype(np.int64) if kind == 0 else read
        firsts, ends = self._places(label)
        values, kinds = np.empty(self._size), np.empty(self._size, np.uint8)
        parse_column(self._buffer, firsts, ends, POWERS, EXACT_POWERS, values, kinds)
        large: dict[int, int] = {}
        for row in np.flatnonzero(kinds >= 2).tolist():
            word = self._buffer[firsts[row] : ends[row]].tobytes()
            if not NUMBER.match(word):
                return int(row)
            values[row], kinds[row] = float(word), 1
            if len(word) <= 20 and INTEGER.match(word) and abs(int(word)) < 2**63:
                large[row], values[row], kinds[row] = int(word), 0.0, 0
        if self._size and not kinds.any():
            whole = values.astype(np.int64)
            for row, number in large.items():
                whole[row] = number
            return whole
        for row, number in large.items():
            values[row] = number
        return values


@dataclass
class Block:
    """One data block: its name (without ``data_``), simple items and loops."""

    name: str
    items: dict[str, str] = field(default_factory=dict)
    loops: list[Loop] = field(default_factory=list)


def is_words(column: object) -> bool:
    """Whether a column was given as a plain sequence of strings."""
    return not isinstance(column, np.ndarray) and all(isinstance(word, str) for word in column)  # type: ignore[attr-defined]


def text_column(words: Iterable[str], *, sections: bool = False) -> TextColumn:
    """Return strings as a :class:`TextColumn`."""
    numbering: dict[str, int] = {}
    indices, numbers = [], []
    for word in words:
        number = -1
        if sections:
            before, at, after = word.partition("@")
            if at and before.isascii() and before.isdigit():
                number, word = int(before), after
        numbers.append(number)
        indices.append(numbering.setdefault(word, len(numbering)))
    return TextColumn(
        np.array(indices, np.int32), list(numbering), np.array(numbers, np.int64) if sections else None
    )  # fmt: skip


def decode(path: str, word: bytes) -> str:
    """Return bytes of a file as text, or say that they are none."""
    try:
        return word.decode()
    except UnicodeDecodeError:
        raise FormatError(path, f"{word[:40]!r} is not text in UTF-8.", "Is this a text file?") from None


def line_at(buffer: NDArray[np.uint8], position: int) -> int:
    """Return the number of the line, from 1, that holds a byte."""
    return int(np.count_nonzero(buffer[:position] == 10)) + 1


def read_star(path: PathLike, *, threads: int = 2) -> list[Block]:
    """Read a STAR file.

    Parameters
    ----------
    path
        The file. A row of a loop is one line with one value for each label; text fields in semicolons are refused.
    threads
        Parts of a large file that are read at once.

    Returns
    -------
    list of Block
        The blocks in the order of the file. Numbers are converted when a column is asked for.

    Raises
    ------
    FormatError
        The file is empty, no STAR file or damaged; the message names the line.

    References
    ----------
    Hall, S. R. (1991). J. Chem. Inf. Comput. Sci. 31, 326-333 (the STAR file).
    """
    name = str(path)
    buffer = np.fromfile(path, dtype=np.uint8)
    if buffer.size == 0:
        raise FormatError(name, "the file is empty.", "Copy it again from where it came from.")
    if buffer.min() == 0:
        raise FormatError(name, "this is no text file (it holds zero bytes).", "Choose a STAR file.")
    return _Reader(name, buffer, threads).blocks()


class _Reader:
    """The state of reading one file: its bytes and the place reached."""

    def __init__(self, path: str, buffer: NDArray[np.uint8], threads: int) -> None:
        self.path, self.buffer, self.threads = path, buffer, threads
        self.position = 3 if buffer[:3].tobytes() == b"\xef\xbb\xbf" else 0
        self.view = buffer.tobytes() if buffer.size < 65536 else memoryview(buffer.data)

    def fail(self, position: int, problem: str) -> FormatError:
        return FormatError(
            self.path, f"line {line_at(self.buffer, position)}: {problem}", "Correct or remove the line."
        )

    def line(self) -> tuple[int, list[str]]:
        """Return place and values of the next line and step past it."""
        start, end = self.position, self.position
        step = 256
        while True:
            found = bytes(self.view[end : end + step]).find(b"\n")
            if found >= 0 or end + step >= self.buffer.size:
                end = end + found if found >= 0 else self.buffer.size
                break
            end += step
            step *= 2
        self.position = end + 1
        return start, self.words(start, decode(self.path, bytes(self.view[start:end])))

    def words(self, start: int, line: str) -> list[str]:
        words, rest = [], line.strip()
        while rest and not rest.startswith("#"):
            if rest[0] in "'\"":
                quoted = re.match(rf"{rest[0]}(.*?){rest[0]}(?=\s|\Z)", rest)
                if quoted is None:
                    raise self.fail(start, "a quoted value is not closed.")
                words.append("=" + quoted[1])
                rest = rest[quoted.end() :].lstrip()
            else:
                word, _, rest = rest.replace("\t", " ").partition(" ")
                words.append(word if word.startswith("_") or is_header(word) else "=" + word)
                rest = rest.lstrip()
        return words

    def blocks(self) -> list[Block]:
        blocks: list[Block] = []
        while self.position < self.buffer.size:
            start, words = self.line()
            if not words:
                continue
            first = words[0]
            if len(words) == 1 and first.lower().startswith("data_"):
                blocks.append(Block(first[5:]))
                continue
            if not blocks:
                raise self.fail(start, "a STAR file begins with data_, this one does not.")
            if len(words) == 1 and first.lower() == "loop_":
                blocks[-1].loops.append(self.loop())
            elif first.startswith("_") and len(words) == 2:
                if first[1:] in blocks[-1].items:
                    raise self.fail(start, f"{first} is given twice.")
                blocks[-1].items[first[1:]] = words[1].removeprefix("=")
            else:
                raise self.fail(start, f"expected data_, loop_ or a label with its value, found {first[:60]!r}.")
        if not blocks:
            raise FormatError(self.path, "there is no data_ block in this file.", "Choose a STAR file.")
        return blocks

    def loop(self) -> Loop:
        from verglas.kernels import star_text

        labels: list[str] = []
        start = self.position
        while self.position < self.buffer.size:
            before = self.position
            _, words = self.line()
            if words and not words[0].startswith("_"):
                self.position = before
                break
            if words:
                if words[0] == "_":
                    raise self.fail(before, "a label without a name.")
                if words[0][1:] in labels:
                    raise self.fail(before, f"the label {words[0]} is given twice in one loop.")
                labels.append(words[0][1:])
        if not labels:
            raise self.fail(start, "a loop without labels.")
        rows = find_loop_rows(self.buffer, self.position, len(labels), self.threads)
        self.position = rows.position
        if rows.status == star_text.WRONG_COUNT:
            raise self.fail(rows.place, f"{rows.found} values where the loop has {len(labels)} labels.")
        if rows.status == star_text.OPEN_QUOTE:
            raise self.fail(rows.place, "a quoted value is not closed.")
        if rows.status == star_text.TEXT_FIELD:
            raise self.fail(rows.place, "text fields in semicolons are not supported.")
        return Loop.from_bytes(self.path, self.buffer, labels, rows.starts, rows.values, rows.kinds)


def is_header(word: str) -> bool:
    """Whether a word opens a block or a loop."""
    return word[:5].lower() == "data_" or word.lower() == "loop_"


def find_loop(blocks: list[Block], name: str) -> Loop | None:
    """Return the first loop of the block of that name, or None."""
    return next((block.loops[0] for block in blocks if block.name == name and block.loops), None)
