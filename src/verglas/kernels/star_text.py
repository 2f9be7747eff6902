"""Find the values of a STAR loop in a buffer of bytes, and write rows of values into one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.kernels.compile import cpu_kernel
from verglas.kernels.number_text import EXACT_POWERS, NUMBER_WIDTH, POWERS, parse_number, put_integer, put_number

Bytes = NDArray[np.uint8]

NEWLINE, HASH, QUOTE, APOSTROPHE, UNDERSCORE = 10, 35, 34, 39, 95
DONE, WRONG_COUNT, OPEN_QUOTE, TEXT_FIELD = 0, 1, 2, 3
FLOAT, INTEGER, TEXT, IMAGE = 0, 1, 2, 3


@cpu_kernel(inline=True)
def value_end(buffer: Bytes, start: Any) -> tuple[int, int, int]:
    """Return (first byte, end, byte after) of the value at ``start``; the end is -1 where a quote stays open."""
    size = buffer.shape[0]
    quote = buffer[start]
    i = start
    if quote in (34, 39):
        i = start + 1
        while i < size and buffer[i] != 10:
            if buffer[i] == quote and (i + 1 == size or buffer[i + 1] <= 32):
                return start + 1, i, i + 1
            i += 1
        return start + 1, -1, i
    while i < size and buffer[i] > 32:
        i += 1
    return start, i, i


@cpu_kernel(inline=True)
def is_keyword(buffer: Bytes, start: int, end: int) -> bool:
    """Whether the value opens another block, loop or item: ``data_...``, ``loop_`` or ``_label``."""
    if buffer[start] == 95:
        return True
    if end - start < 5 or buffer[start + 4] != 95:
        return False
    a, b, c, d = buffer[start] | 32, buffer[start + 1] | 32, buffer[start + 2] | 32, buffer[start + 3] | 32
    is_data = a == 100 and b == 97 and c == 116 and d == 97
    is_loop = a == 108 and b == 111 and c == 111 and d == 112 and end - start == 5
    return is_data or is_loop


@cpu_kernel()
def count_lines(buffer: Bytes) -> int:
    """Return the number of line ends."""
    count = 0
    for i in range(buffer.shape[0]):
        count += buffer[i] == 10
    return count


@cpu_kernel()
def find_rows(
    buffer: Bytes, position: int, starts: Any, values: Any, kinds: Any, powers: Any, exact: Any
) -> tuple[int, int, int, int, int]:
    """Find where each value of a loop starts, and read the columns that hold numbers.

    Parameters
    ----------
    buffer
        The whole file.
    position
        First byte after the labels (start of a line).
    starts
        Output, shape (labels, most rows there can be).
    values
        Output, same shape: the numbers.
    kinds
        Input and output, one a label, zero at first: the largest kind (see ``parse_number``) in the column; a column
        that holds something that is no number (3) is not read on.

    Returns
    -------
    rows, position, status, place, found
        Rows found; the byte after the loop; a status (``DONE`` ...); where it went wrong; values found in that line.
    """
    size = buffer.shape[0]
    columns, most = starts.shape
    rows = 0
    while position < size:
        line = position
        count = 0
        while position < size and buffer[position] != 10:
            c = buffer[position]
            if c <= 32:
                position += 1
                continue
            if c == 35:
                while position < size and buffer[position] != 10:
                    position += 1
                break
            if c == 59 and position == line:
                return rows, line, 3, line, 0
            if 0 < count < columns and kinds[count] < 3 and rows < most and c not in (34, 39):
                value, kind, after = parse_number(buffer, position, size, powers, exact)
                if kind < 2:
                    starts[count, rows] = position
                    values[count, rows] = value
                    kinds[count] = max(kinds[count], kind)
                    count += 1
                    position = after
                    continue
            first, end, after = value_end(buffer, position)
            if end < 0:
                return rows, line, 2, position, 0
            if count == 0 and is_keyword(buffer, position, end):
                ahead = after
                while ahead < size and (buffer[ahead] == 32 or buffer[ahead] == 9 or buffer[ahead] == 13):
                    ahead += 1
                alone = ahead == size or buffer[ahead] == 10 or buffer[ahead] == 35
                if c == 95 or alone:
                    return rows, line, 0, line, 0
            if count < columns:
                if rows >= most:
                    return rows, line, 1, line, count
                starts[count, rows] = position
                if kinds[count] < 3:
                    value, kind, _ = parse_number(buffer, first, end, powers, exact)
                    values[count, rows] = value
                    kinds[count] = max(kinds[count], kind)
            count += 1
            position = after
        position += 1
        if count == columns:
            rows += 1
        elif count:
            return rows, line, 1, line, count
    return rows, size, 0, size, 0


@cpu_kernel()
def find_ends(buffer: Bytes, starts: Any, firsts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    """Find first byte and end of the values at ``starts`` (quotes left out)."""
    for row in range(starts.shape[0]):
        first, end, _after = value_end(buffer, np.int64(starts[row]))
        firsts[row] = first
        ends[row] = end


@cpu_kernel()
def split_sections(
    buffer: Bytes, firsts: NDArray[np.int64], ends: NDArray[np.int64], sections: NDArray[np.int64]
) -> None:
    """Take ``12@`` off the front of every value: the number goes to ``sections`` (-1: there is none)."""
    for row in range(firsts.shape[0]):
        i = firsts[row]
        number = np.int64(0)
        while i < ends[row] and 48 <= buffer[i] <= 57 and i - firsts[row] < 12:
            number = number * 10 + np.int64(buffer[i] - 48)
            i += 1
        if i > firsts[row] and i < ends[row] and buffer[i] == 64:
            sections[row] = number
            firsts[row] = i + 1
        else:
            sections[row] = -1


@cpu_kernel()
def differs_from_previous(
    buffer: Bytes, firsts: NDArray[np.int64], ends: NDArray[np.int64], differs: NDArray[np.bool_]
) -> None:
    """Mark the rows whose value is not that of the row before."""
    for row in range(firsts.shape[0]):
        same = row > 0 and ends[row] - firsts[row] == ends[row - 1] - firsts[row - 1]
        if same:
            for k in range(ends[row] - firsts[row]):
                if buffer[firsts[row] + k] != buffer[firsts[row - 1] + k]:
                    same = False
                    break
        differs[row] = not same


@cpu_kernel()
def write_rows(
    kinds: Any, places: Any, floats: Any, integers: Any, blob: Bytes, offsets: Any, powers: Any, exact: Any, out: Bytes
) -> tuple[int, int, int]:
    """Write rows of values, separated by single spaces.

    Parameters
    ----------
    kinds, places
        For each column its kind (``FLOAT`` ...) and its first place in ``floats`` or ``integers``; an ``IMAGE`` has
        two places: section and name.
    floats, integers
        Values, shape (rows, columns of that kind); text as index into ``offsets``.
    blob, offsets
        All names, one after the other (quoted where need be), and where each starts.
    out
        Output, large enough.

    Returns
    -------
    length, row, column
        Bytes written, and the first number that this routine cannot write (-1, -1: all written).
    """
    position = 0
    for row in range(floats.shape[0]):
        for column in range(kinds.shape[0]):
            kind, place = kinds[column], places[column]
            if kind == 0:
                after = put_number(out, position, floats[row, place], powers, exact)
                if after < 0:
                    return 0, row, column
                position = after
            elif kind == 1:
                value = integers[row, place]
                if value < 0:
                    out[position] = 45
                    position += 1
                    value = -value
                position = put_integer(out, position, value, 1)
            else:
                name = integers[row, place]
                if kind == 3:
                    position = put_integer(out, position, name, 6)
                    out[position] = 64
                    position += 1
                    name = integers[row, place + 1]
                for k in range(offsets[name], offsets[name + 1]):
                    out[position] = blob[k]
                    position += 1
            out[position] = 32
            position += 1
        out[position - 1] = 10
    return position, -1, -1


def warm() -> None:
    """Compile the kernels of this module."""
    text = np.frombuffer(b"1@a 2.5\n2@b 3.5\n", dtype=np.uint8).copy()  # a read-only array is another type to numba
    count_lines(text)
    for integer in (np.uint32, np.int64):
        starts = np.zeros((2, 2), integer)
        for part in (slice(0, 2), slice(0, 1)):
            values = np.empty((2, 2))
            find_rows(text, 0, starts[:, part], values[:, part], np.zeros(2, np.uint8), POWERS, EXACT_POWERS)
        firsts, ends = np.zeros(2, np.int64), np.zeros(2, np.int64)
        find_ends(text, starts[0], firsts, ends)
    split_sections(text, firsts, ends, np.zeros(2, np.int64))
    differs_from_previous(text, firsts, ends, np.zeros(2, bool))
    write_rows(
        np.array([FLOAT, IMAGE]), np.array([0, 0]), np.ones((1, 1)), np.zeros((1, 2), np.int64),
        np.zeros(1, np.uint8), np.array([0, 1]), POWERS, EXACT_POWERS, np.empty(4 * NUMBER_WIDTH, np.uint8),
    )  # fmt: skip
