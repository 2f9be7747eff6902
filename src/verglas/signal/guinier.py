"""Guinier plots, and the B-factor read from their slope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.signal.fourier import Array, rfft
from verglas.signal.shells import shell_amplitudes, shell_frequencies


@dataclass(frozen=True)
class Guinier:
    """Logarithm of the mean amplitude in each shell against squared frequency, shape (shells - 1,) each."""

    squared_frequency_per_A2: Any
    log_amplitude: Any
    """-inf where a shell is empty or its weight zero."""


@dataclass(frozen=True)
class BFactorFit:
    """A line through a Guinier plot: log amplitude = intercept + b_factor / 4 x squared frequency."""

    b_factor_A2: float
    """Negative for a map whose amplitudes fall; the filter ``b_factor(b_factor_A2)`` flattens it."""
    intercept: float
    correlation: float
    """Pearson correlation of the points of the fit, -1 for a perfect falling line."""
    shells: int


def guinier_plot(volume: Array, pixel_size_A: float, *, fsc: Any | None = None, workers: int = 1) -> Guinier:
    """Average the amplitudes of a map over shells.

    Parameters
    ----------
    volume
        Real array, 1 to 3 axes.
    pixel_size_A
        Pixel size in A.
    fsc
        Correlation of its halves, shape (shells,): amplitudes are then weighted by sqrt(2 F / (1 + F)), the expected
        correlation with the truth.
    workers
        Threads.

    References
    ----------
    Rosenthal & Henderson (2003), J. Mol. Biol. 333, 721.
    """
    amplitude = shell_amplitudes(rfft(volume, workers=workers), volume.shape) / volume.size
    if fsc is not None:
        amplitude = amplitude * figure_of_merit(fsc)
    with np.errstate(divide="ignore"):
        log_amplitude = np.log(amplitude[1:])
    return Guinier(shell_frequencies(volume.shape, pixel_size_A)[1:] ** 2, log_amplitude)


def figure_of_merit(fsc: Any) -> Any:
    """Return sqrt(2 F / (1 + F)), the expected correlation of the averaged halves with the truth; 0 for F < 0."""
    positive = np.maximum(fsc, 0.0)
    return np.sqrt(2 * positive / (1 + positive))


def fit_b_factor(plot: Guinier, low_resolution_A: float = 10.0, high_resolution_A: float = 0.0) -> BFactorFit:
    """Fit a straight line to a Guinier plot.

    Parameters
    ----------
    plot
        From :func:`guinier_plot`.
    low_resolution_A
        Where the fit begins: below 10 A shape and solvent, not atoms, make the amplitudes.
    high_resolution_A
        Where it ends; 0 for the last shell.

    Raises
    ------
    InputError
        If fewer than three shells are left.
    """
    highest = 1 / high_resolution_A if high_resolution_A > 0 else np.inf
    frequency = np.sqrt(plot.squared_frequency_per_A2)
    used = np.isfinite(plot.log_amplitude) & (frequency >= 1 / low_resolution_A) & (frequency <= highest)
    if used.sum() < 3:
        raise InputError(
            f"Only {int(used.sum())} shells between {low_resolution_A} and {high_resolution_A} A: too few for a "
            "B-factor. Widen the range."
        )
    x, y = plot.squared_frequency_per_A2[used], plot.log_amplitude[used]
    slope, intercept = np.polyfit(x, y, 1)
    spread = y.std()
    correlation = float(np.corrcoef(x, y)[0, 1]) if spread > 0 else 0.0
    return BFactorFit(float(4 * slope), float(intercept), correlation, int(used.sum()))
