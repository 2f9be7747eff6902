"""Scattering factors, interaction constant and Ewald curvature against gemmi, tables and closed forms."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from scipy.integrate import quad

from verglas.errors import InputError
from verglas.microscopy import (
    Optics,
    ctf,
    depth_envelope,
    depth_of_field_A,
    ewald_height,
    gaussian_coefficients,
    height_phase,
    interaction_constant,
    mean_inner_potential_V,
    relativistic_mass_ratio,
    resolution_limit_A,
    scattering_factor_A,
    wavelength_A,
)


@pytest.mark.parametrize("element", ["H", "C", "N", "O", "S", "Fe", "Au"])
def test_factors_are_those_of_gemmi(element: str) -> None:
    k = np.linspace(0.0, 2.0, 30)
    table = gemmi.Element(element).c4322
    expected = [table.calculate_sf(float((q / 2) ** 2)) for q in k]
    np.testing.assert_allclose(scattering_factor_A(k, element), expected, rtol=1e-5)
    np.testing.assert_allclose(scattering_factor_A(k, element, 20.0), expected * np.exp(-5 * k**2), rtol=1e-5)


def test_factors_follow_the_mott_bethe_law_at_high_angle() -> None:
    # Far out f = (Z - f_x) / (8 pi^2 a0 s^2) with X-ray factor f_x.
    k = np.array([1.0, 1.5, 2.0])
    s2 = (k / 2) ** 2
    for element, number in (("C", 6), ("O", 8), ("S", 16)):
        xray = gemmi.Element(element).it92
        f_x = np.array([xray.calculate_sf(float(q)) for q in s2])
        expected = (number - f_x) / (8 * np.pi**2 * 0.529177 * s2)
        np.testing.assert_allclose(scattering_factor_A(k, element), expected, rtol=0.03)


def test_unknown_elements_are_refused() -> None:
    for bad in ("Xx", "", "Og"):
        with pytest.raises(InputError, match="scattering factor"):
            gaussian_coefficients(bad)
    np.testing.assert_array_equal(gaussian_coefficients("zn")[0], gaussian_coefficients("Zn")[0])


def test_interaction_constant_is_the_tabled_one() -> None:
    # Kirkland, in mrad / (V A): 0.9244 at 100 kV, 0.7288 at 200 kV, 0.6526 at 300 kV.
    for voltage, expected in ((100.0, 0.9244), (200.0, 0.7288), (300.0, 0.6526)):
        assert 1e3 * interaction_constant(voltage) == pytest.approx(expected, abs=1e-4)
    assert relativistic_mass_ratio(300.0) == pytest.approx(1.58708, abs=1e-5)


def test_mean_inner_potential_of_ice() -> None:
    # Vulovic et al. (2013) computed 4.53 V for amorphous ice of 0.93 g/cm^3 from neutral atoms.
    molecules_per_A3 = 0.93 / 18.015 * 0.602214
    potential = mean_inner_potential_V({"O": molecules_per_A3, "H": 2 * molecules_per_A3})
    assert potential == pytest.approx(4.53, abs=0.1)


def test_ewald_height_is_that_of_a_circle() -> None:
    k = np.array([0.0, 1e-4, 0.1, 0.5, 2.0])
    lam = wavelength_A(300.0)
    height = ewald_height(k, 300.0)
    np.testing.assert_allclose((1 / lam - height) ** 2 + k**2, 1 / lam**2, rtol=1e-13)
    np.testing.assert_allclose(height[1:3], lam * k[1:3] ** 2 / 2, rtol=1e-5)
    assert np.isnan(ewald_height(60.0, 300.0))


def test_height_is_lowered_defocus() -> None:
    optics = Optics(300.0, 2.7, 0.0, 1.0)
    k = 0.2
    phase = np.arcsin(-ctf(k, 0.0, optics, 100.0, dtype=np.float64))
    lower = np.arcsin(-ctf(k, 0.0, optics, 90.0, dtype=np.float64))
    assert phase - lower == pytest.approx(height_phase(k, 10.0, 300.0), rel=1e-6)


def test_depth_of_field() -> None:
    depth = depth_of_field_A(2.0, 300.0)
    assert depth == pytest.approx(4.0 / wavelength_A(300.0))
    assert height_phase(0.5, depth / 2, 300.0) == pytest.approx(np.pi / 2)
    assert resolution_limit_A(depth, 300.0) == pytest.approx(2.0)


def test_depth_envelope_is_the_mean_over_heights() -> None:
    optics, k, thickness = Optics(300.0, 2.7, 0.1, 1.0), 0.35, 700.0
    mean, _ = quad(
        lambda z: float(ctf(k, 0.0, optics, 12000.0 + z, dtype=np.float64)), -thickness / 2, thickness / 2, limit=200
    )
    expected = depth_envelope(k, thickness, 300.0) * ctf(k, 0.0, optics, 12000.0, dtype=np.float64)
    assert mean / thickness == pytest.approx(expected, abs=1e-9)
