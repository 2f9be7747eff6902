"""Symmetrising of Fourier sums in place, by those elements of a point group that permute voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from verglas.kernels.compile import cpu_kernel
from verglas.kernels.insertion import stored_body

Array = np.ndarray[Any, Any]


def comes_first_body(u: int, v: int, w: int, x: int, y: int, z: int) -> bool:
    """Tell whether (u, v, w) or its mate, whichever has the larger coordinates, comes before (x, y, z)."""
    if u < 0 or (u == 0 and (v < 0 or (v == 0 and w < 0))):
        u, v, w = -u, -v, -w
    if u != x:
        return u < x
    if v != y:
        return v < y
    return w < z


_stored = cpu_kernel(inline=True)(stored_body)
_comes_first = cpu_kernel(inline=True)(comes_first_body)


@cpu_kernel(parallel=True)
def symmetrise_sums(volume: Array, starts: Array, centre: int, operators: Array) -> None:
    """Replace every voxel by the mean over the operators; a second time changes nothing.

    Of the voxels that the operators bring onto each other, and their mates, the first in order does the work for all.

    Parameters
    ----------
    volume : float32 or float64 array
        Sums, see :mod:`verglas.kernels.insertion`; changed in place.
    starts, centre
        Their layout.
    operators : int64 array, shape (operators, 3, 3)
        A group of signed permutations of (x, y, z).
    """
    side, count = 2 * centre + 1, operators.shape[0]
    for plane in prange(side):
        z = int(np.int64(plane)) - centre
        for y in range(-centre, centre + 1):
            row = plane * side + y + centre
            for x in range(np.int64(starts[row + 1]) - np.int64(starts[row])):
                works = not (x == 0 and (y < 0 or (y == 0 and z < 0)))
                g = 0
                while works and g < count:
                    u = operators[g, 0, 0] * x + operators[g, 0, 1] * y + operators[g, 0, 2] * z
                    v = operators[g, 1, 0] * x + operators[g, 1, 1] * y + operators[g, 1, 2] * z
                    w = operators[g, 2, 0] * x + operators[g, 2, 1] * y + operators[g, 2, 2] * z
                    works = not _comes_first(u, v, w, x, y, z)
                    g += 1
                if not works:
                    continue
                real, imaginary, weight = 0.0, 0.0, 0.0
                for g in range(count):
                    u = operators[g, 0, 0] * x + operators[g, 0, 1] * y + operators[g, 0, 2] * z
                    v = operators[g, 1, 0] * x + operators[g, 1, 1] * y + operators[g, 1, 2] * z
                    w = operators[g, 2, 0] * x + operators[g, 2, 1] * y + operators[g, 2, 2] * z
                    sign = -1 if u < 0 else 1
                    a, b, c = _stored(volume, starts, centre, sign * u, sign * v, sign * w)
                    real, imaginary, weight = real + a, imaginary + sign * b, weight + c
                real, imaginary, weight = real / count, imaginary / count, weight / count
                for g in range(count):
                    u = operators[g, 0, 0] * x + operators[g, 0, 1] * y + operators[g, 0, 2] * z
                    v = operators[g, 1, 0] * x + operators[g, 1, 1] * y + operators[g, 1, 2] * z
                    w = operators[g, 2, 0] * x + operators[g, 2, 1] * y + operators[g, 2, 2] * z
                    sign = -1 if u < 0 else 1
                    u, v, w = sign * u, sign * v, sign * w
                    at = 3 * (np.int64(starts[(w + centre) * side + v + centre]) + u)
                    # On the plane x = 0 both mates are stored, and are added up when they are read.
                    part = 0.5 if u == 0 else 1.0
                    volume[at], volume[at + 1], volume[at + 2] = part * real, part * sign * imaginary, part * weight
                    if u == 0:
                        at = 3 * np.int64(starts[(centre - w) * side + centre - v])
                        volume[at], volume[at + 1], volume[at + 2] = (
                            part * real,
                            -part * sign * imaginary,
                            part * weight,
                        )


def warm() -> None:
    """Compile the kernel for the types it is called with."""
    for kind in (np.float32, np.float64):
        symmetrise_sums(np.zeros(24, kind), np.zeros(26, np.uint32), 2, np.eye(3, dtype=np.int64)[None])
