"""Counter-based random numbers of the simulator: Philox 4x32-10, and normal and Poisson deviates made from it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from verglas.kernels.compile import cpu_kernel

MASK = np.uint64(0xFFFFFFFF)
MULTIPLIER_0 = np.uint64(0xD2511F53)
MULTIPLIER_1 = np.uint64(0xCD9E8D57)
WEYL_0 = np.uint64(0x9E3779B9)
WEYL_1 = np.uint64(0xBB67AE85)
HALF = np.uint64(32)
TO_UNIT = 1.0 / 4294967296.0
LARGE_MEAN = 40.0


@cpu_kernel()
def philox_4x32(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return four random 32-bit words (as uint64) of one counter under one key.

    References
    ----------
    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011).
    """
    for _ in range(10):
        p0 = MULTIPLIER_0 * c0
        p1 = MULTIPLIER_1 * c2
        c0 = (p1 >> HALF) ^ c1 ^ k0
        c2 = (p0 >> HALF) ^ c3 ^ k1
        c1 = p1 & MASK
        c3 = p0 & MASK
        k0 = (k0 + WEYL_0) & MASK
        k1 = (k1 + WEYL_1) & MASK
    return c0, c1, c2, c3


@cpu_kernel()
def normal_quantile(p: float) -> float:
    """Return the standard normal deviate below which a fraction ``p`` lies (accuracy about 1e-9).

    References
    ----------
    Acklam's rational approximation (2003), with one step of Halley's method.
    """
    if p < 0.02425 or p > 0.97575:
        q = math.sqrt(-2.0 * math.log(min(p, 1.0 - p)))
        top = ((((-7.784894002430293e-03 * q - 3.223964580411365e-01) * q - 2.400758277161838) * q
                - 2.549732539343734) * q + 4.374664141464968) * q + 2.938163982698783  # fmt: skip
        bottom = (((7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996) * q
                  + 3.754408661907416) * q + 1.0  # fmt: skip
        x = top / bottom if p < 0.5 else -top / bottom
    else:
        q = p - 0.5
        r = q * q
        top = (((((-3.969683028665376e01 * r + 2.209460984245205e02) * r - 2.759285104469687e02) * r
                 + 1.383577518672690e02) * r - 3.066479806614716e01) * r + 2.506628277459239) * q  # fmt: skip
        bottom = ((((-5.447609879822406e01 * r + 1.615858368580409e02) * r - 1.556989798598866e02) * r
                   + 6.680131188771972e01) * r - 1.328068155288572e01) * r + 1.0  # fmt: skip
        x = top / bottom
    error = 0.5 * math.erfc(-x / math.sqrt(2.0)) - p
    step = error * math.sqrt(2.0 * math.pi) * math.exp(0.5 * x * x)
    return x - step / (1.0 + 0.5 * x * step)


@cpu_kernel()
def poisson_quantile(u: float, mean: float) -> int:
    """Return the smallest count whose cumulative Poisson probability reaches ``u`` in (0, 1).

    Exact search up to a mean of 40; above it the asymptotic expansion of the inverse.

    References
    ----------
    M. B. Giles, "Algorithm 955: approximation of the inverse Poisson cumulative distribution function", ACM Trans.
    Math. Softw. 42 (2016).
    """
    if not mean > 0.0:
        return 0
    if mean < LARGE_MEAN:
        p = math.exp(-mean)
        total = p
        count = 0
        while u > total and p > 1e-300 and count < 200:
            count += 1
            p *= mean / count
            total += p
        return count
    w = normal_quantile(u)
    root = math.sqrt(mean)
    return max(0, int(np.floor(mean + root * w + (2.0 + w * w) / 6.0 - (2.0 * w + w * w * w) / (72.0 * root))))


@cpu_kernel()
def fill_normals(out: NDArray[np.float32], key0: int, key1: int, stream: int) -> None:
    """Fill a flat array with standard normal deviates; element ``i`` depends on the key, the stream and ``i`` alone."""
    n = out.size
    k0, k1, s = np.uint64(key0), np.uint64(key1), np.uint64(stream)
    for i in range((n + 3) // 4):
        words = philox_4x32(np.uint64(i) & MASK, np.uint64(i) >> HALF, s & MASK, s >> HALF, k0, k1)
        for pair in range(2):
            radius = math.sqrt(-2.0 * math.log((float(words[2 * pair]) + 0.5) * TO_UNIT))
            angle = 2.0 * math.pi * (float(words[2 * pair + 1]) + 0.5) * TO_UNIT
            j = 4 * i + 2 * pair
            if j < n:
                out[j] = radius * math.cos(angle)
            if j + 1 < n:
                out[j + 1] = radius * math.sin(angle)


@cpu_kernel()
def count_electrons(
    expected: NDArray[np.float32], counts: NDArray[np.uint8], key0: int, key1: int, stream: int
) -> None:
    """Draw a Poisson count for each pixel; counts beyond 255 saturate.

    Parameters
    ----------
    expected
        Flat, expected electrons per pixel.
    counts
        Flat, of the same length; overwritten.
    key0, key1, stream
        Pixel ``i`` depends on these and on ``i`` alone.
    """
    n = expected.size
    k0, k1, s = np.uint64(key0), np.uint64(key1), np.uint64(stream)
    for i in range((n + 3) // 4):
        words = philox_4x32(np.uint64(i) & MASK, np.uint64(i) >> HALF, s & MASK, s >> HALF, k0, k1)
        for lane in range(4):
            j = 4 * i + lane
            if j < n:
                u = (float(words[lane]) + 0.5) * TO_UNIT
                counts[j] = min(255, poisson_quantile(u, float(expected[j])))


def warm() -> None:
    """Compile the kernels of this module."""
    fill_normals(np.zeros(4, np.float32), 1, 2, 3)
    count_electrons(np.ones(4, np.float32), np.zeros(4, np.uint8), 1, 2, 3)
