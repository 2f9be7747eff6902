"""The movie kernels against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.kernels import movie

NONE = np.zeros((0, 0), np.float32)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("references", ["none", "gain", "dark", "both"])
def test_moments_and_correction_are_numpys(kind, references, rng):
    raw = rng.poisson(5, (40, 37)).astype(kind)
    raw[3, 4] = 100
    gain = rng.uniform(0.8, 1.2, raw.shape).astype(np.float32) if references in {"gain", "both"} else NONE
    dark = rng.uniform(0, 1, raw.shape).astype(np.float32) if references in {"dark", "both"} else NONE
    plain = (raw - (dark if len(dark) else 0.0)) * (gain if len(gain) else 1.0)
    mean, sd = movie.frame_moments(raw, dark, gain)
    assert mean == pytest.approx(plain.mean(), rel=1e-5)
    assert sd == pytest.approx(plain.std(), rel=1e-4)
    rows, columns = np.array([0, 3, 39, 39]), np.concatenate([np.arange(37), [36, 0]])
    out = np.empty((4, 39), np.float32)
    outliers = movie.correct_rows(raw, dark, gain, np.float32(mean), np.float32(10 * sd), rows, columns, out)
    expected = np.where(abs(plain - mean) <= 10 * sd, plain - mean, 0)[rows][:, columns]
    assert outliers == 1
    np.testing.assert_allclose(out, expected, atol=2e-5)


def test_not_a_number_counts_as_an_outlier():
    raw = np.ones((4, 4), np.float32)
    raw[1, 1] = np.nan
    out = np.empty((4, 4), np.float32)
    index = np.arange(4)
    assert movie.correct_rows(raw, NONE, NONE, np.float32(1), np.float32(5), index, index, out) == 1
    assert (out == 0).all()


@pytest.mark.parametrize("dark", [NONE, np.full((40, 37), 0.5, np.float32)], ids=["no dark", "dark"])
def test_pixels_without_gain_are_defects(dark, rng):
    raw = rng.poisson(5, (40, 37)).astype(np.uint8)
    raw[:, 7] = 0
    gain = rng.uniform(0.8, 1.2, raw.shape).astype(np.float32)
    gain[:, 7] = 0
    plain = np.delete((raw - (dark if len(dark) else 0.0)) * gain, 7, axis=1)
    mean, sd = movie.frame_moments(raw, dark, gain)
    assert mean == pytest.approx(plain.mean(), rel=1e-5)
    assert sd == pytest.approx(plain.std(), rel=1e-4)
    out = np.empty(raw.shape, np.float32)
    outliers = movie.correct_rows(
        raw, dark, gain, np.float32(mean), np.float32(12 * sd), np.arange(40), np.arange(37), out
    )
    assert outliers == 0
    assert (out[:, 7] == 0).all()
    np.testing.assert_allclose(np.delete(out, 7, axis=1), plain - mean, atol=2e-5)


def test_half_precision_is_numpys_float16(rng):
    scales = 10.0 ** rng.integers(-3, 4, (32, 9))
    values = ((rng.standard_normal((32, 9)) + 1j * rng.standard_normal((32, 9))) * scales).astype(np.complex64)
    values[0, 0] = 1e9 - 1e9j
    real, imaginary = np.zeros((32, 9), np.uint16), np.zeros((32, 9), np.uint16)
    movie.store_transform(values, np.arange(32), np.float32(1), real, imaginary)
    normal = abs(values.real) > 6.2e-5
    normal[0, 0] = False
    expected = np.where(normal, values.real, 0).astype(np.float16)
    assert (real.view(np.float16) == expected)[normal].all()
    assert real.view(np.float16)[0, 0] == 65504
    assert imaginary.view(np.float16)[0, 0] == -65504


def test_store_leaves_out_what_the_crop_does(rng):
    values = (rng.standard_normal((8, 6)) + 0j).astype(np.complex64)
    real, imaginary = np.full((4, 4), 9, np.uint16), np.full((4, 4), 9, np.uint16)
    movie.store_transform(values, np.array([0, 1, -1, 7]), np.float32(2), real, imaginary)
    expected = (2 * values.real[[0, 1, 0, 7], :4]).astype(np.float16)
    expected[2] = 0
    assert (real.view(np.float16) == expected).all()


def test_shifted_weighted_sum_is_numpys(rng):
    frames, ky, kx = 3, 8, 5
    values = (rng.standard_normal((frames, ky, kx)) + 1j * rng.standard_normal((frames, ky, kx))).astype(np.complex64)
    real, imaginary = values.real.astype(np.float16), values.imag.astype(np.float16)
    phase_x, phase_y = rng.uniform(-3, 3, (frames, kx)), rng.uniform(-3, 3, (frames, ky))
    factor = np.array([1.5, 0.0, 2.0])
    ramp_x = np.stack([np.cos(phase_x), np.sin(phase_x)], 1).astype(np.float32)
    ramp_y = (np.stack([np.cos(phase_y), np.sin(phase_y)], 1) * factor[:, None, None]).astype(np.float32)
    first, step = np.linspace(1, 0.5, 50).astype(np.float32), np.linspace(1, 0.8, 50).astype(np.float32)
    fy, fx = np.linspace(0, 0.7, ky).astype(np.float32), np.linspace(0, 0.7, kx).astype(np.float32)
    total = np.ones((ky, kx), np.complex64)
    arguments = (real.view(np.uint16), imaginary.view(np.uint16), ramp_x, ramp_y, first, step, np.float32(49), fy, fx)
    movie.add_shifted_rows(*arguments, 0, total[:3])
    movie.add_shifted_rows(*arguments, 3, total[3:])
    place = np.hypot(fy[:, None], fx[None]) * 49
    q0, q = (np.interp(place, np.arange(50), table) for table in (first, step))
    stored = real.astype(np.float64) + 1j * imaginary.astype(np.float64)
    expected = 1 + sum(
        factor[i] * q0 * q**i * stored[i] * np.exp(1j * (phase_y[i][:, None] + phase_x[i][None])) for i in range(frames)
    )
    np.testing.assert_allclose(total, expected, atol=2e-3 * 6e-5 + 2e-5)


def test_newton_terms_are_derivatives_of_the_correlation(rng):
    frames, ky, kx = 4, 9, 5
    real, imaginary = (rng.standard_normal((frames, ky, kx)).astype(np.float32) for _ in range(2))
    weight = rng.uniform(0, 1, (ky, kx)).astype(np.float32)
    qy = (2 * np.pi * np.fft.fftfreq(ky)).astype(np.float32)
    qx = (2 * np.pi * np.arange(kx) / ky).astype(np.float32)
    ones_x = np.stack([np.ones((frames, kx)), np.zeros((frames, kx))], 1).astype(np.float32)
    ones_y = np.stack([np.ones((frames, ky)), np.zeros((frames, ky))], 1).astype(np.float32)
    total_re, total_im = np.empty((ky, kx), np.float32), np.empty((ky, kx), np.float32)
    movie.shifted_total_rows(real, imaginary, ones_x, ones_y, 0, ky, total_re, total_im)
    terms = np.empty(10)
    movie.newton_terms(real, imaginary, ones_x, ones_y, 1, 3, total_re, total_im, weight, qy, qx, terms)
    values = real.astype(np.float64) + 1j * imaginary
    moved = values[1] + values[2]
    rest = values[0] + values[3]

    def correlation(x, y):
        return np.sum(weight * (moved * np.exp(-1j * (qx[None] * x + qy[:, None] * y)) * rest.conj()).real)

    h = 1e-3
    assert terms[0] == pytest.approx(correlation(0, 0), rel=1e-4)
    assert terms[1] == pytest.approx((correlation(h, 0) - correlation(-h, 0)) / (2 * h), rel=1e-3)
    assert terms[2] == pytest.approx((correlation(0, h) - correlation(0, -h)) / (2 * h), rel=1e-3)
    h = 1e-2
    second_x = (correlation(h, 0) - 2 * correlation(0, 0) + correlation(-h, 0)) / h**2
    mixed = (correlation(h, h) - correlation(h, -h) - correlation(-h, h) + correlation(-h, -h)) / (4 * h**2)
    assert -terms[3] == pytest.approx(second_x, rel=1e-2, abs=1e-2)
    assert -terms[4] == pytest.approx(mixed, rel=1e-2, abs=1e-2)
    noise = 0.5 * weight.astype(np.float64) ** 2 * abs(moved) ** 2 * abs(rest) ** 2
    np.testing.assert_allclose(terms[6:], [noise.sum(), (noise * qx**2).sum(), (noise * qx * qy[:, None]).sum(),
                                           (noise * qy[:, None] ** 2).sum()], rtol=1e-3, atol=1e-3)  # fmt: skip


def test_warm_compiles_everything():
    movie.warm()
