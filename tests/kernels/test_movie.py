"""The movie kernels against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve1d

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
    rows, columns = np.concatenate([np.arange(40), [39, 0]]), np.concatenate([np.arange(37), [36, 0]])
    padded = np.where(abs(plain - mean) <= 10 * sd, plain - mean, 0)[rows][:, columns]
    for factor in (1, 3):
        out = np.empty((42 // factor, 39 // factor), np.float32)
        outliers = movie.decimate_frame(
            raw, dark, gain, np.float32(mean), np.float32(10 * sd), rows, columns, factor, out
        )
        assert outliers == 1
        triangle = 1 - abs(np.arange(1 - factor, factor)) / factor
        smooth = convolve1d(convolve1d(padded, triangle, 0, mode="wrap"), triangle, 1, mode="wrap")
        np.testing.assert_allclose(out, smooth[::factor, ::factor], atol=1e-4)


def test_not_a_number_counts_as_an_outlier():
    raw = np.ones((4, 4), np.float32)
    raw[1, 1] = np.nan
    out = np.empty((4, 4), np.float32)
    index = np.arange(4)
    assert movie.decimate_frame(raw, NONE, NONE, np.float32(1), np.float32(5), index, index, 1, out) == 1
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
    outliers = movie.decimate_frame(
        raw, dark, gain, np.float32(mean), np.float32(12 * sd), np.arange(40), np.arange(37), 1, out
    )
    assert outliers == 0
    assert (out[:, 7] == 0).all()
    np.testing.assert_allclose(np.delete(out, 7, axis=1), plain - mean, atol=2e-5)


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
