"""The noise measured from residuals against the true one, and what weighing by it does for stated uncertainties."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.scenes import scene
from verglas.engine import RefinementSettings, noise_ratio, prepare_images, prepare_reference, refine_poses, reweigh
from verglas.errors import InputError


def test_residuals_give_the_true_noise_and_images_are_weighed_by_it() -> None:
    s = scene(200, noise=4.0)
    shape = 1.3 ** np.linspace(-1, 1, s.noise_power.size)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power * shape, 6.0)
    reference = prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=5.9)
    ratio = noise_ratio(reference, images, s.rotations, s.displacements_A)
    rings = np.arange(2, images.band.rings.max() + 1)
    assert np.abs(ratio[0, rings] * shape[rings] - 1.0).max() < 0.12
    weighed = reweigh(images, ratio)
    right = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0)
    assert np.linalg.norm(weighed.data - right.data) < 0.05 * np.linalg.norm(right.data)
    assert np.linalg.norm(weighed.transfer - right.transfer) < 0.05 * np.linalg.norm(right.transfer)
    found = refine_poses(reference, weighed, s.rotations, s.displacements_A)
    assert found.noise_variance.mean() == pytest.approx(1.0, abs=0.02)


def test_groups_have_each_their_own_noise() -> None:
    s = scene(200, noise=4.0)
    group = np.arange(200) % 2
    strength = np.array([1.0, 2.0])[group]
    noisy = scene(200, noise=0.0)
    stack = noisy.images + strength[:, None, None] * (s.images - noisy.images)
    spectra = s.noise_power * np.array([[1.0], [4.0]])
    images = prepare_images(stack, s.optics, s.defocus, spectra, 6.0, group=group)
    reference = prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=5.9)
    ratio = noise_ratio(reference, images, s.rotations, s.displacements_A)
    assert np.abs(ratio[:, 2:] - 1.0).max() < 0.2
    # One spectrum for both is wrong for both, and is put right.
    wrong = prepare_images(stack, s.optics, s.defocus, spectra[[0, 0]], 6.0, group=group)
    right = reweigh(wrong, noise_ratio(reference, wrong, s.rotations, s.displacements_A))
    assert np.linalg.norm(right.transfer - images.transfer) < 0.08 * np.linalg.norm(images.transfer)
    found = refine_poses(reference, images, s.rotations, s.displacements_A, RefinementSettings(defocus=True))
    spread = np.sqrt((found.defocus[:, 0] - s.defocus[:, 0]) ** 2)
    assert np.median(spread[group == 1]) > 1.3 * np.median(spread[group == 0])
    assert np.array_equal(images.select([5, 8]).group, [1, 0])


def test_bad_input_is_refused() -> None:
    s = scene(2)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0)
    reference = prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=5.9)
    with pytest.raises(InputError, match="without images"):
        noise_ratio(reference, images.select(slice(0, 0)), s.rotations[:0], s.displacements_A[:0])
    with pytest.raises(InputError, match="every ring"):
        reweigh(images, np.ones(3))
    with pytest.raises(InputError, match="do not fit"):
        reweigh(images, np.ones((2, 99)))
    with pytest.raises(InputError, match="a group each"):
        prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0, group=[0, 1])
