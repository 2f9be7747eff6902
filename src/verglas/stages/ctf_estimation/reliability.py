"""How likely a fit is grossly wrong, from how far its score stands above what noise would give."""

from __future__ import annotations

import math

GROSS_ERROR_A = 500.0
"""A mean defocus further from the truth than this is called a gross failure."""
EVEN_ODDS_LOG = -1.25
SLOPE = -4.45
TYPICAL_SIGNIFICANCE = 6.0


def significance(score: float, points: int) -> float:
    """Return a score in units of the standard deviation that it would have in noise with a fixed trial.

    Parameters
    ----------
    score
        Correlation of spectrum and rings.
    points
        Pixels of the half spectrum that were fitted.
    """
    return score * math.sqrt(points)


def failure_probability(score: float, points: int) -> float:
    """Return the probability that the mean defocus is off by more than 500 A.

    A logistic curve of the logarithm of the significance, fitted to simulated micrographs whose dose was lowered and
    whose B-factor was raised until fits failed. A larger box has more points and noisier ones; the significance, and so
    the probability, stays the same. It speaks of a search over the usual range of defocus with known phase shift.

    Parameters
    ----------
    score
        Correlation of spectrum and rings.
    points
        Pixels of the half spectrum that were fitted.
    """
    above = significance(score, points)
    if above <= 0:
        return 1.0
    return 1.0 / (1.0 + math.exp(-(EVEN_ODDS_LOG + SLOPE * math.log(above / TYPICAL_SIGNIFICANCE))))
