"""Insertion of central slices on a GPU: the body of ``insertion``, additions atomic, one thread a component."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from verglas.kernels.compile import cuda_function, cuda_kernel
from verglas.kernels.insertion import spread_body

cuda: Any = import_module("numba.cuda")

THREADS = 128


def _add_atomically(volume: Any, at: Any, value: Any) -> None:
    cuda.atomic.add(volume, at, value)


_spread = cuda_function(spread_body, _add=cuda_function(_add_atomically))


@cuda_kernel()
def _insert_points(
    values: Any, rotations: Any, lines: Any, scale: Any, bend: Any, stretch: Any, volume: Any, starts: Any, centre: int
) -> None:  # fmt: skip
    step, line, n = cuda.grid(3)
    if line >= lines.shape[0] or n >= values.shape[0]:
        return
    begin, end, place = lines[line, 1], lines[line, 2], lines[line, 3]
    if step >= end - begin:
        return
    i, j = np.float32(begin + step), np.float32(lines[line, 0])
    kx, ky = stretch[0, 0] * i + stretch[0, 1] * j, stretch[1, 0] * i + stretch[1, 1] * j
    kz = bend * (kx * kx + ky * ky)
    kx, ky, kz = scale * kx, scale * ky, scale * kz
    limit = np.float32((centre - 1.75) ** 2)
    for copy in range(rotations.shape[1]):
        r = rotations[n, copy]
        x = r[0, 0] * kx + r[1, 0] * ky + r[2, 0] * kz
        y = r[0, 1] * kx + r[1, 1] * ky + r[2, 1] * kz
        z = r[0, 2] * kx + r[1, 2] * ky + r[2, 2] * kz
        if x * x + y * y + z * z >= limit:
            continue
        sign = np.float32(1.0)
        if x < np.float32(0.0):
            sign = np.float32(-1.0)
        at = place + step
        _spread(
            volume, starts, centre, sign * x, sign * y, sign * z, values[n, at, 0], sign * values[n, at, 1],
            values[n, at, 2], 0, 2 * centre + 1,
        )  # fmt: skip


def insert_points(
    values: Any, rotations: Any, lines: Any, scale: float, bend: float, stretch: Any, volume: Any, starts: Any,
    centre: int, longest: int, threads: int = THREADS,
) -> None:  # fmt: skip
    """Add central slices to a grid of sums, as :func:`verglas.kernels.insertion.insert_points` does.

    The order of the additions is open: sums differ from a CPU's by rounding.

    Parameters
    ----------
    values, rotations, lines, scale, bend, stretch, volume, starts, centre
        As there, on the device.
    longest : int
        Components of the longest line.
    threads : int
        Threads of a block.
    """
    grid = (-(-longest // threads), lines.shape[0], values.shape[0])
    _insert_points[grid, (threads, 1, 1)](
        values, rotations, lines, np.float32(scale), np.float32(bend), stretch, volume, starts, centre
    )
