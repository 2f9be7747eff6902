"""First maps of cubic groups: images centred without poses, smooth patterns that keep a symmetry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.engine import ParticleStack, prepare_reference, transform_map
from verglas.geometry import point_group
from verglas.signal import apply_filter, cosine_lowpass
from verglas.stages.abinitio import AbInitioSettings, first_state, prepared, sphere, split_images, start_round
from verglas.stages.abinitio.first_maps import SWELLING, swollen
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


@pytest.mark.parametrize("symmetry", ["T", "T2", "O", "I", "I2"])
def test_swellings_are_smooth_and_have_the_symmetry(symmetry: str) -> None:
    axis = np.arange(40) - 20.0
    distance = 3.6 * np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    ball = np.asarray(1.0 / (1.0 + np.exp((distance - 50.0) / 4.0)), np.float32)
    np.testing.assert_allclose(spherical(ball), ball, atol=0.04)
    made = [
        swollen(ball, 3.6, 60.0, symmetry, start, np.random.Generator(np.random.Philox(start)))
        for start in (0, 0, 1)
    ]  # fmt: skip
    assert np.array_equal(made[0], made[1])
    for one in made[1:]:
        pattern = one - ball
        assert np.sqrt((pattern**2).sum() / (ball**2).sum()) == pytest.approx(SWELLING, rel=1e-3)
        for operator in point_group(symmetry).operators[1:]:
            turned = transform_map(pattern, operator, np.zeros(3), 3.6)
            assert np.corrcoef(turned.ravel(), pattern.ravel())[0, 1] > 0.97
    # Nothing fine for poses to cling to.
    pattern = made[0] - ball
    left = apply_filter(pattern, 3.6, cosine_lowpass(15.0, 0.02))
    assert np.linalg.norm(left) > 0.99 * np.linalg.norm(pattern)


def test_two_starts_swell_differently() -> None:
    ball = Sphere(5.0, np.ones(10)).volume(32, 4.0)
    first, second = (
        swollen(ball, 4.0, 50.0, "I", 1, np.random.Generator(np.random.Philox(seed))) - ball for seed in (1, 2)
    )
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.95


def test_a_start_begins_with_a_centred_sphere_only_where_a_cubic_group_is_imposed(tmp_path: Path) -> None:
    table, _ = make_particles(tmp_path, 60, BOX, PIXEL_A, symmetry="O", noise=1.0)
    with ParticleStack(table, tmp_path) as stack:
        for symmetry, impose, begins in (("O", True, True), ("O", False, False), ("D2", True, False)):
            how = AbInitioSettings(radius_A=40.0, symmetry=symmetry, impose=impose, low_A=120.0, start_A=12.0)
            assert how.from_sphere == begins
            images = prepared(stack, np.arange(60), how, how.middle_A)
            state = first_state(60, how, 0)
            start_round(state, images, split_images(60, how)[0], how, 0)
            assert state.number == 1 and state.displacements_A.any() == begins
            beyond = state.volumes[0] - spherical(state.volumes[0])
            part = np.sqrt((beyond**2).sum() / (state.volumes[0] ** 2).sum())
            assert (part < 0.3) == begins
