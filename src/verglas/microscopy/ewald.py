"""How far the Ewald sphere bends from the plane, and what that does within a particle's depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from verglas.kernels.arrays import array_namespace
from verglas.microscopy.optics import wavelength_A


def ewald_height(frequency_per_A: Any, voltage_kV: float) -> Any:
    """Return the distance in 1/A of the Ewald sphere from the plane through the origin, at transverse frequency k.

    ``1/lambda - sqrt(1/lambda^2 - k^2)``, about ``lambda k^2 / 2``; NaN where k exceeds the sphere.

    Parameters
    ----------
    frequency_per_A
        Spatial frequencies in the image plane, 1/A.
    voltage_kV
        Acceleration voltage in kV.
    """
    xp = array_namespace(frequency_per_A)
    k = xp.asarray(frequency_per_A, dtype=xp.float64)
    radius = 1.0 / wavelength_A(voltage_kV)
    inside = xp.where(xp.abs(k) <= radius, radius * radius - k * k, xp.nan)
    # k^2 / (r + sqrt(r^2 - k^2)) loses no digits where r - sqrt(r^2 - k^2) does.
    return k * k / (radius + xp.sqrt(inside))


def height_phase(frequency_per_A: Any, height_A: Any, voltage_kV: float) -> Any:
    """Return the phase in radians by which a point at some height above focus differs, ``pi lambda k^2 z``.

    It is the phase of a defocus lowered by ``height_A``, and that of the Ewald sphere's two sides to second order.
    """
    xp = array_namespace(frequency_per_A, height_A)
    return np.pi * wavelength_A(voltage_kV) * xp.asarray(frequency_per_A, dtype=xp.float64) ** 2 * height_A


def depth_of_field_A(resolution_A: float, voltage_kV: float, *, largest_phase: float = np.pi / 2) -> float:
    """Return the thickness in A that images as one plane at a resolution.

    Parameters
    ----------
    resolution_A
        Resolution in A.
    voltage_kV
        Acceleration voltage in kV.
    largest_phase
        Allowed phase in radians between the middle and either face; a quarter turn by default, which makes the
        depth ``d^2 / lambda``.

    References
    ----------
    D. J. DeRosier, "Correction of high-resolution data for curvature of the Ewald sphere", Ultramicroscopy 81
    (2000) 83.
    """
    return 2.0 * largest_phase / np.pi * resolution_A**2 / wavelength_A(voltage_kV)


def resolution_limit_A(diameter_A: float, voltage_kV: float, *, largest_phase: float = np.pi / 2) -> float:
    """Return the resolution in A up to which a particle of some diameter is imaged as one plane.

    The inverse of :func:`depth_of_field_A`.
    """
    return float(np.sqrt(diameter_A * wavelength_A(voltage_kV) * np.pi / (2.0 * largest_phase)))


def depth_envelope(frequency_per_A: Any, thickness_A: float, voltage_kV: float) -> Any:
    """Return the factor on amplitudes when a slab's spread of heights is treated as one plane.

    ``sin(a) / a`` with ``a = pi lambda k^2 t / 2``, the mean over heights evenly spread in the slab.
    """
    xp = array_namespace(frequency_per_A)
    k = xp.asarray(frequency_per_A, dtype=xp.float64)
    return xp.sinc(0.5 * wavelength_A(voltage_kV) * k * k * thickness_A)
