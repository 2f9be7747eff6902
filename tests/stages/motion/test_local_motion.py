"""Local motion: a smooth model is found from patches, bad patches are not believed, and the sum is sharper for it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from tests.support.movies import make_movie
from verglas.formats import read_motion_star, write_motion_star
from verglas.stages.motion import AlignmentSettings, ArrayMovie, SumSettings, align_movie
from verglas.stages.motion.local_model import (
    LocalModel,
    PatchEquations,
    improve,
    patch_weights,
    space_basis,
    time_basis,
)
from verglas.stages.motion.relion_motion import relion_motion

FRAMES = 12
SIZE = 1024


@pytest.fixture(scope="module")
def warped():
    """Return frames whose specimen moves locally by some A, the motion (frames, 2) + shape (2, 5), and the specimen."""
    rng = np.random.default_rng(5)
    image = make_movie(rng, shape=(SIZE, SIZE), frames=1, contrast=0.3, hot_pixels=0, particles_per_um2=9000.0).image
    time = np.linspace(0, 1, FRAMES)
    path = np.outer(1 - (1 - time) ** 3, [9.0, -5.0])
    shape = 3.0 * rng.standard_normal((2, 5))
    strength = 1 - (1 - time) ** 2
    strength -= strength[FRAMES // 2]
    path -= path[FRAMES // 2]
    y, x = np.meshgrid(*(np.linspace(-1, 1, SIZE),) * 2, indexing="ij")
    local = np.einsum("ai,yxi->ayx", shape, np.stack([x, y, x * x, x * y, y * y], -1))
    pixel_y, pixel_x = np.indices((SIZE, SIZE)).astype(np.float32)
    frames = np.empty((FRAMES, SIZE, SIZE), np.uint8)
    for t in range(FRAMES):
        moved = path[t][:, None, None] + strength[t] * local
        shown = map_coordinates(image, [pixel_y - moved[1], pixel_x - moved[0]], order=3, mode="reflect")
        frames[t] = rng.poisson(np.maximum(2.0 * (1 + shown), 0))
    return frames, path, strength, shape, image


def true_shifts(warped, x, y):
    _, path, strength, shape, _ = warped
    terms = np.stack([x, y, x * x, x * y, y * y], -1)
    return -(path[:, :, None] + strength[:, None, None] * np.einsum("ai,pi->ap", shape, terms))


def rms_error(found, warped):
    y, x = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.8, 0.8, 7), np.linspace(-0.8, 0.8, 7), indexing="ij"))
    shifts = found.shifts_A[:, :, None] + (0 if found.local is None else found.local.model.shifts_A(x, y))
    error = shifts - true_shifts(warped, x, y)
    return np.sqrt(np.mean((error - error.mean(axis=0)) ** 2))


def align(frames, patches, threads=2):
    return align_movie(
        ArrayMovie(frames), pixel_size_A=1.0, alignment=AlignmentSettings(patches=patches), threads=threads,
        summation=SumSettings(dose_filter=False),
    )  # fmt: skip


def test_local_motion_is_found_and_undone(warped):
    whole, local = align(warped[0], 1), align(warped[0], 6)
    assert whole.local is None
    assert local.local.converged
    assert rms_error(local, warped) < 0.12
    assert rms_error(local, warped) < 0.2 * rms_error(whole, warped)
    middle = (slice(40, -40), slice(40, -40))
    likeness = [np.corrcoef(found.sum[middle].ravel(), warped[4][middle].ravel())[0, 1] for found in (whole, local)]
    assert likeness[1] > likeness[0] + 0.02
    assert (local.local.model.shifts_A(np.zeros(1), np.zeros(1))[FRAMES // 2] == 0).all()
    one = align(warped[0], 6, threads=1)
    assert (one.sum == local.sum).all()


def test_a_patch_held_by_a_fixed_pattern_is_not_believed(warped, rng):
    frames = warped[0].copy()
    frames[:, :180, :180] += np.kron(rng.integers(0, 3, (18, 18)), np.ones((10, 10))).astype(np.uint8)  # never moves
    found = align(frames, 6)
    corner = (found.local.x < -0.6) & (found.local.y < -0.6)
    assert found.local.weights[corner].max() < 0.5 * np.median(found.local.weights[~corner])
    assert rms_error(found, warped) < 0.12


def test_noise_alone_gives_no_local_motion(rng):
    noise = PatchEquations(
        *(axis.ravel() for axis in np.meshgrid(np.linspace(-0.8, 0.8, 5), np.linspace(-0.8, 0.8, 5))),
        rng.standard_normal((25, 20, 2)), np.broadcast_to(np.eye(2), (25, 2, 2)),
    )  # fmt: skip
    coefficients, strength = improve(np.zeros((2, 6, 3)), noise, np.ones(25))
    assert strength > 100
    assert np.abs(coefficients).max() < 0.05
    weights = patch_weights(noise)
    assert 0.3 < weights.min() <= weights.max() < 2.0


def test_one_step_solves_what_is_linear(rng):
    """Steps without noise from a known model are reproduced, whatever the model that one starts from."""
    x, y = rng.uniform(-1, 1, (2, 30))
    true, start = rng.standard_normal((2, 2, 6, 3))
    space, time = space_basis(x, y), time_basis(20)
    steps = np.einsum("aij,pi,fj->pfa", true - start, space, time)
    skewed = np.array([[2.0, 0.5], [0.5, 1.0]]) * 1e4
    found, _ = improve(start, PatchEquations(x, y, steps, np.broadcast_to(skewed, (30, 2, 2))), np.ones(30))
    np.testing.assert_allclose(found, true, atol=1e-4)
    shifts = LocalModel(true, 20).shifts_A(x, y)
    expected = np.einsum("aij,pi,fj->fap", true, space, time - time[10])
    np.testing.assert_allclose(shifts, expected, atol=1e-12)


def test_relions_terms_say_the_same(warped, tmp_path):
    found = align(warped[0], 6)
    write_motion_star(relion_motion(found), tmp_path / "m.star")
    x, y = np.array([-0.9, 0.3, 0.7]), np.array([0.2, -0.8, 0.6])
    ours = found.shifts_A[:, :, None] + found.local.model.shifts_A(x, y)
    again = read_motion_star(tmp_path / "m.star").shifts_at(x / 2, y / 2)
    np.testing.assert_allclose(again, ours - ours[0], atol=2e-3)
