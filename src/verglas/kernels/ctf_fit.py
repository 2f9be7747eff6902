"""Score many trial transfer functions against one spectrum, each in a single pass over its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from verglas.kernels.compile import cpu_kernel

Array = np.ndarray[Any, Any]
CHUNK = 1024


def cosine_body(turns: Any) -> Any:
    """Return the cosine of 2 pi ``turns`` (float32) to 5e-6, without branches, so that loops become vector code."""
    fraction = abs(turns - np.floor(turns + np.float32(0.5)))
    s = np.float32(0.25) - fraction  # cos(2 pi x) = sin(2 pi s) with |s| <= 1/4: a short odd polynomial
    q = s * s
    value = np.float32(-76.70586) + q * np.float32(42.058697)
    value = np.float32(81.60525) + q * value
    value = np.float32(-41.341702) + q * value
    return s * (np.float32(6.2831853) + q * value)


_cosine = cpu_kernel(inline=True)(cosine_body)


@cpu_kernel(parallel=True, fastmath=True)
def score_trials(
    per_A: Array, cosine_per_A: Array, sine_per_A: Array, constant: Array, data: Array, weight: Array,
    trials: Array, scores: Array,
) -> None:  # fmt: skip
    """Correlate the Thon rings of each trial with a spectrum.

    The rings are ``-cos 2 pi x``, ``x = mean a + C b + S c + constant + phase``, one turn for each period of CTF^2.

    Parameters
    ----------
    per_A, cosine_per_A, sine_per_A : float32, shape (points,)
        Turns for an A of mean defocus, and of half the astigmatism times cosine and sine of twice its angle.
    constant : float32, shape (points,)
        Turns of spherical aberration and amplitude contrast.
    data : float32, shape (points,)
        Spectrum, background taken off, times the weight.
    weight : float32, shape (points,)
        Expected amplitude of the rings at each point.
    trials : float32, shape (n, 4)
        Mean defocus, C and S in A, phase in turns (phase shift over pi).
    scores : float64, shape (n,)
        Filled with ``sum(data rings) / sqrt(sum((weight rings)^2))``.
    """
    points = data.size
    for t in prange(trials.shape[0]):
        mean, cosine_part, sine_part, phase = trials[t, 0], trials[t, 1], trials[t, 2], trials[t, 3]
        product, norm = 0.0, 0.0
        for start in range(0, points, CHUNK):
            part_product: Any = np.float32(0.0)
            part_norm: Any = np.float32(0.0)
            for i in range(start, min(start + CHUNK, points)):
                turns = mean * per_A[i] + cosine_part * cosine_per_A[i] + sine_part * sine_per_A[i]
                rings = -_cosine(turns + constant[i] + phase)
                expected = weight[i] * rings
                part_product += data[i] * rings
                part_norm += expected * expected
            product += part_product
            norm += part_norm
        scores[t] = product / np.sqrt(norm) if norm > 0.0 else 0.0


def warm() -> None:
    """Compile the kernel."""
    points = np.ones(2, np.float32)
    score_trials(points, points, points, points, points, points, np.ones((1, 4), np.float32), np.zeros(1))
