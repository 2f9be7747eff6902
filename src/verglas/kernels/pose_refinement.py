"""Levenberg-Marquardt refinement of poses: slices, residuals, derivatives and the normal matrix in one pass.

The model of component k of an image is ``scale * transfer(k) * V(R^T k) * exp(-2 pi i k.d)``, with noise of variance 1.
Parameters, in this order: turns about three axes of the image's frame (radians), displacement d along x and y (A),
scale, mean defocus and cosine and sine part of astigmatism (A).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verglas.kernels.compile import cpu_kernel
from verglas.kernels.ctf import phase_body
from verglas.kernels.levenberg_marquardt import PARAMETERS, advance, mean_residual, number_rows
from verglas.kernels.slicing import gradient_body

Array = np.ndarray[Any, Any]

BLOCK = 64


def slopes_body(
    r: Array, gx: float, gy: float, gz: float, ku: float, kv: float, c: float
) -> tuple[float, float, float]:
    """Return the slopes of a component under turns about x, y and the beam.

    Parameters
    ----------
    r : array, shape (3, 3)
        Rotation.
    gx, gy, gz
        Slopes of the reference at the point, along its own axes.
    ku, kv
        The component in voxels of the reference.
    c
        Transfer function.
    """
    # Slopes in the image's frame times the movement of the point under the turns.
    px = r[0, 0] * gx + r[0, 1] * gy + r[0, 2] * gz
    py = r[1, 0] * gx + r[1, 1] * gy + r[1, 2] * gz
    pz = r[2, 0] * gx + r[2, 1] * gy + r[2, 2] * gz
    return -kv * pz * c, ku * pz * c, (kv * px - ku * py) * c


def defocus_body(p: int, kx: Any, ky: Any) -> Any:
    """Return what mean defocus (0), cosine (1) and sine part (2) of astigmatism are multiplied by in the phase."""
    if p == 0:
        return kx * kx + ky * ky
    if p == 1:
        return kx * kx - ky * ky
    return np.float32(2.0) * kx * ky


def moved_body(real: float, imaginary: float, cosine: float, sine: float) -> tuple[float, float]:
    """Return a component of the data moved back by a displacement, cosine and sine being those of ``2 pi k.d``."""
    return real * cosine - imaginary * sine, real * sine + imaginary * cosine


def shifted_body(k: Any, real: Any, imaginary: Any) -> tuple[Any, Any]:
    """Return the slope of a component of the model under a displacement along an axis.

    Parameters
    ----------
    k
        2 pi times the component's frequency along that axis.
    real, imaginary
        The model.
    """
    return k * imaginary, -k * real


def transfer_body(chi: Any, whitening: Any, pi_wavelength: Any) -> tuple[Any, Any]:
    """Return the transfer function at a phase, whitened, and its slope by that times the phase's by the defocus."""
    return np.float32(-math.sin(chi)) * whitening, np.float32(-math.cos(chi) * pi_wavelength) * whitening


_gradient = cpu_kernel(inline=True)(gradient_body)
_phase = cpu_kernel(inline=True)(phase_body)
_slopes = cpu_kernel(inline=True)(slopes_body)
_shape = cpu_kernel(inline=True)(defocus_body)
_moved = cpu_kernel(inline=True)(moved_body)
_shifted = cpu_kernel(inline=True)(shifted_body)
_transfer = cpu_kernel(inline=True)(transfer_body)


@cpu_kernel(fastmath=True)
def _ramps(step: float, most: int, out: Array) -> None:
    """Fill ``out[most + i]`` with cosine and sine of ``i * step``, i = -most ... most."""
    for i in range(most + 1):
        c, s = math.cos(i * step), math.sin(i * step)
        out[most + i, 0], out[most + i, 1] = c, s
        out[most - i, 0], out[most - i, 1] = c, -s


@cpu_kernel(fastmath=True)
def _defocus_rows(
    first: int, length: int, qx: Array, qy: Array, slope: Array, found: Array, active: Array, rows: Array, work: Array
) -> None:
    """Fill the rows of mean defocus and of both parts of astigmatism for one block."""
    for p in range(3):
        if active[6 + p]:
            out = work[rows[6 + p]]
            for j in range(length):
                shape = _shape(p, qx[first + j], qy[first + j])
                out[j], out[BLOCK + j] = slope[j] * shape * found[0, j], slope[j] * shape * found[1, j]


@cpu_kernel(fastmath=True)
def _products(
    values: Array, centre: int, depth: int, u: Array, v: Array, column: Array, row: Array, qx: Array, qy: Array,
    higher: Array, data: Array, transfer: Array, whitening: Array, optics: Array, state: Array, rotation: Array,
    axes: Array, active: Array, rows: Array, ramp_x: Array, ramp_y: Array, total: Array,
) -> None:  # fmt: skip
    """Add up the products of all rows (derivatives at scale 1, then the model, then the data) in ``total``.

    ``rows[p]`` is the row of parameter p, -1 where it is not refined; ``optics`` holds pi lambda, the spherical term,
    and 2 pi / width of the box; ``state`` the displacement, the scale and the four numbers of the defocus.
    """
    count = total.shape[0]
    model, target = count - 2, count - 1
    work = np.empty((count, 2 * BLOCK), np.float32)
    most = (ramp_x.shape[0] - 1) // 2
    _ramps(state[0] * optics[2], most, ramp_x)
    _ramps(state[1] * optics[2], most, ramp_y)
    r, a = rotation.astype(np.float32), axes.astype(np.float32)
    xx, xy, yx, yy, zx, zy = r[0, 0], r[1, 0], r[0, 1], r[1, 1], r[0, 2], r[1, 2]
    unit = np.float32(optics[2])
    defocus = active[6] or active[7] or active[8]
    # One gathering loop, then loops without branches that become vector instructions.
    found = np.zeros((8, BLOCK), np.float32)
    turn = np.zeros((3, BLOCK), np.float32)
    c = np.zeros(BLOCK, np.float32)
    slope = np.zeros(BLOCK, np.float32)
    total[:, :] = 0.0
    for first in range(0, u.size, BLOCK):
        length = min(BLOCK, u.size - first)
        if length < BLOCK:
            work[:, :] = np.float32(0.0)
        for j in range(length):
            i = first + j
            real, imag, gx, gy, gz, hx, hy, hz = _gradient(
                values, centre, depth, xx * u[i] + xy * v[i], yx * u[i] + yy * v[i], zx * u[i] + zy * v[i]
            )
            found[0, j], found[1, j], found[2, j], found[3, j] = real, imag, gx, gy
            found[4, j], found[5, j], found[6, j], found[7, j] = gz, hx, hy, hz
        for j in range(length):
            # The data moved back by the displacement.
            i = first + j
            m, n = most + column[i], most + row[i]
            cx, sx, cy, sy = ramp_x[m, 0], ramp_x[m, 1], ramp_y[n, 0], ramp_y[n, 1]
            cosine, sine = cx * cy - sx * sy, sx * cy + cx * sy
            work[target, j], work[target, BLOCK + j] = _moved(data[i].real, data[i].imag, cosine, sine)
        if defocus:
            for j in range(length):
                i = first + j
                chi = _phase(qx[i], qy[i], state[3], state[4], state[5], state[6], optics[0], optics[1])
                chi += higher[i]
                c[j], slope[j] = _transfer(chi, whitening[i], optics[0])
            _defocus_rows(first, length, qx, qy, slope, found, active, rows, work)
        else:
            for j in range(length):
                c[j] = transfer[first + j]
        for part in range(2):
            start = BLOCK * part
            g = found[2 + 3 * part : 5 + 3 * part]
            for j in range(length):
                turn[0, j], turn[1, j], turn[2, j] = _slopes(
                    r, g[0, j], g[1, j], g[2, j], u[first + j], v[first + j], c[j]
                )
            for p in range(3):
                if active[p]:
                    out = work[rows[p]]
                    for j in range(length):
                        out[start + j] = a[p, 0] * turn[0, j] + a[p, 1] * turn[1, j] + a[p, 2] * turn[2, j]
            out = work[model]
            for j in range(length):
                out[start + j] = c[j] * found[part, j]
        for p in range(2):
            if active[3 + p]:
                whole = row if p else column
                out, value = work[rows[3 + p]], work[model]
                for j in range(length):
                    k = unit * np.float32(whole[first + j])
                    out[j], out[BLOCK + j] = _shifted(k, value[j], value[BLOCK + j])
        for p in range(count):
            for q in range(p + 1):
                s = np.float32(0.0)
                one, two = work[p], work[q]
                for j in range(2 * BLOCK):
                    s += one[j] * two[j]
                total[p, q] += s
    for p in range(count):
        for q in range(p):
            total[q, p] = total[p, q]


@cpu_kernel()
def refine(
    first: int, last: int, values: Array, centre: int, depth: int, u: Array, v: Array, column: Array, row: Array,
    qx: Array, qy: Array, higher: Array, data: Array, transfer: Array, whitening: Array, group: Array, optics: Array,
    image: Array, active: Array, axes: Array, prior: Array, prior_centre: Array, most_steps: int, stop_gain: float,
    rotations: Array, state: Array, cost: Array, normal: Array, residual: Array, evaluations: Array,
) -> None:  # fmt: skip
    """Refine candidates ``first`` to ``last - 1``, each on its own; ``rotations`` and ``state`` change in place.

    Parameters
    ----------
    first, last : int
    values, centre, depth
        Reference, see ``kernels/slicing.py``.
    u, v : float32 arrays, shape (points,)
        Components in voxels of the reference.
    column, row : int32 arrays, shape (points,)
        Components as whole frequencies of the box.
    qx, qy : float32 arrays, shape (points,)
        Components in 1/A, for the defocus.
    higher : float32 array, shape (points,)
        What further even aberrations add to the phase of the transfer function.
    data, transfer : complex64 and float32 arrays, shape (images, points)
    whitening : float32 array, shape (groups, points)
    group : int64 array, shape (images,)
    optics : float64 array
        Pi lambda, half of pi Cs lambda^3, and 2 pi over the width of the box in A.
    image : int64 array, shape (n,)
        Image of each candidate.
    active : bool array, shape (9,)
        Which parameters are refined.
    axes : float64 array, shape (n, 3, 3)
        ``axes[n, p]``: the axis of turn p in the image's frame.
    prior, prior_centre : float64 arrays, shapes (9,) and (n, 9)
        Priors ``exp(-prior (value - centre)^2)`` of displacement, scale and defocus.
    most_steps : int
    stop_gain : float
        Stop where a step promises to raise the log-likelihood by less.
    rotations : float64 array, shape (n, 3, 3)
    state : float64 array, shape (n, 7)
        Displacement x, y, scale, and mean, cosine, sine part and constant of the defocus.
    cost : float64 array, shape (n,)
        Sum of the squared residuals and priors: minus the log-likelihood.
    normal : float64 array, shape (n, 9, 9)
        Half the inverse covariance; zero where a parameter is not refined.
    residual : float64 array, shape (n,)
        Mean squared residual of a component.
    evaluations : int64 array, shape (n,)
        Passes over the components.
    """
    rows = np.empty(PARAMETERS, np.int64)
    count = number_rows(active, rows)
    reach = 0
    for i in range(u.size):
        reach = max(reach, column[i], abs(row[i]))
    ramp_x, ramp_y = np.empty((2 * reach + 1, 2), np.float32), np.empty((2 * reach + 1, 2), np.float32)
    total, trial_total = np.empty((count, count)), np.empty((count, count))
    slope, trial_slope, step = np.zeros(count), np.zeros(count), np.zeros(count)
    control = np.empty(3)
    for n in range(first, last):
        m = image[n]
        matrix, trial_matrix, damped = np.zeros((count, count)), np.zeros((count, count)), np.zeros((count, count))
        here, there = rotations[n].copy(), rotations[n].copy()
        now, then = state[n].copy(), state[n].copy()
        control[0], control[1], control[2] = np.inf, 1e-3, 0.0
        while control[2] < most_steps:
            _products(values, centre, depth, u, v, column, row, qx, qy, higher, data[m], transfer[m],
                      whitening[group[m]], optics, then, there, axes[n], active, rows, ramp_x, ramp_y,
                      trial_total)  # fmt: skip
            if not advance(
                trial_total, total, trial_matrix, matrix, damped, trial_slope, slope, step, active, rows, prior,
                prior_centre[n], axes[n], stop_gain, here, now, there, then, control,
            ):  # fmt: skip
                break
        rotations[n], state[n], cost[n], evaluations[n] = here, now, control[0], int(control[2])
        residual[n] = mean_residual(total, now[2], u.size)
        for p in range(PARAMETERS):
            for q in range(PARAMETERS):
                both = active[p] and active[q]
                normal[n, p, q] = matrix[rows[p], rows[q]] if both else 0.0


def warm() -> None:
    """Compile the kernels."""
    centre = 3
    values = np.zeros(2 * (centre + 1) * (2 * centre + 1) ** 2, np.float32)
    k, whole = np.zeros(1, np.float32), np.zeros(1, np.int32)
    refine(
        0, 1, values, centre, centre, k, k, whole, whole, k, k, k, np.zeros((1, 1), np.complex64),
        np.zeros((1, 1), np.float32), k[None], np.zeros(1, np.int64), np.ones(3), np.zeros(1, np.int64),
        np.ones(PARAMETERS, np.bool_), np.eye(3)[None], np.zeros(PARAMETERS), np.zeros((1, PARAMETERS)), 1, 0.1,
        np.eye(3)[None].copy(), np.ones((1, 7)), np.zeros(1), np.zeros((1, PARAMETERS, PARAMETERS)),
        np.zeros(1), np.zeros(1, np.int64),
    )  # fmt: skip
