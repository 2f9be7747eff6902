"""First maps of cubic groups: smooth patterns that keep a symmetry, on a sphere that the images were centred on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.engine import ParticleStack, transform_map
from verglas.geometry import point_group
from verglas.signal import apply_filter, cosine_lowpass
from verglas.stages.abinitio import AbInitioSettings, first_state, prepared, split_images, start_round
from verglas.stages.abinitio.first_maps import SWELLING, swollen
from verglas.stages.abinitio.sphere import Sphere, spherical

BOX, PIXEL_A = 40, 3.0


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
