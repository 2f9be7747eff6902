"""Interpolation filters that read a frame between its pixels, and what they leave of each spatial frequency."""

from __future__ import annotations

from functools import cache

import numpy as np

from verglas.kernels.movie_sums import BEFORE, PHASES, TAPS

HIGHEST_FREQUENCY = 0.44
LEAST_RESPONSE = 0.4


@cache
def interpolation_filters() -> np.ndarray:
    """Return the filters for displacements of 0, 1/256 ... 255/256 of a pixel, float32, shape (256, 12).

    Each has the smallest mean square error of all filters of its length over frequencies up to 0.44 cycles per pixel,
    88 % of the Nyquist frequency.

    References
    ----------
    T. I. Laakso et al., "Splitting the unit delay", IEEE Signal Process. Mag. 13 (1996) 30-60.
    """
    place = np.arange(TAPS) - BEFORE
    fraction = np.arange(PHASES) / PHASES
    width = 2.0 * HIGHEST_FREQUENCY
    overlap = np.sinc(width * (place[:, None] - place[None, :]))
    wanted = np.sinc(width * (place[:, None] - fraction[None, :]))
    filters = np.linalg.solve(overlap, wanted).T
    filters[0] = place == 0
    filters /= filters.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(filters, np.float32)


def mean_response(displacements: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Return what is left on average of each frequency along an axis after interpolation.

    Parameters
    ----------
    displacements
        Displacements in pixels of all places and frames that were added, any shape.
    frequency
        In cycles per pixel, shape (n,).

    Returns
    -------
    ndarray, shape (n,)
        Mean over the displacements, not below 0.4: near the Nyquist frequency noise is not blown up.
    """
    steps = np.floor(displacements.ravel() * PHASES + 0.5).astype(np.int64) % PHASES
    share = np.bincount(steps, minlength=PHASES) / steps.size
    phase = (np.arange(TAPS) - BEFORE)[None, :] - np.arange(PHASES)[:, None] / PHASES
    response = np.zeros(len(frequency))
    for step in np.flatnonzero(share):
        waves = np.cos(2 * np.pi * frequency[:, None] * phase[step][None, :])
        response += share[step] * (waves @ interpolation_filters()[step])
    return np.maximum(response, LEAST_RESPONSE)
