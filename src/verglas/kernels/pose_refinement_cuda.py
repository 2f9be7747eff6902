"""Levenberg-Marquardt refinement of poses on a GPU: a block of threads refines a pose from its start to its end.

The threads share the components of a pass, each summing the products of its own; then one thread takes the step. Bodies
are those of ``pose_refinement`` and ``levenberg_marquardt``. Sums have a fixed order: the same poses come every time.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from verglas.kernels import levenberg_marquardt as steps
from verglas.kernels.arrays import to_numpy
from verglas.kernels.compile import cuda_function, cuda_kernel, rebound
from verglas.kernels.ctf import phase_body
from verglas.kernels.levenberg_marquardt import PARAMETERS
from verglas.kernels.pose_refinement import defocus_body, moved_body, shifted_body, slopes_body, transfer_body
from verglas.kernels.slicing import gradient_body

cuda: Any = import_module("numba.cuda")

THREADS = 128
TWO_PI = 2.0 * math.pi

_gradient = cuda_function(gradient_body)
_slopes = cuda_function(slopes_body)
_shape = cuda_function(defocus_body)
_moved = cuda_function(moved_body)
_shifted = cuda_function(shifted_body)
_transfer = cuda_function(transfer_body)
_phase = cuda_function(phase_body)
_number_rows = cuda_function(steps.number_rows)
_mean_residual = cuda_function(steps.mean_residual)
_advance = cuda_function(
    steps.advance, assemble=cuda_function(steps.assemble), solve=cuda_function(steps.solve),
    turned=cuda_function(steps.turned),
)  # fmt: skip


@lru_cache
def _kernel(active: tuple[bool, ...], threads: int) -> Any:
    """Return the kernel for a choice of parameters and a number of threads in a block.

    Both are constants in it, so that the sums of a thread lie in registers and nothing is done for parameters that are
    held.
    """
    places = np.empty(PARAMETERS, np.int64)
    rows_ = int(rebound(steps.number_rows)(np.array(active), places))
    turn_x, turn_y, turn_z, shift_x, shift_y, model, defocus, cosine_part, sine_part = (int(row) for row in places)
    target, pairs = rows_ - 1, rows_ * (rows_ + 1) // 2
    refines_defocus = any(active[6:])
    # One more than threads, so that rows of sums begin in different banks.
    stride = threads + 1

    @cuda_kernel(fastmath=True)
    def kernel(
        first: int, values: Any, centre: int, depth: int, u: Any, v: Any, column: Any, row: Any, qx: Any, qy: Any,
        higher: Any, data: Any, transfer: Any, whitening: Any, group: Any, optics: Any, image: Any, active: Any,
        axes: Any, prior: Any, prior_centre: Any, most_steps: int, stop_gain: float, rotations: Any, state: Any,
        cost: Any, normal: Any, residual: Any, evaluations: Any,
    ) -> None:  # fmt: skip
        partial = cuda.shared.array((pairs, stride), np.float32)
        total = cuda.shared.array((rows_, rows_), np.float64)
        trial_total = cuda.shared.array((rows_, rows_), np.float64)
        matrix = cuda.shared.array((rows_, rows_), np.float64)
        trial_matrix = cuda.shared.array((rows_, rows_), np.float64)
        damped = cuda.shared.array((rows_, rows_), np.float64)
        slope = cuda.shared.array(rows_, np.float64)
        trial_slope = cuda.shared.array(rows_, np.float64)
        step = cuda.shared.array(rows_, np.float64)
        here = cuda.shared.array((3, 3), np.float64)
        there = cuda.shared.array((3, 3), np.float64)
        now = cuda.shared.array(7, np.float64)
        then = cuda.shared.array(7, np.float64)
        control = cuda.shared.array(3, np.float64)
        rows = cuda.shared.array(PARAMETERS, np.int64)
        going = cuda.shared.array(1, np.int64)
        sums = cuda.local.array(pairs, np.float32)
        real = cuda.local.array(rows_, np.float32)
        imag = cuda.local.array(rows_, np.float32)
        r = cuda.local.array((3, 3), np.float32)
        a = cuda.local.array((3, 3), np.float32)
        n = first + cuda.blockIdx.x
        thread = cuda.threadIdx.x
        m = image[n]
        if thread == 0:
            _number_rows(active, rows)
            for p in range(7):
                now[p], then[p] = state[n, p], state[n, p]
            for p in range(3):
                for q in range(3):
                    here[p, q], there[p, q] = rotations[n, p, q], rotations[n, p, q]
            control[0], control[1], control[2] = np.inf, 1e-3, 0.0
            going[0] = 1
        for p in range(3):
            for q in range(3):
                a[p, q] = np.float32(axes[n, p, q])
        unit = np.float32(optics[2])
        cuda.syncthreads()
        while going[0] == 1:
            for p in range(3):
                for q in range(3):
                    r[p, q] = np.float32(there[p, q])
            for pair in range(pairs):
                sums[pair] = np.float32(0.0)
            for i in range(thread, u.size, threads):
                f_real, f_imag, gx, gy, gz, hx, hy, hz = _gradient(
                    values, centre, depth, r[0, 0] * u[i] + r[1, 0] * v[i], r[0, 1] * u[i] + r[1, 1] * v[i],
                    r[0, 2] * u[i] + r[1, 2] * v[i],
                )  # fmt: skip
                # Whole turns are taken off in double precision; the rest is small enough for single precision.
                angle = (column[i] * then[0] + row[i] * then[1]) * (optics[2] / TWO_PI)
                angle = np.float32(TWO_PI) * np.float32(angle - math.floor(angle + 0.5))
                real[target], imag[target] = _moved(data[m, i].real, data[m, i].imag, math.cos(angle), math.sin(angle))
                if refines_defocus:
                    chi = _phase(qx[i], qy[i], then[3], then[4], then[5], then[6], optics[0], optics[1]) + higher[i]
                    c, steep = _transfer(chi, whitening[group[m], i], optics[0])
                    if defocus >= 0:
                        shape = _shape(0, qx[i], qy[i])
                        real[defocus], imag[defocus] = steep * shape * f_real, steep * shape * f_imag
                    if cosine_part >= 0:
                        shape = _shape(1, qx[i], qy[i])
                        real[cosine_part], imag[cosine_part] = steep * shape * f_real, steep * shape * f_imag
                    if sine_part >= 0:
                        shape = _shape(2, qx[i], qy[i])
                        real[sine_part], imag[sine_part] = steep * shape * f_real, steep * shape * f_imag
                else:
                    c = transfer[m, i]
                gx, gy, gz = _slopes(r, gx, gy, gz, u[i], v[i], c)
                hx, hy, hz = _slopes(r, hx, hy, hz, u[i], v[i], c)
                if turn_x >= 0:
                    real[turn_x] = a[0, 0] * gx + a[0, 1] * gy + a[0, 2] * gz
                    imag[turn_x] = a[0, 0] * hx + a[0, 1] * hy + a[0, 2] * hz
                if turn_y >= 0:
                    real[turn_y] = a[1, 0] * gx + a[1, 1] * gy + a[1, 2] * gz
                    imag[turn_y] = a[1, 0] * hx + a[1, 1] * hy + a[1, 2] * hz
                if turn_z >= 0:
                    real[turn_z] = a[2, 0] * gx + a[2, 1] * gy + a[2, 2] * gz
                    imag[turn_z] = a[2, 0] * hx + a[2, 1] * hy + a[2, 2] * hz
                f_real, f_imag = c * f_real, c * f_imag
                real[model], imag[model] = f_real, f_imag
                if shift_x >= 0:
                    real[shift_x], imag[shift_x] = _shifted(unit * np.float32(column[i]), f_real, f_imag)
                if shift_y >= 0:
                    real[shift_y], imag[shift_y] = _shifted(unit * np.float32(row[i]), f_real, f_imag)
                for p in range(rows_):
                    for q in range(rows_):
                        if q <= p:
                            sums[p * (p + 1) // 2 + q] += real[p] * real[q] + imag[p] * imag[q]
            for pair in range(pairs):
                partial[pair, thread] = sums[pair]
            cuda.syncthreads()
            for pair in range(thread, pairs, threads):
                p = 0
                while (p + 1) * (p + 2) // 2 <= pair:
                    p += 1
                q = pair - p * (p + 1) // 2
                whole = 0.0
                for other in range(threads):
                    whole += partial[pair, other]
                trial_total[p, q], trial_total[q, p] = whole, whole
            cuda.syncthreads()
            if thread == 0:
                promising = _advance(
                    trial_total, total, trial_matrix, matrix, damped, trial_slope, slope, step, active, rows, prior,
                    prior_centre[n], axes[n], stop_gain, here, now, there, then, control,
                )  # fmt: skip
                if not promising or control[2] >= most_steps:
                    going[0] = 0
            cuda.syncthreads()
        if thread == 0:
            cost[n], evaluations[n] = control[0], int(control[2])
            residual[n] = _mean_residual(total, now[2], u.size)
        for p in range(thread, 7, threads):
            state[n, p] = now[p]
        for both in range(thread, 9, threads):
            rotations[n, both // 3, both % 3] = here[both // 3, both % 3]
        for both in range(thread, PARAMETERS * PARAMETERS, threads):
            p, q = both // PARAMETERS, both % PARAMETERS
            normal[n, p, q] = matrix[rows[p], rows[q]] if active[p] and active[q] else 0.0

    return kernel


def refine(
    first: int, last: int, values: Any, centre: int, depth: int, u: Any, v: Any, column: Any, row: Any, qx: Any,
    qy: Any, higher: Any, data: Any, transfer: Any, whitening: Any, group: Any, optics: Any, image: Any, active: Any,
    axes: Any, prior: Any, prior_centre: Any, most_steps: int, stop_gain: float, rotations: Any, state: Any, cost: Any,
    normal: Any, residual: Any, evaluations: Any, threads: int = THREADS,
) -> None:  # fmt: skip
    """Refine candidates as :func:`verglas.kernels.pose_refinement.refine`, with arrays on the device.

    ``threads`` is the number in a block. A kernel is compiled for each choice of parameters when it is first asked for.
    """
    if last > first:
        _kernel(tuple(bool(one) for one in to_numpy(active)), threads)[last - first, threads](
            first, values, centre, depth, u, v, column, row, qx, qy, higher, data, transfer, whitening, group, optics,
            image, active, axes, prior, prior_centre, most_steps, stop_gain, rotations, state, cost, normal, residual,
            evaluations,
        )  # fmt: skip
