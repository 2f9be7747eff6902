"""Contrast transfer of many particles at many points of the Fourier plane, and its derivatives, in one pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from verglas.kernels.compile import cpu_kernel

Array = np.ndarray[Any, Any]


def phase_body(
    kx: float, ky: float, mean_A: float, cos_part_A: float, sin_part_A: float, constant: float, pi_wavelength: float,
    sphere: float,
) -> float:  # fmt: skip
    """Return the phase of the transfer function at one point.

    Parameters
    ----------
    kx, ky
        Spatial frequency in 1/A.
    mean_A, cos_part_A, sin_part_A
        Mean defocus, and half the astigmatism times cosine and sine of twice its angle.
    constant
        Phase shift plus that of amplitude contrast, in radians.
    pi_wavelength
        Pi times the wavelength in A.
    sphere
        Half of pi times the spherical aberration times the wavelength cubed, in A^4.
    """
    xx, yy = kx * kx, ky * ky
    squared = xx + yy
    defocus = mean_A * squared + cos_part_A * (xx - yy) + sin_part_A * (2.0 * kx * ky)
    return pi_wavelength * defocus - sphere * squared * squared + constant


_phase = cpu_kernel(inline=True)(phase_body)


@cpu_kernel(parallel=True)
def ctf_values(
    kx: Array, ky: Array, higher: Array, particles: Array, pi_wavelength: float, sphere: float, out: Array
) -> None:
    """Fill ``out[p, i]`` with -sin(phase).

    Parameters
    ----------
    kx, ky : float64 arrays, shape (points,)
    higher : float64 array, shape (points,)
        What further even aberrations add to the phase.
    particles : float64 array, shape (n, 4)
        Mean defocus, cosine part, sine part, constant (see :func:`phase_body`).
    pi_wavelength, sphere : float
        See :func:`phase_body`.
    out : array, shape (n, points)
    """
    for p in prange(particles.shape[0]):
        mean, cos_part, sin_part, constant = particles[p, 0], particles[p, 1], particles[p, 2], particles[p, 3]
        for i in range(kx.size):
            phase = _phase(kx[i], ky[i], mean, cos_part, sin_part, constant, pi_wavelength, sphere) + higher[i]
            out[p, i] = -math.sin(phase)


@cpu_kernel(parallel=True)
def ctf_values_and_gradient(
    kx: Array, ky: Array, higher: Array, particles: Array, pi_wavelength: float, sphere: float, out: Array,
    gradient: Array,
) -> None:  # fmt: skip
    """Fill ``out[p, i]`` as :func:`ctf_values` and ``gradient[p, j, i]`` with its derivatives.

    ``j`` counts mean defocus, cosine part and sine part (per A), and the constant phase (per radian).
    """
    for p in prange(particles.shape[0]):
        mean, cos_part, sin_part, constant = particles[p, 0], particles[p, 1], particles[p, 2], particles[p, 3]
        for i in range(kx.size):
            phase = _phase(kx[i], ky[i], mean, cos_part, sin_part, constant, pi_wavelength, sphere) + higher[i]
            slope = -math.cos(phase)
            xx, yy = kx[i] * kx[i], ky[i] * ky[i]
            out[p, i] = -math.sin(phase)
            gradient[p, 0, i] = slope * pi_wavelength * (xx + yy)
            gradient[p, 1, i] = slope * pi_wavelength * (xx - yy)
            gradient[p, 2, i] = slope * pi_wavelength * 2.0 * kx[i] * ky[i]
            gradient[p, 3, i] = slope


def warm() -> None:
    """Compile the kernels for single and double precision results."""
    k = np.zeros(1)
    particles = np.zeros((1, 4))
    for dtype in (np.float32, np.float64):
        out = np.zeros((1, 1), dtype)
        ctf_values(k, k, k, particles, 0.06, 1.0, out)
        ctf_values_and_gradient(k, k, k, particles, 0.06, 1.0, out, np.zeros((1, 4, 1), dtype))
