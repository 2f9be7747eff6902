"""A map moved so that its centre of mass lies in the middle of the box, as far as its symmetry leaves it free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from verglas.geometry import symmetry_name
from verglas.signal import shift
from verglas.stages.refinement.maps import ClassMaps

LEAST_DENSITY = 0.2
"""Density below this part of the highest does not count."""


def free_axes(symmetry: str) -> NDArray[np.bool_]:
    """Return along which of x, y, z a particle of some point group may be moved."""
    name = symmetry_name(symmetry)
    if name == "C1":
        return np.array([True, True, True])
    return np.array([False, False, name.startswith("C")])


def centre_of_mass_A(volume: NDArray[np.float32], pixel_size_A: float) -> NDArray[np.float64]:
    """Return the centre (x, y, z) of the dense part of a map, from its origin n // 2."""
    density = np.maximum(volume.astype(np.float64) - LEAST_DENSITY * float(volume.max()), 0.0)
    total = density.sum()
    if total <= 0.0:
        return np.zeros(3)
    along = (np.arange(len(volume)) - len(volume) // 2) * pixel_size_A
    sums = (density.sum(axis=(0, 1)), density.sum(axis=(0, 2)), density.sum(axis=(1, 2)))
    return np.array([float(one @ along) / total for one in sums])


def centred(
    maps: ClassMaps, pixel_size_A: float, symmetry: str, threads: int = 1
) -> tuple[ClassMaps, NDArray[np.float64]]:
    """Return maps with their centre of mass in the middle, and where that was: (x, y, z) in A, shape (3,).

    A particle's displacement grows by the first two components of that vector as its rotation turns it.

    Parameters
    ----------
    maps
        Of one class.
    pixel_size_A
        Their pixel size.
    symmetry
        Point group: a map stays on its axes.
    threads
        Threads.
    """
    centre = np.where(free_axes(symmetry), centre_of_mass_A(maps.references.mean(axis=0), pixel_size_A), 0.0)
    by = -centre[::-1] / pixel_size_A

    def moved(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(shift(volume, by, workers=threads), np.float32)

    found = maps.found
    halves = found.half_maps
    assert halves is not None
    return replace(
        maps,
        found=replace(found, half_maps=(moved(halves[0]), moved(halves[1])), map=moved(found.map)),
        references=np.stack([moved(one) for one in maps.references]),
    ), centre
