"""The search of reference images against known truth and against the likelihood that its gains stand for."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from tests.engine.atoms import blobs
from tests.engine.scenes import Scene, scene
from verglas.engine import (
    Drawing,
    ImageSearchSettings,
    ImageTemplates,
    ParticleImages,
    Reference,
    draw_images,
    prepare_image_reference,
    prepare_images,
    prepare_reference,
    project,
    refine_draws,
    search_images,
)
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix, random_rotations

# The refinement kernel may compile here, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)

CLASSES = 12
SETTINGS = ImageSearchSettings(limit_A=10.0, shift_step_A=3.0, shift_range_A=12.0, keep=3)


@lru_cache
def prepared(noise: float, count: int = 120) -> tuple[Scene, ParticleImages, list[Reference], np.ndarray, np.ndarray]:
    """Return images of a molecule in a few views, the views as references, and each image's view and angle."""
    random = np.random.Generator(np.random.Philox(21))
    views = random_rotations(CLASSES, 4)
    which, psi = random.integers(0, CLASSES, count), random.uniform(-np.pi, np.pi, count)
    s = scene(count, noise=noise, rotations=euler_to_matrix(0.0, 0.0, psi) @ views[which])
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0)
    pictures = project(prepare_reference(blobs().volume(48, 2.5), 2.5), views)
    references = [prepare_image_reference(picture, 2.5, limit_A=5.9, radius_A=47.0) for picture in pictures]
    return s, images, references, which, psi


def away_deg(psi: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.abs(np.rad2deg(np.angle(np.exp(1j * (psi - truth)))))


@pytest.mark.parametrize(("noise", "degrees", "shift_A"), [(0.0, 0.3, 0.1), (4.0, 1.5, 0.7)])
def test_class_angle_and_shift_are_found(noise: float, degrees: float, shift_A: float) -> None:
    s, images, references, which, psi = prepared(noise)
    found = search_images(references, images, SETTINGS)
    right = found.reference[:, 0] == which
    assert np.mean(right) > 0.98
    assert np.median(away_deg(found.psi[:, 0], psi)[right]) < degrees
    assert away_deg(found.psi[:, 0], psi)[right].max() < 12.0
    moved = np.linalg.norm(found.displacements_A[:, 0] - s.displacements_A, axis=1)
    assert np.median(moved[right]) < shift_A
    assert np.median(np.abs(found.scale[right, 0] - 1.0)) < (0.25 if noise else 0.03)
    assert np.allclose(found.weights.sum(axis=1), 1.0)
    assert np.all(found.log_likelihood[:, :-1] >= found.log_likelihood[:, 1:])


@pytest.mark.parametrize("fit_scale", [True, False])
def test_gains_equal_the_likelihood_that_they_stand_for(fit_scale: bool) -> None:
    _, images, references, _, _ = prepared(4.0)
    how = replace(SETTINGS, steps=0, fit_scale=fit_scale, margin=np.inf, keep=2)
    found = search_images(references, images, how)
    part = images.band.up_to(how.limit_A)
    kx, ky, points = part.kx_per_A, part.ky_per_A, len(part)
    for k in range(2):
        direct = []
        for i in range(len(images)):
            d, R = found.displacements_A[i, k], euler_to_matrix(0.0, 0.0, found.psi[i, k])
            model = images.transfer[i, :points] * references[found.reference[i, k]].slices(R, kx, ky)
            model = model * np.exp(-2j * np.pi * (kx * d[0] + ky * d[1]))
            product = (images.data[i, :points] * model.conj()).real.sum()
            power = (np.abs(model) ** 2).sum()
            direct.append(product**2 / power if fit_scale else 2 * product - power)
        # Without a fitted scale it is a difference, and shows more of the averaged transfer.
        assert np.corrcoef(direct, found.log_likelihood[:, k])[0, 1] > (0.99 if fit_scale else 0.97)
        assert np.median(np.abs(found.log_likelihood[:, k] - direct) / np.abs(direct)) < (0.1 if fit_scale else 0.2)


def test_the_grid_alone_is_near_the_refined_pose() -> None:
    _, images, references, which, psi = prepared(0.0)
    found = search_images(references, images, replace(SETTINGS, steps=0))
    assert np.mean(found.reference[:, 0] == which) > 0.95
    step = 360.0 / (4 * 16)
    assert np.mean(away_deg(found.psi[:, 0], psi) < step) > 0.95


def test_priors_confine_shifts_and_shares() -> None:
    s, images, references, which, _ = prepared(4.0)
    near = search_images(references, images, replace(SETTINGS, shift_sigma_A=0.05), centre_A=s.displacements_A)
    assert np.abs(near.displacements_A[:, 0] - s.displacements_A).max() < 0.3
    assert np.mean(near.reference[:, 0] == which) > 0.98
    share = np.zeros(CLASSES)
    share[5] = 1000.0
    assert np.all(search_images(references, images, SETTINGS, log_prior=share).reference[:, 0] == 5)


def test_weights_are_shared_by_references_that_are_alike() -> None:
    _, images, references, which, _ = prepared(4.0)
    found = search_images([*references, references[3]], images, SETTINGS)
    rows = np.flatnonzero(which == 3)
    assert np.allclose(found.weights[rows, 0], found.weights[rows, 1], rtol=1e-3)
    assert set(found.reference[rows, :2].ravel()) == {3, CLASSES}


def test_threads_tiles_and_chunks_change_nothing() -> None:
    _, images, references, _, _ = prepared(4.0)
    library = ImageTemplates(references, images.band, SETTINGS)
    whole = search_images(library, images, SETTINGS)
    other = search_images(library, images, replace(SETTINGS, tile_bytes=1), threads=2)
    assert np.array_equal(whole.reference, other.reference)
    assert np.allclose(whole.weights, other.weights, atol=1e-3)
    part = search_images(library, images.select(slice(60, 120)), SETTINGS)
    assert np.array_equal(whole.reference[60:], part.reference)


def test_bad_input_is_refused() -> None:
    _, images, references, _, _ = prepared(0.0)
    with pytest.raises(InputError, match="at least one"):
        search_images([], images)
    with pytest.raises(InputError, match="keep"):
        search_images(references, images, ImageSearchSettings(keep=0))
    with pytest.raises(InputError, match="prepare_image_reference"):
        search_images([prepare_reference(blobs().volume(48, 2.5), 2.5)], images)
    with pytest.raises(InputError, match="threads"):
        search_images(references, images, threads=0)


def test_poses_are_drawn_as_often_as_they_are_probable() -> None:
    """Draws of references follow their evidence; a clear image has one pose, near the refined one."""
    s, images, references, which, psi = prepared(4.0)
    library = ImageTemplates(references, images.band, replace(SETTINGS, fit_scale=False))
    settings, draws = replace(SETTINGS, fit_scale=False), 64
    uniform = np.random.Generator(np.random.Philox(5)).random(len(images))
    drawn = draw_images(library, images, settings, Drawing(draws, uniform))
    assert (drawn.count.sum(axis=1) == draws).all()
    of_class = np.zeros((len(images), CLASSES))
    np.add.at(of_class, (np.arange(len(images))[:, None], drawn.reference), drawn.count / draws)
    expected = np.exp(drawn.evidence - np.logaddexp.reduce(drawn.evidence, axis=1)[:, None])
    np.testing.assert_allclose(of_class.mean(axis=0), expected.mean(axis=0), atol=0.01)
    # The noise is strong enough for classes to be mistaken, so that more than one of them is drawn.
    assert np.mean(expected.max(axis=1) < 0.99) > 0.02
    soft = draw_images(library, images, settings, Drawing(draws, uniform, factor=0.2))
    assert (soft.count > 0).sum() > 1.5 * (drawn.count > 0).sum()
    refined = refine_draws(library, images, settings, drawn)
    right = refined.reference[:, 0] == which
    assert np.mean(right) > 0.95
    assert np.median(away_deg(refined.psi[:, 0], psi)[right]) < 1.5
    moved = np.linalg.norm(refined.displacements_A[:, 0] - s.displacements_A, axis=1)
    assert np.median(moved[right]) < 0.7
    np.testing.assert_allclose(refined.weights.sum(axis=1), 1.0)
