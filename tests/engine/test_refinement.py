"""Refined poses against known truth, the predicted uncertainty, and scipy's optimiser on the same likelihood."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from tests.engine.scenes import Scene, scene
from verglas.engine.images import ParticleImages, prepare_images
from verglas.engine.reference import Reference, prepare_reference
from verglas.engine.refinement import RefinedPoses, RefinementSettings, refine_poses
from verglas.errors import InputError
from verglas.geometry import matrix_to_euler, matrix_to_rotvec, rotvec_to_matrix
from verglas.microscopy import Optics, anisotropic_magnification, ctf, odd_aberration_factor
from verglas.microscopy.ctf import true_frequencies

# The kernel compiles in the first test, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)


@lru_cache
def prepared(count: int, noise: float) -> tuple[Scene, ParticleImages, Reference]:
    s = scene(count, noise=noise)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0)
    return s, images, prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=5.9)


def start(s: Scene, degrees: float = 2.0, shift_A: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.Generator(np.random.Philox(3))
    turns = np.deg2rad(degrees) * random.standard_normal((len(s.rotations), 3))
    moved = s.displacements_A + shift_A * random.standard_normal(s.displacements_A.shape)
    return rotvec_to_matrix(turns) @ s.rotations, moved


def errors(s: Scene, rotations: np.ndarray, displacements: np.ndarray) -> np.ndarray:
    turns = matrix_to_rotvec(rotations @ np.swapaxes(s.rotations, 1, 2))
    return np.concatenate([turns, displacements - s.displacements_A], axis=1)


def test_without_noise_the_truth_is_found() -> None:
    s, images, reference = prepared(40, 0.0)
    found = refine_poses(reference, images, *start(s))
    away = np.abs(errors(s, found.rotations, found.displacements_A))
    assert np.median(away[:, :3]) < np.deg2rad(0.02)
    assert np.median(away[:, 3:]) < 0.01
    assert np.median(np.abs(found.scale - 1)) < 0.005


def test_errors_are_as_large_as_predicted() -> None:
    s, images, reference = prepared(300, 4.0)
    found = refine_poses(reference, images, *start(s), threads=2)
    predicted = np.sqrt(np.diagonal(found.covariance, axis1=1, axis2=2)[:, :5])
    ratio = errors(s, found.rotations, found.displacements_A) / predicted
    # Robust spread: some images of so small a molecule have a second maximum.
    spread = 1.4826 * np.median(np.abs(ratio), axis=0)
    assert np.all(np.abs(spread - 1.0) < 0.3), spread
    covered = np.mean(np.abs(ratio) < 1.645)
    assert covered == pytest.approx(0.90, abs=0.05)
    assert found.noise_variance.mean() == pytest.approx(1.0, abs=0.03)
    assert np.all(np.isfinite(found.covariance))


def negative_log_likelihood(
    images: ParticleImages, reference: Reference, i: int, R: np.ndarray, d: np.ndarray, scale: float
) -> float:
    kx, ky = images.band.kx_per_A, images.band.ky_per_A
    model = scale * images.transfer[i] * reference.slices(R, kx, ky) * np.exp(-2j * np.pi * (kx * d[0] + ky * d[1]))
    return float((np.abs(images.data[i] - model) ** 2).sum())


def test_it_climbs_as_high_as_a_derivative_free_search() -> None:
    from scipy.optimize import minimize

    s, images, reference = prepared(300, 4.0)
    rotations, moved = start(s)
    found = refine_poses(reference, images, rotations, moved)
    for i in range(3):
        ours = -found.log_likelihood[i]
        same = negative_log_likelihood(
            images, reference, i, found.rotations[i], found.displacements_A[i], found.scale[i]
        )
        assert same == pytest.approx(ours, rel=1e-4)

        def cost(x: np.ndarray, i: int = i) -> float:
            return negative_log_likelihood(
                images, reference, i, rotvec_to_matrix(x[:3]) @ found.rotations[i], x[3:5] * 10, 1.0 + x[5]
            )

        first = np.array([0, 0, 0, *(found.displacements_A[i] / 10), found.scale[i] - 1])
        simplex = np.vstack([first, first + 0.02 * np.eye(6)])
        best = minimize(cost, first, method="Nelder-Mead", options={"maxfev": 300, "initial_simplex": simplex}).fun
        assert ours < best + 0.25


def test_defocus_and_astigmatism_are_refined() -> None:
    s, images, reference = prepared(40, 0.0)
    wrong = s.defocus.copy()
    wrong[:, :2] += np.array([180.0, 100.0])
    transfer = ctf(images.band.kx_per_A, images.band.ky_per_A, s.optics, *wrong.T) * images.whitening
    off = ParticleImages(images.band, images.data, transfer, images.whitening, images.group, images.optics, wrong)
    found = refine_poses(
        reference, off, s.rotations, s.displacements_A, RefinementSettings(defocus=True, astigmatism=True)
    )
    assert np.median(np.abs(found.defocus[:, :2] - s.defocus[:, :2])) < 10.0
    kept = refine_poses(reference, off, s.rotations, s.displacements_A)
    assert np.all(kept.log_likelihood < found.log_likelihood)
    assert np.allclose(kept.defocus, wrong)


def test_all_aberrations_are_in_the_model() -> None:
    s, _, reference = prepared(40, 0.0)
    optics = replace(
        s.optics, beam_tilt_x_mrad=2.0, beam_tilt_y_mrad=-1.5, trefoil_A=4e4, trefoil_angle=0.3, tetrafoil_A=2e7,
        tetrafoil_angle=0.2, magnification=anisotropic_magnification(1.03, 0.98, 0.5),
    )  # fmt: skip
    ky, kx = np.meshgrid(np.fft.fftfreq(48, 2.5), np.fft.rfftfreq(48, 2.5), indexing="ij")
    pixels = []
    for R, d, defocus in zip(s.rotations, s.displacements_A, s.defocus):
        transform = s.molecule.transform(R, *true_frequencies(kx, ky, optics))
        transform = transform * np.exp(-2j * np.pi * (kx * d[0] + ky * d[1]))
        transform *= ctf(kx, ky, optics, *defocus, dtype=np.float64) * odd_aberration_factor(kx, ky, optics)
        transform[24], transform[:, 24] = 0, 0
        pixels.append(np.fft.fftshift(np.fft.irfft2(transform, (48, 48))))
    start_at = start(s, 1.0, 0.5)

    def refined(known: Optics) -> RefinedPoses:
        images = prepare_images(np.array(pixels), known, s.defocus, s.noise_power, 6.2)
        return refine_poses(reference, images, *start_at)

    whole = refined(optics)
    away = np.abs(errors(s, whole.rotations, whole.displacements_A))
    assert np.median(away[:, :3]) < np.deg2rad(0.03)
    assert np.median(away[:, 3:]) < 0.015
    for without in (
        {"beam_tilt_x_mrad": 0.0, "beam_tilt_y_mrad": 0.0},
        {"trefoil_A": 0.0},
        {"tetrafoil_A": 0.0},
        {"magnification": s.optics.magnification},
    ):
        ratio = np.median(refined(replace(optics, **without)).noise_variance / whole.noise_variance)
        assert ratio > 1.5, (without, ratio)


def test_what_is_switched_off_stays() -> None:
    s, images, reference = prepared(40, 0.0)
    rotations, moved = start(s, 1.0)
    before = matrix_to_euler(rotations)
    only_psi = refine_poses(reference, images, rotations, moved, RefinementSettings(phi=False, theta=False, x=False))
    after = matrix_to_euler(only_psi.rotations)
    assert np.allclose(after[0], before[0], atol=1e-9)
    assert np.allclose(after[1], before[1], atol=1e-9)
    assert np.all(np.abs(after[2] - before[2]) > 1e-9)
    assert np.array_equal(only_psi.displacements_A[:, 0], moved[:, 0])
    assert np.all(only_psi.covariance[:, :2] == 0)
    only_theta = refine_poses(reference, images, rotations, moved, RefinementSettings(phi=False, psi=False))
    after = matrix_to_euler(only_theta.rotations)
    assert np.allclose(after[0], before[0], atol=1e-9)
    assert np.allclose(np.sin(after[2] - before[2]), 0, atol=1e-9)
    nothing = RefinementSettings(phi=False, theta=False, psi=False, x=False, y=False, scale=False)
    still = refine_poses(reference, images, rotations, moved, nothing)
    assert np.array_equal(still.rotations, rotations)


def test_a_prior_holds_the_shift() -> None:
    s, images, reference = prepared(300, 4.0)
    free = refine_poses(reference, images, s.rotations, s.displacements_A)
    held = refine_poses(
        reference, images, s.rotations, s.displacements_A, RefinementSettings(shift_sigma_A=0.01),
        centre_A=s.displacements_A,
    )  # fmt: skip
    assert np.abs(held.displacements_A - s.displacements_A).max() < 0.05
    assert np.abs(free.displacements_A - s.displacements_A).max() > 0.3


def test_stages_lead_starts_from_far_to_the_right_maximum() -> None:
    s, images, reference = prepared(40, 0.0)
    far = start(s, 8.0, 4.0)
    at_once = refine_poses(reference, images, *far)
    staged = refine_poses(reference, images, *far, RefinementSettings(stages_A=(16.0, 9.0)))

    def lost(found: RefinedPoses) -> float:
        turns = errors(s, found.rotations, found.displacements_A)[:, :3]
        return float(np.mean(np.linalg.norm(turns, axis=1) > np.deg2rad(1.0)))

    assert lost(at_once) > 0.1
    assert lost(staged) < 0.6 * lost(at_once)


def test_threads_and_batches_change_nothing() -> None:
    s, images, reference = prepared(300, 4.0)
    rotations, moved = start(s)
    one = refine_poses(reference, images, rotations, moved, threads=1)
    two = refine_poses(reference, images, rotations, moved, threads=2)
    part = refine_poses(reference, images, rotations[200:], moved[200:], image=np.arange(200, 300))
    assert np.array_equal(one.rotations, two.rotations)
    assert np.array_equal(one.rotations[200:], part.rotations)
    assert np.array_equal(one.log_likelihood[200:], part.log_likelihood)


def test_bad_input_is_refused() -> None:
    s, images, reference = prepared(40, 0.0)
    with pytest.raises(InputError, match="one image each"):
        refine_poses(reference, images, s.rotations[:3], s.displacements_A[:3])
    with pytest.raises(InputError, match="there are 40"):
        refine_poses(reference, images, s.rotations[:1], s.displacements_A[:1], image=[40])
    with pytest.raises(InputError, match="coarse to fine"):
        refine_poses(reference, images, s.rotations, s.displacements_A, RefinementSettings(stages_A=(8.0, 12.0)))
