"""How well poses explain images: slice, transfer and displacement in one pass, without derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verglas.kernels.compile import cpu_kernel
from verglas.kernels.slicing import sample_body

Array = np.ndarray[Any, Any]

BLOCK = 64


def match_body(
    real: float, imaginary: float, transfer: float, data_real: float, data_imaginary: float, cosine: float, sine: float
) -> tuple[float, float]:
    """Return power of one component of the model, and its product with the data moved back by a displacement.

    Parameters
    ----------
    real, imaginary
        Slice of the reference.
    transfer
        Transfer function.
    data_real, data_imaginary
        The image's component.
    cosine, sine
        Of ``2 pi k.d``.
    """
    model_real, model_imaginary = transfer * real, transfer * imaginary
    moved_real = data_real * cosine - data_imaginary * sine
    moved_imaginary = data_real * sine + data_imaginary * cosine
    return (
        model_real * model_real + model_imaginary * model_imaginary,
        model_real * moved_real + model_imaginary * moved_imaginary,
    )


_sample = cpu_kernel(inline=True)(sample_body)
_match = cpu_kernel(inline=True)(match_body)


@cpu_kernel(fastmath=True)
def match_poses(
    first: int, last: int, values: Array, centre: int, depth: int, u: Array, v: Array, column: Array, row: Array,
    data: Array, transfer: Array, step: float, image: Array, rotations: Array, displacements: Array, out: Array,
) -> None:  # fmt: skip
    """Fill ``out[n]`` with the power of the model and its product with the image, for poses ``first`` to ``last - 1``.

    Parameters
    ----------
    first, last : int
    values, centre, depth
        Reference, see ``kernels/slicing.py``.
    u, v : float32 arrays, shape (points,)
        Components in voxels of the reference.
    column, row : int32 arrays, shape (points,)
        Components as whole frequencies of the box.
    data, transfer : complex64 and float32 arrays, shape (images, points or more)
    step : float
        2 pi over the width of the box in A.
    image : int64 array, shape (n,)
        Image of each pose.
    rotations : float32 array, shape (n, 3, 3)
    displacements : float64 array, shape (n, 2)
        In A.
    out : float64 array, shape (n, 2)
    """
    reach = 0
    for i in range(u.size):
        reach = max(reach, column[i], abs(row[i]))
    cos_x, sin_x = np.empty(2 * reach + 1, np.float32), np.empty(2 * reach + 1, np.float32)
    cos_y, sin_y = np.empty(2 * reach + 1, np.float32), np.empty(2 * reach + 1, np.float32)
    for n in range(first, last):
        m, r = image[n], rotations[n]
        for i in range(-reach, reach + 1):
            cos_x[reach + i], sin_x[reach + i] = (
                math.cos(i * step * displacements[n, 0]),
                math.sin(i * step * displacements[n, 0]),
            )
            cos_y[reach + i], sin_y[reach + i] = (
                math.cos(i * step * displacements[n, 1]),
                math.sin(i * step * displacements[n, 1]),
            )
        power = 0.0
        product = 0.0
        for start in range(0, u.size, BLOCK):
            # Short sums in single precision, long ones in double.
            near, across = np.float32(0.0), np.float32(0.0)
            for i in range(start, min(start + BLOCK, u.size)):
                real, imaginary = _sample(
                    values, centre, depth, r[0, 0] * u[i] + r[1, 0] * v[i], r[0, 1] * u[i] + r[1, 1] * v[i],
                    r[0, 2] * u[i] + r[1, 2] * v[i],
                )  # fmt: skip
                cx, sx = cos_x[reach + column[i]], sin_x[reach + column[i]]
                cy, sy = cos_y[reach + row[i]], sin_y[reach + row[i]]
                own, with_data = _match(
                    real, imaginary, transfer[m, i], data[m, i].real, data[m, i].imag, cx * cy - sx * sy,
                    sx * cy + cx * sy,
                )  # fmt: skip
                near += own
                across += with_data
            power += float(near)
            product += float(across)
        out[n, 0], out[n, 1] = power, product


def warm() -> None:
    """Compile the kernel."""
    values = np.zeros(2 * 4 * 7 * 7, np.float32)
    k, whole = np.zeros(1, np.float32), np.zeros(1, np.int32)
    match_poses(
        0, 1, values, 3, 3, k, k, whole, whole, np.zeros((1, 1), np.complex64), np.zeros((1, 1), np.float32), 1.0,
        np.zeros(1, np.int64), np.eye(3, dtype=np.float32)[None], np.zeros((1, 2)), np.zeros((1, 2)),
    )  # fmt: skip
