"""Particles at new centres: their places in micrographs moved, and the images cut there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from verglas.formats.particle_table import ParticleTable
from verglas.stages.extraction.combining import coordinate_pixel_A

Array = np.ndarray[Any, Any]


def at_new_centres(table: ParticleTable, displacements_A: Any) -> ParticleTable:
    """Return a copy of a table whose coordinates are exactly at new centres, with origins of 0.

    Parameters
    ----------
    table
        Particles.
    displacements_A
        Where each particle lies (x, y) from the middle of its image; shape (n, 2).
    """
    made = table.copy()
    moved = np.asarray(displacements_A, np.float64)
    size = coordinate_pixel_A(table)
    for place, axis in enumerate(("x", "y")):
        made[f"coordinate_{axis}_px"] = table[f"coordinate_{axis}_px"] + moved[:, place] / size
        made[f"origin_{axis}_A"] = 0.0
    return made


def own_displacements_A(table: ParticleTable) -> Array:
    """Return where each particle lies (x, y) from the middle of its image, as its table says."""
    return -np.stack([table["origin_x_A"], table["origin_y_A"]], axis=1)


def after_cutting(table: ParticleTable, shifts_px: Any, pixel_size_A: Any) -> None:
    """Note in a table that images were cut around whole pixels.

    Parameters
    ----------
    table
        As :func:`at_new_centres` makes it; changed in place.
    shifts_px
        From each exact centre to the whole pixel that became the middle, (x, y); shape (n, 2).
    pixel_size_A
        Of these pixels, one or each particle's.
    """
    moved_A = np.asarray(shifts_px, np.float64) * np.broadcast_to(pixel_size_A, len(table))[:, None]
    size = coordinate_pixel_A(table)
    for place, axis in enumerate(("x", "y")):
        table[f"coordinate_{axis}_px"] = table[f"coordinate_{axis}_px"] + moved_A[:, place] / size
        table[f"origin_{axis}_A"] = moved_A[:, place]


def by_micrograph(table: ParticleTable, names: Sequence[str]) -> tuple[list[tuple[int, Array]], Array]:
    """Match particles with micrographs, by path or, where that is unknown, by the file's own name.

    Parameters
    ----------
    table
        Particles that name micrographs.
    names
        Paths of micrographs.

    Returns
    -------
    found
        Place of each micrograph that has particles, and their rows in order.
    missing
        Rows whose micrograph is not among them.
    """
    exact = {name: place for place, name in enumerate(names)}
    stems: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        stems.setdefault(_stem(name), []).append(place)
    places = np.full(len(table), -1, np.int64)
    for row, name in enumerate(table.names_of("micrograph")):
        alike = stems.get(_stem(name), [])
        places[row] = exact.get(name, alike[0] if len(alike) == 1 and name else -1)
    found = [(int(place), np.flatnonzero(places == place)) for place in np.unique(places[places >= 0])]
    return found, np.flatnonzero(places < 0)


def _stem(name: str) -> str:
    return name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
