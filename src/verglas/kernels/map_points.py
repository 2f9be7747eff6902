"""Values of a map's Fourier transform at points turned in three dimensions, and the scores made from them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from verglas.kernels.compile import cpu_kernel
from verglas.kernels.slicing import sample_body

Array = np.ndarray[Any, Any]

_sample = cpu_kernel(inline=True)(sample_body)


@cpu_kernel(parallel=True)
def sample_points(values: Array, centre: int, rotations: Array, points: Array, out: Array) -> None:
    """Fill ``out[n, i]`` with the transform at ``rotations[n]^T points[i]``.

    Parameters
    ----------
    values, centre
        Flat transform, see :mod:`verglas.kernels.slicing`.
    rotations : float32 array, shape (n, 3, 3)
    points : float32 array, shape (points, 3)
        x, y, z in voxels of the transform.
    out : complex64 array, shape (n, points)
    """
    for n in prange(rotations.shape[0]):
        R = rotations[n]
        for i in range(points.shape[0]):
            a, b, c = points[i, 0], points[i, 1], points[i, 2]
            real, imaginary = _sample(
                values, centre, centre, R[0, 0] * a + R[1, 0] * b + R[2, 0] * c,
                R[0, 1] * a + R[1, 1] * b + R[2, 1] * c, R[0, 2] * a + R[1, 2] * b + R[2, 2] * c,
            )  # fmt: skip
            out[n, i] = complex(real, imaginary)


@cpu_kernel()
def match_score(
    values: Array, centre: int, rotation: Array, shift: Array, hand: float, points: Array, target: Array, weight: Array
) -> float:
    """Return the correlation of a turned and moved map with target values.

    Parameters
    ----------
    values, centre
        Flat transform, see :mod:`verglas.kernels.slicing`.
    rotation : float32 array, shape (3, 3)
    shift : float32 array, shape (3,)
        x, y, z in radians for a voxel of the transform.
    hand : float
        1, or -1 for the map inverted through the origin.
    points : float32 array, shape (points, 3)
    target : complex64 array, shape (points,)
        Weighted target values whose sum of squares over weights is 1.
    weight : float32 array, shape (points,)
        Factor of the map's power at each point; the target has its square root.
    """
    cross, power = 0.0, 0.0
    for i in range(points.shape[0]):
        a, b, c = points[i, 0], points[i, 1], points[i, 2]
        real, imaginary = _sample(
            values, centre, centre, rotation[0, 0] * a + rotation[1, 0] * b + rotation[2, 0] * c,
            rotation[0, 1] * a + rotation[1, 1] * b + rotation[2, 1] * c,
            rotation[0, 2] * a + rotation[1, 2] * b + rotation[2, 2] * c,
        )  # fmt: skip
        imaginary *= hand
        phase = a * shift[0] + b * shift[1] + c * shift[2]
        cosine, sine = math.cos(phase), math.sin(phase)
        moved_real = real * cosine + imaginary * sine
        moved_imaginary = imaginary * cosine - real * sine
        cross += moved_real * target[i].real + moved_imaginary * target[i].imag
        power += weight[i] * (real * real + imaginary * imaginary)
    return cross / math.sqrt(power) if power > 0.0 else 0.0


@cpu_kernel()
def symmetry_score(
    values: Array, centre: int, rotation: Array, shift: Array, operators: Array, points: Array, weight: Array
) -> float:
    """Return the mean correlation of a turned and moved map with its copies under operators.

    Parameters
    ----------
    values, centre, rotation, shift, points
        As in :func:`match_score`.
    operators : float32 array, shape (operators, 3, 3)
    weight : float32 array, shape (points,)
        Factor of the product at each point.
    """
    R, t = rotation, shift
    cross, power = 0.0, 0.0
    for i in range(points.shape[0]):
        own_real, own_imaginary = 0.0, 0.0
        for g in range(-1, operators.shape[0]):
            a, b, c = points[i, 0], points[i, 1], points[i, 2]
            if g >= 0:
                S = operators[g]
                a, b, c = (
                    S[0, 0] * a + S[1, 0] * b + S[2, 0] * c,
                    S[0, 1] * a + S[1, 1] * b + S[2, 1] * c,
                    S[0, 2] * a + S[1, 2] * b + S[2, 2] * c,
                )
            real, imaginary = _sample(
                values, centre, centre, R[0, 0] * a + R[1, 0] * b + R[2, 0] * c,
                R[0, 1] * a + R[1, 1] * b + R[2, 1] * c, R[0, 2] * a + R[1, 2] * b + R[2, 2] * c,
            )  # fmt: skip
            phase = a * t[0] + b * t[1] + c * t[2]
            cosine, sine = math.cos(phase), math.sin(phase)
            moved_real = real * cosine + imaginary * sine
            moved_imaginary = imaginary * cosine - real * sine
            if g < 0:
                own_real, own_imaginary = moved_real, moved_imaginary
                power += weight[i] * (real * real + imaginary * imaginary)
            else:
                cross += weight[i] * (own_real * moved_real + own_imaginary * moved_imaginary)
    score: float = cross / (power * operators.shape[0]) if power > 0.0 else 0.0
    return score


@cpu_kernel(parallel=True)
def symmetry_scores(
    values: Array, centre: int, rotations: Array, operators: Array, points: Array, weight: Array, out: Array
) -> None:
    """Fill ``out[n]`` with :func:`symmetry_score` at rotations of shape (n, 3, 3), float32, unmoved."""
    for n in prange(rotations.shape[0]):
        out[n] = symmetry_score(
            values, centre, rotations[n], np.zeros(3, np.float32), operators, points, weight
        )  # fmt: skip


def warm() -> None:
    """Compile the kernels of this module."""
    values = np.ones(2 * 7 * 7 * 4, np.float32)
    rotations, points = np.eye(3, dtype=np.float32)[None], np.zeros((1, 3), np.float32)
    one = np.ones(1, np.float32)
    sample_points(values, 3, rotations, points, np.zeros((1, 1), np.complex64))
    match_score(values, 3, rotations[0], points[0], 1.0, points, np.ones(1, np.complex64), one)
    symmetry_scores(values, 3, rotations, rotations, points, one, np.zeros(1))
