"""cryoSPARC's rotation vectors to RELION's Euler angles and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.float64]


def eulers_from_rotation_vectors(vectors_rad: Floats) -> Floats:
    """Return rot, tilt and psi, in degrees, of rotation vectors.

    Parameters
    ----------
    vectors_rad
        Axis times angle, shape (n, 3), in radians.

    Returns
    -------
    ndarray
        Shape (n, 3), degrees; tilt in 0 to 180; where it is 0 or 180 rot is 0 and psi the whole in-plane angle.

    Notes
    -----
    RELION's matrix A(rot, tilt, psi) takes the coordinates of the map to those of the view; it is the transpose of the
    rotation exp([v]x).
    """
    matrices = np.swapaxes(Rotation.from_rotvec(vectors_rad.reshape(-1, 3)).as_matrix(), 1, 2)
    sine = np.hypot(matrices[:, 0, 2], matrices[:, 1, 2])
    tilt = np.arctan2(sine, matrices[:, 2, 2])
    general = sine > 1e-7
    rot = np.where(general, np.arctan2(matrices[:, 2, 1], matrices[:, 2, 0]), 0.0)
    flat = np.arctan2(np.sign(matrices[:, 2, 2]) * -matrices[:, 1, 0], np.sign(matrices[:, 2, 2]) * matrices[:, 0, 0])
    psi = np.where(general, np.arctan2(matrices[:, 1, 2], -matrices[:, 0, 2]), flat)
    tilt = np.where(general, tilt, np.where(matrices[:, 2, 2] > 0, 0.0, np.pi))
    return np.asarray(np.rad2deg(np.stack([rot, tilt, psi], axis=1)), np.float64)


def rotation_vectors_from_eulers(angles_deg: Floats) -> Floats:
    """Return rotation vectors, shape (n, 3), in radians, of rot, tilt and psi in degrees, shape (n, 3)."""
    angles = angles_deg.reshape(-1, 3)
    return np.asarray(Rotation.from_euler("ZYZ", angles, degrees=True).as_rotvec(), np.float64)
