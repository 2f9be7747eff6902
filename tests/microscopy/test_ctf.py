"""Contrast transfer against cisTEM, cryojax, plain formulas and numerical derivatives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from tests.support.microscope_oracles import (
    blob_projections,
    blob_volume,
    cistem_ctf,
    correlations,
    cryojax_ctf,
    ctf_settings,
    polar_points,
    random_angles_deg,
    relion_projections,
)
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix
from verglas.microscopy import (
    Optics,
    anisotropic_magnification,
    b_factor_envelope,
    ctf,
    ctf_2d,
    ctf_and_gradient,
    odd_aberration_factor,
    odd_aberration_phase,
    power_with_thickness,
    rfft_frequencies,
    spatial_coherence_envelope,
    temporal_coherence_envelope,
    thickness_modulation,
    wavelength_A,
)
from verglas.microscopy.zernike import even_orders, odd_orders, zernike

PLAIN = Optics(300.0, 2.7, 0.07, 1.0)


def matched(row: np.ndarray, wavelength: float) -> Optics:
    """Return optics at the voltage whose wavelength is the given one: other programs round its constants."""
    voltage = brentq(lambda kv: wavelength_A(kv) - wavelength, 0.9 * row[0], 1.1 * row[0], xtol=1e-12)
    return Optics(voltage, row[1], row[2], 1.0, beam_tilt_x_mrad=row[7], beam_tilt_y_mrad=row[8])


def test_ctf_tilt_and_thickness_are_those_of_cistem(tmp_path: Path) -> None:
    settings = ctf_settings(60)
    k, azimuth = polar_points(60)
    kx, ky = k * np.cos(azimuth), k * np.sin(azimuth)
    theirs = cistem_ctf(settings, k, azimuth, tmp_path)
    for row, values, tilt, thick, modulation, wavelength in zip(
        settings, theirs["values"], theirs["tilt"], theirs["thick"], theirs["modulation"], theirs["wavelengths"]
    ):
        assert wavelength_A(row[0]) == pytest.approx(wavelength, rel=5e-5)
        optics = matched(row, wavelength)
        parameters = (row[3], row[4], np.deg2rad(row[5]), row[6])
        # Its phases are of single precision: some 1e-7 of up to 1e4 radians.
        mine = ctf(kx, ky, optics, *parameters, dtype=np.float64)
        np.testing.assert_allclose(mine, values, atol=5e-3)
        assert np.sqrt(np.mean((mine - values) ** 2)) < 1e-3
        # It keeps phases within half a turn.
        turns = (odd_aberration_phase(kx, ky, optics) - tilt) / (2 * np.pi)
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-5)
        np.testing.assert_allclose(thickness_modulation(k, optics.voltage_kV, row[9]), modulation, atol=1e-4)
        np.testing.assert_allclose(power_with_thickness(kx, ky, optics, *parameters, row[9]), thick, atol=5e-3)


def test_ctf_is_that_of_cryojax(tmp_path: Path) -> None:
    settings = ctf_settings(40, seed=7)
    k, azimuth = polar_points(80, seed=8)
    kx, ky = k * np.cos(azimuth), k * np.sin(azimuth)
    theirs = cryojax_ctf(settings, kx, ky, tmp_path)
    for row, values, wavelength in zip(settings, theirs["values"], theirs["wavelengths"]):
        mine = ctf(kx, ky, matched(row, wavelength), row[3], row[4], np.deg2rad(row[5]), row[6], dtype=np.float64)
        np.testing.assert_allclose(mine, values, atol=1e-9)


def test_images_with_ctf_and_shift_are_those_of_relion(tmp_path: Path, rng: np.random.Generator) -> None:
    size, angles = 64, random_angles_deg(10)
    origins = rng.uniform(-6.0, 6.0, (10, 2))
    u = rng.uniform(5000.0, 12000.0, 10)
    defocus = np.stack([u, u - rng.uniform(1000.0, 4000.0, 10), rng.uniform(20.0, 70.0, 10)], axis=-1)
    theirs = relion_projections(blob_volume(size), angles, tmp_path, origins_A=origins, ctf=defocus)
    spectra = np.fft.rfft2(blob_projections(size, euler_to_matrix(*np.deg2rad(angles.T))))
    kx, ky = rfft_frequencies((size, size), 1.0)
    # The origin is the shift to apply: the particle lies at minus the origin.
    shift = np.exp(2j * np.pi * (kx * origins[:, 0, None, None] + ky * origins[:, 1, None, None]))
    optics = Optics(300.0, 2.7, 0.1, 1.0)

    def mine(sign: int) -> np.ndarray:
        transfer = ctf_2d((size, size), optics, defocus[:, 0], defocus[:, 1], sign * np.deg2rad(defocus[:, 2]))
        return np.fft.irfft2(spectra * shift * transfer, (size, size))

    # RELION's images are white on black where ours are dark: the opposite sign.
    assert correlations(mine(1), theirs).max() < -0.999
    assert correlations(mine(-1), theirs).min() > -0.98


def test_wavelengths_are_the_tabled_ones() -> None:
    # Williams and Carter, "Transmission Electron Microscopy", table 1.2, in pm.
    for voltage, expected in ((100.0, 3.701), (200.0, 2.508), (300.0, 1.969)):
        assert 100 * wavelength_A(voltage) == pytest.approx(expected, abs=6e-4)


def test_dark_protein_is_negative_at_low_frequency_and_underfocus_positive() -> None:
    values = ctf(np.array([0.0, 0.01, 0.02]), 0.0, PLAIN, 15000.0)
    assert values[0] == pytest.approx(-0.07, abs=1e-6)
    assert np.all(values < 0.0)
    assert ctf(0.02, 0.0, PLAIN, -15000.0) > 0.0


def test_astigmatism_turns_from_x_towards_y() -> None:
    # The first zero lies closest to the origin where defocus is largest.
    azimuth = np.deg2rad(np.arange(180))
    k = np.linspace(0.01, 0.08, 3000)[:, None]
    values = ctf(k * np.cos(azimuth), k * np.sin(azimuth), PLAIN, 20000.0, 14000.0, np.deg2rad(35.0))
    first_zero = np.argmax(values > 0.0, axis=0)
    assert abs(int(np.argmin(first_zero)) - 35) <= 3


def test_grid_is_the_points_of_rfft2() -> None:
    u, v = np.array([10000.0, 20000.0, 30000.0]), np.array([9000.0, 20000.0, 29500.0])
    grid = ctf_2d((18, 20), PLAIN, u, v, 0.4, 0.1)
    assert grid.shape == (3, 18, 11)
    assert grid.dtype == np.float32
    kx, ky = np.fft.rfftfreq(20), np.fft.fftfreq(18)
    for i in range(3):
        k2 = kx[None] ** 2 + ky[:, None] ** 2
        azimuth = np.arctan2(ky[:, None], kx[None])
        defocus = 0.5 * (u[i] + v[i]) + 0.5 * (u[i] - v[i]) * np.cos(2 * (azimuth - 0.4))
        lam = wavelength_A(300.0)
        chi = np.pi * lam * k2 * (defocus - 0.5 * lam**2 * k2 * 2.7e7) + 0.1 + np.arcsin(0.07)
        np.testing.assert_allclose(grid[i], -np.sin(chi), atol=2e-6)
    cropped = ctf_2d((9, 10), PLAIN, u, v, 0.4, 0.1, pixel_size_A=2.0)
    np.testing.assert_allclose(cropped[:, 2, 1:5], grid[:, 2, 1:5], atol=1e-6)


class OtherArrays:
    """NumPy by another name: takes the path of array operations that GPUs take."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def test_compiled_kernel_is_the_plain_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    kx, ky = rfft_frequencies((16, 16), 1.1)
    parameters = (np.array([[12000.0], [20000.0]]), np.array([11000.0, 12000.0, 9000.0]), 0.7, 0.2)
    optics = Optics(
        300.0, 2.7, 0.07, 1.1, tetrafoil_A=1e6, tetrafoil_angle=0.3, even_zernike=(0.0, 0.1, 0.2, 0.3, 1.0, -2.0, 3.0),
        magnification=((1.01, 0.02), (-0.01, 0.99)),
    )  # fmt: skip
    values, gradient = ctf_and_gradient(kx, ky, optics, *parameters, dtype=np.float64)
    assert gradient.shape == (2, 3, 4, 16, 9)
    alone = ctf(kx, ky, optics, *parameters, dtype=np.float64)
    with monkeypatch.context() as patched:
        patched.setattr(sys.modules[odd_aberration_phase.__module__], "array_namespace", lambda *_: OtherArrays())
        first = ctf(kx, ky, optics, *parameters, dtype=np.float64)
        values_plain, gradient_plain = ctf_and_gradient(kx, ky, optics, *parameters, dtype=np.float64)
    assert first.shape == (2, 3, 16, 9)
    np.testing.assert_allclose(alone, first, atol=1e-12)
    np.testing.assert_allclose(values, values_plain, atol=1e-12)
    np.testing.assert_allclose(gradient, gradient_plain, rtol=1e-9, atol=1e-12)


def test_zernike_polynomials() -> None:
    x, y = np.array([0.1, 0.2, -0.15]), np.array([0.05, -0.1, 0.2])
    r = x * x + y * y
    assert [odd_orders(i) for i in range(6)] == [(-1, 1), (1, 1), (-3, 3), (-1, 3), (1, 3), (3, 3)]
    assert [even_orders(i) for i in range(5)] == [(0, 0), (-2, 2), (0, 2), (2, 2), (-4, 4)]
    for (m, n), plain in {
        (0, 0): 1.0 + 0 * x, (1, 1): x, (-1, 1): y, (0, 2): 2 * r - 1, (2, 2): x * x - y * y, (-2, 2): 2 * x * y,
        (1, 3): (3 * r - 2) * x, (-3, 3): 3 * x * x * y - y**3, (0, 4): 6 * r * r - 6 * r + 1,
        (2, 4): (4 * r - 3) * (x * x - y * y),
    }.items():  # fmt: skip
        np.testing.assert_allclose(zernike(m, n, x, y), plain, atol=1e-14)
    # A tilted beam is a sum of two of them: k^2 kx = ((3 k^2 - 2) kx + 2 kx) / 3.
    size = 2.0 * np.pi * 2.7e7 * wavelength_A(300.0) ** 2 * 1e-3
    tilted = odd_aberration_phase(x, y, Optics(300.0, 2.7, 0.07, 1.0, beam_tilt_x_mrad=1.0))
    same = Optics(300.0, 2.7, 0.07, 1.0, odd_zernike=(0.0, 2.0 * size / 3.0, 0.0, 0.0, size / 3.0))
    np.testing.assert_allclose(odd_aberration_phase(x, y, same), tilted, rtol=1e-12)
    assert same.has_odd_aberrations
    # Defocus of 100 A is piston and the second of the even ones, taken off the phase.
    extra = np.pi * wavelength_A(300.0) * 100.0
    defocused = Optics(300.0, 2.7, 0.07, 1.0, even_zernike=(-0.5 * extra, 0.0, -0.5 * extra))
    np.testing.assert_allclose(ctf(x, y, defocused, 9900.0), ctf(x, y, PLAIN, 10000.0), atol=1e-6)


def test_gradient_is_the_slope() -> None:
    kx, ky = rfft_frequencies((12, 12), 1.3)

    def value(mean: float, cosine: float, sine: float, shift: float) -> np.ndarray:
        half, angle = np.hypot(cosine, sine), 0.5 * np.arctan2(sine, cosine)
        found: np.ndarray = ctf(kx, ky, PLAIN, mean + half, mean - half, angle, shift, dtype=np.float64)
        return found

    at = np.array([15000.0, 300.0, -450.0, 0.3])
    half, angle = np.hypot(at[1], at[2]), 0.5 * np.arctan2(at[2], at[1])
    _, gradient = ctf_and_gradient(kx, ky, PLAIN, at[0] + half, at[0] - half, angle, at[3], dtype=np.float64)
    for j, step in enumerate((0.05, 0.05, 0.05, 1e-5)):
        up, down = at.copy(), at.copy()
        up[j] += step
        down[j] -= step
        numerical = (value(*up) - value(*down)) / (2 * step)
        np.testing.assert_allclose(gradient[j], numerical, atol=1e-6 * np.abs(gradient[j]).max())


def test_odd_aberrations_are_odd_and_of_the_right_fold() -> None:
    optics = Optics(300.0, 2.7, 0.07, 1.0, trefoil_A=2e4, trefoil_angle=0.4)
    azimuth = np.linspace(0.0, 2 * np.pi, 200)
    phase = odd_aberration_phase(0.3 * np.cos(azimuth), 0.3 * np.sin(azimuth), optics)
    size = 2 * np.pi / 3 * wavelength_A(300.0) ** 2 * 2e4 * 0.3**3
    np.testing.assert_allclose(phase, size * np.cos(3 * (azimuth - 0.4)), atol=1e-12)
    factor = odd_aberration_factor(0.1, 0.2, optics)
    assert factor.dtype == np.complex64
    assert factor == pytest.approx(np.conj(odd_aberration_factor(-0.1, -0.2, optics)), abs=1e-6)
    assert optics.has_odd_aberrations
    assert not PLAIN.has_odd_aberrations


def test_tetrafoil_shifts_the_phase_of_the_ctf() -> None:
    optics = Optics(300.0, 2.7, 0.07, 1.0, tetrafoil_A=1e6, tetrafoil_angle=0.2)
    azimuth, k = 0.9, 0.3
    lam = wavelength_A(300.0)
    chi = np.pi * lam * k**2 * (12000.0 - 0.5 * lam**2 * k**2 * 2.7e7) + np.arcsin(0.07)
    chi -= 0.5 * np.pi * lam**3 * k**4 * 1e6 * np.cos(4 * (azimuth - 0.2))
    mine = ctf(k * np.cos(azimuth), k * np.sin(azimuth), optics, 12000.0, dtype=np.float64)
    assert mine == pytest.approx(-np.sin(chi), abs=1e-9)


def test_uneven_magnification_scales_frequencies() -> None:
    matrix = anisotropic_magnification(1.02, 0.99, 0.6)
    along = np.array([np.cos(0.6), np.sin(0.6)])
    np.testing.assert_allclose(np.array(matrix) @ along, 1.02 * along, atol=1e-12)
    stretched = Optics(300.0, 2.7, 0.07, 1.0, magnification=matrix)
    mine = ctf(0.2 * along[0], 0.2 * along[1], stretched, 15000.0, dtype=np.float64)
    assert mine == pytest.approx(ctf(0.204, 0.0, PLAIN, 15000.0, dtype=np.float64), abs=1e-9)


def test_envelopes() -> None:
    k = np.array([0.0, 0.1, 0.3])
    np.testing.assert_allclose(b_factor_envelope(k, 80.0), np.exp(-20.0 * k**2))
    # The spread of focus: mean of the CTF over a Gaussian of defocus.
    spread = 60.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    mean = sum(w * ctf(k, 0.0, PLAIN, 15000.0 + spread * x, dtype=np.float64) for x, w in zip(nodes, weights))
    envelope = temporal_coherence_envelope(k, PLAIN, spread)
    here = ctf(k, 0.0, PLAIN, 15000.0, dtype=np.float64)
    np.testing.assert_allclose(mean / np.sqrt(2 * np.pi), envelope * here, atol=1e-9)
    # The source's angle: 1 at focus without Cs, and the gradient of the aberration phase otherwise.
    flat = Optics(300.0, 0.0, 0.07, 1.0)
    np.testing.assert_allclose(spatial_coherence_envelope(k, flat, 0.0, 0.1), 1.0)
    lam, step = wavelength_A(300.0), 1e-6
    gamma = [np.pi * lam * q**2 * (15000.0 - 0.5 * lam**2 * q**2 * 2.7e7) for q in (k + step, k - step)]
    slope = (gamma[0] - gamma[1]) / (2 * step)
    expected = np.exp(-((slope * 1e-4 / lam / 2) ** 2))
    np.testing.assert_allclose(spatial_coherence_envelope(k, PLAIN, 15000.0, 0.1), expected, rtol=1e-6)


@pytest.mark.parametrize("bad", [
    {"voltage_kV": 0.0}, {"amplitude_contrast": 1.2}, {"pixel_size_A": 0.0},
    {"magnification": ((1.0, 0.0), (0.0, -1.0))}, {"voltage_kV": float("nan")},
])  # fmt: skip
def test_optics_that_make_no_sense_are_refused(bad: dict) -> None:
    good = {"voltage_kV": 300.0, "spherical_aberration_mm": 2.7, "amplitude_contrast": 0.07, "pixel_size_A": 1.0}
    with pytest.raises(InputError):
        Optics(**{**good, **bad})
