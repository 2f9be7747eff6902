"""Rotations against SciPy, closed forms, and projections by cisTEM and RELION."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.support.microscope_oracles import (
    blob_projections,
    blob_volume,
    cistem_projections,
    correlations,
    random_angles_deg,
    relion_projections,
)
from verglas.errors import InputError
from verglas.geometry import (
    direction_to_angles,
    euler_to_matrix,
    geodesic_distance,
    matrix_to_euler,
    matrix_to_quaternion,
    matrix_to_rotvec,
    mean_rotation,
    mirror_pose,
    quaternion_to_matrix,
    random_rotations,
    rotvec_to_matrix,
    view_direction,
)

SIZE = 48


def test_euler_angles_are_those_of_cistem(tmp_path: Path) -> None:
    angles = random_angles_deg(30)
    theirs = cistem_projections(blob_volume(SIZE), angles, tmp_path)
    mine = blob_projections(SIZE, euler_to_matrix(*np.deg2rad(angles.T)))
    # Its slices come from an unpadded transform by linear interpolation: what is lost is not the convention.
    assert correlations(mine, theirs).min() > 0.99
    assert correlations(mine[7:, ::-1], theirs[7:]).max() < 0.9


def test_euler_angles_are_those_of_relion(tmp_path: Path) -> None:
    angles = random_angles_deg(30)
    theirs = relion_projections(blob_volume(SIZE), angles, tmp_path)
    mine = blob_projections(SIZE, euler_to_matrix(*np.deg2rad(angles.T)))
    assert correlations(mine, theirs).min() > 0.999
    turned = blob_projections(SIZE, np.swapaxes(euler_to_matrix(*np.deg2rad(angles.T)), -1, -2))
    assert correlations(turned[7:], theirs[7:]).min() < 0.9


def test_matrix_is_the_product_of_three_coordinate_rotations() -> None:
    phi, theta, psi = 0.4, 1.1, -2.3

    def about_z(a: float) -> np.ndarray:
        return np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])

    about_y = np.array([[np.cos(theta), 0, -np.sin(theta)], [0, 1, 0], [np.sin(theta), 0, np.cos(theta)]])
    expected = about_z(psi) @ about_y @ about_z(phi)
    np.testing.assert_allclose(euler_to_matrix(phi, theta, psi), expected, atol=1e-15)
    np.testing.assert_allclose(view_direction(phi, theta), expected[2], atol=1e-15)


def test_round_trips_and_scipy() -> None:
    R = random_rotations(2000, 5)
    near_pole = euler_to_matrix(0.7, np.array([0.0, 1e-14, 1e-9, 1e-5, np.pi - 1e-9, np.pi]), -1.9)
    R = np.concatenate([R, near_pole])
    np.testing.assert_allclose(euler_to_matrix(*matrix_to_euler(R)), R, atol=1e-14)
    np.testing.assert_allclose(quaternion_to_matrix(matrix_to_quaternion(R)), R, atol=1e-14)
    np.testing.assert_allclose(rotvec_to_matrix(matrix_to_rotvec(R)), R, atol=1e-14)
    scipy = Rotation.from_matrix(R)
    np.testing.assert_allclose(scipy.magnitude(), geodesic_distance(R, np.eye(3)), atol=1e-7)
    np.testing.assert_allclose(Rotation.from_rotvec(matrix_to_rotvec(R)).as_matrix(), R, atol=1e-14)
    q = matrix_to_quaternion(R)
    np.testing.assert_allclose(Rotation.from_quat(q, scalar_first=True).as_matrix(), R, atol=1e-14)
    assert np.all(q[:, 0] >= 0.0)
    phi, theta = direction_to_angles(R[:, 2])
    np.testing.assert_allclose(view_direction(phi, theta), R[:, 2], atol=1e-12)


def test_half_turns_and_tiny_turns() -> None:
    axes = random_rotations(50, 6)[:, 0]
    half = rotvec_to_matrix(np.pi * axes)
    np.testing.assert_allclose(half, 2 * axes[:, :, None] * axes[:, None] - np.eye(3), atol=1e-14)
    np.testing.assert_allclose(geodesic_distance(half, np.eye(3)), np.pi, atol=1e-7)
    tiny = rotvec_to_matrix(1e-9 * axes)
    np.testing.assert_allclose(geodesic_distance(tiny, np.eye(3)), 1e-9, rtol=1e-6)
    np.testing.assert_allclose(matrix_to_rotvec(tiny), 1e-9 * axes, rtol=1e-6, atol=1e-16)
    np.testing.assert_array_equal(rotvec_to_matrix(np.zeros(3)), np.eye(3))


def test_shapes_broadcast() -> None:
    assert euler_to_matrix(np.zeros((4, 1)), np.zeros(3), 0.0).shape == (4, 3, 3, 3)
    assert geodesic_distance(random_rotations(4, 1)[:, None], random_rotations(3, 2)).shape == (4, 3)


def test_mean_of_a_cloud_is_its_centre() -> None:
    centre = random_rotations(1, 7)[0]
    steps = np.random.Generator(np.random.Philox(8)).normal(0.0, 0.1, (500, 3))
    cloud = rotvec_to_matrix(np.concatenate([steps, -steps])) @ centre
    assert geodesic_distance(mean_rotation(cloud), centre) < 1e-7
    assert geodesic_distance(mean_rotation(cloud[:2], [1.0, 0.0]), cloud[0]) < 1e-7
    with pytest.raises(InputError, match="average of rotations"):
        mean_rotation(cloud[:2], [0.0, 0.0])


def test_mirror_pose_reverses_y() -> None:
    R = random_rotations(5, 9)
    there, back = blob_projections(33, R), blob_projections(33, mirror_pose(R))
    np.testing.assert_allclose(back, there[:, ::-1], atol=1e-12)
