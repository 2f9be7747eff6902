"""How strongly atoms and the ice they displace scatter electrons, as functions of spatial frequency."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PLANCK = 6.62607015e-34
ELECTRON_MASS = 9.1093837015e-31
ELEMENTARY_CHARGE = 1.602176634e-19
LIGHT_SPEED = 299792458.0

# h^2 / (2 pi m e): volts times A^2 for one A of scattering amplitude.
POTENTIAL_PER_AMPLITUDE = PLANCK**2 / (2 * math.pi * ELECTRON_MASS * ELEMENTARY_CHARGE) * 1e20
WATER_PER_A3 = 0.0311  # molecules of low-density amorphous ice at 0.93 g/cm^3
HYDROGEN_BOND_B_A2 = 8 * math.pi**2 * 1.0**2 / 3  # an atom smeared over a sphere of 1 A about its partner

# Volumes of displaced solvent in A^3: Fraser, MacRae & Suzuki, J. Appl. Cryst. 11, 693 (1978); others from ionic radii.
DISPLACED_VOLUME_A3 = {
    "H": 5.15, "C": 16.44, "N": 2.49, "O": 9.13, "S": 19.86, "P": 5.73,
    "Mg": 1.58, "Na": 4.45, "Ca": 3.71, "Fe": 7.99, "Zn": 9.85, "K": 11.01, "Cl": 24.84, "Mn": 9.2,
}  # fmt: skip


def wavelength_A(voltage_kV: float) -> float:
    """Return the relativistic electron wavelength in A."""
    energy = voltage_kV * 1e3 * ELEMENTARY_CHARGE
    rest = ELECTRON_MASS * LIGHT_SPEED**2
    return PLANCK * LIGHT_SPEED / math.sqrt(energy * (energy + 2 * rest)) * 1e10


def interaction_per_VA(voltage_kV: float) -> float:
    """Return the interaction constant in rad / (V A): phase shift per projected potential."""
    energy = voltage_kV * 1e3 * ELEMENTARY_CHARGE
    rest = ELECTRON_MASS * LIGHT_SPEED**2
    mass = ELECTRON_MASS * (1 + energy / rest)
    lambda_m = wavelength_A(voltage_kV) * 1e-10
    return 2 * math.pi * mass * ELEMENTARY_CHARGE * lambda_m / PLANCK**2 * 1e-10


@lru_cache(maxsize=128)
def coefficients(element: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the five amplitudes (A) and widths (A^2) of an element's electron scattering factor.

    References
    ----------
    International Tables for Crystallography C, table 4.3.2.2 (Peng et al. 1996), as tabulated by gemmi.
    """
    import gemmi

    table = gemmi.Element(element).c4322
    if table is None:
        raise ValueError(f"no electron scattering factor is known for element {element!r}")
    return tuple(table.a), tuple(table.b)


def potential_factor(element: str, k: NDArray[np.float64], b_A2: float = 0.0) -> NDArray[np.float64]:
    """Return the Fourier transform (V A^3) of one atom's potential at spatial frequencies ``k`` (1/A)."""
    a, b = coefficients(element)
    total = sum(ai * np.exp(-(bi + b_A2) * k**2 / 4) for ai, bi in zip(a, b, strict=True))
    return np.asarray(POTENTIAL_PER_AMPLITUDE * total)


def water_factor(k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the potential (V A^3) of one water molecule of isolated atoms, averaged over orientations."""
    bond = 0.9572  # A, oxygen to hydrogen
    return potential_factor("O", k) + 2 * potential_factor("H", k) * np.sinc(2 * k * bond)


@lru_cache(maxsize=1)
def ice_potential_V() -> float:
    """Return the mean inner potential of vitreous ice in V."""
    return float(WATER_PER_A3 * water_factor(np.zeros(1))[0])


def displaced_ice(volume_A3: float, k: NDArray[np.float64], smoothing_A: float) -> NDArray[np.float64]:
    """Return the Fourier transform (V A^3) of the ice that an atom displaces, as a Gaussian of its volume.

    References
    ----------
    Fraser, MacRae & Suzuki, J. Appl. Cryst. 11, 693 (1978); Shang & Sigworth, J. Struct. Biol. 180, 10 (2012).
    """
    width = math.pi * volume_A3 ** (2 / 3) + 2 * math.pi**2 * smoothing_A**2
    return np.asarray(ice_potential_V() * volume_A3 * np.exp(-width * k**2))


def atom_factor(
    element: str,
    hydrogens: int,
    b_A2: float,
    k: NDArray[np.float64],
    *,
    solvent_density: float,
    smoothing_A: float,
) -> NDArray[np.float64]:
    """Return the potential (V A^3) of an atom with its riding hydrogens, less the solvent that it displaces."""
    total = potential_factor(element, k, b_A2)
    if hydrogens:
        total = total + hydrogens * potential_factor("H", k, b_A2 + HYDROGEN_BOND_B_A2)
    if solvent_density:
        total = total - solvent_density * displaced_ice(DISPLACED_VOLUME_A3.get(element, 10.0), k, smoothing_A)
        if hydrogens:
            total = total - solvent_density * hydrogens * displaced_ice(DISPLACED_VOLUME_A3["H"], k, smoothing_A)
    return total
