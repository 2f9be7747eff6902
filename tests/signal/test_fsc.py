"""Fourier shell correlation against closed forms, cisTEM's shell powers and relion_postprocess."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.half_maps import cistem_fsc, noisy_halves, read_map, relion_postprocess
from verglas import signal
from verglas.errors import InputError


def noise(shape, seed=1):
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape).astype(np.float32)


def stored_components_fsc(a, b):
    """Return the correlation over the components of the half transform, each counted once."""
    u, v = np.fft.rfftn(a), np.fft.rfftn(b)
    shell = np.floor(signal.frequency_radius(a.shape) * a.shape[0] + 0.5).astype(int).ravel()
    cross, one, two = (
        np.bincount(shell, part.ravel())[: a.shape[0] // 2 + 1]
        for part in ((u * v.conj()).real, abs(u) ** 2, abs(v) ** 2)
    )
    return cross / np.sqrt(one * two)


@pytest.fixture(scope="module")
def halves(real_data):
    truth, pixel_size = read_map(real_data / "maps" / "EMD-3488_haemoglobin.mrc")
    return (*noisy_halves(truth, 0.7), truth, pixel_size)


@pytest.mark.parametrize("shape", [(24, 24, 24), (25, 25, 25), (20, 30, 26), (32, 33), (40,)])
def test_agrees_with_a_plain_sum_over_the_full_transform(shape):
    a, b = noise(shape), noise(shape, 2) + noise(shape)
    full_a, full_b = np.fft.fftn(a), np.fft.fftn(b)
    grids = np.meshgrid(*[np.fft.fftfreq(n) * max(shape) for n in shape], indexing="ij")
    shell = np.floor(np.sqrt(sum(g**2 for g in grids)) + 0.5).astype(int)
    result = signal.fourier_shell_correlation(a, b, 1.5, workers=2)
    for i, frequency in enumerate(result.frequency_per_A):
        inside = shell == i
        expected = (full_a[inside] * full_b[inside].conj()).sum().real / np.sqrt(
            (abs(full_a[inside]) ** 2).sum() * (abs(full_b[inside]) ** 2).sum()
        )
        assert result.components[i] == inside.sum()
        assert result.fsc[i] == pytest.approx(expected, abs=2e-5)
        assert frequency == pytest.approx(i / (1.5 * max(shape)))


def test_the_kernel_equals_its_plain_twin_whatever_the_threads(monkeypatch):
    from verglas.signal import shells

    monkeypatch.setattr(shells, "SLAB_COMPONENTS", 1000)
    shape = (23, 26, 24)
    a, b = signal.rfft(noise(shape)), signal.rfft(noise(shape, 2))
    one, two = (signal.shell_products(a, b, shape, workers=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    twin = sum(shells._slab_products(np, a[rows], b[rows], shape, rows) for rows in shells.slabs(shape))
    np.testing.assert_allclose(one, twin, rtol=1e-5, atol=1e-2)
    assert len(list(shells.slabs(shape))) > 3


def test_sums_are_kept_in_double_precision():
    # A huge component beside many small ones: single-precision sums would lose the small ones.
    shape = (64, 64, 64)
    transform = np.ones(signal.rfft_shape(shape), np.complex64)
    transform[0, 0, 20] = 1e5
    sums = signal.shell_products(transform, transform, shape)
    assert sums.power_first[20] == sums.components[20] + 2 * (1e10 - 1)


def test_known_signal_to_noise_gives_the_expected_curve():
    shape = (64, 64, 64)
    truth = signal.apply_filter(noise(shape), 1.0, signal.gaussian_lowpass(5.0))
    a, b = truth + 0.3 * noise(shape, 2), truth + 0.3 * noise(shape, 3)
    result = signal.fourier_shell_correlation(a, b, 1.0)
    snr = np.exp(-np.log(2) * (5 * result.frequency_per_A) ** 2) / 0.09
    np.testing.assert_allclose(result.fsc[3:], (snr / (1 + snr))[3:], atol=0.08)
    np.testing.assert_allclose(signal.ssnr(snr / (1 + snr), of_average=False), snr, rtol=1e-6)
    np.testing.assert_allclose(signal.ssnr(snr / (1 + snr)), 2 * snr, rtol=1e-6)


def test_agrees_with_cistem(halves, tmp_path):
    a, b, _, pixel_size = halves
    ours = signal.fourier_shell_correlation(a, b, pixel_size).fsc
    theirs = cistem_fsc(a, b, tmp_path)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999
    assert np.abs(ours - theirs)[3:].max() < 0.04


def test_agrees_with_relion_postprocess(halves, tmp_path):
    a, b, truth, pixel_size = halves
    mask = signal.threshold_mask(truth, pixel_size, 0.025, lowpass_A=10.0)
    theirs = relion_postprocess(
        a, b, mask, pixel_size, tmp_path, "--auto_bfac", "--autob_lowres", "6", "--autob_highres", "3"
    )
    ours = signal.corrected_fsc(a, b, mask, pixel_size, workers=2)
    used = slice(1, len(ours.masked))
    column = lambda name: theirs[name][used]  # noqa: E731
    np.testing.assert_allclose(ours.unmasked[used], column("FourierShellCorrelationUnmaskedMaps"), atol=3e-3)
    np.testing.assert_allclose(ours.masked[used], column("FourierShellCorrelationMaskedMaps"), atol=3e-3)
    # The rest of the difference is RELION's: it counts stored components only, ours their Hermitian mates too.
    np.testing.assert_allclose(
        stored_components_fsc(a, b)[used], column("FourierShellCorrelationUnmaskedMaps"), atol=2e-5
    )
    randomised = column("CorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps")
    assert np.abs(ours.randomised[used] - randomised).mean() < 0.03
    assert (
        np.abs(ours.corrected[used] - column("FourierShellCorrelationCorrected"))[ours.masked[used] > 0.1].max() < 0.06
    )
    limit = signal.resolution_at(ours.frequency_per_A, ours.corrected).resolution_A
    assert limit == pytest.approx(float(theirs["FinalResolution"]), rel=0.06)
    plot = signal.guinier_plot((a + b) / 2, pixel_size, fsc=ours.corrected)
    fit = signal.fit_b_factor(plot, 6.0, 3.0)
    assert fit.b_factor_A2 == pytest.approx(float(theirs["BfactorUsedForSharpening"]), rel=0.06)


def test_what_a_mask_alone_correlates_is_taken_back():
    # Signal to 12 A only; a small sharp mask smears its correlation to finer shells.
    shape = (48, 48, 48)
    mask = signal.sphere_mask(shape, 5.0, 1.0)
    masked, corrected = [], []
    for seed in range(6):
        truth = 5 * signal.apply_filter(noise(shape, 100 + seed), 1.0, signal.cosine_lowpass(12.0, 0.01))
        a, b = truth + 0.5 * noise(shape, 200 + seed), truth + 0.5 * noise(shape, 300 + seed)
        result = signal.corrected_fsc(a, b, mask, 1.0, randomise_from_A=10.0)
        assert result.randomised_from_A == pytest.approx(9.6)
        np.testing.assert_array_equal(result.corrected[:7], result.masked[:7])
        masked.append(result.masked[7:12].mean())
        corrected.append(result.corrected[7:12].mean())
    assert np.mean(masked) > 0.15
    assert abs(np.mean(corrected)) < 0.5 * np.mean(masked)


@pytest.mark.parametrize("shape", [(16, 18, 20), (15, 17, 19), (30, 31), (40,), (41,)])
def test_random_phases_keep_amplitudes_and_stay_hermitian(shape):
    transform = signal.rfft(noise(shape).astype(np.float64))
    before = transform.copy()
    signal.randomise_phases(transform, shape, 0.2, seed=(4,))
    radius = signal.frequency_radius(shape)
    np.testing.assert_allclose(abs(transform), abs(before), rtol=1e-6)
    np.testing.assert_array_equal(transform[radius < 0.199], before[radius < 0.199])
    np.testing.assert_allclose(signal.rfft(signal.irfft(transform, shape)), transform, atol=1e-4)
    beyond = radius > 0.201
    if len(shape) > 1:
        likeness = (transform[beyond] * before[beyond].conj()).sum() / (abs(before[beyond]) ** 2).sum()
        assert abs(likeness) < 0.25
    again = before.copy()
    signal.randomise_phases(again, shape, 0.2, seed=(4,))
    np.testing.assert_array_equal(again, transform)


def test_perfect_halves_are_not_called_resolved():
    a = noise((16, 16, 16))
    with pytest.raises(InputError, match="not independent"):
        signal.corrected_fsc(a, a, np.ones_like(a), 1.0)
    with pytest.raises(InputError, match="shape"):
        signal.fourier_shell_correlation(a, a[:-1], 1.0)


def test_part_fsc():
    # Twice the solvent halves the signal-to-noise ratio: F / (1 - F) doubles inside.
    fsc = np.array([1.0, 0.9, 0.5, 0.143, 0.0])
    inside = signal.part_fsc(fsc, 2 * 100_000 / 0.81, 100.0)
    np.testing.assert_allclose(inside[1:] / (1 - inside[1:]), 2 * fsc[1:] / (1 - fsc[1:]))
    assert inside[0] == 1
    np.testing.assert_allclose(signal.part_fsc(fsc, 1.0, 100.0), fsc)
    assert np.isfinite(signal.part_fsc(np.linspace(-1, 1, 50), 1e7, 100.0)).all()


def test_resolution():
    frequency = np.arange(6) * 0.1
    crossing = signal.resolution_at(frequency, [1, 0.9, 0.8, 0.4, 0.1, 0.0], 0.5)
    assert crossing.kind == "crosses"
    assert crossing.resolution_A == pytest.approx(1 / 0.275)
    assert crossing.rises_again_at_A == ()
    again = signal.resolution_at(frequency, [1, 0.9, 0.3, 0.7, 0.1, 0.0], 0.5)
    assert again.resolution_A == pytest.approx(1 / (0.1 + 0.1 * 0.4 / 0.6))
    assert again.rises_again_at_A == pytest.approx((1 / 0.25,))
    assert signal.resolution_at(frequency, np.ones(6)).kind == "never below"
    assert signal.resolution_at(frequency, np.ones(6)).resolution_A == pytest.approx(2.0)
    never = signal.resolution_at(frequency, np.zeros(6))
    assert (never.kind, never.resolution_A) == ("never above", np.inf)
    late = signal.resolution_at(frequency, [0, 0.1, 0.9, 0.9, 0.1, 0.0], 0.5)
    assert late.resolution_A == pytest.approx(1 / 0.35)
    with pytest.raises(InputError, match="not numbers"):
        signal.resolution_at(frequency, [1, 1, np.nan, 0, 0, 0])


def test_direction_finds_a_missing_cone():
    shape = (48, 48, 48)
    truth = noise(shape)
    a, b = (signal.rfft(truth + 0.3 * noise(shape, seed)) for seed in (2, 3))
    kz, ky, kx = signal.frequency_axes(shape)
    missing = np.abs(kz) > 0.5 * np.sqrt(kx**2 + ky**2 + kz**2)
    missing[0, 0, 0] = False
    far = missing & (signal.frequency_radius(shape) > 0.2)
    for transform, seed in ((a, 4), (b, 5)):
        transform[far] = signal.rfft(noise(shape, seed))[far]
    a, b = (signal.irfft(t, shape) for t in (a, b))
    result = signal.directional_fsc(a, b, 1.0)
    summary = signal.anisotropy(result)
    polar = np.degrees(np.arccos(result.directions[:, 2]))
    assert np.all(summary.resolution_A[polar < 25] > 4.0)
    assert np.all(summary.resolution_A[polar > 80] < 2.3)
    assert summary.worst_direction[2] > 0.7
    assert summary.ratio < 0.6
    even = signal.anisotropy(signal.directional_fsc(truth + 0.3 * noise(shape, 2), truth + 0.3 * noise(shape, 3), 1.0))
    assert even.ratio == 1.0


def test_a_cone_of_everything_is_the_plain_correlation():
    shape = (20, 24, 22)
    a, b = noise(shape), noise(shape) + noise(shape, 2)
    cones = signal.directional_fsc(a, b, 1.0, directions=5, cone_half_angle_rad=np.pi / 2)
    plain = signal.fourier_shell_correlation(a, b, 1.0)
    np.testing.assert_allclose(cones.fsc, np.tile(plain.fsc, (5, 1)), atol=1e-5)
    # One direction's cone against a plain sum, apart from the patches at its rim.
    cone = signal.directional_fsc(a, b, 1.0, directions=7, cone_half_angle_rad=np.radians(30))
    u, v = np.fft.fftn(a), np.fft.fftn(b)
    kz, ky, kx = np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")
    radius = np.sqrt(kz**2 + ky**2 + kx**2)
    x, y, z = cone.directions[3]
    inside = (np.abs(kx * x + ky * y + kz * z) >= np.cos(np.radians(30)) * radius) & (np.abs(radius * 24 - 9) < 0.5)
    expected = (u[inside] * v[inside].conj()).sum().real / np.sqrt(
        (abs(u[inside]) ** 2).sum() * (abs(v[inside]) ** 2).sum()
    )
    assert cone.fsc[3, 9] == pytest.approx(expected, abs=0.06)
