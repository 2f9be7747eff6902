"""The spherical average of images, and images centred on it without poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.engine import ParticleStack, prepare_reference
from verglas.signal import apply_filter, cosine_lowpass
from verglas.stages.abinitio import AbInitioSettings, prepared, sphere
from verglas.stages.abinitio.sphere import Sphere, centred_on_sphere, spherical

BOX, PIXEL_A, SIGMA_A, RADIUS_A = 40, 3.0, 6.0, 42.0


def points_on_a_shell(count: int) -> np.ndarray:
    """Return points all around at one distance, in A: nearly a sphere, from whichever side."""
    height = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(count)
    ring = np.sqrt(1.0 - height**2)
    return 30.0 * np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=-1)


def test_images_of_a_round_particle_are_centred_without_poses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    table, truth = make_particles(tmp_path, 80, BOX, PIXEL_A, noise=1.5, points=points_on_a_shell(150))
    true = -np.stack([table["origin_x_A"], table["origin_y_A"]], axis=-1)
    with ParticleStack(table, tmp_path) as stack:
        images = prepared(stack, np.arange(80), AbInitioSettings(radius_A=RADIUS_A, low_A=120.0), 9.0)
    found, ball = centred_on_sphere(images, 9.0, RADIUS_A, SIGMA_A)
    assert np.sqrt(((found - true) ** 2).mean()) < 1.0 < 4.0 < np.sqrt((true**2).mean())
    # In parts and by several threads it is the same; and images that are not averaged are centred all the same.
    monkeypatch.setattr(sphere, "AT_ONCE", 16)
    once = centred_on_sphere(images, 9.0, RADIUS_A, SIGMA_A)[0]
    np.testing.assert_allclose(once, found, atol=1e-4)
    assert np.array_equal(centred_on_sphere(images, 9.0, RADIUS_A, SIGMA_A, threads=3)[0], once)
    half = centred_on_sphere(images, 9.0, RADIUS_A, SIGMA_A, np.arange(0, 80, 2))[0]
    assert half.shape == found.shape and np.sqrt(((half - true) ** 2).mean()) < 1.2
    # Nothing is as coarse as six of these deviations.
    assert np.isfinite(centred_on_sphere(images, 9.0, RADIUS_A, 40.0)[0]).all()
    # The density is that of the molecule, but for the scale that images are normalised to.
    got, true_one = (
        spherical(apply_filter(one, PIXEL_A, cosine_lowpass(10.0, 0.02)))
        for one in (ball.volume(BOX, PIXEL_A), truth)
    )  # fmt: skip
    assert np.corrcoef(got.ravel(), true_one.ravel())[0, 1] > 0.95


def test_the_transform_of_a_sphere_is_that_of_its_map() -> None:
    ball = Sphere(4.0, np.array([0.0, 1.0, 2.0, 3.0, 3.0, 2.0, 1.0, 0.0]))
    k = np.array([0.004, 0.01, 0.02, 0.03, 0.04])
    reference = prepare_reference(ball.volume(96, 1.5), 1.5, limit_A=6.0)
    slices = reference.slices(np.eye(3)[None], k, np.zeros_like(k))[0]
    np.testing.assert_allclose(slices.real, ball.transform(k), atol=0.03 * np.abs(ball.transform(k)).max())
