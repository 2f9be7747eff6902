"""Aberrations as sums of Zernike polynomials, in RELION's numbering and units.

Polynomials are not normalised to an aperture: their radius is the spatial frequency in 1/A. Odd ones (n = 1, 3, ...)
multiply transforms of images by ``exp(i phase)``; even ones (n = 0, 2, ...) are taken off chi of the CTF.

References
----------
J. Zivanov, T. Nakane, S. H. W. Scheres, "Estimation of high-order aberrations and anisotropic magnification from
cryo-EM data sets in RELION-3.1", IUCrJ 7 (2020) 253.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from verglas.kernels.arrays import array_namespace


def odd_orders(index: int) -> tuple[int, int]:
    """Return azimuthal and radial order (m, n) of an odd polynomial: n = 1 for 0 and 1, n = 3 for 2 to 5, and so on."""
    row = int((math.sqrt(1 + 4 * index) - 1.0) / 2.0)
    n = 2 * row + 1
    return 2 * (index - row * (row + 1)) - n, n


def even_orders(index: int) -> tuple[int, int]:
    """Return azimuthal and radial order (m, n) of an even polynomial: n = 0 for 0, n = 2 for 1 to 3, and so on."""
    row = math.isqrt(index)
    return 2 * (index - row * row - row), 2 * row


def zernike(m: int, n: int, x: Any, y: Any) -> Any:
    """Return the polynomial of azimuthal order m (negative: sine) and radial order n at points x, y."""
    xp = array_namespace(x, y)
    squared = x * x + y * y
    order = abs(m)
    radial = xp.zeros_like(squared)
    for k in range((n - order) // 2 + 1):
        factor = math.factorial(n - k) / (
            math.factorial(k) * math.factorial((n + order) // 2 - k) * math.factorial((n - order) // 2 - k)
        )
        # The radius to the power of |m| goes with the angle below.
        radial = radial + (-1) ** k * factor * squared ** ((n - order) // 2 - k)
    cosine, sine = xp.ones_like(squared), xp.zeros_like(squared)
    for _ in range(order):
        cosine, sine = cosine * x - sine * y, cosine * y + sine * x
    return radial * (sine if m < 0 else cosine)


def odd_phase(coefficients: Sequence[float], x: Any, y: Any) -> Any:
    """Return the sum of odd polynomials with these coefficients, in radians."""
    return sum((c * zernike(*odd_orders(i), x, y) for i, c in enumerate(coefficients) if c), start=0.0 * x)


def even_phase(coefficients: Sequence[float], x: Any, y: Any) -> Any:
    """Return the sum of even polynomials with these coefficients, in radians."""
    return sum((c * zernike(*even_orders(i), x, y) for i, c in enumerate(coefficients) if c), start=0.0 * x)
