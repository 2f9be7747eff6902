"""The sums over all poses of a grid against the plain sum over rotations, and against a known molecule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import verglas.engine.pose_sums
from tests.engine.scenes import Scene, scene
from verglas.engine.band_sums import BandSums
from verglas.engine.images import ParticleImages, prepare_images
from verglas.engine.pose_sums import PoseGrid
from verglas.engine.reference import Reference, prepare_reference
from verglas.geometry import euler_to_matrix, geodesic_distance

# Kernels may compile here, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)

LIMIT_A, RADIUS_A = 10.0, 47.0


def prepared(count: int, noise: float) -> tuple[Scene, ParticleImages, Reference]:
    s = scene(count, noise=noise)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0)
    return s, images, prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=5.9, radius_A=RADIUS_A)


def test_sums_stand_for_all_rotations() -> None:
    s, images, reference = prepared(3, 4.0)
    # Counted for a twentieth, they leave many poses likely.
    images = replace(images, data=images.data / np.float32(20**0.5), transfer=images.transfer / np.float32(20**0.5))
    grid = PoseGrid(images.band, LIMIT_A, RADIUS_A, float(np.deg2rad(30.0)))
    found = grid.sums([reference, reference], images, np.full((3, 2), 0.5), centre_A=s.displacements_A)
    # Every rotation by the sum that it stands for; two equal references share the images.
    psi = np.linspace(0.0, 2.0 * np.pi, 120, endpoint=False)
    points, band = grid.points, images.band
    u, v = band.kx_per_A[:points], band.ky_per_A[:points]
    phase = s.displacements_A[:, :1] * u + s.displacements_A[:, 1:] * v
    data = images.data[:, :points] * np.exp(2j * np.pi * phase)
    slices = reference.slices(euler_to_matrix(0.0, 0.0, psi)[:, None] @ grid.rotations, u, v)
    by_direction, gain = np.zeros(len(grid.rotations)), np.zeros(3)
    for n in range(3):
        model = images.transfer[n, :points] * slices
        logs = 2.0 * (model.conj() * data[n]).real.sum(axis=-1) - (np.abs(model) ** 2).sum(axis=-1)
        top = logs.max()
        weights = np.exp(logs - top)
        gain[n] = top + np.log(weights.mean())
        power = float((images.transfer[n, :points] ** 2).sum())
        by_direction += power * weights.sum(axis=0) / weights.sum()
    # Rings stand for components, which changes likelihoods by a part of their own.
    np.testing.assert_allclose(found.gain, gain, rtol=0.1)
    weight = found.weight.sum(axis=(0, 2))
    assert np.corrcoef(weight, by_direction)[0, 1] > 0.98
    assert weight.sum() == pytest.approx(by_direction.sum(), rel=0.03)
    np.testing.assert_allclose(found.value[0], found.value[1], atol=1e-3 * np.abs(found.value).max())


def test_many_chunks_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    s, images, reference = prepared(1, 4.0)
    grid = PoseGrid(images.band, 20.0, RADIUS_A, float(np.deg2rad(60.0)))
    count = 3000
    monkeypatch.setattr(verglas.engine.pose_sums, "SCORES_AT_ONCE", 1)
    one, many = (
        grid.sums(
            [reference], images.select(np.zeros(n, np.int64)), np.full((n, 2), 0.5),
            centre_A=np.repeat(s.displacements_A, n, axis=0),
        )
        for n in (1, count)
    )  # fmt: skip
    # Added up in float32, thousands of equal chunks would be off by 1e-5.
    for part, whole in ((one.value, many.value), (one.weight, many.weight)):
        np.testing.assert_allclose(whole, count * part, rtol=0.0, atol=1e-6 * count * np.abs(part).max())


def test_clear_images_make_the_map_that_their_poses_make() -> None:
    s, images, reference = prepared(60, 1.0)
    grid = PoseGrid(images.band, LIMIT_A, RADIUS_A, float(np.deg2rad(10.0)), turn=euler_to_matrix(0.1, 0.1, 0.1))
    uniform = np.full((60, 2), 0.5)
    found = grid.sums([reference], images, uniform, centre_A=s.displacements_A)
    away = np.rad2deg(geodesic_distance(found.rotations, s.rotations))
    assert np.median(away) < 8.0
    known, summed = (BandSums(images.band, LIMIT_A) for _ in range(2))
    known.insert(images, found.rotations, s.displacements_A)
    summed.insert_slices(found.value[0], found.weight[0], grid.rotations)
    first, second = known.map(0.1), summed.map(0.1)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9
    # Neither transforms nor in-plane sums may lose a factor that their weight keeps.
    assert np.vdot(first, second) / np.vdot(first, first) == pytest.approx(1.0, abs=0.1)
    again = grid.sums([reference], images, uniform, centre_A=s.displacements_A, threads=2)
    assert np.array_equal(again.value, found.value) and np.array_equal(again.rotations, found.rotations)
