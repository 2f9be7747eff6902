"""Bring a map that has a symmetry onto the axes of its point group.

Compared are the map and its copies under the group's generators, in Fourier space, every shell counting by its number
of components: first a few shells at all rotations of a grid, then the best candidates at more and more by a simplex.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.map_matching import (
    CANDIDATES,
    FINALISTS,
    MIDDLE_SHELLS,
    Shells,
    checked_map,
    climb,
    distinct,
    finest_shell,
    transform_map,
)
from verglas.engine.reference import prepare_reference
from verglas.engine.threads import kernel_threads
from verglas.errors import InputError
from verglas.geometry import point_group, pose_grid
from verglas.signal import shift

SYMMETRY_SHELLS, SYMMETRY_SPACING = 10, math.radians(10.0)


@dataclass(frozen=True)
class SymmetryAlignment:
    """How the axes of a map lie.

    Attributes
    ----------
    rotation, shift_A
        What brings them to the standard setting, as in :class:`verglas.engine.MapAlignment`.
    correlation
        Mean correlation of the map with its copies under the group's generators.
    map
        The map in the standard setting, float32.
    """

    rotation: NDArray[np.float64]
    shift_A: NDArray[np.float64]
    correlation: float
    map: NDArray[np.float32]


def align_symmetry(
    volume: Any, symmetry: str, pixel_size_A: float, *, limit_A: float | None = None, threads: int = 1
) -> SymmetryAlignment:
    """Find the axes of a map that has a symmetry, and bring it to the standard setting.

    Parameters
    ----------
    volume
        Cubic map [z, y, x], its symmetry centre within about a tenth of the box of its centre of mass.
    symmetry
        Point group; axes as in :mod:`verglas.geometry.symmetry`.
    pixel_size_A, limit_A, threads
        As in :func:`verglas.engine.align_maps`.

    Returns
    -------
    SymmetryAlignment
        Around the axis of a Cn group the map is turned, and along it moved, as little matters: the centre of mass
        comes to height 0.

    Raises
    ------
    InputError
        If the map is no cube, or the group has no symmetry.
    """
    from verglas.kernels.map_points import symmetry_score, symmetry_scores

    group = point_group(symmetry)
    if group.order == 1:
        raise InputError("C1 has no axes to find; give the symmetry that the map should have.")
    density = checked_map(volume, pixel_size_A)
    box = len(density)
    finest = finest_shell(box, pixel_size_A, limit_A)
    centre = _centre_of_mass(density)
    centred = shift(density, -centre[::-1], workers=threads)
    # The spherical average looks alike under all rotations.
    prepared = prepare_reference(
        centred - _spherical_average(centred), pixel_size_A, limit_A=box * pixel_size_A / (finest + 1), threads=threads
    )
    operators = _generators(group.operators).astype(np.float32)
    rotations = pose_grid(SYMMETRY_SPACING)
    level = Shells(prepared, min(SYMMETRY_SHELLS, finest))
    weight = level.symmetry_weight(prepared)
    scores = np.empty(len(rotations))
    with kernel_threads(threads):
        symmetry_scores(
            prepared.values, prepared.centre, rotations.astype(np.float32), operators, level.points, weight, scores
        )
    found = [(rotations[i], np.zeros(3)) for i in distinct(scores, rotations, CANDIDATES, 1.2 * SYMMETRY_SPACING)]
    for shells, kept in ((SYMMETRY_SHELLS, FINALISTS), (MIDDLE_SHELLS, 2), (finest, 1)):
        level = Shells(prepared, min(shells, finest))
        weight = level.symmetry_weight(prepared)
        refined = []
        for start, moved in found:

            def score(turned: Any, at: Any, level: Shells = level, weight: Any = weight) -> float:
                radians = 2.0 * np.pi / (box * level.voxels)
                return float(
                    symmetry_score(
                        prepared.values, prepared.centre, turned.astype(np.float32),
                        (at * radians).astype(np.float32), operators, level.points, weight,
                    )
                )  # fmt: skip

            refined.append(climb(score, start, moved, level.index.max(), to_the_top=shells == finest))
        refined.sort(key=lambda one: -one[0])
        found = [one[1:] for one in refined[:kept]]
    correlation, rotation, moved = refined[0]
    if group.name[0] == "C":
        moved = moved * [1.0, 1.0, 0.0]
    shift_A = (moved - rotation @ centre) * pixel_size_A
    return SymmetryAlignment(
        rotation, shift_A, correlation, transform_map(density, rotation, shift_A, pixel_size_A, threads=threads)
    )


def _generators(operators: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return few operators whose products are the whole group."""
    chosen: list[Any] = []
    made = [np.eye(3)]
    for candidate in operators[1:]:
        if min(np.abs(candidate - known).max() for known in made) < 1e-6:
            continue
        chosen.append(candidate)
        made = [np.eye(3)]
        for known in made:
            for generator in chosen:
                product = known @ generator
                if min(np.abs(product - other).max() for other in made) > 1e-6:
                    made.append(product)
        if len(made) == len(operators):
            break
    return np.array(chosen)


def _centre_of_mass(density: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the centre (x, y, z) of what is well above the mean, in pixels from the origin."""
    above = np.clip(density.astype(np.float64) - (density.mean() + 2.0 * density.std()), 0.0, None)
    axis = np.arange(len(density)) - len(density) // 2
    sums = [above.sum(axis=tuple(other for other in range(3) if other != own)) for own in (2, 1, 0)]
    total = max(float(above.sum()), 1e-30)
    return np.array([float(line @ axis) / total for line in sums])


def _spherical_average(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the map of the mean over spheres around the origin."""
    box = len(density)
    squares = (np.arange(box) - box // 2) ** 2
    shell = np.rint(np.sqrt(squares[:, None, None] + squares[:, None] + squares)).astype(np.int64)
    means = np.bincount(shell.ravel(), density.ravel()) / np.maximum(np.bincount(shell.ravel()), 1)
    average: NDArray[np.float32] = means[shell].astype(np.float32)
    return average
