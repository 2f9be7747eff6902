"""Fused loops that read movie frames where the specimen lay in them, and add them to weighted sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from verglas.kernels.compile import cpu_kernel
from verglas.kernels.movie import correct_span

TAPS = 12
BEFORE = TAPS // 2 - 1
PHASES = 256
BLOCK = 32
CELL = 64
FINE_BLOCK = 8
GENTLE = np.float32(0.25)
"""Pixels by which displacements may differ over a cell and yet be constant over blocks of 32 pixels."""


@cpu_kernel(inline=True)
def interpolate_span(source: Any, start: Any, taps: Any, phase: Any, count: Any, out: Any, first: Any) -> None:
    """Fill ``out[first : first + count]`` from ``source[start : ...]`` with one filter of 12 taps."""
    t0, t1, t2, t3 = taps[phase, 0], taps[phase, 1], taps[phase, 2], taps[phase, 3]
    t4, t5, t6, t7 = taps[phase, 4], taps[phase, 5], taps[phase, 6], taps[phase, 7]
    t8, t9, t10, t11 = taps[phase, 8], taps[phase, 9], taps[phase, 10], taps[phase, 11]
    s = source[start : start + count + TAPS - 1]
    o = out[first : first + count]
    for i in range(count):
        o[i] = (
            (t0 * s[i] + t1 * s[i + 1] + t2 * s[i + 2] + t3 * s[i + 3])
            + (t4 * s[i + 4] + t5 * s[i + 5] + t6 * s[i + 6] + t7 * s[i + 7])
            + (t8 * s[i + 8] + t9 * s[i + 9] + t10 * s[i + 10] + t11 * s[i + 11])
        )


@cpu_kernel(inline=True)
def interpolate_rows(source: Any, row: Any, taps: Any, phase: Any, x: Any, count: Any, out: Any) -> None:
    """Fill ``out[x : x + count]`` from 12 rows of ``source``, the first of them ``row``."""
    o = out[x : x + count]
    for third in range(3):
        t0, t1, t2, t3 = (
            taps[phase, 4 * third],
            taps[phase, 4 * third + 1],
            taps[phase, 4 * third + 2],
            taps[phase, 4 * third + 3],
        )
        s0 = source[row + 4 * third, x : x + count]
        s1 = source[row + 4 * third + 1, x : x + count]
        s2 = source[row + 4 * third + 2, x : x + count]
        s3 = source[row + 4 * third + 3, x : x + count]
        if third == 0:
            for i in range(count):
                o[i] = t0 * s0[i] + t1 * s1[i] + t2 * s2[i] + t3 * s3[i]
        else:
            for i in range(count):
                o[i] += t0 * s0[i] + t1 * s1[i] + t2 * s2[i] + t3 * s3[i]


@cpu_kernel(inline=True)
def reflected(index: Any, size: Any) -> Any:
    """Return the pixel that lies at ``index`` when an axis of ``size`` pixels is mirrored at its edges for ever."""
    index = index % (2 * size)
    return index if index < size else 2 * size - 1 - index


@cpu_kernel()
def fill_corrected_line(
    raw: Any, dark: Any, gain: Any, mean: Any, limit: Any, y: Any, first: Any, count: Any, line: Any
) -> None:
    """Fill ``line[:count]`` with corrected pixels ``first``, ``first + 1`` ... of a row, mirrored at the edges."""
    nx = raw.shape[1]
    inside = min(max(-first, 0), count)
    after = max(min(nx - first, count), inside)
    correct_span(raw, dark, gain, mean, limit, y, first + inside, after - inside, line, inside)
    for part in range(2):
        begin, end = (0, inside) if part == 0 else (after, count)
        for i in range(begin, end):
            correct_span(raw, dark, gain, mean, limit, y, reflected(first + i, nx), 1, line, i)


@cpu_kernel()
def displaced(corners: Any, part: Any, x: Any, block: Any) -> Any:
    """Return the displacement at the middle of a block of pixels, in 256ths of a pixel.

    Parameters
    ----------
    corners
        float32 ``[2, cells + 1]``: displacement at the corners of a row of cells.
    part
        Where between the two rows of corners, 0 to 1.
    x, block
        First pixel of the block, counted from the first corner, and its length.
    """
    place = (np.float32(x) + np.float32(0.5) * np.float32(block)) / np.float32(CELL)
    j = min(np.int64(place), corners.shape[1] - 2)
    rest = place - np.float32(j)
    before = corners[0, j] + part * (corners[1, j] - corners[0, j])
    after = corners[0, j + 1] + part * (corners[1, j + 1] - corners[0, j + 1])
    return np.int64(np.floor((before + rest * (after - before)) * np.float32(PHASES) + np.float32(0.5)))


@cpu_kernel()
def shift_line(line: Any, origin: Any, corners: Any, part: Any, taps: Any, length: Any, out: Any) -> None:
    """Fill ``out`` from a corrected line, displaced along x; ``line[origin]`` belongs to its first pixel.

    The displacement is constant over blocks of ``length`` pixels.
    """
    width = out.shape[0]
    for x in range(0, width, length):
        block = min(length, width - x)
        steps = displaced(corners, part, x, block)
        start = min(max(x + origin - BEFORE + steps // PHASES, 0), line.shape[0] - block - TAPS + 1)
        interpolate_span(line, start, taps, steps % PHASES, block, out, x)


@cpu_kernel()
def shift_row(between: Any, origin: Any, corners: Any, part: Any, taps: Any, length: Any, out: Any) -> None:
    """Fill ``out`` from rows that are displaced along y; ``between[origin]`` is the same row undisplaced.

    The displacement is constant over blocks of ``length`` pixels.
    """
    width = out.shape[0]
    for x in range(0, width, length):
        block = min(length, width - x)
        steps = displaced(corners, part, x, block)
        start = min(max(origin - BEFORE + steps // PHASES, 0), between.shape[0] - TAPS)
        interpolate_rows(between, start, taps, steps % PHASES, x, block, out)


@cpu_kernel()
def add_row(value: Any, coefficients: Any, y: Any, first_x: Any, sums: Any) -> None:
    """Add a row to every sum, times its coefficient."""
    width = value.shape[0]
    for a in range(sums.shape[0]):
        target = sums[a, y, first_x : first_x + width]
        c = coefficients[a]
        for x in range(width):
            target[x] += c * value[x]


@cpu_kernel()
def add_frame(
    raw: Any, dark: Any, gain: Any, mean: Any, limit: Any, coefficients: Any, corners: Any, taps: Any,
    first_y: Any, last_y: Any, first_x: Any, last_x: Any, sums: Any,
) -> None:  # fmt: skip
    """Add one frame to the sums for one tile; ``corners`` are the nodes ``[2, 2, cells + 1]`` around the tile."""
    low_y, high_y = np.int64(np.floor(corners[1].min())), np.int64(np.ceil(corners[1].max()))
    low_x, high_x = np.int64(np.floor(corners[0].min())) - 1, np.int64(np.ceil(corners[0].max())) + 1
    middle_y = np.float32(0.5) * (corners[1].min() + corners[1].max())
    width = last_x - first_x
    steepest = np.float32(0)
    for axis in range(2):
        for i in range(2):
            for j in range(corners.shape[2] - 1):
                steepest = max(steepest, abs(corners[axis, i, j + 1] - corners[axis, i, j]))
    length = BLOCK if steepest <= GENTLE else FINE_BLOCK
    between = np.empty((last_y - first_y + high_y - low_y + TAPS, width), np.float32)
    line = np.empty(width + high_x - low_x + TAPS, np.float32)
    value = np.empty(width, np.float32)
    above, left = BEFORE - low_y, BEFORE - low_x
    for row in range(between.shape[0]):
        y = first_y - above + row
        source_y = reflected(y, raw.shape[0])
        fill_corrected_line(raw, dark, gain, mean, limit, source_y, first_x - left, line.shape[0], line)
        part = (np.float32(y - first_y) - middle_y) / np.float32(CELL)
        shift_line(line, left, corners[0], part, taps, length, between[row])
    for y in range(first_y, last_y):
        part = np.float32(y - first_y) / np.float32(CELL)
        shift_row(between, y - first_y + above, corners[1], part, taps, length, value)
        add_row(value, coefficients, y, first_x, sums)


@cpu_kernel()
def add_frames(
    frames: Any, dark: Any, gain: Any, means: Any, limits: Any, coefficients: Any, nodes: Any, taps: Any,
    first_y: Any, last_y: Any, first_x: Any, last_x: Any, sums: Any,
) -> None:  # fmt: skip
    """Add frames, each read where the specimen lay in it, to several weighted sums; for one tile of the image.

    A pixel (y, x) of the sums gets the frame's value at (y, x) plus the displacement there, interpolated along x and
    then along y. Frames whose coefficients are all zero are left out.

    Parameters
    ----------
    frames
        ``[frame, y, x]`` as decoded.
    dark, gain
        float32 references ``[y, x]``, or of shape (0, 0) where there is none.
    means, limits
        float32 mean of each corrected frame, and the largest deviation that is believed.
    coefficients
        float32 ``[frame, sum]``: how much of each frame enters each sum.
    nodes
        float32 ``[frame, 2, cells y + 1, cells x + 1]``: displacement (x, y) in pixels at every 64th pixel, linear in
        between.
    taps
        float32 ``[256, 12]``: interpolation filters for displacements of 0, 1/256 ... 255/256 of a pixel.
    first_y, last_y, first_x, last_x
        The tile; ``first_y`` and ``first_x`` are multiples of 64, and it is at most 64 rows high.
    sums
        float32 ``[sum, y, x]``, added to.
    """
    cell_y, cell_x = first_y // CELL, first_x // CELL
    cells = (last_x - first_x + CELL - 1) // CELL
    for frame in range(frames.shape[0]):
        used = False
        for a in range(coefficients.shape[1]):
            used = used or coefficients[frame, a] != 0
        if used:
            add_frame(
                frames[frame], dark, gain, means[frame], limits[frame], coefficients[frame],
                nodes[frame, :, cell_y : cell_y + 2, cell_x : cell_x + cells + 1], taps,
                first_y, last_y, first_x, last_x, sums,
            )  # fmt: skip


@cpu_kernel()
def add_weighted_rows(
    transform: Any, source_rows: Any, table: Any, table_scale: Any, frequency_y: Any, frequency_x: Any,
    first_row: Any, last_row: Any, total: Any,
) -> None:  # fmt: skip
    """Add rows of a transform, times a table over spatial frequency, to ``total``.

    Parameters
    ----------
    transform
        complex64 ``[ky, kx]``.
    source_rows
        Row of ``transform`` for each row of ``total`` (a Fourier crop leaves some out); -1: nothing is added.
    table, table_scale
        float32 table, and its entries per unit of frequency.
    frequency_y, frequency_x
        float32 frequency of each row and column of ``total``.
    first_row, last_row
        Rows of ``total`` to work on.
    total
        complex64 ``[ky, kx]``, added to; columns beyond its own are left out.
    """
    last = table.shape[0] - 2
    for y in range(first_row, last_row):
        if source_rows[y] < 0:
            continue
        source, target = transform[source_rows[y]], total[y]
        squared = frequency_y[y] * frequency_y[y]
        for x in range(target.shape[0]):
            place = np.sqrt(squared + frequency_x[x] * frequency_x[x]) * table_scale
            entry = min(np.int32(place), last)
            part = place - np.float32(entry)
            target[x] += source[x] * (table[entry] + part * (table[entry + 1] - table[entry]))


def warm() -> None:
    """Compile every kernel of this module for the types that movies come in."""
    none = np.zeros((0, 0), np.float32)
    plane, one = np.ones((4, 4), np.float32), np.ones(1, np.float32)
    nodes, taps = np.zeros((1, 2, 2, 2), np.float32), np.ones((PHASES, TAPS), np.float32)
    sums = np.zeros((1, 4, 4), np.float32)
    for kind in (np.uint8, np.int16, np.uint16, np.float32):
        raw = np.ones((1, 4, 4), kind)
        add_frames(raw, none, plane, one, one, np.ones((1, 1), np.float32), nodes, taps, 0, 4, 0, 4, sums)
    spectrum, index = np.ones((4, 3), np.complex64), np.arange(4)
    row, column = np.zeros(4, np.float32), np.zeros(3, np.float32)
    add_weighted_rows(spectrum, index, row, np.float32(1), row, column, 0, 4, spectrum.copy())
