"""What is known of any particle before it has been seen: how much room it takes, that it is dense, where it lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verglas.geometry import point_group
from verglas.signal import shift, sphere_mask

A3_PER_KDA = 1235.0
"""Volume of protein of a partial density of 0.81 Da / A^3."""
ROOM = 2.5
"""At low resolution a particle takes up so many times the volume of its mass."""
EDGE_PIXELS = 2.0


def densest(
    volume: NDArray[np.float32],
    pixel_size_A: float,
    radius_A: float,
    mass_kDa: float | None,
    *,
    connected: bool = False,
) -> NDArray[np.float32]:
    """Return a map with its densest voxels only, as many as its mass can fill at low resolution, and none below zero.

    Parameters
    ----------
    volume
        The map, protein positive.
    pixel_size_A
        Its pixel size.
    radius_A
        Nothing is left outside this sphere.
    mass_kDa
        Mass of the particle; None: only the sphere and what is below zero are taken off.
    """
    sphere = sphere_mask(volume.shape, radius_A, pixel_size_A, edge_A=EDGE_PIXELS * pixel_size_A)
    kept = np.asarray(volume * sphere, np.float32)
    level = 0.0
    if mass_kDa is not None:
        count = round(ROOM * A3_PER_KDA * mass_kDa / pixel_size_A**3)
        if 0 < count < kept.size:
            level = max(level, float(np.partition(kept, kept.size - count, axis=None)[kept.size - count]))
    return np.where(kept > level, kept, np.float32(0.0))


def centred(
    volume: NDArray[np.float32], symmetry: str, threads: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return a map moved so that its mass lies about the origin, as far as its symmetry leaves that open.

    Returns
    -------
    map : ndarray
    moved : ndarray, shape (3,)
        By how much features were moved, x, y, z in voxels: 0 across the axis of a Cn group, 0 altogether in groups
        that have one centre.
    """
    group = point_group(symmetry)
    moved = np.zeros(3)
    total = float(volume.sum(dtype=np.float64))
    if group.name[0] != "C" or not total > 0.0:
        return volume, moved
    axes = np.arange(len(volume)) - len(volume) // 2
    for n, others in enumerate(((0, 1), (0, 2), (1, 2))):
        moved[n] = -float((volume.sum(axis=others, dtype=np.float64) * axes).sum()) / total
    if group.order > 1:
        moved[:2] = 0.0
    return np.asarray(shift(volume, moved[::-1], workers=threads), np.float32), moved
