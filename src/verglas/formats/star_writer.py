"""Write STAR files: values quoted where they must be, reals so that they read back the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.formats.atomic_write import write_whole
from verglas.formats.star import Block, Loop, PathLike, TextColumn, is_header, text_column

ROWS_AT_ONCE = 16384


def quoted(value: str, *, always: bool = False) -> str:
    """Return text as a STAR value, in quotes where it needs them.

    Raises
    ------
    InputError
        The text holds a line break, or both kinds of quotes before blanks.
    """
    if re.search(r"[\n\r\0]", value):
        raise InputError(f"{value[:60]!r} cannot be written to a STAR file: it holds a line break.")
    plain = value and not re.search(r"[\s\x01-\x20]", value) and value[0] not in "_#'\";$[]"
    if (plain or (value[:1] == "[" and not re.search(r"\s", value))) and not is_header(value) and not always:
        return value
    for quote in "'\"":
        if not re.search(rf"{quote}[\x00-\x20]", value):
            return f"{quote}{value}{quote}"
    raise InputError(f"{value[:60]!r} cannot be written to a STAR file: it holds both kinds of quotes.")


def write_star(
    path: PathLike, blocks: Sequence[Block], comment: str = "version 30001", *, quote_all: bool = False
) -> None:
    """Write a STAR file, whole or not at all.

    Parameters
    ----------
    path
        The file.
    blocks
        What to write. Reals are written so that reading them gives the same float64.
    comment
        First line. RELION 3.1 and later look for ``version 30001``.
    quote_all
        Put every text value of a loop in quotes, as cisTEM does.

    Raises
    ------
    InputError
        A value cannot stand in a STAR file.
    """
    with write_whole(Path(path)) as temporary, temporary.open("wb") as file:
        for block in blocks:
            file.write(f"\n# {comment}\n\ndata_{block.name}\n\n".encode())
            for label, value in block.items.items():
                file.write(f"_{label} {quoted(value)}\n".encode())
            for loop in block.loops:
                labels = "".join(f"_{label} #{k}\n" for k, label in enumerate(loop.labels, 1))
                file.write(f"\nloop_\n{labels}".encode())
                for rows in encode_rows(loop, quote_all=quote_all):
                    file.write(rows)
                file.write(b"\n")


def encode_rows(loop: Loop, *, quote_all: bool = False) -> Iterable[bytes]:
    """Yield the rows of a loop as lines of text, some thousands at a time."""
    from verglas.kernels import star_text
    from verglas.kernels.number_text import EXACT_POWERS, NUMBER_WIDTH, POWERS

    kinds, places = [], []
    floats: list[NDArray[Any]] = []
    integers: list[NDArray[Any]] = []
    names: list[bytes] = []
    width = 1
    for label in loop.labels:
        column = loop.column(label)
        if isinstance(column, np.ndarray) and column.dtype.kind not in "fiub":
            column = text_column([str(word) for word in column.tolist()])
        if isinstance(column, TextColumn):
            encoded = [quoted(name, always=quote_all).encode() for name in column.names]
            if column.sections is not None and ((column.sections < 0).any() or not plain_images(encoded)):
                column = text_column(image if k >= 0 else image.partition("@")[2] for k, image in sectioned(column))
                encoded = [quoted(name, always=quote_all).encode() for name in column.names]
            kinds.append(star_text.TEXT if column.sections is None else star_text.IMAGE)
            places.append(len(integers))
            if column.sections is not None:
                integers.append(column.sections)
            integers.append(column.indices.astype(np.int64) + len(names))
            names += encoded
            width += max(map(len, encoded), default=0) + NUMBER_WIDTH
        elif column.dtype.kind == "f":
            kinds.append(star_text.FLOAT)
            places.append(len(floats))
            floats.append(column)
            width += NUMBER_WIDTH
        else:
            kinds.append(star_text.INTEGER)
            places.append(len(integers))
            integers.append(column)
            width += NUMBER_WIDTH
    blob = np.frombuffer(b"".join(names) or b" ", np.uint8)
    offsets = np.concatenate([[0], np.cumsum([len(name) for name in names])]).astype(np.int64)
    out = np.empty(width * ROWS_AT_ONCE, np.uint8)
    tables = np.array(kinds, np.int64), np.array(places, np.int64)
    for start in range(0, len(loop), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(loop))
        real, whole = _side_by_side(floats, start, stop, np.float64), _side_by_side(integers, start, stop, np.int64)
        done = 0
        while done < stop - start:
            length, row, _ = star_text.write_rows(
                *tables, real[done:], whole[done:], blob, offsets, POWERS, EXACT_POWERS, out
            )
            if row < 0:
                yield out[:length].tobytes()
                break
            if row:
                length, _, _ = star_text.write_rows(
                    *tables, real[done : done + row], whole[done : done + row], blob, offsets, POWERS, EXACT_POWERS, out
                )
                yield out[:length].tobytes()
            yield _plain_row(kinds, places, real[done + row], whole[done + row], names)
            done += row + 1


def sectioned(column: TextColumn) -> Iterable[tuple[int, str]]:
    """Return section (-1: none) and value of each row."""
    sections = np.full(len(column), -1) if column.sections is None else column.sections
    return zip(sections.tolist(), column.tolist())


def plain_images(encoded: list[bytes]) -> bool:
    """Whether none of the names needs quotes (they would have to stand around the section too)."""
    return not any(name[:1] in {b"'", b'"'} for name in encoded)


def _side_by_side(columns: list[NDArray[Any]], start: int, stop: int, dtype: type) -> NDArray[Any]:
    """Return rows ``start:stop`` of the columns as one array, shape (rows, columns)."""
    block: NDArray[Any] = np.zeros((stop - start, max(len(columns), 1)), dtype)
    for k, column in enumerate(columns):
        block[:, k] = column[start:stop]
    return block


def _plain_row(
    kinds: list[int], places: list[int], floats: NDArray[np.float64], integers: NDArray[np.int64], names: list[bytes]
) -> bytes:
    """Write one row by Python's own conversion: for NaN, infinities and extreme exponents."""
    from verglas.kernels.star_text import FLOAT, IMAGE
    from verglas.kernels.star_text import INTEGER as WHOLE

    words = []
    for kind, place in zip(kinds, places):
        if kind == FLOAT:
            words.append(repr(float(floats[place])).encode())
        elif kind == WHOLE:
            words.append(b"%d" % integers[place])
        elif kind == IMAGE:
            words.append(b"%06d@" % integers[place] + names[integers[place + 1]])
        else:
            words.append(names[integers[place]])
    return b" ".join(words) + b"\n"
