"""Prepared images against the closed form of the forward model, and the whiteness of their noise."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.scenes import scene
from verglas.engine.images import band, normalise, prepare_images
from verglas.engine.reference import prepare_reference
from verglas.errors import InputError
from verglas.signal import noise_power, sphere_mask


@pytest.mark.parametrize(("inverted", "tilt"), [(False, 0.0), (True, 1.5)])
def test_the_forward_model_explains_the_images(inverted: bool, tilt: float) -> None:
    s = scene(12, contrast_inverted=inverted, beam_tilt_mrad=tilt)
    ready = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0, contrast_inverted=inverted)
    reference = prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=5.9)
    kx, ky = ready.band.kx_per_A, ready.band.ky_per_A
    slices = np.stack([reference.slices(R, kx, ky) for R in s.rotations])
    phase = kx * s.displacements_A[:, :1] + ky * s.displacements_A[:, 1:]
    model = ready.transfer * slices * np.exp(-2j * np.pi * phase)
    per_image = (ready.data * model.conj()).real.sum(axis=1)
    per_image /= np.linalg.norm(ready.data, axis=1) * np.linalg.norm(model, axis=1)
    assert per_image.min() > 0.999
    assert (ready.data * model.conj()).real.sum() / (np.abs(model) ** 2).sum() == pytest.approx(1.0, abs=0.02)


def test_noise_becomes_white_with_variance_one() -> None:
    s = scene(200, noise=300.0)
    measured = noise_power(s.images, sphere_mask((48, 48), 1.0, 2.5))[1][0]
    ready = prepare_images(s.images, s.optics, s.defocus, measured, 6.0)
    rings = np.rint(np.hypot(ready.band.column, ready.band.row)).astype(int)
    variance = np.bincount(rings, (np.abs(ready.data) ** 2).mean(axis=0)) / np.maximum(np.bincount(rings), 1)
    assert np.abs(variance[2:] - 1.0).max() < 0.12
    assert np.mean(np.abs(ready.data) ** 2) == pytest.approx(1.0, abs=0.02)
    assert np.mean(ready.data.real**2) == pytest.approx(0.5, abs=0.02)


def test_each_component_stands_once_and_limits_are_first_parts() -> None:
    points = band(32, 2.0, 5.0)
    everything = {(int(x), int(y)) for x, y in zip(points.column, points.row)}
    assert len(everything) == len(points)
    assert not any((-x, -y) in everything for x, y in everything)
    coarse = band(32, 2.0, 10.0)
    count = points.count_to(10.0)
    assert np.array_equal(points.column[:count], coarse.column)
    assert np.array_equal(points.row[:count], coarse.row)
    # Half of the disc, less the origin.
    assert len(points) == pytest.approx(0.5 * np.pi * 12.5**2, rel=0.06)
    narrow = band(32, 2.0, 5.0, 16.0)
    assert np.rint(np.hypot(narrow.column, narrow.row)).min() == 4


def test_normalise_uses_the_background_of_each_image(rng: np.random.Generator) -> None:
    images = rng.standard_normal((3, 32, 32)) * np.array([1.0, 5.0, 0.2])[:, None, None] + 7.0
    outside = sphere_mask((32, 32), 20.0, 2.0) == 0
    values = normalise(images, 20.0, 2.0)[:, outside]
    assert np.allclose(values.mean(axis=1), 0, atol=1e-5)
    assert np.allclose(values.std(axis=1), 1, atol=1e-5)


def test_bad_input_is_refused() -> None:
    s = scene(2)
    with pytest.raises(InputError, match="shape"):
        prepare_images(s.images[0], s.optics, s.defocus, s.noise_power, 6.0)
    with pytest.raises(InputError, match="no power"):
        prepare_images(s.images, s.optics, s.defocus, np.zeros(30), 6.0)
    with pytest.raises(InputError, match="no component"):
        band(32, 2.0, 20.0, 10.0)
    with pytest.raises(InputError, match="constant"):
        normalise(np.ones((1, 32, 32)), 10.0, 2.0)
    with pytest.raises(InputError, match="background"):
        normalise(s.images, 200.0, 2.5)
