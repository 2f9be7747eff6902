"""Rotations as ZYZ Euler angles, matrices, quaternions and rotation vectors, and how far apart they are.

The matrix of a pose is ``R = Rz(psi) Ry(theta) Rz(phi)`` of coordinate rotations,

    Rz(a) = [[cos a, sin a, 0], [-sin a, cos a, 0], [0, 0, 1]]
    Ry(b) = [[cos b, 0, -sin b], [0, 1, 0], [sin b, 0, cos b]]

so that it takes coordinates of the map to those of the image (x, y, beam): the view direction in the map is
the last row of R, ``(sin theta cos phi, sin theta sin phi, cos theta)``, and the projection's Fourier transform
at k is the map's at ``R^T k``. This is RELION's matrix (rot = phi, tilt = theta) and the transpose of cisTEM's.
All angles here are in radians and all results float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace

_POLE = 1e-12


def euler_to_matrix(phi: Any, theta: Any, psi: Any) -> Any:
    """Return the matrix of Euler angles.

    Parameters
    ----------
    phi, theta, psi
        Angles in radians; their shapes broadcast to ``[...]``. RELION calls them rot, tilt, psi.

    Returns
    -------
    array, shape (..., 3, 3)
        Rotation matrices, float64.
    """
    xp = array_namespace(phi, theta, psi)
    phi, theta, psi = xp.broadcast_arrays(*(xp.asarray(angle, dtype=xp.float64) for angle in (phi, theta, psi)))
    cos_phi, cos_theta, cos_psi = xp.cos(phi), xp.cos(theta), xp.cos(psi)
    sin_phi, sin_theta, sin_psi = xp.sin(phi), xp.sin(theta), xp.sin(psi)
    rows = (
        (
            cos_psi * cos_theta * cos_phi - sin_psi * sin_phi,
            cos_psi * cos_theta * sin_phi + sin_psi * cos_phi,
            -cos_psi * sin_theta,
        ),
        (
            -sin_psi * cos_theta * cos_phi - cos_psi * sin_phi,
            -sin_psi * cos_theta * sin_phi + cos_psi * cos_phi,
            sin_psi * sin_theta,
        ),
        (sin_theta * cos_phi, sin_theta * sin_phi, cos_theta),
    )
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_euler(matrix: Any) -> tuple[Any, Any, Any]:
    """Return the Euler angles of rotation matrices.

    Parameters
    ----------
    matrix
        Rotation matrices, shape ``(..., 3, 3)``.

    Returns
    -------
    phi, theta, psi : arrays, shape (...)
        Radians; theta in [0, pi], the others in [-pi, pi]. Where the view is along z only one angle is defined:
        phi is then zero.
    """
    xp = array_namespace(matrix)
    R = xp.asarray(matrix, dtype=xp.float64)
    sin_theta = xp.hypot(R[..., 2, 0], R[..., 2, 1])
    theta = xp.arctan2(sin_theta, R[..., 2, 2])
    phi = xp.where(sin_theta < _POLE, 0.0, xp.arctan2(R[..., 2, 1], R[..., 2, 0]))
    # Undo phi; what is left is Rz(psi) Ry(theta), whose second column holds psi at any theta.
    cos_phi, sin_phi = xp.cos(phi), xp.sin(phi)
    psi = xp.arctan2(cos_phi * R[..., 0, 1] - sin_phi * R[..., 0, 0], cos_phi * R[..., 1, 1] - sin_phi * R[..., 1, 0])
    return phi, theta, psi


def view_direction(phi: Any, theta: Any) -> Any:
    """Return unit vectors along the view in the map's coordinates (x, y, z), shape ``(..., 3)``."""
    xp = array_namespace(phi, theta)
    phi, theta = xp.broadcast_arrays(xp.asarray(phi, dtype=xp.float64), xp.asarray(theta, dtype=xp.float64))
    sin_theta = xp.sin(theta)
    return xp.stack([sin_theta * xp.cos(phi), sin_theta * xp.sin(phi), xp.cos(theta)], axis=-1)


def direction_to_angles(direction: Any) -> tuple[Any, Any]:
    """Return phi and theta in radians of vectors ``(..., 3)`` of any length."""
    xp = array_namespace(direction)
    d = xp.asarray(direction, dtype=xp.float64)
    across = xp.hypot(d[..., 0], d[..., 1])
    return xp.where(across < _POLE, 0.0, xp.arctan2(d[..., 1], d[..., 0])), xp.arctan2(across, d[..., 2])


def quaternion_to_matrix(quaternion: Any) -> Any:
    """Return the matrices of quaternions ``(w, x, y, z)``, which need not have length one.

    Parameters
    ----------
    quaternion
        Shape ``(..., 4)``. The product of two matrices is the matrix of the Hamilton product of their quaternions.

    Returns
    -------
    array, shape (..., 3, 3)
    """
    xp = array_namespace(quaternion)
    q = xp.asarray(quaternion, dtype=xp.float64)
    q = q / xp.sqrt(xp.sum(q * q, axis=-1, keepdims=True))
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_quaternion(matrix: Any) -> Any:
    """Return unit quaternions ``(w, x, y, z)`` with w >= 0 of rotation matrices ``(..., 3, 3)``."""
    xp = array_namespace(matrix)
    R = xp.asarray(matrix, dtype=xp.float64)
    a, b, c = R[..., 0, 0], R[..., 1, 1], R[..., 2, 2]
    wx, wy, wz = R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]
    xy, xz, yz = R[..., 0, 1] + R[..., 1, 0], R[..., 0, 2] + R[..., 2, 0], R[..., 1, 2] + R[..., 2, 1]
    # Rows are 4 q_i (w, x, y, z), i = w, x, y, z; the one with the largest component loses no digits.
    rows = (
        (1 + a + b + c, wx, wy, wz),
        (wx, 1 + a - b - c, xy, xz),
        (wy, xy, 1 - a + b - c, yz),
        (wz, xz, yz, 1 - a - b + c),
    )
    table = xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)
    largest = xp.argmax(xp.stack([rows[i][i] for i in range(4)], axis=-1), axis=-1)
    q = xp.take_along_axis(table, largest[..., None, None], axis=-2)[..., 0, :]
    q = q / xp.sqrt(xp.sum(q * q, axis=-1, keepdims=True))
    return xp.where(q[..., :1] < 0.0, -q, q)


def rotvec_to_matrix(rotvec: Any) -> Any:
    """Return the matrices ``exp([v]x)`` of rotation vectors (axis times angle in radians), shape ``(..., 3)``."""
    xp = array_namespace(rotvec)
    v = xp.asarray(rotvec, dtype=xp.float64)
    half = 0.5 * xp.sqrt(xp.sum(v * v, axis=-1, keepdims=True))
    # xp.sinc(t) = sin(pi t) / (pi t) is exact at zero.
    return quaternion_to_matrix(xp.concatenate([xp.cos(half), 0.5 * v * xp.sinc(half / np.pi)], axis=-1))


def matrix_to_rotvec(matrix: Any) -> Any:
    """Return the rotation vectors of matrices, shape ``(..., 3)``, of length at most pi."""
    xp = array_namespace(matrix)
    q = matrix_to_quaternion(matrix)
    sine = xp.sqrt(xp.sum(q[..., 1:] ** 2, axis=-1, keepdims=True))
    half = xp.arctan2(sine, q[..., :1])
    return q[..., 1:] * xp.where(sine < _POLE, 2.0, 2.0 * half / xp.where(sine < _POLE, 1.0, sine))


def geodesic_distance(first: Any, second: Any) -> Any:
    """Return the angle in radians, 0 to pi, of the rotation between matrices ``(..., 3, 3)`` that broadcast."""
    xp = array_namespace(first, second)
    difference = xp.asarray(first, dtype=xp.float64) - xp.asarray(second, dtype=xp.float64)
    # |A - B|^2 = 8 sin^2(angle / 2): exact for small angles, where the trace has lost half of the digits.
    chord = xp.sqrt(xp.sum(difference * difference, axis=(-2, -1)) / 8.0)
    return 2.0 * xp.arcsin(xp.minimum(chord, 1.0))


def mean_rotation(matrix: Any, weights: Any = None) -> Any:
    """Return the weighted average of rotations: the one with the largest sum of squared quaternion products.

    Parameters
    ----------
    matrix
        Rotation matrices, shape ``(..., n, 3, 3)``; the average runs over n.
    weights
        Weights >= 0, broadcast to ``(..., n)``; equal if not given.

    Returns
    -------
    array, shape (..., 3, 3)

    Raises
    ------
    InputError
        If there is nothing to average.

    References
    ----------
    F. L. Markley et al., "Averaging quaternions", J. Guid. Control Dyn. 30 (2007) 1193.
    """
    xp = array_namespace(matrix, weights)
    q = matrix_to_quaternion(matrix)
    w = xp.ones(q.shape[:-1]) if weights is None else xp.asarray(weights, dtype=xp.float64)
    if q.shape[-2] == 0 or bool(xp.any(xp.sum(xp.broadcast_to(w, q.shape[:-1]), axis=-1) <= 0.0)):
        raise InputError("an average of rotations needs at least one rotation with a weight above zero.")
    moment = xp.einsum("...n,...ni,...nj->...ij", xp.broadcast_to(w, q.shape[:-1]), q, q)
    return quaternion_to_matrix(xp.linalg.eigh(moment)[1][..., :, -1])


def mirror_pose(matrix: Any) -> Any:
    """Return the pose seen from behind: its projection is the first one's with y reversed.

    Parameters
    ----------
    matrix
        Rotation matrices, shape ``(..., 3, 3)``.
    """
    xp = array_namespace(matrix)
    return xp.asarray([1.0, -1.0, -1.0])[:, None] * xp.asarray(matrix, dtype=xp.float64)
