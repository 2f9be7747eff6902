"""Point groups: their names, operators, asymmetric units, and distances between poses under symmetry.

An operator S leaves the map unchanged, so the poses ``R`` and ``R S`` show the same projection. The axes are:

======  ==========  ======================================================================
name    in RELION   axes
======  ==========  ======================================================================
Cn      Cn          n-fold along z
Dn      Dn          n-fold along z, 2-fold along x
T                   2-folds along x, y, z; 3-fold along (1, 1, 1)
T2      T           3-fold along z, 2-fold in the yz plane at +54.7 degrees from z
O       O           4-folds along x, y, z
I       I1          2-folds along x, y, z; 5-folds in the yz plane, 31.7 degrees from z
I2      I2, I       2-folds along x, y, z; 5-folds in the xz plane, 31.7 degrees from z
I3      I3          5-fold along z, 2-fold in the xz plane at -31.7 degrees from z
I4      I4          5-fold along z, 2-fold in the xz plane at +31.7 degrees from z
======  ==========  ======================================================================

Plain names are cisTEM's: T has its 2-folds along the axes. Names from a RELION file go through
:func:`name_from_relion`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.geometry.rotations import geodesic_distance, rotvec_to_matrix
from verglas.kernels.arrays import array_namespace

_GOLDEN = (1.0 + 5.0**0.5) / 2.0
_TIE = 1e-9
_LARGEST_FOLD = 1000

# Generators of the polyhedral groups: (fold, axis).
_GENERATORS: dict[str, tuple[tuple[int, tuple[float, float, float]], ...]] = {
    "T": ((2, (0.0, 0.0, 1.0)), (3, (1.0, 1.0, 1.0))),
    "T2": ((3, (0.0, 0.0, 1.0)), (2, (0.0, 2.0**0.5, 1.0))),
    "O": ((4, (0.0, 0.0, 1.0)), (3, (1.0, 1.0, 1.0))),
    "I": ((2, (0.0, 0.0, 1.0)), (5, (0.0, 1.0, _GOLDEN))),
    "I2": ((2, (0.0, 0.0, 1.0)), (5, (1.0, 0.0, _GOLDEN))),
    "I3": ((5, (0.0, 0.0, 1.0)), (2, (-1.0, 0.0, _GOLDEN))),
    "I4": ((5, (0.0, 0.0, 1.0)), (2, (1.0, 0.0, _GOLDEN))),
}
_SYNONYMS = {"T1": "T", "O1": "O", "I1": "I"}
_FROM_RELION = {"T": "T2", "I": "I2"}
_TO_RELION = {"T2": "T", "I": "I1"}


def symmetry_name(name: str) -> str:
    """Return the canonical name of a point group, such as ``C1``, ``D7``, ``T2`` or ``I``.

    Parameters
    ----------
    name
        cisTEM's names (Cn, Dn, T, T2, O, I, I2) or RELION's I1, I3, I4, in any case.

    Raises
    ------
    InputError
        If there is no such point group.
    """
    text = name.strip().upper()
    text = _SYNONYMS.get(text, text)
    if text in _GENERATORS:
        return text
    found = re.fullmatch(r"([CD])(\d{1,4})", text)
    if found and 1 <= int(found[2]) <= _LARGEST_FOLD:
        return f"{found[1]}{int(found[2])}"
    raise InputError(
        f"there is no point group {name!r}; use Cn or Dn (n from 1 to {_LARGEST_FOLD}), T, T2, O, I (or I1), I2, I3 or "
        "I4, such as C1, D7 or O."
    )


def name_from_relion(name: str) -> str:
    """Return the canonical name of a point group named as in RELION, whose T is T2 here and whose I is I2.

    Raises
    ------
    InputError
        If there is no such point group.
    """
    text = name.strip().upper()
    return symmetry_name(_FROM_RELION.get(text, text))


def name_for_relion(name: str) -> str:
    """Return RELION's name of a point group.

    Raises
    ------
    InputError
        If there is no such point group, or RELION has none with these axes (T).
    """
    own = symmetry_name(name)
    if own == "T":
        raise InputError("RELION has no tetrahedral group with 2-folds along the axes; rotate the map to T2.")
    return _TO_RELION.get(own, own)


@dataclass(frozen=True, eq=False)
class PointGroup:
    """A point group with its operators.

    Attributes
    ----------
    name
        Canonical name.
    operators
        Rotation matrices, shape ``(order, 3, 3)``, float64, read-only; the identity is first.
    fold
        The rotations about z among them.
    """

    name: str
    operators: np.ndarray
    fold: int

    @property
    def order(self) -> int:
        """Number of operators."""
        return len(self.operators)

    def in_asymmetric_unit(self, direction: Any, *, mirror: bool = False) -> Any:
        """Tell which view directions lie in the asymmetric unit, its border included.

        The unit holds of each set of equivalent directions the one nearest to z and, among equally near ones, nearest
        to a fixed azimuth: a wedge for C and D, part of a face around z for the others.

        Parameters
        ----------
        direction
            Unit vectors in the map's coordinates, shape ``(..., 3)``.
        mirror
            Count a direction and its opposite, whose projections mirror each other, as equivalent.

        Returns
        -------
        array of bool, shape (...)
        """
        xp = array_namespace(direction)
        d = xp.asarray(direction, dtype=xp.float64)
        heights, sides = self._scores(d, mirror)
        height, side = heights[..., :1], sides[..., :1]
        better = (heights > height + _TIE) | ((xp.abs(heights - height) <= _TIE) & (sides > side + _TIE))
        return ~xp.any(better, axis=-1)

    def reduce_directions(self, direction: Any, *, mirror: bool = False) -> tuple[Any, Any, Any]:
        """Return the equivalent of each view direction in the asymmetric unit.

        Parameters
        ----------
        direction
            Unit vectors, shape ``(..., 3)``.
        mirror
            Also use the opposite directions.

        Returns
        -------
        reduced : array, shape (..., 3)
            Directions in the asymmetric unit: ``S^T d``, or its opposite.
        operator : array of int, shape (...)
            Index of S.
        mirrored : array of bool, shape (...)
            Where the opposite was taken.
        """
        xp = array_namespace(direction)
        d = xp.asarray(direction, dtype=xp.float64)
        heights, sides = self._scores(d, mirror)
        highest = heights >= xp.max(heights, axis=-1, keepdims=True) - _TIE
        index = xp.argmax(xp.where(highest, sides, -2.0), axis=-1)
        operator, mirrored = index % self.order, index >= self.order
        chosen = xp.asarray(self.operators)[operator]
        reduced = xp.einsum("...ji,...j->...i", chosen, d)
        return xp.where(mirrored[..., None], -reduced, reduced), operator, mirrored

    def reduce_poses(self, matrix: Any) -> Any:
        """Return for each pose ``(..., 3, 3)`` the equivalent one whose view lies in the asymmetric unit."""
        xp = array_namespace(matrix)
        R = xp.asarray(matrix, dtype=xp.float64)
        _, operator, _ = self.reduce_directions(R[..., 2, :])
        return R @ xp.asarray(self.operators)[operator]

    def equivalent_poses(self, matrix: Any) -> Any:
        """Return all equivalents ``R S`` of poses ``(..., 3, 3)``, shape ``(..., order, 3, 3)``."""
        xp = array_namespace(matrix)
        return xp.asarray(matrix, dtype=xp.float64)[..., None, :, :] @ xp.asarray(self.operators)

    def nearest_poses(self, matrix: Any, target: Any) -> Any:
        """Return for each pose the equivalent nearest to a target pose; shapes ``(..., 3, 3)`` broadcast."""
        xp = array_namespace(matrix, target)
        R, T = xp.asarray(matrix, dtype=xp.float64), xp.asarray(target, dtype=xp.float64)
        operators = xp.asarray(self.operators)
        # trace((R S)^T T) is largest where the angle between them is smallest.
        traces = xp.einsum("sij,...ij->...s", operators, xp.swapaxes(R, -1, -2) @ T)
        return R @ operators[xp.argmax(traces, axis=-1)]

    def distance(self, first: Any, second: Any) -> Any:
        """Return the smallest angle in radians between equivalents of two poses; shapes ``(..., 3, 3)`` broadcast."""
        return geodesic_distance(self.nearest_poses(first, second), second)

    def _scores(self, d: Any, mirror: bool) -> tuple[Any, Any]:
        """Return for each equivalent of directions its height along z and its product with a fixed side direction.

        The first equivalent is the direction itself. The azimuth of the side direction is the middle of the wedge. With
        mirrors it must not lie on a mirror plane: these are at multiples of pi / n around z, half-way between for D
        groups of odd n.
        """
        xp = array_namespace(d)
        between = mirror and not (self.name[0] == "D" and self.fold % 2)
        azimuth = np.pi / (2 * self.fold) if between else np.pi / self.fold
        side = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
        # (S^T d) . z = d . (S z)
        heights = d @ xp.asarray(self.operators[:, :, 2].T)
        sides = d @ xp.asarray((self.operators @ side).T)
        if mirror:
            heights = xp.concatenate([heights, -heights], axis=-1)
            sides = xp.concatenate([sides, -sides], axis=-1)
        return heights, sides


def _rotation(fold: int, axis: tuple[float, float, float]) -> np.ndarray:
    """Return the rotation by one n-th of a turn about an axis."""
    unit = np.asarray(axis) / np.linalg.norm(axis)
    matrix: np.ndarray = rotvec_to_matrix(2.0 * np.pi / fold * unit)
    return matrix


def _closure(generators: list[np.ndarray]) -> np.ndarray:
    """Return all products of the generators, the identity first."""
    found = [np.eye(3)]
    for known in found:
        for generator in generators:
            candidate = known @ generator
            if all(np.abs(candidate - other).max() > 1e-6 for other in found):
                found.append(candidate)
    return np.array(found)


@lru_cache(maxsize=64)
def _group(name: str) -> PointGroup:
    """Build a point group from its canonical name."""
    if name in _GENERATORS:
        operators = _closure([_rotation(*generator) for generator in _GENERATORS[name]])
    else:
        turns = 2.0 * np.pi / int(name[1:]) * np.arange(int(name[1:]))
        operators = rotvec_to_matrix(turns[:, None] * np.array([0.0, 0.0, 1.0]))
        if name[0] == "D":
            operators = np.concatenate([operators, operators @ np.diag([1.0, -1.0, -1.0])])
    operators[np.abs(operators) < 1e-15] = 0.0
    operators.setflags(write=False)
    fold = int(np.sum(operators[:, 2, 2] > 1.0 - 1e-9))
    return PointGroup(name, operators, fold)


def point_group(name: str) -> PointGroup:
    """Return a point group by its name (see :func:`symmetry_name`).

    Raises
    ------
    InputError
        If there is no such point group.
    """
    return _group(symmetry_name(name))
