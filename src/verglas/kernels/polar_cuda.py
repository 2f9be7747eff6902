"""The search's shifting and folding on a GPU: the bodies of ``polar``, one thread a sample or a template.

Functions take the arguments of the CPU kernels of the same names, with arrays on the device.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from verglas.kernels.compile import cuda_function, cuda_kernel
from verglas.kernels.polar import fold_body, gain_body, turn_body

cuda: Any = import_module("numba.cuda")

THREADS = 128

_turn = cuda_function(turn_body)
_fold = cuda_function(fold_body)
_gain = cuda_function(gain_body)


@cuda_kernel(fastmath=True)
def _shift_samples(polar: Any, ramps: Any, out: Any) -> None:
    i, s = cuda.grid(2)
    if i < polar.shape[1] and s < ramps.shape[0]:
        real, imaginary = _turn(polar[0, i], polar[1, i], ramps[s, 0, i], ramps[s, 1, i])
        out[0, s, i] = real
        out[1, s, i] = imaginary


@cuda_kernel(fastmath=True)
def _fold_maximum(
    even_cos: Any, odd_cos: Any, even_sin: Any, odd_sin: Any, norm: Any, penalty: Any, gain: Any, code: Any
) -> None:
    t, h, n = cuda.grid(3)
    if t >= norm.shape[1] or n >= norm.shape[0]:
        return
    angles, shifts = even_cos.shape[0], penalty.size
    sign = np.float32(1 - 2 * h)
    best, found = np.float32(-3e38), 0
    for s in range(shifts):
        row = n * shifts + s
        top, place = np.float32(0.0), 0
        for j in range(angles):
            value = _fold(
                even_cos[j, 0, row, t], even_cos[j, 1, row, t], odd_cos[j, 0, row, t], odd_cos[j, 1, row, t],
                even_sin[j, 0, row, t], even_sin[j, 1, row, t], odd_sin[j, 0, row, t], odd_sin[j, 1, row, t], sign,
            )  # fmt: skip
            if value > top:
                top, place = value, j
        value = _gain(top, norm[n, t], penalty[s])
        if value > best:
            best, found = value, s * angles + place
    gain[n, h, t] = best
    code[n, h, t] = found


def shift_samples(polar: Any, ramps: Any, out: Any, threads: int = THREADS) -> None:
    """Fill ``out`` as :func:`verglas.kernels.polar.shift_samples`; ``threads`` is the number in a block."""
    _shift_samples[(-(-polar.shape[1] // threads), ramps.shape[0]), (threads, 1)](polar, ramps, out)


def fold_maximum(
    even_cos: Any, odd_cos: Any, even_sin: Any, odd_sin: Any, norm: Any, penalty: Any, gain: Any, code: Any,
    threads: int = THREADS,
) -> None:  # fmt: skip
    """Fill ``gain`` and ``code`` as :func:`verglas.kernels.polar.fold_maximum`."""
    grid = (-(-norm.shape[1] // threads), 2, norm.shape[0])
    _fold_maximum[grid, (threads, 1, 1)](even_cos, odd_cos, even_sin, odd_sin, norm, penalty, gain, code)
