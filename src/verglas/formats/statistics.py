"""Resolution statistics as text, as Frealign and cisTEM write them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.formats.atomic_write import write_whole
from verglas.formats.number_lines import numbers_of, read_lines

Floats = NDArray[np.float64]
HEADER = "C SHELL  RESOLUTION  RING RADIUS       FSC  Part_FSC  Part_SSNR^0.5  Rec_SSNR^0.5\n"


@dataclass(frozen=True)
class ResolutionStatistics:
    """What is known of a reconstruction shell by shell; all arrays have shape (shells,).

    Attributes
    ----------
    resolution_A
        Resolution of the shell, in A.
    ring_radius
        Its radius in reciprocal pixels, as a fraction of the sampling frequency.
    fsc
        Fourier shell correlation of the halves.
    particle_fsc
        The same, within the particle's volume.
    particle_ssnr, reconstruction_ssnr
        Spectral signal-to-noise ratios; the file holds their square roots.
    """

    resolution_A: Floats
    ring_radius: Floats
    fsc: Floats
    particle_fsc: Floats
    particle_ssnr: Floats
    reconstruction_ssnr: Floats


def read_statistics(path: str | os.PathLike[str]) -> ResolutionStatistics:
    """Read a file of statistics; lines that start with C are comments.

    Raises
    ------
    FormatError
        The file is empty, or a line does not hold seven numbers.
    """
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        if line.strip() and line.lstrip()[0] not in "Cc#":
            values = numbers_of(path, number, line, 7)
            if len(values) != 7:
                raise FormatError(path, f"line {number}: {len(values)} numbers, not 7.", "Is this a statistics file?")
            rows.append(values)
    if not rows:
        raise FormatError(path, "there are no shells in this file.", "Choose a statistics file.")
    _, resolution, radius, fsc, particle, particle_root, reconstruction_root = np.array(rows).T
    return ResolutionStatistics(resolution, radius, fsc, particle, particle_root**2, reconstruction_root**2)


def write_statistics(statistics: ResolutionStatistics, path: str | os.PathLike[str]) -> None:
    """Write a file of statistics, shells numbered from 2 as cisTEM does.

    Raises
    ------
    InputError
        The arrays differ in length or hold NaN.
    """
    columns = [
        statistics.resolution_A, statistics.ring_radius, statistics.fsc, statistics.particle_fsc,
        np.sqrt(np.maximum(statistics.particle_ssnr, 0)), np.sqrt(np.maximum(statistics.reconstruction_ssnr, 0)),
    ]  # fmt: skip
    if len({len(column) for column in columns}) > 1 or not all(np.isfinite(column).all() for column in columns):
        raise InputError("The statistics of a reconstruction must have one length and finite values.")
    with write_whole(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(HEADER)
        for shell, row in enumerate(np.stack(columns, axis=1).tolist(), 2):
            a, b, c, d, e, f = row
            file.write(f"{shell:7d} {a:11.2f} {b:12.6f} {c:9.6f} {d:9.6f} {e:14.6f} {f:13.6f}\n")
