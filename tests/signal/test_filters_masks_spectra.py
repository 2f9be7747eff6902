"""Filters, masks, spectra and Guinier fits against closed forms, RELION and cisTEM."""

from __future__ import annotations

import subprocess

import mrcfile
import numpy as np
import pytest

from tests.support.half_maps import cistem_shell_power
from tests.support.oracles import ask_oracle, program
from verglas import signal
from verglas.errors import InputError


def noise(shape, seed=1):
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape).astype(np.float32)


def ellipsoid(n=64):
    z, y, x = np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij")
    return np.exp(-(x**2 / 200 + y**2 / 60 + z**2 / 80)).astype(np.float32)


def test_filter_values():
    k = np.array([0.0, 0.09, 0.1, 0.11, 0.3])
    np.testing.assert_allclose(signal.cosine_lowpass(10.0, 0.02)(k), [1, 1, 0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(signal.cosine_highpass(10.0, 0.02)(k), [0, 0, 0.5, 1, 1], atol=1e-12)
    np.testing.assert_allclose(signal.cosine_lowpass(10.0, 0.0)(k), [1, 1, 1, 0, 0])
    np.testing.assert_allclose(signal.cosine_bandpass(10.0, 4.0, 0.02)(k), [0, 0, 0.5, 1, 0], atol=1e-12)
    assert signal.gaussian_lowpass(10.0)(k)[2] ** 2 == pytest.approx(0.5)
    assert signal.gaussian_highpass(10.0)(k)[0] == 0
    assert signal.butterworth_lowpass(10.0)(k)[2] ** 2 == pytest.approx(0.5)
    assert signal.b_factor(80.0)(k)[2] == pytest.approx(np.exp(-0.2))
    np.testing.assert_allclose(signal.curve([0.0, 0.2], [1.0, 0.0])(k), [1, 0.55, 0.5, 0.45, 0])
    with pytest.raises(InputError, match="empty"):
        signal.cosine_bandpass(4.0, 10.0, 0.02)
    with pytest.raises(InputError, match="resolution_A must be positive"):
        signal.gaussian_lowpass(0.0)


def test_b_factor_widens_a_gaussian_by_the_closed_form():
    x = np.arange(64) - 32
    image = np.exp(-(x[:, None] ** 2 + x**2) / 18.0).astype(np.float32)
    width = 9 + 80 / (8 * np.pi**2)
    expected = 9 / width * np.exp(-(x[:, None] ** 2 + x**2) / (2 * width))
    filtered = signal.apply_filter(np.stack([image, 2 * image]), 1.0, signal.b_factor(80.0), ndim=2)
    assert filtered.dtype == np.float32
    np.testing.assert_allclose(filtered, [expected, 2 * expected], atol=1e-5)


def test_lowpass_agrees_with_relion(tmp_path):
    volume = noise((40, 40, 40))
    with mrcfile.new(tmp_path / "in.mrc", volume) as file:
        file.voxel_size = 1.5
    command = [program("relion_image_handler", "relion"), "--i", "in.mrc", "--o", "out.mrc", "--angpix", "1.5"]
    subprocess.run([*command, "--lowpass", "6"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    theirs = mrcfile.read(tmp_path / "out.mrc")
    ours = signal.apply_filter(volume, 1.5, signal.cosine_lowpass(6.0, 2 / 60))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99


def test_sphere_and_cylinder():
    for n in (40, 41):
        mask = signal.sphere_mask((n, n, n), 18.0, 1.5, edge_A=6.0)
        assert mask[n // 2, n // 2, n // 2 + 12] == 1
        assert mask[n // 2 + 14, n // 2, n // 2] == pytest.approx(0.5, abs=1e-6)
        assert mask[n // 2, n // 2 + 16, n // 2] == pytest.approx(0, abs=1e-6)
    hard = signal.sphere_mask((40, 40, 40), 18.0, 1.5)
    assert signal.mask_volume_A3(hard, 1.5) == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.02)
    circle = signal.sphere_mask((40, 44), 5.0, 1.0, centre=(10.0, 30.0))
    assert circle[10, 30] == circle[15, 30] == circle[10, 25] == 1
    assert circle.sum() == pytest.approx(np.pi * 25, rel=0.05)
    cylinder = signal.cylinder_mask((30, 40, 40), 10.0, 12.0, 1.0, edge_A=2.0)
    assert cylinder[15 + 6, 20 + 10, 20] == 1
    assert cylinder[15 + 7, 20, 20] == pytest.approx(0.5, abs=1e-6)
    assert cylinder[15 + 8, 20, 20] == cylinder[15, 20, 32] == pytest.approx(0, abs=1e-6)


def test_masking_into_the_outer_mean_leaves_a_flat_image_alone():
    flat = np.full((20, 20), 7.0, np.float32)
    mask = signal.sphere_mask((20, 20), 5.0, 1.0, edge_A=3.0)
    np.testing.assert_allclose(signal.apply_mask(flat, mask), flat)
    assert signal.apply_mask(flat, mask, outside=0.0)[0, 0] == 0


def test_components():
    binary = np.zeros((20, 20, 20), bool)
    binary[2:8, 2:8, 2:8] = True
    binary[12:15, 12:15, 12:15] = True
    binary[18, 18, 18] = True
    assert signal.largest_components(binary).sum() == 216
    assert signal.largest_components(binary, 5, least_voxels=2).sum() == 216 + 27
    assert signal.largest_components(np.zeros((4, 4), bool)).sum() == 0


def test_soft_edge_of_a_sphere_is_a_larger_soft_sphere():
    ball = signal.sphere_mask((48, 48, 48), 10.0, 1.0) > 0.5
    expected = signal.sphere_mask((48, 48, 48), 13.0, 1.0, edge_A=5.0)
    soft = signal.soft_edge(ball, 5.0, extend_pixels=3.0)
    assert np.abs(soft - expected).max() < 0.2
    assert np.abs(soft - expected).mean() < 0.01
    assert signal.soft_edge(ball, 0.0).sum() == ball.sum()
    assert signal.soft_edge(ball, 0.0, extend_pixels=-2.0).sum() == pytest.approx(4 / 3 * np.pi * 8.2**3, rel=0.15)
    assert signal.soft_edge(np.zeros((5, 5), bool), 2.0).sum() == 0


def test_threshold_mask_agrees_with_relion_mask_create(tmp_path):
    volume = ellipsoid(48)
    with mrcfile.new(tmp_path / "in.mrc", volume) as file:
        file.voxel_size = 1.5
    command = [program("relion_mask_create", "relion"), "--i", "in.mrc", "--o", "mask.mrc", "--angpix", "1.5"]
    command += ["--ini_threshold", "0.4", "--extend_inimask", "3", "--width_soft_edge", "5"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    theirs = mrcfile.read(tmp_path / "mask.mrc")
    ours = signal.threshold_mask(volume, 1.5, 0.4, lowpass_A=None, extend_pixels=3, edge_pixels=5)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999
    assert np.abs(ours - theirs).max() < 0.05
    with pytest.raises(InputError, match="Lower it"):
        signal.threshold_mask(volume, 1.5, 10.0)


def test_automatic_mask_finds_the_particle_not_the_specks():
    volume = ellipsoid() + 0.02 * noise((64, 64, 64))
    volume[6:10, 6:10, 6:10] += 2
    mask = signal.automatic_mask(volume, 1.5, 60.0, lowpass_A=10.0, level=0.2)
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert mask[8, 8, 8] == 0
    truth = ellipsoid() > 0.2
    overlap = (mask.astype(bool) & truth).sum() / (mask.astype(bool) | truth).sum()
    assert overlap > 0.85
    with pytest.raises(InputError, match="enlarge"):
        signal.automatic_mask(volume, 1.5, -1.0)


def test_white_noise_has_a_flat_spectrum_of_its_variance():
    for shape in ((256, 256), (40, 50, 44)):
        frequency, power = signal.power_spectrum(3 * noise(shape), 2.0)
        assert frequency[-1] == 0.25
        np.testing.assert_allclose(power[8:].mean(), 9, rtol=0.03)


def test_power_agrees_with_cistem(tmp_path):
    volume = signal.apply_filter(noise((40, 40, 40)), 1.0, signal.gaussian_lowpass(4.0))
    theirs = cistem_shell_power(volume[None], tmp_path)[0]
    _, ours = signal.power_spectrum(volume, 1.0)
    ours = ours / volume.size
    np.testing.assert_allclose(theirs[4:-1], ours[4:-1], rtol=0.08)


def test_radial_average_of_an_ellipse():
    y, x = np.meshgrid(np.arange(81) - 40, np.arange(81) - 40, indexing="ij")
    angle, ratio = np.radians(30), 0.8
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    radius = np.sqrt(along**2 * ratio + across**2 / ratio)
    profile = signal.radial_average(np.cos(radius / 3), axis_ratio=ratio, angle_rad=angle)
    np.testing.assert_allclose(profile.mean[:40], np.cos(np.arange(40) / 3), atol=0.03)
    assert profile.count.sum() == 81**2
    round_one = signal.radial_average(np.hypot(y - 3, x + 2).astype(np.float32), centre=(43, 38), step=0.5)
    np.testing.assert_allclose(round_one.mean[round_one.count > 0], round_one.radius[round_one.count > 0], atol=0.26)
    assert signal.radial_average(ellipsoid(20)).mean[0] == 1
    with pytest.raises(InputError, match="for images"):
        signal.radial_average(ellipsoid(20), axis_ratio=0.5)


@pytest.mark.parametrize("shape", [(8, 10), (9, 11), (6, 8, 10), (7, 8, 9)])
def test_full_spectrum_is_the_shifted_transform(shape):
    image = noise(shape)
    expected = np.abs(np.fft.fftshift(np.fft.fftn(image))) ** 2
    np.testing.assert_allclose(
        signal.full_spectrum(signal.power(signal.rfft(image)), shape), expected, rtol=1e-3, atol=1e-3
    )


def test_tiled_spectrum_is_the_mean_over_tiles():
    image = noise((100, 130)) + 5
    spectrum = signal.tiled_spectrum(image, 32, overlap=0.5, workers=2)
    assert spectrum.dtype == np.float32
    starts = [[0, 14, 27, 41, 54, 68], [0, 14, 28, 42, 56, 70, 84, 98]]
    expected = np.zeros((32, 17))
    for y in starts[0]:
        for x in starts[1]:
            tile = image[y : y + 32, x : x + 32].astype(np.float64)
            expected += np.abs(np.fft.rfft2(tile - tile.mean())) ** 2 / 32**2
    np.testing.assert_allclose(spectrum, expected / 48, rtol=2e-3, atol=1e-6)
    np.testing.assert_array_equal(spectrum, signal.tiled_spectrum(image, 32, workers=1))
    assert signal.tiled_spectrum(image, 100).shape == (100, 51)
    with pytest.raises(InputError, match="smaller than a tile"):
        signal.tiled_spectrum(image, 101)


def test_whitening_by_optics_group():
    n = 48
    mask = signal.sphere_mask((n, n), 10.0, 1.0, edge_A=4.0)
    particle = 50 * signal.sphere_mask((n, n), 8.0, 1.0)
    coloured = [
        signal.apply_filter(noise((120, n, n), seed), 1.0, signal.gaussian_lowpass(resolution), ndim=2)
        for seed, resolution in ((1, 4.0), (2, 3.0))
    ]
    images = np.concatenate(coloured) + particle + 3
    frequency, power = signal.noise_power(images, mask, np.repeat([0, 1], 120))
    for group, resolution in enumerate((4.0, 3.0)):
        expected = np.exp(-np.log(2) * (resolution * frequency) ** 2)
        np.testing.assert_allclose(power[group, 3:], expected[3:], rtol=0.15)
    white = signal.apply_filter(coloured[0], 1.0, signal.curve(frequency, signal.whitening_filter(power[0])), ndim=2)
    flat = np.mean([signal.power_spectrum(image, 1.0)[1] for image in white[:40]], axis=0)
    np.testing.assert_allclose(flat[3:], 1, atol=0.15)
    with pytest.raises(InputError, match="whole image"):
        signal.noise_power(images, np.ones((n, n), np.float32))
    with pytest.raises(InputError, match="group 1"):
        signal.noise_power(images[:4], mask, [0, 0, 2, 2])


def test_guinier_fit_finds_the_b_factor():
    volume = signal.apply_filter(noise((64, 64, 64)), 1.0, signal.b_factor(60.0))
    fit = signal.fit_b_factor(signal.guinier_plot(volume, 1.0), 10.0, 2.2)
    assert fit.b_factor_A2 == pytest.approx(-60, abs=1.5)
    assert fit.correlation < -0.99
    flat = signal.apply_filter(volume, 1.0, signal.b_factor(fit.b_factor_A2))
    assert abs(signal.fit_b_factor(signal.guinier_plot(flat, 1.0), 10.0, 2.2).b_factor_A2) < 0.1
    np.testing.assert_allclose(signal.figure_of_merit([1.0, 1 / 3, 0.0, -0.5]), [1, np.sqrt(0.5), 0, 0])
    with pytest.raises(InputError, match="too few"):
        signal.fit_b_factor(signal.guinier_plot(volume, 1.0), 4.0, 3.9)


def test_cistems_cosine_mask_is_ours_with_the_edge_halfway(tmp_path):
    answer = ask_oracle(
        """
        import pycistem.core as c
        image = c.Image()
        image.Allocate(48, 48, 48, True, True)
        image.real_values[...] = 1.0
        image.CosineMask(15.0, 6.0, False, True, 0.0)
        answer['mask'] = np.array(image.real_values)
        """,
        tmp_path,
    )
    ours = signal.sphere_mask((48, 48, 48), 12.0, 1.0, edge_A=6.0)
    assert np.abs(ours - answer["mask"]).max() < 1e-3
