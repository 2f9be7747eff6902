"""Symmetry expansion: every particle once for each of its symmetric views, so that its subunits can differ."""

from __future__ import annotations

import numpy as np

from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.geometry import euler_to_matrix, matrix_to_euler, point_group

EULER = ("rot_deg", "tilt_deg", "psi_deg")


def expand_symmetry(table: ParticleTable, symmetry: str) -> ParticleTable:
    """Return a table with each particle at all its symmetric poses, one after the other.

    Copies show the same image, stay in its half set, as they must (their noise is one), and have its number as
    ``particle_group``.

    Parameters
    ----------
    table
        The particles.
    symmetry
        Point group, in its standard setting.

    Raises
    ------
    InputError
        The group has one view only, or particles have no half set.
    """
    operators = point_group(symmetry).operators
    if len(operators) < 2:
        raise InputError(f"{symmetry} has one view of each particle: there is nothing to expand.")
    if not np.isin(table["half_set"], (1, 2)).all():
        raise InputError("particles without a half set cannot be expanded: their copies could come into both halves.")
    made = table.select(np.repeat(np.arange(len(table)), len(operators)))
    rotations = euler_to_matrix(*(np.deg2rad(table[name]) for name in EULER))
    turned = (rotations[:, None] @ operators[None]).reshape(-1, 3, 3)
    for name, angle in zip(EULER, matrix_to_euler(turned), strict=True):
        made[name] = np.rad2deg(angle)
    made["particle_group"] = np.repeat(np.arange(1, len(table) + 1), len(operators))
    made["position"] = np.arange(1, len(made) + 1)
    return made
