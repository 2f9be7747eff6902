"""Likelihood of images under a change of the even phase of their transfer functions, from sums over particles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.microscopy import ctf
from verglas.stages.ctf_refinement.images import Products


@dataclass
class EvenSums:
    """Sums over particles at each component: the log-likelihood of any change ``p(k)`` of their even phase.

    With ``c = -sin(chi)`` and ``s = -cos(chi)`` the changed transfer function is ``c cos p + s sin p``, so five sums
    hold all there is to know: products of image and model, and powers of models.

    Attributes
    ----------
    values
        Sums of ``scale X c``, ``scale X s``, ``scale^2 |M|^2 c^2``, ``... c s`` and ``... s^2``; shape (5, points).
    """

    values: NDArray[np.float64]

    @classmethod
    def empty(cls, points: int) -> EvenSums:
        """Return sums of nothing."""
        return cls(np.zeros((5, points)))

    def add(self, terms: NDArray[np.float32], scale: float) -> None:
        """Add the terms of some particles, shape (5, n, points), whose models have one scale."""
        factors = np.array([scale, scale, scale**2, scale**2, scale**2])
        self.values += factors[:, None] * terms.sum(axis=1, dtype=np.float64)

    def gain(self, phase: NDArray[np.float64]) -> float:
        """Return the log-likelihood of a change of phase, shape (points,), up to a constant."""
        c, s = np.cos(phase), np.sin(phase)
        x, y, cc, cs, ss = self.values
        return float(np.sum(2.0 * (x * c + y * s) - (cc * c * c + 2.0 * cs * c * s + ss * s * s)))

    def slope(self, phase: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the slope of the log-likelihood by the phase of each component, and the information on it."""
        c, s = np.cos(phase), np.sin(phase)
        x, y, cc, cs, ss = self.values
        slope = 2.0 * (y * c - x * s) + 2.0 * ((cc - ss) * c * s - cs * (c * c - s * s))
        information = 2.0 * (cc * s * s - 2.0 * cs * c * s + ss * c * c)
        return slope, information


def even_terms(products: Products) -> NDArray[np.float32]:
    """Return what each particle adds at each component, without its scale; shape (5, n, points)."""
    images = products.images
    kx, ky, (u, v, angle, phase) = images.band.kx_per_A, images.band.ky_per_A, images.defocus.T
    c = ctf(kx, ky, images.optics, u, v, angle, phase)
    s = ctf(kx, ky, images.optics, u, v, angle, phase + 0.5 * np.pi)
    x = np.ascontiguousarray(products.product.real)
    power = products.power
    return np.stack([x * c, x * s, power * c * c, power * c * s, power * s * s])


def ring_sums(terms: NDArray[np.float32], rings: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return sums over each ring, in order; components of a ring stand together; shape (..., rings)."""
    starts = np.flatnonzero(np.diff(rings, prepend=-1))
    return np.add.reduceat(terms, starts, axis=-1, dtype=np.float64)


def maximise(
    gain: Callable[[NDArray[np.float64]], float],
    slope: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]],
    basis: NDArray[np.float64],
    start: Any = None,
    *,
    steps: int = 50,
    stop: float = 1e-4,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coefficients of a phase ``coefficients . basis`` that are most likely, and the information on them.

    Gauss-Newton steps, damped as by Levenberg and Marquardt.

    Parameters
    ----------
    gain, slope
        Log-likelihood of a phase, and its slope and information at each component.
    basis
        Functions at the components, shape (m, points).
    start
        Coefficients to begin with, shape (m,); nought when None.
    steps
        The most steps.
    stop
        Stop where a step promises less.

    Returns
    -------
    coefficients : ndarray, shape (m,)
    information : ndarray, shape (m, m)
    """
    at = np.zeros(len(basis)) if start is None else np.array(start, np.float64)
    size = np.sqrt(np.maximum((basis**2).mean(axis=1), 1e-300))
    scaled = basis / size[:, None]
    at *= size
    value, damping = gain(at @ scaled), 1e-3
    first, weight = slope(at @ scaled)
    for _ in range(steps):
        information, towards = (scaled * weight) @ scaled.T, scaled @ first
        damped = information + damping * np.diag(np.maximum(np.diagonal(information), 1e-12))
        step = np.linalg.solve(damped, towards)
        promised = float(towards @ step - 0.5 * step @ information @ step)
        if promised < stop:
            break
        tried = gain((at + step) @ scaled)
        if tried > value:
            at, value, damping = at + step, tried, max(0.1 * damping, 1e-6)
            first, weight = slope(at @ scaled)
        else:
            damping *= 10.0
            if damping > 1e8:
                break
    information = (scaled * weight) @ scaled.T
    return at / size, information * np.outer(size, size)
