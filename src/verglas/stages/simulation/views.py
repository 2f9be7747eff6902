"""How often a molecule is seen from each side: a table of views with their weights, shipped or the user's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError

DATA = Path(__file__).parent / "data"
SHIPPED_VIEWS = ("empiar-10076",)


def read_views(table: str) -> NDArray[np.float64]:
    """Return the views of a table, shape (n, 3): rot and tilt in degrees, and their weights.

    Parameters
    ----------
    table
        Name of a shipped table, or a text file with rot, tilt and weight a line; ``#`` begins a remark.

    Raises
    ------
    InputError
        There is no such table.
    FormatError
        It has other columns, or no weight above zero.
    """
    path = DATA / f"views_{table}.txt" if table in SHIPPED_VIEWS else Path(table)
    if not path.is_file():
        raise InputError(f"{table}: no such table of views; give a text file, or one of: {', '.join(SHIPPED_VIEWS)}.")
    try:
        rows = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise FormatError(path, f"is no table of numbers ({error}).") from error
    if rows.shape[1] != 3 or not (rows[:, 2] >= 0).all() or not rows[:, 2].any():
        raise FormatError(path, "is no table of views.", "Each line holds rot, tilt in degrees and a weight from 0 up.")
    return np.asarray(rows, np.float64)


def view_spread(count: int) -> float:
    """Return the deviation, in radians along each axis, that fills the room between so many even views."""
    # Each has 4 pi / n of the sphere; a square of that area deviates by its side over the root of 12.
    return math.sqrt(4.0 * math.pi / count / 12.0)


def even_views(count: int) -> NDArray[np.float64]:
    """Return unit vectors spread evenly over the sphere along a spiral, shape (n, 3).

    References
    ----------
    A. Gonzalez, "Measurement of areas on a sphere using Fibonacci and latitude-longitude lattices", Math. Geosci. 42
    (2010) 49.
    """
    number = np.arange(count) + 0.5
    z = 1.0 - 2.0 * number / count
    turn = np.pi * (1.0 + math.sqrt(5.0)) * number
    ring = np.sqrt(1.0 - z * z)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=-1)


def count_views(matrices: Any, count: int = 500) -> NDArray[np.float64]:
    """Return how many orientations look along each of many even views: a table as :func:`read_views` returns it.

    Parameters
    ----------
    matrices
        Rotation matrices from the molecule's coordinates to the microscope's, shape (n, 3, 3).
    count
        Views on the sphere; those that nothing looks along keep a weight of 0.
    """
    views = even_views(count)
    # The molecule is seen along the direction that its matrix takes to z: the matrix's last row.
    nearest = (np.asarray(matrices, np.float64)[:, 2] @ views.T).argmax(axis=1)
    weights = np.bincount(nearest, minlength=count)
    rot = np.degrees(np.arctan2(views[:, 1], views[:, 0]))
    tilt = np.degrees(np.arccos(views[:, 2]))
    return np.stack([rot, tilt, weights.astype(np.float64)], axis=-1)
