"""Noise in place of fine detail: what of an agreement is left without it, where noise was aligned and where not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.particles import density, molecule
from tests.support.half_maps import noisy_halves
from verglas.engine.half_maps import spherical_shell_mask
from verglas.errors import InputError
from verglas.signal import apply_filter, cosine_highpass
from verglas.stages.validation import compare_with_noise, substitute_noise

BOX, PIXEL_A, FROM_A = 48, 2.0, 9.0


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return density(np.concatenate([molecule(BOX, PIXEL_A, seed=seed) for seed in range(3)]), BOX, PIXEL_A)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    return spherical_shell_mask(BOX, 32.0, PIXEL_A, edge_A=8.0)


def fine_part(volume: np.ndarray) -> np.ndarray:
    return np.asarray(apply_filter(volume, PIXEL_A, cosine_highpass(FROM_A, 0.02)), np.float32)


def test_nothing_is_left_of_what_noise_shows_too(truth: np.ndarray, mask: np.ndarray) -> None:
    """Halves that agree finely on what alignment has put there: on the same in both stacks."""
    coarse = truth - fine_part(truth)
    random = np.random.Generator(np.random.Philox(3))
    invented = fine_part(random.standard_normal(truth.shape, dtype=np.float32) * truth.std())
    given = noisy_halves(coarse + invented, 1.0)
    noise = tuple(half + invented for half in noisy_halves(coarse, 1.0, seed=5))
    found = compare_with_noise(given, noise, mask, PIXEL_A, FROM_A)
    assert found.resolution_A is not None and found.resolution_A < 0.7 * FROM_A
    assert found.true_resolution_A is None or found.true_resolution_A > 0.85 * FROM_A
    assert found.noise_agrees_to_A is not None and found.noise_agrees_to_A < 0.8 * FROM_A
    assert found.overfitted and "Noise was aligned" in found.sentence()


def test_a_resolution_that_noise_does_not_share_stays(truth: np.ndarray, mask: np.ndarray) -> None:
    given, noise = noisy_halves(truth, 1.0), noisy_halves(truth - fine_part(truth), 1.0, seed=5)
    found = compare_with_noise(given, noise, mask, PIXEL_A, FROM_A)
    assert found.resolution_A is not None and found.resolution_A < 0.7 * FROM_A
    assert found.true_resolution_A == pytest.approx(found.resolution_A, rel=0.05)
    assert not found.overfitted and "not made by overfitting" in found.sentence()
    with pytest.raises(InputError, match="one shape"):
        compare_with_noise(given, noise, mask[:24], PIXEL_A, FROM_A)


def test_images_keep_what_is_coarser() -> None:
    random = np.random.Generator(np.random.Philox(1))
    images = random.standard_normal((3, 32, 32)).astype(np.float32)
    made = substitute_noise(images, PIXEL_A, FROM_A, [(1, 1), (1, 2), (1, 1)])
    k = np.hypot(np.fft.fftfreq(32, PIXEL_A)[:, None], np.fft.rfftfreq(32, PIXEL_A))
    before, after = np.fft.rfft2(images), np.fft.rfft2(made)
    coarse = k < 0.98 / FROM_A
    np.testing.assert_allclose(after[:, coarse], before[:, coarse], atol=1e-3)
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-3)
    assert np.abs(after - before)[:, ~coarse].mean() > 0.5 * np.abs(before)[:, ~coarse].mean()
    again = substitute_noise(images[:1], PIXEL_A, FROM_A, [(1, 1)])
    np.testing.assert_array_equal(again[0], made[0])
    with pytest.raises(InputError, match="nothing beyond"):
        substitute_noise(images, PIXEL_A, 3.9, [(1, 1)] * 3)
