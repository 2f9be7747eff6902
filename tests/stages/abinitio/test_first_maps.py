"""First maps of cubic groups: images centred without poses, smooth patterns that keep a symmetry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.engine import ParticleStack, transform_map
from verglas.geometry import point_group
from verglas.signal import apply_filter, cosine_lowpass
from verglas.stages.abinitio import AbInitioSettings, first_state, prepared, split_images, start_round
from verglas.stages.abinitio.first_maps import SWELLING, centred_on_sphere, spherical, swollen

BOX, PIXEL_A, SIGMA_A = 40, 3.0, 6.0


def points_on_a_shell(count: int) -> np.ndarray:
    """Return points all around at one distance, in A: nearly a sphere, from whichever side."""
    height = 1.0 - (2.0 * np.arange(count) + 1.0) / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * np.arange(count)
    ring = np.sqrt(1.0 - height**2)
    return 30.0 * np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=-1)


def test_images_of_a_round_particle_are_centred_without_poses(tmp_path: Path) -> None:
    table, _ = make_particles(tmp_path, 80, BOX, PIXEL_A, noise=1.5, points=points_on_a_shell(150))
    true = -np.stack([table["origin_x_A"], table["origin_y_A"]], axis=-1)
    with ParticleStack(table, tmp_path) as stack:
        images = prepared(stack, np.arange(80), AbInitioSettings(radius_A=42.0, low_A=120.0), 9.0)
    found = centred_on_sphere(images, 9.0, SIGMA_A)
    assert np.sqrt(((found - true) ** 2).mean()) < 1.0 < 4.0 < np.sqrt((true**2).mean())
    np.testing.assert_allclose(centred_on_sphere(images, 9.0, SIGMA_A, threads=2), found, atol=1e-6)


@pytest.mark.parametrize("symmetry", ["T", "O", "I"])
def test_swellings_are_smooth_and_have_the_symmetry(symmetry: str) -> None:
    axis = np.arange(48) - 24.0
    distance = 3.0 * np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    ball = np.asarray(1.0 / (1.0 + np.exp((distance - 50.0) / 4.0)), np.float32)
    np.testing.assert_allclose(spherical(ball), ball, atol=0.03)
    made = [
        swollen(ball, 3.0, 60.0, symmetry, start, np.random.Generator(np.random.Philox(start)))
        for start in (0, 0, 1, 2)
    ]  # fmt: skip
    assert np.array_equal(made[0], made[1])
    patterns = [one - ball for one in made]
    for one in patterns[1:]:
        assert np.sqrt((one**2).sum() / (ball**2).sum()) == pytest.approx(SWELLING, rel=1e-3)
        turned = transform_map(one, point_group(symmetry).operators[1], np.zeros(3), 3.0)
        assert np.corrcoef(turned.ravel(), one.ravel())[0, 1] > 0.98
    assert abs(np.corrcoef(patterns[1].ravel(), patterns[3].ravel())[0, 1]) < 0.999
    # Nothing fine for poses to cling to.
    left = apply_filter(patterns[1], 3.0, cosine_lowpass(15.0, 0.02))
    assert np.linalg.norm(left) > 0.99 * np.linalg.norm(patterns[1])


def test_a_start_begins_with_a_centred_sphere_only_where_a_cubic_group_is_imposed(tmp_path: Path) -> None:
    table, _ = make_particles(tmp_path, 60, BOX, PIXEL_A, symmetry="O", noise=1.0)
    with ParticleStack(table, tmp_path) as stack:
        for symmetry, impose, begins in (("O", True, True), ("O", False, False), ("D2", True, False)):
            how = AbInitioSettings(radius_A=40.0, symmetry=symmetry, impose=impose, low_A=120.0, start_A=12.0)
            assert how.from_sphere == begins
            images = prepared(stack, np.arange(60), how, how.middle_A)
            state = first_state(60, how, 0)
            start_round(state, images, split_images(60, how)[0], how, 0)
            assert state.displacements_A.any() == begins
            beyond = state.volumes[0] - spherical(state.volumes[0])
            part = np.sqrt((beyond**2).sum() / (state.volumes[0] ** 2).sum())
            assert (part < 0.3) == begins
