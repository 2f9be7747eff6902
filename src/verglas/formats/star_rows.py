"""Find the rows of a STAR loop, large ones in several parts at once."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PART_BYTES = 1 << 23
"""A loop is cut at the first line that begins after so many bytes; files below that are read in one."""


@dataclass
class Rows:
    """The rows of a loop.

    Attributes
    ----------
    starts
        First byte of each value, shape (labels, rows).
    values
        float64, the same shape: the numbers.
    kinds
        uint8, one a label: the largest kind (see :func:`verglas.kernels.number_text.parse_number`) in its column.
    position
        The byte after the loop.
    status, place, found
        What ended it (``star_text.DONE`` ...), where, and how many values that line had.
    """

    starts: NDArray[Any]
    values: NDArray[np.float64]
    kinds: NDArray[np.uint8]
    position: int
    status: int
    place: int
    found: int


def find_loop_rows(buffer: NDArray[np.uint8], position: int, labels: int, threads: int) -> Rows:
    """Find all rows of the loop whose values begin at ``position`` (start of a line), ``threads`` parts at a time.

    Each part is read as if the loop went on there; those after the part in which it ends are forgotten, so the answer
    does not depend on the parts.
    """
    from verglas.kernels.number_text import EXACT_POWERS, POWERS
    from verglas.kernels.star_text import DONE, count_lines, find_rows

    edges = [position]
    while edges[-1] < buffer.size:
        edges.append(next_line(buffer, edges[-1] + PART_BYTES))
    parts = list(itertools.pairwise(edges))
    with ThreadPoolExecutor(max(1, threads)) as pool:
        lines = list(pool.map(lambda part: int(count_lines(buffer[part[0] : part[1]])), parts))
        # No row is shorter than two bytes a value: a file of empty lines takes no memory.
        most = [min(n + 1, (end - start) // (2 * labels) + 1) for n, (start, end) in zip(lines, parts)]
        offsets = list(itertools.accumulate(most, initial=0))
        starts = np.empty((labels, offsets[-1]), np.uint32 if buffer.size < 2**32 else np.int64)
        values = np.empty(starts.shape)
        kinds = np.zeros((len(parts), labels), np.uint8)

        def find(k: int) -> tuple[int, int, int, int, int]:
            room = slice(offsets[k], offsets[k + 1])
            first, end = parts[k]
            found: tuple[int, int, int, int, int] = find_rows(
                buffer[:end], first, starts[:, room], values[:, room], kinds[k], POWERS, EXACT_POWERS
            )
            return found

        answers = list(pool.map(find, range(len(parts))))
    rows, used, last = 0, 0, (position, DONE, position, 0)
    for k, (here, *last_of_part) in enumerate(answers):
        if rows != offsets[k]:
            starts[:, rows : rows + here] = starts[:, offsets[k] : offsets[k] + here]
            values[:, rows : rows + here] = values[:, offsets[k] : offsets[k] + here]
        end, status, place, found = last_of_part
        rows, used, last = rows + here, k + 1, (end, status, place, found)
        if status != DONE or end < parts[k][1]:
            break
    return Rows(starts[:, :rows], values[:, :rows], kinds[:used].max(axis=0, initial=0), *last)


def next_line(buffer: NDArray[np.uint8], position: int) -> int:
    """Return the start of the first line that begins at or after a byte, or the size of the buffer."""
    step = 256
    while position < buffer.size:
        found = np.flatnonzero(buffer[position - 1 : position - 1 + step] == 10)
        if found.size:
            return min(position + int(found[0]), buffer.size)
        position += step
        step *= 2
    return buffer.size
