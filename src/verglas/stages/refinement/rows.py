"""What a refinement knows of each particle, from its table and back into one table for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.geometry import euler_to_matrix, matrix_to_euler

OF_PARTICLES = frozenset({"centre_A", "searched_A", "used", "defocus_change_A"})
"""Fields that have one value a particle, whatever the class."""
EULER = ("rot_deg", "tilt_deg", "psi_deg")


@dataclass
class PoseRows:
    """Particles by their places in the stack, class by class.

    Attributes
    ----------
    rotations
        Rotation matrices; float64, shape (classes, n, 3, 3).
    displacements_A
        Minus the origin of the particle table; shape (classes, n, 2).
    log_likelihood
        Of each class's pose, up to a constant of the image; shape (classes, n).
    score
        100 times the correlation of image and model in the band; shape (classes, n).
    sigma
        Deviation of the residuals over the noise's; shape (classes, n).
    occupancy
        Part of the particle in each class, 0 to 1; shape (classes, n).
    centre_A
        Displacement that searches and the prior are about: the one that was given; shape (n, 2).
    searched_A
        Limit of the round that it was last searched over all poses in, infinite where there was none; shape (n,).
    used
        Whether the last round used it; shape (n,).
    defocus_change_A
        What its mean defocus is more than its table says; shape (n,).
    """

    rotations: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    score: NDArray[np.float64]
    sigma: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    centre_A: NDArray[np.float64]
    searched_A: NDArray[np.float64]
    used: NDArray[np.bool_]
    defocus_change_A: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.used)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.occupancy)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as arrays by name."""
        return {f"rows_{one.name}": getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """Return the rows that such arrays hold."""
        return cls(**{one.name: arrays[f"rows_{one.name}"] for one in fields(cls)})

    def select(self, places: Any) -> PoseRows:
        """Return some particles."""
        return PoseRows(**{
            one.name: getattr(self, one.name)[places] if one.name in OF_PARTICLES
            else getattr(self, one.name)[:, places]
            for one in fields(self)
        })  # fmt: skip

    def put(self, places: Any, other: PoseRows) -> None:
        """Replace some particles by others, in place."""
        for one in fields(self):
            target, values = getattr(self, one.name), getattr(other, one.name)
            if one.name in OF_PARTICLES:
                target[places] = values
            else:
                target[:, places] = values

    def copy(self) -> PoseRows:
        """Return an independent copy."""
        return PoseRows(**{one.name: getattr(self, one.name).copy() for one in fields(self)})

    @staticmethod
    def concatenate(parts: list[PoseRows]) -> PoseRows:
        """Return the particles of several parts, in their order."""
        joined = {}
        for one in fields(PoseRows):
            axis = 0 if one.name in OF_PARTICLES else 1
            joined[one.name] = np.concatenate([getattr(part, one.name) for part in parts], axis=axis)
        return PoseRows(**joined)

    def permute(self, order: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Give some particles' class k what class ``order[k]`` has, in place."""
        for one in fields(self):
            if one.name not in OF_PARTICLES:
                values = getattr(self, one.name)
                values[:, places] = values[order][:, places]

    def split(self, occupancy: NDArray[np.float64]) -> PoseRows:
        """Return the same poses in several classes, with given occupancies, shape (classes, n)."""
        copied: dict[str, Any] = {
            one.name: getattr(self, one.name)
            if one.name in OF_PARTICLES
            else np.repeat(getattr(self, one.name)[:1], len(occupancy), axis=0)
            for one in fields(self)
        }
        return PoseRows(**{**copied, "occupancy": occupancy})

    def as_one(self) -> PoseRows:
        """Return the poses of the first class as one class that holds all particles."""
        return self.split(np.ones((1, len(self))))


def rows_in_classes(rows: PoseRows, classes: int) -> PoseRows:
    """Return rows of one class as the same poses in so many classes, each as probable as the others."""
    if rows.classes == classes:
        return rows
    return rows.split(np.full((classes, len(rows)), 1.0 / classes))


def rows_of_table(table: ParticleTable, rows: Any) -> PoseRows:
    """Return what a table says of some of its particles, as one class that holds them all."""
    at = np.asarray(rows, np.int64)
    angles = (np.deg2rad(table[name][at]) for name in EULER)
    moved = -np.stack([table["origin_x_A"][at], table["origin_y_A"][at]], axis=-1)
    zero = np.zeros((1, at.size))
    return PoseRows(
        rotations=np.asarray(euler_to_matrix(*angles), np.float64)[None],
        displacements_A=moved[None].astype(np.float64),
        log_likelihood=zero.copy(),
        score=zero.copy(),
        sigma=np.ones((1, at.size)),
        occupancy=np.ones((1, at.size)),
        centre_A=moved.astype(np.float64),
        searched_A=np.full(at.size, np.inf),
        used=np.zeros(at.size, np.bool_),
        defocus_change_A=np.zeros(at.size),
    )


def rows_of_tables(tables: Sequence[ParticleTable], rows: Any) -> PoseRows:
    """Return what the tables of several classes say of some of their particles; occupancies add up to 1.

    Parameters
    ----------
    tables
        One a class, of the same particles.
    rows
        Which of them, shape (n,).

    Raises
    ------
    InputError
        A particle is in no class.
    """
    at = np.asarray(rows, np.int64)
    parts = [rows_of_table(table, at) for table in tables]
    first = parts[0]
    joined = {
        one.name: getattr(first, one.name)
        if one.name in OF_PARTICLES
        else np.concatenate([getattr(part, one.name) for part in parts])
        for one in fields(PoseRows)
    }
    occupancy = np.stack([np.asarray(table["occupancy"], np.float64)[at] for table in tables])
    total = occupancy.sum(axis=0)
    if not (np.isfinite(occupancy).all() and (occupancy >= 0.0).all() and (total > 0.0).all()):
        raise InputError(
            "each particle's occupancies must be numbers from 0 up that are above zero in some class; look at the "
            "occupancy columns of the refinement."
        )
    made = PoseRows(**{**joined, "occupancy": occupancy / total})
    best = made.occupancy.argmax(axis=0)
    made.centre_A[:] = made.displacements_A[best, np.arange(at.size)]
    return made


def table_of_rows(table: ParticleTable, places: Any, rows: PoseRows, number: int) -> ParticleTable:
    """Return a copy of a table with the poses of one class.

    Parameters
    ----------
    table
        The particles.
    places
        Row of the table of each particle that was refined, shape (n,); the others stay as they are.
    rows
        What was found.
    number
        Which class, from 0.

    Returns
    -------
    ParticleTable
        With angles, origins, occupancy (percent), log-likelihood, sigma, score and the best class.
    """
    at, made = np.asarray(places, np.int64), table.copy()
    angles = matrix_to_euler(rows.rotations[number])
    columns = {
        **{name: np.rad2deg(angle) for name, angle in zip(EULER, angles, strict=True)},
        "origin_x_A": -rows.displacements_A[number, :, 0], "origin_y_A": -rows.displacements_A[number, :, 1],
        "occupancy": 100.0 * rows.occupancy[number], "log_likelihood": rows.log_likelihood[number],
        "sigma": rows.sigma[number], "score": rows.score[number],
        "class_number": 1 + rows.occupancy.argmax(axis=0),
        **{name: table[name][at] + rows.defocus_change_A for name in ("defocus_u_A", "defocus_v_A")},
    }  # fmt: skip
    for name, values in columns.items():
        column = np.array(made[name])
        column[at] = values
        made[name] = column
    return made
