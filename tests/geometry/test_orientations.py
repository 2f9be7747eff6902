"""Grids of orientations: counts of cisTEM's search, measured coverings, random poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.microscope_oracles import cistem_grid_counts
from verglas.errors import InputError
from verglas.geometry import (
    cistem_views,
    geodesic_distance,
    in_plane_angles,
    local_rotations,
    matrix_to_rotvec,
    measure_directions,
    measure_poses,
    point_group,
    pose_grid,
    random_rotations,
    sphere_directions,
)


def test_views_of_cistem_are_as_many_as_it_visits(tmp_path: Path) -> None:
    names, steps = [], []
    for name in ("C1", "C2", "C3", "C7", "D2", "D3", "D7", "T", "T2", "O", "I", "I2"):
        for step in (20.0, 15.0, 7.5, 5.0, 4.3, 2.5):
            names.append(name)
            steps.append(step)
    theirs = cistem_grid_counts(names, steps, tmp_path)
    mine = [len(cistem_views(step, name)[0]) for name, step in zip(names, steps)]
    np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["C1", "C3", "D2", "D7", "T", "T2", "O", "I", "I2", "I3", "I4"])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("spacing_deg", [4.0, 15.0])
def test_directions_cover_the_sphere(name: str, mirror: bool, spacing_deg: float) -> None:
    spacing = np.deg2rad(spacing_deg)
    d = sphere_directions(spacing, name, mirror=mirror)
    assert np.all(point_group(name).in_asymmetric_unit(d, mirror=mirror))
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1.0, atol=1e-14)
    covering = measure_directions(d, name, mirror=mirror, probes=20_000)
    assert covering.largest_angle < 0.95 * spacing
    ideal = 4 * np.pi / spacing**2 / point_group(name).order / (1 + mirror)
    assert len(d) < 1.25 * ideal + 5


def test_directions_of_the_whole_sphere_are_even() -> None:
    spacing = np.deg2rad(5.0)
    covering = measure_directions(sphere_directions(spacing), probes=50_000)
    assert covering.unevenness < 0.03
    # A hexagonal covering of the same density would have a radius of 0.62 spacings.
    assert 0.6 * spacing < covering.largest_angle < 0.76 * spacing


def test_poses_cover_all_rotations() -> None:
    spacing = np.deg2rad(12.0)
    poses = pose_grid(spacing, "D2")
    covering = measure_poses(poses, "D2", probes=20_000)
    assert covering.largest_angle < spacing
    thinned = measure_poses(poses[::2], "D2", probes=20_000)
    assert thinned.largest_angle > covering.largest_angle


def test_in_plane_angles_fill_the_turn() -> None:
    psi = in_plane_angles(np.deg2rad(7.0))
    assert len(psi) == 52
    np.testing.assert_allclose(np.diff(psi), 2 * np.pi / 52)
    assert len(in_plane_angles(np.deg2rad(7.5))) == 48


def test_local_rotations_fill_the_ball() -> None:
    radius, spacing = np.deg2rad(10.0), np.deg2rad(2.0)
    local = local_rotations(radius, spacing)
    np.testing.assert_array_equal(local[0], np.eye(3))
    angles = geodesic_distance(local, np.eye(3))
    assert angles.max() < radius + 1e-9
    assert np.all(np.diff(angles) > -1e-9)
    assert len(local) == pytest.approx(4 / 3 * np.pi * (radius / spacing) ** 3, rel=0.1)
    vectors = matrix_to_rotvec(local)
    probes = matrix_to_rotvec(random_rotations(200_000, 3))
    probes = probes[np.linalg.norm(probes, axis=1) < radius - spacing]
    gaps = np.linalg.norm(probes[:, None] - vectors, axis=2).min(axis=1)
    assert gaps.max() < 0.72 * spacing
    assert len(local_rotations(0.0, spacing)) == 1


def test_random_rotations_are_even_and_counter_based() -> None:
    R = random_rotations(20_000, 1)
    np.testing.assert_array_equal(random_rotations(50, 1, first=100), R[100:150])
    assert not np.array_equal(random_rotations(5, 2), R[:5])
    assert not np.array_equal(random_rotations(5, 1, stream=1), R[:5])
    np.testing.assert_allclose(R.mean(axis=0), 0.0, atol=0.02)
    # The angle of an even rotation has density (1 - cos a) / pi.
    angle = geodesic_distance(R, np.eye(3))
    expected = np.array([(a - np.sin(a)) / np.pi for a in (0.5, 1.5, 2.5)])
    np.testing.assert_allclose([(angle < a).mean() for a in (0.5, 1.5, 2.5)], expected, atol=0.015)
    np.testing.assert_allclose(np.histogram(R[:, 2, 2], 10, (-1, 1))[0] / len(R), 0.1, atol=0.01)


@pytest.mark.parametrize("spacing", [0.0, -0.1, 4.0, float("nan")])
def test_spacings_that_make_no_sense_are_refused(spacing: float) -> None:
    with pytest.raises(InputError, match="angular spacing"):
        sphere_directions(spacing)
    with pytest.raises(InputError, match="angular spacing"):
        local_rotations(0.1, spacing)


def test_radius_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="neighbourhood"):
        local_rotations(-0.1, 0.1)
