"""Where the simulator's particles look: orientations, defocus and heights, with the simulator's own rotation code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.stages.simulation.optics import Defocus
from verglas.stages.simulation.parameters import OpticsParameters, SpecimenParameters
from verglas.stages.simulation.random import generator
from verglas.stages.simulation.views import read_views, view_spread


def rotation_matrix(rot: float, tilt: float, psi: float) -> NDArray[np.float64]:
    """Return the matrix that takes the molecule's coordinates to the microscope's, from ZYZ angles in degrees.

    A projection is the sum along z of what lies at ``matrix @ position``: the convention of RELION and cisTEM.
    """
    a, b, c = (math.radians(angle) for angle in (rot, tilt, psi))

    def about_z(angle: float) -> NDArray[np.float64]:
        return np.array([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])

    about_y = np.array([[math.cos(b), 0, -math.sin(b)], [0, 1, 0], [math.sin(b), 0, math.cos(b)]])
    return np.asarray(about_z(c) @ about_y @ about_z(a))


def euler_angles(matrix: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return rot, tilt, psi in degrees of a matrix as made by :func:`rotation_matrix`."""
    sine = math.hypot(matrix[2, 0], matrix[2, 1])
    tilt = math.degrees(math.atan2(sine, matrix[2, 2]))
    if sine < 1e-7:
        return math.degrees(math.atan2(matrix[0, 1] * matrix[2, 2], matrix[0, 0] * matrix[2, 2])), tilt, 0.0
    rot = math.degrees(math.atan2(matrix[2, 1], matrix[2, 0]))
    psi = math.degrees(math.atan2(matrix[1, 2], -matrix[0, 2]))
    return rot, tilt, psi


def read_orientations(path: str) -> NDArray[np.float64]:
    """Return (n, 3) rot, tilt, psi in degrees from a table of orientations.

    ``.npz`` with ``rot`` (n, 3, 3) holds matrices as cryoDRGN keeps them, which equal :func:`rotation_matrix`; a text
    file holds rot, tilt, psi a line.
    """
    if not Path(path).is_file():
        raise InputError(f"{path or 'orientation_table'}: no such table of orientations; give a .npz or .txt file.")
    if path.endswith(".npz"):
        with np.load(path) as table:
            if "rot" not in table or table["rot"].ndim != 3:
                raise FormatError(path, "has no array `rot` of shape (n, 3, 3).")
            return np.array([euler_angles(matrix) for matrix in np.asarray(table["rot"], dtype=float)])
    try:
        angles = np.loadtxt(path, ndmin=2)
    except ValueError as error:
        raise FormatError(path, f"is no table of numbers ({error}).") from error
    if angles.shape[1] < 3:
        raise FormatError(path, "has fewer than three columns.", "Each line holds rot, tilt, psi in degrees.")
    return np.asarray(angles[:, :3])


class Orientations:
    """Draws orientations, each from the seed and the particle's index alone."""

    def __init__(self, specimen: SpecimenParameters, seed: int) -> None:
        self._specimen, self._seed = specimen, seed
        self._table = read_orientations(specimen.orientation_table) if specimen.orientations == "table" else None
        self._views = read_views(specimen.view_table) if specimen.orientations == "views" else None

    def draw(self, *index: int) -> tuple[float, float, float]:
        """Return rot, tilt, psi in degrees of one particle."""
        random = generator(self._seed, "orientation", *index)
        if self._table is not None:
            rot, tilt, psi = self._table[int(random.integers(len(self._table)))]
            return float(rot), float(tilt), float(psi)
        rot = float(random.uniform(-180, 180))
        tilt = math.degrees(math.acos(float(random.uniform(-1, 1))))
        psi = float(random.uniform(-180, 180))
        specimen = self._specimen
        if self._views is not None:
            shares = np.cumsum(self._views[:, 2])
            row = min(int(np.searchsorted(shares, random.random() * shares[-1], side="right")), len(shares) - 1)
            return _near_view(random, rot, psi, self._views[row, :2], view_spread(len(shares)))
        if specimen.orientations == "preferred" and random.random() < specimen.preferred_fraction:
            views = specimen.preferred_views
            around = views[int(random.integers(len(views)))]
            return _near_view(random, rot, psi, around, math.radians(specimen.preferred_spread_degrees))
        return rot, tilt, psi


def _near_view(
    random: np.random.Generator, rot: float, psi: float, around: Sequence[float] | NDArray[np.float64], spread: float
) -> tuple[float, float, float]:
    """Return a view drawn from a Gaussian on the sphere (radians along each axis) about one of rot and tilt."""
    # A view near the z axis, then the axis turned to the favoured view.
    angle = min(math.pi, spread * math.sqrt(2 * float(random.exponential())))
    near = rotation_matrix(rot, math.degrees(angle), psi)
    return euler_angles(near @ rotation_matrix(float(around[0]), float(around[1]), 0.0))


def micrograph_defocus(optics: OpticsParameters, seed: int, micrograph: int) -> Defocus:
    """Return the defocus of one micrograph at the middle of its ice."""
    random = generator(seed, "defocus", micrograph)
    mean = optics.defocus_mean_A + optics.defocus_spread_A * float(random.uniform(-1, 1))
    half = optics.astigmatism_A / 2 * float(random.uniform(0, 1))
    angle = float(random.uniform(-90, 90))
    return Defocus(mean + half, mean - half, angle, optics.phase_shift_degrees)


def choose_class(specimen: SpecimenParameters, seed: int, *index: int) -> int:
    """Return the conformation (from 0) of one particle."""
    weights = np.array([shape.weight for shape in specimen.conformations])
    if weights.sum() <= 0:
        raise InputError("the weights of all conformations are zero; give at least one a positive weight.")
    edges = np.cumsum(weights) / weights.sum()
    return min(int(np.searchsorted(edges, generator(seed, "class", *index).random(), side="right")), len(weights) - 1)
