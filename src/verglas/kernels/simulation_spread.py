"""Spread weighted points onto a finer grid, the first step of a non-uniform Fourier transform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verglas.kernels.compile import cpu_kernel


@cpu_kernel(fastmath=True)
def spread_2d(
    points: NDArray[np.float64],
    rows: NDArray[np.int64],
    table: NDArray[np.float32],
    weights: NDArray[np.float32],
    table_step: int,
    width: int,
    grid: NDArray[np.float32],
) -> None:
    """Add points to a periodic grid.

    Parameters
    ----------
    points
        (n, 2) positions (y, x) in grid units; the grid repeats itself.
    rows
        (n,) row of ``weights`` that each point carries.
    table
        Right half of the spreading kernel: value at distance ``i / table_step`` grid units.
    weights
        (species, channels).
    table_step
        Table entries per grid unit.
    width
        Kernel width in grid units.
    grid
        (ny, nx, channels), added to.
    """
    ny, nx, channels = grid.shape
    ky = np.empty(width, np.float32)
    kx = np.empty(width, np.float32)
    half = 0.5 * width
    for n in range(points.shape[0]):
        y, x = points[n, 0], points[n, 1]
        y0, x0 = int(np.ceil(y - half)), int(np.ceil(x - half))
        for i in range(width):
            a = abs(y0 + i - y) * table_step
            j = int(a)
            ky[i] = table[j] + (table[j + 1] - table[j]) * np.float32(a - j)
            a = abs(x0 + i - x) * table_step
            j = int(a)
            kx[i] = table[j] + (table[j + 1] - table[j]) * np.float32(a - j)
        row = rows[n]
        for i in range(width):
            gy = (y0 + i) % ny
            for k in range(width):
                gx = (x0 + k) % nx
                value = ky[i] * kx[k]
                for c in range(channels):
                    grid[gy, gx, c] += value * weights[row, c]


@cpu_kernel(fastmath=True)
def spread_3d(
    points: NDArray[np.float64],
    values: NDArray[np.float32],
    table: NDArray[np.float32],
    table_step: int,
    width: int,
    grid: NDArray[np.float32],
) -> None:
    """Add points (n, 3) with one value each to a periodic grid (nz, ny, nx); arguments as in :func:`spread_2d`."""
    nz, ny, nx = grid.shape
    factors = np.empty((3, width), np.float32)
    first = np.empty(3, np.int64)
    half = 0.5 * width
    for n in range(points.shape[0]):
        for axis in range(3):
            p = points[n, axis]
            first[axis] = int(np.ceil(p - half))
            for i in range(width):
                a = abs(first[axis] + i - p) * table_step
                j = int(a)
                factors[axis, i] = table[j] + (table[j + 1] - table[j]) * np.float32(a - j)
        for iz in range(width):
            gz = (first[0] + iz) % nz
            for iy in range(width):
                gy = (first[1] + iy) % ny
                value = factors[0, iz] * factors[1, iy] * values[n]
                for ix in range(width):
                    grid[gz, gy, (first[2] + ix) % nx] += value * factors[2, ix]


def warm() -> None:
    """Compile the kernels of this module."""
    table = np.ones(64, np.float32)
    one = np.ones((1, 1), np.float32)
    spread_2d(np.zeros((1, 2)), np.zeros(1, np.int64), table, one, 4, 4, np.zeros((8, 8, 1), np.float32))
    spread_3d(np.zeros((1, 3)), one[0], table, 4, 4, np.zeros((8, 8, 8), np.float32))
