"""How strongly atoms scatter electrons: scattering factors of the elements and the interaction constant.

The five-Gaussian factors are those of International Tables for Crystallography C (table 4.3.2.2), as gemmi ships them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace
from verglas.microscopy.optics import (
    ELECTRON_MASS_KG,
    ELEMENTARY_CHARGE_C,
    PLANCK_J_S,
    SPEED_OF_LIGHT_M_PER_S,
    wavelength_A,
)

# h^2 / (2 pi m e) in V A^2: potential in V A^3 of a scattering factor of 1 A.
POTENTIAL_PER_FACTOR_V_A2 = PLANCK_J_S**2 / (2.0 * math.pi * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C) * 1e20


@lru_cache(maxsize=256)
def gaussian_coefficients(element: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of an element's electron scattering factor.

    Parameters
    ----------
    element
        Chemical symbol, in any case.

    Returns
    -------
    a, b : ndarrays, shape (5,)
        ``f(s) = sum a exp(-b s^2)``, s = half the spatial frequency: a in A, b in A^2. Read-only.

    Raises
    ------
    InputError
        If there is no such element or no factor for it.
    """
    import gemmi

    found = gemmi.Element(element.strip())
    if found.name == "X" or found.c4322 is None:
        raise InputError(
            f"there is no electron scattering factor for element {element!r}; correct its symbol or leave the atom out."
        )
    a, b = np.array(found.c4322.a, dtype=np.float64), np.array(found.c4322.b, dtype=np.float64)
    a.setflags(write=False)
    b.setflags(write=False)
    return a, b


def scattering_factor_A(frequency_per_A: Any, element: str, b_factor_A2: float = 0.0) -> Any:
    """Return an element's electron scattering factor in A (of the electron at rest) at spatial frequencies in 1/A.

    Parameters
    ----------
    frequency_per_A
        Spatial frequencies in 1/A, any shape, up to 4.
    element
        Chemical symbol.
    b_factor_A2
        Atomic displacement factor.

    Raises
    ------
    InputError
        If there is no factor for the element.
    """
    xp = array_namespace(frequency_per_A)
    quarter = 0.25 * xp.asarray(frequency_per_A, dtype=xp.float64)[..., None] ** 2
    a, b = gaussian_coefficients(element)
    return xp.sum(xp.asarray(a) * xp.exp(-(xp.asarray(b) + b_factor_A2) * quarter), axis=-1)


def interaction_constant(voltage_kV: float) -> float:
    """Return sigma in rad / (V A): the phase of an electron per volt of potential and A of path.

    ``2 pi m e lambda / h^2`` with the relativistic mass.

    References
    ----------
    E. J. Kirkland, "Advanced Computing in Electron Microscopy", 2nd ed. (2010), section 5.1.
    """
    mass = relativistic_mass_ratio(voltage_kV) * ELECTRON_MASS_KG
    wavelength_m = wavelength_A(voltage_kV) * 1e-10
    per_V_m = 2.0 * math.pi * mass * ELEMENTARY_CHARGE_C * wavelength_m / PLANCK_J_S**2
    return per_V_m * 1e-10


def relativistic_mass_ratio(voltage_kV: float) -> float:
    """Return the electron's relativistic mass over its rest mass."""
    energy = ELEMENTARY_CHARGE_C * voltage_kV * 1e3
    return 1.0 + energy / (ELECTRON_MASS_KG * SPEED_OF_LIGHT_M_PER_S**2)


def mean_inner_potential_V(numbers_per_A3: dict[str, float]) -> float:
    """Return the mean potential in V of a solid of given densities of neutral atoms, in atoms per A^3 and element.

    Bonds lower it by some percent.

    Raises
    ------
    InputError
        If there is no factor for an element.
    """
    factors = (density * float(scattering_factor_A(0.0, element)) for element, density in numbers_per_A3.items())
    return POTENTIAL_PER_FACTOR_V_A2 * sum(factors)
