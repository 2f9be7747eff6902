"""Aberrations of an optics group from its sums: beam tilt and trefoil from odd phases, tetrafoil from even ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from verglas.engine import Band
from verglas.microscopy import Optics
from verglas.microscopy.ctf import true_frequencies
from verglas.stages.ctf_refinement.defocus import STAGES, defocus_basis, fit_stages
from verglas.stages.ctf_refinement.even_phase import maximise
from verglas.stages.ctf_refinement.sums import GroupSums

TREFOIL_SINE, TREFOIL_COSINE = 2, 5
"""Indices of the odd Zernike polynomials of order 3 in angle and radius."""
TETRAFOIL_SINE, TETRAFOIL_COSINE = 4, 8
"""Indices of the even ones of order 4 in both."""


@dataclass(frozen=True)
class AberrationFit:
    """Changes of some coefficients that are most likely.

    Attributes
    ----------
    names
        Of the coefficients.
    values, deviations
        Changes of them and their standard deviations.
    significance
        Gain of log-likelihood over what remains without them; 10 are odds of 20,000 to 1.
    phase
        The fitted phase at each component, in radians, all that was fitted along with them.
    accepted
        Whether the gain is as large as was asked for.
    displacement_A
        Displacement along x and y that all particles of the group share, fitted along with odd aberrations: a tilted
        beam moves images too, and shifts found before have taken that up.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    deviations: NDArray[np.float64]
    significance: float
    phase: NDArray[np.float64]
    accepted: bool
    displacement_A: tuple[float, float] = (0.0, 0.0)

    def as_dict(self) -> dict[str, tuple[float, float]]:
        """Return value and deviation by name."""
        return {name: (float(value), float(deviation)) for name, value, deviation in
                zip(self.names, self.values, self.deviations, strict=True)}  # fmt: skip


def fit_odd(
    sums: GroupSums, band: Band, optics: Optics, limit_A: float, *, beam_tilt: bool = True, trefoil: bool = False,
    least_significance: float = 10.0,
) -> AberrationFit:  # fmt: skip
    """Fit the odd phase: beam tilt in mrad and both parts of trefoil in A, with a common displacement.

    Parameters
    ----------
    sums, band, optics
        Of the optics group.
    limit_A
        Finest resolution.
    beam_tilt, trefoil
        What is fitted.
    least_significance
        Gain of log-likelihood from which on it is accepted.

    References
    ----------
    J. Zivanov, T. Nakane, S. H. W. Scheres, IUCrJ 7 (2020) 253, for aberrations from phase differences.
    """
    kx, ky = true_frequencies(band.kx_per_A, band.ky_per_A, optics)
    nominal = -2.0 * np.pi * np.stack([band.kx_per_A, band.ky_per_A])
    coma = 2.0 * np.pi * optics.spherical_aberration_mm * 1e7 * optics.wavelength_A**2 * 1e-3 * (kx * kx + ky * ky)
    third = 2.0 * np.pi / 3.0 * optics.wavelength_A**2
    names: list[str] = []
    basis = [nominal]
    if beam_tilt:
        names += ["beam_tilt_x_mrad", "beam_tilt_y_mrad"]
        basis.append(np.stack([coma * kx, coma * ky]))
    if trefoil:
        names += ["trefoil_cos_A", "trefoil_sin_A"]
        basis.append(third * np.stack([kx * (kx * kx - 3.0 * ky * ky), ky * (3.0 * kx * kx - ky * ky)]))
    functions = np.concatenate(basis)

    def gain(phase: NDArray[np.float64], points: int) -> float:
        return float(2.0 * np.sum((sums.odd[:points] * np.exp(-1j * phase)).real))

    def slope(phase: NDArray[np.float64], points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        turned = sums.odd[:points] * np.exp(-1j * phase)
        # The expected curvature: that of a phase which is right, so never negative.
        return 2.0 * turned.imag, 2.0 * sums.odd_power[:points]

    def fitted(some: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        at, information = np.zeros(len(some)), np.zeros((len(some), len(some)))
        for stage in STAGES:
            points = max(band.count_to(stage * limit_A), 1)
            at, information = maximise(
                partial(gain, points=points), partial(slope, points=points), some[:, :points], at
            )
        return at, information, gain(at @ some, len(band))

    at, information, reached = fitted(functions)
    _, _, without = fitted(functions[:2])
    deviations = np.sqrt(np.diagonal(np.linalg.inv(information)))
    significance = reached - without
    return AberrationFit(
        tuple(names), at[2:], deviations[2:], significance, at @ functions, significance > least_significance,
        (float(at[0]), float(at[1])),
    )  # fmt: skip


def fit_even(
    sums: GroupSums, band: Band, optics: Optics, limit_A: float, *, least_significance: float = 10.0
) -> AberrationFit:
    """Fit both parts of the tetrafoil in A, along with a common change of defocus and astigmatism.

    Parameters as :func:`fit_odd`.
    """
    kx, ky = true_frequencies(band.kx_per_A, band.ky_per_A, optics)
    xx, yy = kx * kx, ky * ky
    fourth = -0.5 * np.pi * optics.wavelength_A**3
    functions = np.concatenate([
        defocus_basis(band, optics),
        fourth * np.stack([(xx - yy) ** 2 - 4.0 * xx * yy, 4.0 * kx * ky * (xx - yy)]),
    ])  # fmt: skip
    at, information = fit_stages(sums.even, functions, band, limit_A)
    plain, _ = fit_stages(sums.even, functions[:3], band, limit_A)
    significance = sums.even.gain(at @ functions) - sums.even.gain(plain @ functions[:3])
    deviations = np.sqrt(np.diagonal(np.linalg.inv(information)))
    return AberrationFit(
        ("tetrafoil_cos_A", "tetrafoil_sin_A"), at[3:], deviations[3:], significance, at @ functions,
        significance > least_significance,
    )  # fmt: skip


def changed_optics(optics: Optics, odd: AberrationFit | None, even: AberrationFit | None) -> Optics:
    """Return a microscope with the changes that were accepted; trefoil and tetrafoil are added as Zernike polynomials,
    which is what tables of particles hold.
    """
    found = {
        name: value
        for fit in (odd, even) if fit is not None and fit.accepted
        for name, (value, _) in fit.as_dict().items()
    }  # fmt: skip
    third = 2.0 * np.pi / 3.0 * optics.wavelength_A**2
    fourth = 0.5 * np.pi * optics.wavelength_A**3
    return replace(
        optics,
        beam_tilt_x_mrad=optics.beam_tilt_x_mrad + found.get("beam_tilt_x_mrad", 0.0),
        beam_tilt_y_mrad=optics.beam_tilt_y_mrad + found.get("beam_tilt_y_mrad", 0.0),
        odd_zernike=_added(optics.odd_zernike, {
            TREFOIL_COSINE: third * found.get("trefoil_cos_A", 0.0),
            TREFOIL_SINE: third * found.get("trefoil_sin_A", 0.0),
        }),
        even_zernike=_added(optics.even_zernike, {
            TETRAFOIL_COSINE: fourth * found.get("tetrafoil_cos_A", 0.0),
            TETRAFOIL_SINE: fourth * found.get("tetrafoil_sin_A", 0.0),
        }),
    )  # fmt: skip


def _added(coefficients: tuple[float, ...], changes: dict[int, float]) -> tuple[float, ...]:
    """Return Zernike coefficients after changes by their index; as they were where nothing changes."""
    if not any(changes.values()):
        return coefficients
    longer = list(coefficients) + [0.0] * (max(changes) + 1 - len(coefficients))
    for index, change in changes.items():
        longer[index] += change
    return tuple(longer)
