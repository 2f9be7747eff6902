"""Frealign's and cisTEM's ``.par`` files, 17 columns and the older 16, to and from the particle table."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.formats.atomic_write import write_whole
from verglas.formats.particle_table import ParticleTable
from verglas.formats.units import to_degrees, to_radians

HEADER = (
    "C           PSI   THETA     PHI       SHX       SHY     MAG  FILM      DF1      DF2  ANGAST  PSHIFT     OCC"
    "      LogP      SIGMA   SCORE  CHANGE\n"
)
OLD_HEADER = HEADER.replace("  PSHIFT", "")
# Width, decimals and column of the table; "frealign_..." are additional columns.
LAYOUT = (
    (7, 0, "position"),
    (8, 2, "psi_deg"),
    (8, 2, "tilt_deg"),
    (8, 2, "rot_deg"),
    (10, 2, "origin_x_A"),
    (10, 2, "origin_y_A"),
    (8, 0, "frealign_magnification"),
    (6, 0, "frealign_film"),
    (9, 1, "defocus_u_A"),
    (9, 1, "defocus_v_A"),
    (8, 2, "defocus_angle_deg"),
    (8, 2, "phase_shift_deg"),
    (8, 2, "occupancy"),
    (10, 0, "log_likelihood"),
    (11, 4, "sigma"),
    (8, 2, "score"),
    (8, 2, "score_change"),
)
PHASE = 11


def read_par(path: str | os.PathLike[str]) -> ParticleTable:
    """Read a ``.par`` file.

    Angles are in degrees and never wrapped, shifts and defocus in A, the phase shift (column 12 of 17) in radians. A
    negative film number marks a particle that was left out (``active`` 0).

    Raises
    ------
    FormatError
        The file is empty or a line does not hold 16 or 17 numbers.
    """
    name = str(path)
    try:
        lines = Path(path).read_text("ascii").splitlines()
    except UnicodeDecodeError:
        raise FormatError(name, "this is no text file.", "Choose a .par file.") from None
    rows: list[list[float]] = []
    columns = 0
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip()[0] in "Cc":
            continue
        words = line.split()
        if len(words) not in {16, 17}:
            words = fixed_width(line)
        if len(words) not in {16, 17} or (columns and len(words) != columns):
            raise FormatError(name, f"line {number}: {len(words)} columns, not 17 (or 16 in all lines).")
        columns = len(words)
        try:
            row = [float(word) for word in words]
        except ValueError:
            raise FormatError(
                name, f"line {number}: {line.strip()[:60]!r} holds something that is no number."
            ) from None
        if not np.isfinite(row).all() or "_" in line:
            raise FormatError(name, f"line {number}: a value is not finite.", "Remove that particle.")
        rows.append(row)
    if not rows:
        raise FormatError(name, "there are no particles in this file.", "Choose a .par file.")
    values = np.array(rows)
    if columns == 16:
        values = np.insert(values, PHASE, 0.0, axis=1)
    whole = values[:, [0, 7]]
    if not (whole == np.rint(whole)).all() or np.abs(whole).max() >= 2**31:
        raise FormatError(name, "a particle or film number is no whole number.", "Is this a .par file?")
    return table_of(values)


def table_of(values: NDArray[np.float64]) -> ParticleTable:
    """Return a table from the 17 columns, in the file's units and signs."""
    table = ParticleTable.empty(len(values))
    film = values[:, 7].astype(np.int64)
    table.add_columns({"frealign_magnification": values[:, 6], "frealign_film": np.abs(film)})
    for k, (_, _, column) in enumerate(LAYOUT):
        if column in {"origin_x_A", "origin_y_A"}:
            table[column] = 0.0 - values[:, k]
        elif column == "phase_shift_deg":
            table[column] = to_degrees(values[:, k])
        elif column != "frealign_film":
            table[column] = values[:, k]
    table["active"] = np.where(film < 0, 0, 1)
    table["image_section"] = np.maximum(table["position"], 0)
    return table


def fixed_width(line: str) -> list[str]:
    """Return the values of a line whose numbers touch each other, by the widths of the columns."""
    old = len(line.rstrip()) < 142 - 8
    words, place = [], 0
    for k, (width, _, _) in enumerate(LAYOUT):
        if k == PHASE and old:
            continue
        words.append(line[place : place + width].strip())
        place += width
    return words if all(words) and not line[place:].strip() else line.split()


def write_par(table: ParticleTable, path: str | os.PathLike[str], *, columns: int = 17) -> None:
    """Write a table as ``.par`` file, in the decimals that this format has.

    Magnification and film are those of the ``.par`` file the particles came from; else the magnification is 0 and
    the film numbers the micrographs from 1. Names, optics and half sets have no place in this format.

    Raises
    ------
    InputError
        A value is too large for its column, or particles have phase shifts and ``columns`` is 16.
    """
    if columns not in {16, 17}:
        raise InputError(f"A .par file has 17 columns, or 16; not {columns}.")
    if columns == 16 and table["phase_shift_deg"].any():
        raise InputError("A .par file of 16 columns has no place for phase shifts; write 17 columns.")
    count = len(table)
    values = np.zeros((count, len(LAYOUT)))
    for k, (_, _, column) in enumerate(LAYOUT):
        if column in table:
            values[:, k] = table[column]
    if not table["position"].any():
        values[:, 0] = table["image_section"] if table["image_section"].any() else np.arange(1, count + 1)
    values[:, 4:6] = 0.0 - values[:, 4:6]
    values[:, PHASE] = to_radians(table["phase_shift_deg"])
    film = values[:, 7] if "frealign_film" in table else micrograph_numbers(table)
    values[:, 7] = np.where(table["active"] > 0, film, -film)
    lines = [HEADER if columns == 17 else OLD_HEADER]
    kept = [k for k in range(len(LAYOUT)) if columns == 17 or k != PHASE]
    template = "".join(f"%{LAYOUT[k][0]}.{LAYOUT[k][1]}f" for k in kept) + "\n"
    expected = sum(LAYOUT[k][0] for k in kept) + 1
    rounded = np.round(values[:, kept], 10) + 0.0
    for row, numbers in enumerate(rounded.tolist()):
        line = template % tuple(numbers)
        if len(line) != expected or len(line.split()) != columns:
            raise InputError(f"Particle {row + 1}: a value is too large for its column of a .par file.")
        lines.append(line)
    with write_whole(path) as temporary:
        temporary.write_text("".join(lines), "ascii")


def micrograph_numbers(table: ParticleTable) -> NDArray[np.int64]:
    """Return the micrographs numbered from 1 in the order of their first particle."""
    _, first, inverse = np.unique(table["micrograph"], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.reshape(-1)] + 1
