"""The noise measured from residuals against the true one, and what weighing by it does for stated uncertainties."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.scenes import scene
from verglas.engine import noise_ratio, prepare_images, prepare_reference, refine_poses, reweigh
from verglas.errors import InputError


def test_residuals_give_the_true_noise_and_images_are_weighed_by_it() -> None:
    s = scene(200, noise=4.0)
    shape = 1.3 ** np.linspace(-1, 1, s.noise_power.size)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power * shape, 6.0)
    reference = prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=5.9)
    ratio = noise_ratio(reference, images, s.rotations, s.displacements_A)
    rings = np.arange(2, images.band.rings.max() + 1)
    assert np.abs(ratio[rings] * shape[rings] - 1.0).max() < 0.12
    weighed = reweigh(images, ratio)
    right = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0)
    assert np.linalg.norm(weighed.data - right.data) < 0.05 * np.linalg.norm(right.data)
    assert np.linalg.norm(weighed.transfer - right.transfer) < 0.05 * np.linalg.norm(right.transfer)
    found = refine_poses(reference, weighed, s.rotations, s.displacements_A)
    assert found.noise_variance.mean() == pytest.approx(1.0, abs=0.02)


def test_bad_input_is_refused() -> None:
    s = scene(2)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0)
    reference = prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=5.9)
    with pytest.raises(InputError, match="without images"):
        noise_ratio(reference, images.select(slice(0, 0)), s.rotations[:0], s.displacements_A[:0])
    with pytest.raises(InputError, match="every ring"):
        reweigh(images, np.ones(3))
