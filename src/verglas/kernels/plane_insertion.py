"""Sums of weighted, turned and moved images in Fourier planes of classes, by bilinear interpolation.

A plane holds (real, imaginary, weight) triples of the half with x >= 0: voxel (y, x) is ``plane[y + centre, x]``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from verglas.kernels.compile import cpu_kernel

Array = np.ndarray[Any, Any]


@cpu_kernel(parallel=True)
def insert_planes(
    data: Array, transfer: Array, columns: Array, rows: Array, kx: Array, ky: Array, images: Array, turns: Array,
    first: Array, moves: Array, weights: Array, tasks: Array, planes: Array,
) -> None:  # fmt: skip
    """Add images, each at some poses, to the planes of their classes.

    Every task fills a slab of rows of one plane, in the order of its poses: the sums do not depend on the number of
    slabs.

    Parameters
    ----------
    data : complex64 array, shape (n, points)
        Whitened components.
    transfer : float32 array, shape (n, points)
        Added are ``transfer x data`` and ``transfer^2``.
    columns, rows : int32 arrays, shape (points,)
        Whole frequencies of the points, columns from 0.
    kx, ky : float32 arrays, shape (points,)
        Where the points lie, in voxels of the planes.
    images : int64 array, shape (poses,)
    turns : float32 array, shape (poses, 2)
        Cosine and sine of psi; a point is added at ``R^T k``.
    first : int64 array, shape (poses + 1,)
        The displacements of pose p are ``moves[first[p] : first[p + 1]]``.
    moves : float32 array, shape (displacements, 2)
        Displacement in x and y that is undone, in radians for one step of frequency.
    weights : float32 array, shape (displacements,)
    tasks : int64 array, shape (tasks, 5)
        Plane, first pose, past last pose, first row and past last row of the plane.
    planes : float64 array, shape (planes, 2 centre + 1, centre + 2, 3)
    """
    centre = planes.shape[1] // 2
    limit = np.float32((centre - 1) * (centre - 1))
    highest = 0
    for i in range(columns.shape[0]):
        highest = max(highest, columns[i], abs(rows[i]))
    most = 0
    for pose in range(images.shape[0]):
        most = max(most, first[pose + 1] - first[pose])
    for task in prange(tasks.shape[0]):
        plane = planes[tasks[task, 0]]
        low, high = tasks[task, 3], tasks[task, 4]
        column_phases = np.empty((most, highest + 1), np.complex64)
        row_phases = np.empty((most, 2 * highest + 1), np.complex64)
        for pose in range(tasks[task, 1], tasks[task, 2]):
            begin, count = first[pose], first[pose + 1] - first[pose]
            total = np.float32(0.0)
            for s in range(count):
                x, y, w = moves[begin + s, 0], moves[begin + s, 1], weights[begin + s]
                total += w
                for k in range(highest + 1):
                    column_phases[s, k] = complex(math.cos(x * k), math.sin(x * k))
                for k in range(-highest, highest + 1):
                    row_phases[s, k + highest] = complex(w * math.cos(y * k), w * math.sin(y * k))
            cosine, sine = turns[pose, 0], turns[pose, 1]
            own, own_transfer = data[images[pose]], transfer[images[pose]]
            for i in range(kx.shape[0]):
                a, b = kx[i], ky[i]
                x, y = cosine * a - sine * b, sine * a + cosine * b
                if x * x + y * y >= limit:
                    continue
                mirrored = x < np.float32(0.0)
                if mirrored:
                    x, y = -x, -y
                # Positive, so that truncation is the floor.
                fy = y + np.float32(centre)
                ix, iy = np.int64(x), np.int64(fy)
                if iy + 1 < low or iy >= high:
                    continue
                factor = column_phases[0, columns[i]] * row_phases[0, rows[i] + highest]
                for s in range(1, count):
                    factor += column_phases[s, columns[i]] * row_phases[s, rows[i] + highest]
                value = own[i] * factor
                strength = own_transfer[i]
                real, imaginary = strength * value.real, strength * value.imag
                weight = strength * strength * total
                if mirrored:
                    imaginary = -imaginary
                dx, dy = x - np.float32(ix), fy - np.float32(iy)
                for line in range(2):
                    if low <= iy + line < high:
                        share = dy if line else np.float32(1.0) - dy
                        left, right = share * (np.float32(1.0) - dx), share * dx
                        plane[iy + line, ix, 0] += left * real
                        plane[iy + line, ix, 1] += left * imaginary
                        plane[iy + line, ix, 2] += left * weight
                        plane[iy + line, ix + 1, 0] += right * real
                        plane[iy + line, ix + 1, 1] += right * imaginary
                        plane[iy + line, ix + 1, 2] += right * weight


def warm() -> None:
    """Compile the kernel of this module."""
    whole, one = np.zeros(1, np.int32), np.zeros(1, np.float32)
    insert_planes(
        np.zeros((1, 1), np.complex64), one[None], whole, whole, one, one, np.zeros(1, np.int64),
        np.ones((1, 2), np.float32), np.array([0, 1]), np.zeros((1, 2), np.float32), one, np.array([[0, 0, 1, 0, 5]]),
        np.zeros((1, 5, 4, 3)),
    )  # fmt: skip
