"""The steps of Levenberg-Marquardt refinement of poses: normal matrix, damping, and the next trial pose.

``kernels/pose_refinement.py`` adds up the products that these functions work on, and numbers the parameters. They take
all their memory from the caller, so that CUDA's form is made of the same source.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from verglas.kernels.compile import cpu_kernel

Array = np.ndarray[Any, Any]

PARAMETERS = 9
SCALE = 5


@cpu_kernel()
def solve(matrix: Array, right: Array, size: int, answer: Array) -> bool:
    """Solve a positive definite system by Cholesky's method; return False where it is not positive definite.

    Parameters
    ----------
    matrix : float64 array, shape (size or more, size or more)
        Its lower triangle is replaced by the factor.
    right : float64 array, shape (size or more,)
    size : int
    answer : float64 array, shape (size or more,)
    """
    for p in range(size):
        for q in range(p + 1):
            s = matrix[p, q]
            for j in range(q):
                s -= matrix[p, j] * matrix[q, j]
            if p == q:
                if not s > 0.0:
                    return False
                matrix[p, p] = math.sqrt(s)
            else:
                matrix[p, q] = s / matrix[q, q]
    for p in range(size):
        s = right[p]
        for j in range(p):
            s -= matrix[p, j] * answer[j]
        answer[p] = s / matrix[p, p]
    for p in range(size - 1, -1, -1):
        s = answer[p]
        for j in range(p + 1, size):
            s -= matrix[j, p] * answer[j]
        answer[p] = s / matrix[p, p]
    return True


@cpu_kernel()
def turned(rotation: Array, x: float, y: float, z: float, out: Array) -> None:
    """Fill ``out`` with the matrix of the rotation vector (x, y, z), in radians, times ``rotation``."""
    angle = math.sqrt(x * x + y * y + z * z)
    if angle < 1e-12:
        for i in range(3):
            for j in range(3):
                out[i, j] = rotation[i, j]
        return
    x, y, z = x / angle, y / angle, z / angle
    c, s = math.cos(angle), math.sin(angle)
    for j in range(3):
        a, b, d = rotation[0, j], rotation[1, j], rotation[2, j]
        along = (1.0 - c) * (x * a + y * b + z * d)
        out[0, j] = c * a + s * (y * d - z * b) + x * along
        out[1, j] = c * b + s * (z * a - x * d) + y * along
        out[2, j] = c * d + s * (x * b - y * a) + z * along


@cpu_kernel()
def assemble(
    total: Array, active: Array, rows: Array, state: Array, prior: Array, centre: Array, normal: Array, slope: Array
) -> float:
    """Set the best scale if it is refined, fill normal matrix and slope, and return the cost with the priors'.

    Parameters
    ----------
    total : float64 array, shape (rows, rows)
        Products of all rows: derivatives at scale 1, then the model, then the data.
    active, rows
        Which parameters are refined, and the row of each.
    state, prior, centre
        See :func:`verglas.kernels.pose_refinement.refine`, of one pose.
    normal, slope : float64 arrays, shapes (rows, rows) and (rows,)
        Half the second derivatives of the cost, and minus half the first.
    """
    count = total.shape[0]
    model, target = count - 2, count - 1
    if active[SCALE]:
        # Never below one standard deviation, where the pose would have no slope.
        least = 1.0 / math.sqrt(2.0 * max(total[model, model], 1e-30))
        state[2] = max(total[model, target] / max(total[model, model], 1e-30), least)
    scale = state[2]
    cost: float = total[target, target] - 2.0 * scale * total[model, target] + scale * scale * total[model, model]
    for p in range(PARAMETERS):
        if not active[p]:
            continue
        i = rows[p]
        factor = 1.0 if p == SCALE else scale
        slope[i] = factor * (total[i, target] - scale * total[i, model])
        for q in range(PARAMETERS):
            if active[q]:
                normal[i, rows[q]] = factor * (1.0 if q == SCALE else scale) * total[i, rows[q]]
        if prior[p] > 0.0:
            away = state[p - 3] - centre[p]
            cost += prior[p] * away * away
            normal[i, i] += prior[p]
            slope[i] -= prior[p] * away
    return cost


@cpu_kernel()
def mean_residual(total: Array, scale: float, points: int) -> float:
    """Return the mean squared residual of a component at a scale; ``total`` as for :func:`assemble`."""
    model, target = total.shape[0] - 2, total.shape[0] - 1
    squared: float = total[target, target] - 2.0 * scale * total[model, target] + scale * scale * total[model, model]
    return squared / points


@cpu_kernel()
def number_rows(active: Array, rows: Array) -> int:
    """Fill the row of each parameter, -1 where it is not refined, and return how many rows with model and data."""
    size = 0
    for p in range(PARAMETERS):
        rows[p] = -1
        if active[p] and p != SCALE:
            rows[p] = size
            size += 1
    # The model is the derivative by the scale.
    rows[SCALE] = size
    return size + 2


@cpu_kernel()
def advance(
    trial_total: Array, total: Array, trial_matrix: Array, matrix: Array, damped: Array, trial_slope: Array,
    slope: Array, step: Array, active: Array, rows: Array, prior: Array, centre: Array, axes: Array, stop_gain: float,
    here: Array, now: Array, there: Array, then: Array, control: Array,
) -> bool:  # fmt: skip
    """Take or leave a trial pose, put the next one in its place, and return whether that promises enough.

    ``there`` and ``then`` are rotation and state of the trial, ``trial_total`` its products; ``here`` and ``now`` are
    the best so far; ``control`` holds the best cost, the damping and the number of passes. The other arrays are memory
    to work in, of as many rows as there are.
    """
    count = total.shape[0]
    free = count - 1 if active[SCALE] else count - 2
    trial = assemble(trial_total, active, rows, then, prior, centre, trial_matrix, trial_slope)
    control[2] += 1.0
    if control[2] == 1.0 or trial < control[0]:
        control[0], control[1] = trial, max(0.2 * control[1], 1e-7)
        for p in range(count):
            slope[p] = trial_slope[p]
            for q in range(count):
                total[p, q], matrix[p, q] = trial_total[p, q], trial_matrix[p, q]
        for p in range(7):
            now[p] = then[p]
        for p in range(3):
            for q in range(3):
                here[p, q] = there[p, q]
    else:
        control[1] *= 10.0
    promising = False
    while control[1] < 1e6 and free > 0:
        for p in range(free):
            for q in range(free):
                damped[p, q] = matrix[p, q]
            damped[p, p] += control[1] * matrix[p, p] + 1e-300
        if solve(damped, slope, free, step):
            gain = 0.0
            for p in range(free):
                gain += 2.0 * step[p] * slope[p]
                for q in range(free):
                    gain -= step[p] * matrix[p, q] * step[q]
            promising = gain >= stop_gain
            break
        control[1] *= 10.0
    if promising:
        x, y, z = 0.0, 0.0, 0.0
        for p in range(3):
            if active[p]:
                size = step[rows[p]]
                x, y, z = x + size * axes[p, 0], y + size * axes[p, 1], z + size * axes[p, 2]
        turned(here, x, y, z, there)
        for p in range(7):
            then[p] = now[p]
        for p in range(3, PARAMETERS):
            if active[p]:
                then[p - 3] += step[rows[p]]
    return promising


def warm() -> None:
    """Compile the kernels, most of them as parts of the one that takes a step."""
    size = PARAMETERS + 1
    square, line = np.eye(size), np.zeros(size)
    rows, active, none = np.zeros(PARAMETERS, np.int64), np.ones(PARAMETERS, np.bool_), np.zeros(PARAMETERS)
    number_rows(active, rows)
    mean_residual(square, 1.0, 1)
    advance(
        square, square.copy(), square.copy(), square.copy(), square.copy(), line, line.copy(), line.copy(), active,
        rows, none, none, np.eye(3), 0.1, np.eye(3), np.ones(7), np.eye(3), np.ones(7), np.array([np.inf, 1e-3, 0.0]),
    )  # fmt: skip
