"""The spread of poses: against likelihoods computed plainly, the normal matrix at strong signals, and the truth."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from scipy.stats import chi2

from tests.engine.scenes import Scene, scene
from verglas.engine import (
    ParticleImages,
    Reference,
    RefinedPoses,
    RefinementSettings,
    log_likelihoods,
    pose_spread,
    prepare_images,
    prepare_reference,
    refine_poses,
)
from verglas.errors import InputError
from verglas.geometry import matrix_to_rotvec, rotvec_to_matrix
from verglas.kernels.pose_likelihood import match_poses

pytestmark = pytest.mark.timeout(600)


@lru_cache
def refined(count: int, noise: float) -> tuple[Scene, ParticleImages, Reference, RefinedPoses]:
    s = scene(count, noise=noise)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 8.0)
    reference = prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=7.5)
    random = np.random.Generator(np.random.Philox(4))
    start = rotvec_to_matrix(np.deg2rad(2.0) * random.standard_normal((count, 3))) @ s.rotations
    moved = s.displacements_A + random.standard_normal((count, 2))
    return s, images, reference, refine_poses(reference, images, start, moved, threads=2)


def test_the_kernel_matches_a_plain_computation() -> None:
    s, images, reference, _ = refined(40, 1.0)
    kx, ky = images.true_k_per_A
    u, v = reference.coordinates(kx, ky)
    which = np.array([3, 3, 7])
    rotations = np.ascontiguousarray(s.rotations[[3, 5, 7]], np.float32)
    moved = s.displacements_A[[3, 3, 9]]
    sums = np.zeros((3, 2))
    match_poses(
        0, 3, reference.values, reference.centre, reference.depth, u, v, images.band.column, images.band.row,
        images.data, images.transfer, 2 * np.pi / (48 * 2.5), which, rotations, moved, sums,
    )  # fmt: skip
    slices = reference.slices(rotations, kx, ky)
    phase = np.exp(-2j * np.pi * (moved[:, :1] * images.band.kx_per_A + moved[:, 1:] * images.band.ky_per_A))
    model = images.transfer[which] * slices * phase
    assert np.allclose(sums[:, 0], (np.abs(model) ** 2).sum(axis=1), rtol=1e-5)
    assert np.allclose(sums[:, 1], (model.conj() * images.data[which]).real.sum(axis=1), rtol=1e-4)


def test_log_likelihoods_are_those_of_the_refinement() -> None:
    s, images, reference, found = refined(40, 1.0)
    data = (np.abs(images.data) ** 2).sum(axis=1, dtype=np.float64)
    ours = log_likelihoods(reference, images, found.rotations, found.displacements_A)
    np.testing.assert_allclose(ours - data, found.log_likelihood, rtol=1e-5)
    held = log_likelihoods(reference, images, found.rotations, found.displacements_A, scale=found.scale)
    np.testing.assert_allclose(held, ours, rtol=1e-5)
    both = np.stack([found.rotations[:3], s.rotations[:3]], axis=1)
    moved = np.stack([found.displacements_A[:3], s.displacements_A[:3]], axis=1)
    several = log_likelihoods(reference, images, both, moved, image=[0, 1, 2], threads=2)
    assert several.shape == (3, 2)
    np.testing.assert_array_equal(several[:, 0], ours[:3])
    assert np.all(several[:, 1] < several[:, 0] + 0.5)
    with pytest.raises(InputError, match="do not fit"):
        log_likelihoods(reference, images, both, moved)


def test_ellipsoids_have_the_tails_of_students_t() -> None:
    _, images, reference, found = refined(40, 1.0)
    spread = pose_spread(reference, images, found)
    random = np.random.Generator(np.random.Philox(2))
    points = random.standard_normal((200_000, 5)) / np.sqrt(random.chisquare(40.0, (200_000, 1)) / 38.0)
    assert np.cov(points.T) == pytest.approx(np.eye(5), abs=0.02)
    for level in (0.5, 0.9, 0.99):
        assert np.mean((points**2).sum(axis=1) < spread.squared_radius(level)) == pytest.approx(level, abs=0.004)
    with pytest.raises(InputError, match="between 0 and 1"):
        spread.squared_radius(1.0)


def test_at_strong_signals_it_is_the_normal_matrix() -> None:
    _, images, reference, found = refined(40, 1.0)
    spread = pose_spread(reference, images, found)
    stated = np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2)[:, :5])
    ratio = np.sqrt(np.diagonal(spread.covariance, axis1=1, axis2=2)) / stated
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)
    assert np.all((ratio > 0.6) & (ratio < 1.7))
    turned = matrix_to_rotvec(spread.rotations @ np.swapaxes(found.rotations, 1, 2)) / stated[:, :3]
    assert np.median(np.abs(turned)) < 0.2
    assert np.median(spread.effective_draws) > 30


def test_at_weak_signals_its_regions_hold_the_truth_as_often_as_they_say() -> None:
    s, images, reference, found = refined(600, 5.0)
    spread = pose_spread(reference, images, found, threads=2)

    def inside(rotations: np.ndarray, displacements: np.ndarray, covariance: np.ndarray, level: float) -> float:
        turns = matrix_to_rotvec(s.rotations @ np.swapaxes(rotations, 1, 2))
        away = np.concatenate([turns, s.displacements_A - displacements], axis=1)
        squared = np.einsum("ni,nij,nj->n", away, np.linalg.inv(covariance), away)
        return float(np.mean(squared < chi2.ppf(level, 5)))

    plain = inside(found.rotations, found.displacements_A, found.covariance[:, :5, :5], 0.9)
    looked_at = inside(spread.rotations, spread.displacements_A, spread.covariance, 0.9)
    assert plain < 0.85
    assert looked_at == pytest.approx(0.9, abs=0.04)


def test_what_was_not_refined_has_no_spread() -> None:
    s, images, reference, _ = refined(40, 1.0)
    settings = RefinementSettings(phi=False, theta=False, y=False)
    found = refine_poses(reference, images, s.rotations, s.displacements_A, settings)
    spread = pose_spread(reference, images, found, settings)
    assert np.all(spread.covariance[:, [0, 1, 4]] == 0.0)
    assert np.all(spread.covariance[:, [2, 3], [2, 3]] > 0.0)
    assert np.array_equal(spread.displacements_A[:, 1], found.displacements_A[:, 1])
    stated = found.covariance[:, 2, 2]
    assert np.median(spread.covariance[:, 2, 2] / stated) == pytest.approx(1.0, abs=0.15)


def test_a_prior_narrows_displacements() -> None:
    s, images, reference, _ = refined(40, 1.0)
    settings = RefinementSettings(shift_sigma_A=0.02)
    found = refine_poses(reference, images, s.rotations, s.displacements_A, settings, centre_A=s.displacements_A)
    spread = pose_spread(reference, images, found, settings, centre_A=s.displacements_A)
    narrowed = np.sqrt(spread.covariance[:, 3, 3])
    assert np.median(narrowed) == pytest.approx(0.02, rel=0.15)


def test_threads_and_unknown_poses() -> None:
    _, images, reference, found = refined(40, 1.0)
    one, two = (pose_spread(reference, images, found, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.covariance, two.covariance)
    covariance = found.covariance.copy()
    covariance[3] = np.nan
    unknown = pose_spread(reference, images, replace(found, covariance=covariance))
    assert np.all(np.isnan(unknown.covariance[3]))
    assert unknown.effective_draws[3] == 0.0
    assert np.array_equal(unknown.displacements_A[3], found.displacements_A[3])
    assert np.allclose(unknown.covariance[4], one.covariance[4])


def test_bad_input_is_refused() -> None:
    _, images, reference, found = refined(40, 1.0)
    with pytest.raises(InputError, match="each"):
        pose_spread(reference, images.select(slice(0, 3)), found)
    with pytest.raises(InputError, match="32 draws"):
        pose_spread(reference, images, found, draws=8)
    with pytest.raises(InputError, match="refined defocus"):
        pose_spread(reference, images, found, RefinementSettings(defocus=True))
    with pytest.raises(InputError, match="switch on"):
        off = RefinementSettings(phi=False, theta=False, psi=False, x=False, y=False)
        pose_spread(reference, images, found, off)
