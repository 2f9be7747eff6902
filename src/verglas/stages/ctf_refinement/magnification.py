"""Uneven magnification of an optics group from its sums."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verglas.microscopy import Optics
from verglas.stages.ctf_refinement.sums import GroupSums

PARTS = np.array([[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, -1.0], [0.0, 1.0, 1.0, 0.0]])
"""Even, stretched along x and stretched along the diagonal, as ``xx, xy, yx, yy``; a turn is the poses' affair."""


@dataclass(frozen=True)
class MagnificationFit:
    """Change of the matrix that takes nominal frequencies to true ones.

    Attributes
    ----------
    parts, deviations
        Changes of the even part and of both uneven ones (fractions), and their standard deviations; shape (3,).
    significance
        Gain of log-likelihood of the uneven parts.
    accepted
        Whether it is as large as was asked for.
    """

    parts: NDArray[np.float64]
    deviations: NDArray[np.float64]
    significance: float
    accepted: bool


def fit_magnification(sums: GroupSums, *, least_significance: float = 10.0) -> MagnificationFit:
    """Fit the linear change of frequencies that brings models closest to images.

    References
    ----------
    J. Zivanov, T. Nakane, S. H. W. Scheres, IUCrJ 7 (2020) 253.
    """
    normal, slope = PARTS @ sums.normal @ PARTS.T, PARTS @ sums.slope
    parts = np.linalg.solve(normal, slope)
    even = slope[0] / normal[0, 0]
    significance = float(slope @ parts - slope[0] * even)
    deviations = np.sqrt(0.5 * np.diagonal(np.linalg.inv(normal)))
    return MagnificationFit(parts, deviations, significance, significance > least_significance)


def magnified_optics(optics: Optics, fit: MagnificationFit, even: float = 0.0) -> Optics:
    """Return a microscope with the uneven parts that were accepted, and an even change where one is known."""
    parts = np.array([even, *(fit.parts[1:] if fit.accepted else (0.0, 0.0))])
    change = np.eye(2) + (parts @ PARTS).reshape(2, 2)
    matrix = change @ np.asarray(optics.magnification)
    (xx, xy), (yx, yy) = matrix.tolist()
    return replace(optics, magnification=((xx, xy), (yx, yy)))
