"""Slices and matches of poses on a GPU: the bodies of ``slicing`` and ``pose_likelihood``, one thread a component.

Functions take the arguments of the CPU kernels of the same names, with arrays on the device.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from verglas.kernels.compile import cuda_function, cuda_kernel
from verglas.kernels.pose_likelihood import match_body
from verglas.kernels.slicing import gradient_body, sample_body

cuda: Any = import_module("numba.cuda")

THREADS = 128

_sample = cuda_function(sample_body)
_gradient = cuda_function(gradient_body)
_match = cuda_function(match_body)


@cuda_kernel(fastmath=True)
def _slice_values(values: Any, centre: int, depth: int, rotations: Any, kx: Any, ky: Any, out: Any) -> None:
    i, n = cuda.grid(2)
    if i < kx.size and n < rotations.shape[0]:
        r, u, v = rotations[n], kx[i], ky[i]
        real, imaginary = _sample(
            values, centre, depth, r[0, 0] * u + r[1, 0] * v, r[0, 1] * u + r[1, 1] * v, r[0, 2] * u + r[1, 2] * v
        )
        out[n, i] = complex(real, imaginary)


@cuda_kernel(fastmath=True)
def _slice_gradients(
    values: Any, centre: int, depth: int, rotations: Any, kx: Any, ky: Any, out: Any, gradient: Any
) -> None:
    i, n = cuda.grid(2)
    if i < kx.size and n < rotations.shape[0]:
        r, u, v = rotations[n], kx[i], ky[i]
        real, imaginary, gx, gy, gz, hx, hy, hz = _gradient(
            values, centre, depth, r[0, 0] * u + r[1, 0] * v, r[0, 1] * u + r[1, 1] * v, r[0, 2] * u + r[1, 2] * v
        )
        out[n, i] = complex(real, imaginary)
        for j in range(3):
            gradient[n, j, i] = complex(
                r[j, 0] * gx + r[j, 1] * gy + r[j, 2] * gz, r[j, 0] * hx + r[j, 1] * hy + r[j, 2] * hz
            )


@cuda_kernel(fastmath=True)
def _match_poses(
    first: int, values: Any, centre: int, depth: int, u: Any, v: Any, column: Any, row: Any, data: Any, transfer: Any,
    step: float, image: Any, rotations: Any, displacements: Any, out: Any,
) -> None:  # fmt: skip
    n = first + cuda.blockIdx.x
    m, r = image[n], rotations[n]
    power, product = 0.0, 0.0
    for i in range(cuda.threadIdx.x, u.size, cuda.blockDim.x):
        real, imaginary = _sample(
            values, centre, depth, r[0, 0] * u[i] + r[1, 0] * v[i], r[0, 1] * u[i] + r[1, 1] * v[i],
            r[0, 2] * u[i] + r[1, 2] * v[i],
        )  # fmt: skip
        phase = step * (column[i] * displacements[n, 0] + row[i] * displacements[n, 1])
        own, with_data = _match(
            real, imaginary, transfer[m, i], data[m, i].real, data[m, i].imag, math.cos(phase), math.sin(phase)
        )
        power += own
        product += with_data
    cuda.atomic.add(out, (n, 0), power)
    cuda.atomic.add(out, (n, 1), product)


def slice_values(
    values: Any, centre: int, depth: int, rotations: Any, kx: Any, ky: Any, out: Any, threads: int = THREADS
) -> None:
    """Fill ``out`` as :func:`verglas.kernels.slicing.slice_values`; ``threads`` is the number in a block."""
    _slice_values[(-(-kx.size // threads), rotations.shape[0]), (threads, 1)](
        values, centre, depth, rotations, kx, ky, out
    )


def slice_gradients(
    values: Any, centre: int, depth: int, rotations: Any, kx: Any, ky: Any, out: Any, gradient: Any,
    threads: int = THREADS,
) -> None:  # fmt: skip
    """Fill ``out`` and ``gradient`` as :func:`verglas.kernels.slicing.slice_gradients`."""
    _slice_gradients[(-(-kx.size // threads), rotations.shape[0]), (threads, 1)](
        values, centre, depth, rotations, kx, ky, out, gradient
    )


def match_poses(
    first: int, last: int, values: Any, centre: int, depth: int, u: Any, v: Any, column: Any, row: Any, data: Any,
    transfer: Any, step: float, image: Any, rotations: Any, displacements: Any, out: Any, threads: int = THREADS,
) -> None:  # fmt: skip
    """Fill ``out`` as :func:`verglas.kernels.pose_likelihood.match_poses`; a block of threads takes one pose."""
    out[first:last] = 0.0
    _match_poses[last - first, threads](
        first, values, centre, depth, u, v, column, row, data, transfer, step, image, rotations, displacements, out
    )
