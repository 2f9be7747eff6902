"""Resampling to any pixel size against closed forms and relion_image_handler."""

from __future__ import annotations

import subprocess

import mrcfile
import numpy as np
import pytest

from tests.support.oracles import program
from verglas import signal
from verglas.errors import InputError


def gaussians(n: int, pixel_size_A: float, ndim: int = 2) -> np.ndarray:
    along = (np.arange(n) - n // 2) * pixel_size_A
    image = np.zeros([n] * ndim)
    for centre, width in (((3.0, -11.0, 5.0), 4.5), ((-9.0, 6.0, -2.0), 5.0)):
        image += np.prod(
            np.meshgrid(*[np.exp(-0.5 * ((along - c) / width) ** 2) for c in centre[:ndim]], indexing="ij"), axis=0
        )
    return image.astype(np.float32)


@pytest.mark.parametrize("new", [1.0, 1.37, 2.113, 0.81, 3.14159])
@pytest.mark.parametrize("n", [90, 91])
def test_any_ratio_in_2d(new, n):
    resampled = signal.resample(gaussians(n, 1.23), 1.23, new, (64, 64))
    np.testing.assert_allclose(resampled, gaussians(64, new), atol=2e-3)


def test_3d_with_a_batch_and_default_shape():
    maps = np.stack([gaussians(50, 2.0, 3), -gaussians(50, 2.0, 3)])
    resampled = signal.resample(maps, 2.0, 2.718, ndim=3)
    assert resampled.shape == (2, 36, 36, 36)
    assert resampled.dtype == np.float32
    np.testing.assert_allclose(resampled[0], gaussians(36, 2.718, 3), atol=2e-3)
    np.testing.assert_allclose(resampled[1], -resampled[0], atol=1e-6)


def test_outside_is_filled_with_the_border():
    resampled = signal.resample(gaussians(90, 1.0) + 7, 1.0, 2.0, (80, 80))
    np.testing.assert_allclose(resampled, gaussians(80, 2.0) + 7, atol=2e-3)


def test_real_space_fit_keeps_the_origin():
    for n, m in ((5, 8), (8, 5), (6, 9), (9, 6), (7, 3)):
        image = np.zeros((n, n))
        image[n // 2, n // 2] = 1
        fitted = signal.fit_to_shape(image, (m, m), -2.0)
        assert fitted[m // 2, m // 2] == 1
        assert fitted.min() == (-2 if m > n else 0)


def test_shapes_and_nonsense():
    assert signal.resampled_shape((4092, 5760), 0.53, 1.06) == (2046, 2880)
    with pytest.raises(InputError, match="positive"):
        signal.resample(gaussians(10, 1.0), 1.0, 0.0)


@pytest.mark.parametrize(("n", "m"), [(60, 40), (60, 90), (61, 61), (45, 35)])
def test_whole_ratios_equal_fourier_cropping(n, m):
    image = np.random.default_rng(1).standard_normal((n, n))
    np.testing.assert_allclose(
        signal.resample(image, 1.0, n / m, (m, m)) - image.mean(),
        signal.resize(image, (m, m)) - image.mean(),
        atol=1e-9,
    )


def test_agrees_with_relions_rescaling(tmp_path):
    image = gaussians(96, 1.2)
    with mrcfile.new(tmp_path / "in.mrc", image) as file:
        file.voxel_size = 1.2
    command = [program("relion_image_handler", "relion"), "--i", "in.mrc", "--o", "out.mrc"]
    command += ["--angpix", "1.2", "--rescale_angpix", "1.8", "--new_box", "64"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    theirs = mrcfile.read(tmp_path / "out.mrc")
    ours = signal.resample(image, 1.2, 1.8, (64, 64))
    assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.9999
    assert np.abs(theirs - ours).max() < 1e-3 * image.max()
