"""Particle coordinates in one micrograph: ``.star``, ``.box``, ``.coord``, ``.csv`` and cisTEM's ``.plt``."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.formats.atomic_write import write_whole
from verglas.formats.number_lines import numbers_of, read_lines
from verglas.formats.relion import particle_loop
from verglas.formats.star import Block, Loop, read_star
from verglas.formats.star_writer import write_star

Floats = NDArray[np.float64]
ENDINGS = (".star", ".box", ".coord", ".txt", ".csv", ".plt")
X_HEADINGS = ("x-coordinate", "x_coordinate", "x_coord", "rlncoordinatex", "x", "x_px")
Y_HEADINGS = ("y-coordinate", "y_coordinate", "y_coord", "rlncoordinatey", "y", "y_px")


def read_coordinates(path: str | os.PathLike[str], *, image_height_px: int | None = None) -> Floats:
    """Read the centres of particles.

    Parameters
    ----------
    path
        ``.star`` (RELION), ``.box`` (EMAN: corner and size), ``.coord`` or ``.txt`` (x and y), ``.csv`` (named columns)
        or ``.plt`` (cisTEM: rows counted from the other edge, and from 1).
    image_height_px
        Rows of the micrograph; needed for ``.plt`` alone.

    Returns
    -------
    ndarray
        Shape (n, 2): x and y in pixels from the first column and row.

    Raises
    ------
    FormatError
        The file is damaged or has no coordinates in it.
    InputError
        The ending is not known, or the height is missing.
    """
    ending = Path(path).suffix.lower()
    if ending == ".star":
        loop = particle_loop(str(path), read_star(path))
        if "rlnCoordinateX" not in loop or "rlnCoordinateY" not in loop:
            raise FormatError(path, "there are no coordinates in this star file.", "Choose another.")
        columns = loop.floats("rlnCoordinateX", finite=True), loop.floats("rlnCoordinateY", finite=True)
        return np.stack(columns, axis=1)
    if ending == ".csv":
        return read_csv(path)
    if ending not in ENDINGS:
        raise InputError(f"{path}: coordinates are read from {', '.join(ENDINGS)}, not from {ending or 'this'}.")
    least = {".box": 4, ".plt": 2}.get(ending, 2)
    rows = [
        numbers_of(path, number, line, least)[:4]
        for number, line in enumerate(read_lines(path), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not rows:
        return np.empty((0, 2))
    values = np.array([row[:least] for row in rows])
    if ending == ".box":
        return values[:, :2] + values[:, 2:4] / 2
    if ending == ".plt":
        if image_height_px is None:
            raise InputError(f"{path}: a .plt file counts rows from the other edge; give the micrograph's height.")
        return np.stack([values[:, 1] - 1, image_height_px + 1 - values[:, 0]], axis=1)
    return values[:, :2]


def read_csv(path: str | os.PathLike[str]) -> Floats:
    """Read a table with a heading line that names an x and a y column."""
    lines = read_lines(path)
    headings = [word.strip().lower() for word in next(csv.reader(lines[:1]))]
    found = [
        next((headings.index(name) for name in names if name in headings), None) for names in (X_HEADINGS, Y_HEADINGS)
    ]
    x, y = found
    if x is None or y is None:
        raise FormatError(path, f"its first line names no x and y column: {lines[0][:60]!r}.")
    points = []
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            words = line.split(",")
            if len(words) != len(headings):
                raise FormatError(path, f"line {number}: {len(words)} values where the heading has {len(headings)}.")
            points.append(numbers_of(path, number, f"{words[x]},{words[y]}", 2))
    return np.array(points).reshape(-1, 2)


def write_coordinates(
    path: str | os.PathLike[str], centres_px: Floats, *, box_px: int | None = None, image_height_px: int | None = None
) -> None:
    """Write the centres of particles; the ending chooses the format (see :func:`read_coordinates`).

    Parameters
    ----------
    path
        Where to.
    centres_px
        Shape (n, 2): x and y in pixels from the first column and row.
    box_px
        Edge of the box, for ``.box``.
    image_height_px
        Rows of the micrograph, for ``.plt``.

    Raises
    ------
    InputError
        The ending is not known, or the box or height that it needs is missing.
    """
    ending = Path(path).suffix.lower()
    centres = np.asarray(centres_px, np.float64).reshape(-1, 2)
    if ending == ".star":
        loop = Loop({"rlnCoordinateX": centres[:, 0], "rlnCoordinateY": centres[:, 1]})
        write_star(path, [Block("", loops=[loop])])
        return
    if ending == ".box":
        if box_px is None:
            raise InputError(f"{path}: a .box file needs the size of the box.")
        rows = [f"{x - box_px / 2!r}\t{y - box_px / 2!r}\t{box_px}\t{box_px}" for x, y in centres.tolist()]
    elif ending == ".plt":
        if image_height_px is None:
            raise InputError(f"{path}: a .plt file counts rows from the other edge; give the micrograph's height.")
        rows = [f"{image_height_px - y + 1!r} {x + 1!r} 1.0" for x, y in centres.tolist()]
    elif ending == ".csv":
        rows = ["X-Coordinate,Y-Coordinate"] + [f"{x!r},{y!r}" for x, y in centres.tolist()]
    elif ending in ENDINGS:
        rows = [f"{x!r}\t{y!r}" for x, y in centres.tolist()]
    else:
        raise InputError(f"{path}: coordinates are written to {', '.join(ENDINGS)}, not to {ending or 'this'}.")
    with write_whole(path) as temporary:
        temporary.write_text("".join(row + "\n" for row in rows), "ascii")
