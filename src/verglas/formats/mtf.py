"""A detector's modulation transfer function, from RELION's star file or a text file of two columns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError
from verglas.formats.star import read_star

LABELS = ("rlnResolutionInversePixel", "rlnMtfValue")


def read_mtf(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a modulation transfer function.

    Parameters
    ----------
    path
        A star file with ``rlnResolutionInversePixel`` and ``rlnMtfValue``, or text with the same two columns.

    Returns
    -------
    frequency
        In cycles per pixel of the detector, rising, float64, shape (n,).
    mtf
        float64, shape (n,).

    Raises
    ------
    FormatError
        The file holds no such columns, or frequencies that do not rise, or values that are not positive.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(path, "is not there (or not a file).", "Check the name and whether its disk is mounted.")
    columns: Any
    if path.suffix == ".star":
        loops = [loop for block in read_star(path) for loop in block.loops if all(name in loop for name in LABELS)]
        if not loops:
            raise FormatError(path, f"has no columns {' and '.join(LABELS)}.", "Choose the star file of an MTF.")
        columns = [loops[0].floats(name, finite=True) for name in LABELS]
    else:
        try:
            columns = np.loadtxt(path, ndmin=2, dtype=np.float64).T
        except (ValueError, OSError) as error:
            raise FormatError(path, f"holds no two columns of numbers ({error}).", "Choose another file.") from None
    if len(columns) != 2 or len(columns[0]) < 2:
        raise FormatError(path, "must have two columns and two rows at least.", "Choose another file.")
    frequency, mtf = columns
    if not (np.isfinite(mtf).all() and np.all(np.diff(frequency) > 0.0) and np.all(mtf > 0.0)):
        raise FormatError(path, "has frequencies that do not rise or values that are not positive.", "Correct it.")
    return frequency, mtf
