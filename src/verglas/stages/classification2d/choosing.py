"""Particles of selected classes: which they are, and where in their images their class has its middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.stages.classification2d.rounds import centre_of_mass


@dataclass(frozen=True)
class Chosen:
    """Particles of selected classes.

    Attributes
    ----------
    rows
        In the package's table, ascending.
    displacements_A
        Where the middle of its class lies in each image, (x, y) from its middle; shape (n, 2).
    log_likelihood
        How well each fits.
    left_out
        Particles of these classes that were dropped as the worst.
    """

    rows: NDArray[np.int64]
    displacements_A: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    left_out: int


def class_centres(averages: Any, pixel_size_A: float, mask_radius_A: float) -> NDArray[np.float64]:
    """Return the centre of mass (x, y) of the dense part of each class average, in A from its middle."""
    radius_px = mask_radius_A / pixel_size_A
    centres = [centre_of_mass(np.asarray(average, np.float64), radius_px)[::-1] for average in averages]
    return np.array(centres).reshape(-1, 2) * pixel_size_A


def choose_particles(
    table: ParticleTable, members: Any, centres_A: Any, *, worst_percent: float = 0.0, least_certainty: float = 0.0
) -> Chosen:
    """Return the particles of some classes.

    Parameters
    ----------
    table
        Of the classification.
    members
        Numbers of the classes, from 1.
    centres_A
        Centre (x, y) of each class average, shape (classes, 2).
    worst_percent
        Part of each class that is left out: those that fit worst.
    least_certainty
        Particles whose best class has less than this part of their weight are left out, 0 to 1.

    Raises
    ------
    InputError
        Nobody is in these classes.
    """
    number, fits = np.asarray(table["class_number"]), np.asarray(table["log_likelihood"], np.float64)
    chosen, dropped = np.zeros(len(table), bool), 0
    for one in members:
        rows = np.flatnonzero((number == one) & (table["active"] > 0))
        good = rows[table["occupancy"][rows] >= 100.0 * least_certainty]
        good = good[np.argsort(-fits[good], kind="stable")][: len(good) - int(len(good) * worst_percent / 100.0)]
        chosen[good] = True
        dropped += len(rows) - len(good)
    rows = np.flatnonzero(chosen)
    if not rows.size:
        raise InputError("no particle is in the selected classes; select others, or use a round with all particles.")
    psi = np.deg2rad(table["psi_deg"][rows])
    x, y = np.asarray(centres_A, np.float64)[number[rows] - 1].T
    turned = np.stack([np.cos(psi) * x + np.sin(psi) * y, np.cos(psi) * y - np.sin(psi) * x], axis=1)
    at = -np.stack([table["origin_x_A"][rows], table["origin_y_A"][rows]], axis=1)
    return Chosen(rows, at + turned, fits[rows], dropped)
