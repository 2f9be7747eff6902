"""The global search against known truth, the sum it stands for, and the search that slices once for every pose."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from tests.engine.atoms import blobs
from tests.engine.scenes import Scene, scene
from verglas.engine import SearchSettings, Templates, coarse_search, draw_poses, search_poses
from verglas.engine.displacement_draw import draw_displacements
from verglas.engine.images import ParticleImages, band, prepare_images
from verglas.engine.polar_grid import angular_orders, hexagonal_shifts, polar_grid, quarter_angles, to_polar
from verglas.engine.reference import Reference, prepare_reference
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix, geodesic_distance, mirror_pose

# The refinement kernel may compile here, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)

SETTINGS = SearchSettings(
    limit_A=10.0, spacing=float(np.deg2rad(10.0)), shift_step_A=3.0, shift_range_A=12.0, keep=4, middle_limit_A=8.0,
    final_limit_A=0.0,
)  # fmt: skip


@lru_cache
def prepared(count: int, noise: float) -> tuple[Scene, ParticleImages, Reference]:
    s = scene(count, noise=noise)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0)
    return s, images, prepare_reference(s.molecule.volume(48, 2.5), 2.5, limit_A=5.9, radius_A=47.0)


def test_polar_samples_equal_the_closed_form() -> None:
    s = scene(1, shift_A=0.0)
    grid = polar_grid(120.0, 10.0, 47.0)
    molecule, kx, ky = s.molecule, *grid.k_per_A
    exact = molecule.transform(s.rotations[0], kx, ky)
    points = band(48, 2.5, 6.0)
    values = molecule.transform(s.rotations[0], points.kx_per_A, points.ky_per_A)
    real, imaginary = to_polar(grid, points)
    found = values.real @ real + 1j * (values.imag @ imaginary)
    # The mean of an image is not among its components.
    found = found + molecule.weights.sum() * np.sinc(120.0 * kx) * np.sinc(120.0 * ky)
    assert np.linalg.norm(found - exact) < 0.02 * np.linalg.norm(exact)


def test_angular_orders_equal_the_transform_of_whole_circles() -> None:
    grid = polar_grid(120.0, 10.0, 47.0)
    molecule = blobs()
    R = np.eye(3)
    kx, ky = grid.k_per_A
    half = molecule.transform(R, kx, ky)
    rings = half.reshape(grid.radii.size, -1)
    whole = np.concatenate([rings, rings.conj()], axis=1)
    expected = np.fft.fft(whole, axis=1)[:, grid.orders] / whole.shape[1]
    found = angular_orders(grid, half.real[None].astype(np.float32), half.imag[None].astype(np.float32))[:, :, 0]
    assert np.abs(found[0] + 1j * found[1] - expected.T).max() < 1e-5 * np.abs(expected).max()
    # Rings that the products leave out hold next to nothing.
    left_out = np.arange(grid.radii.size) < grid.first_ring[:, None]
    assert np.linalg.norm(expected.T[left_out]) < 0.01 * np.linalg.norm(expected[1:])


def test_gains_equal_the_likelihood_that_they_stand_for() -> None:
    _, images, reference = prepared(40, 0.0)
    library = Templates([reference], images.band, SETTINGS)
    found = coarse_search(library, images, SETTINGS)
    points = images.band.count_to(SETTINGS.limit_A)
    kx, ky = images.band.kx_per_A[:points], images.band.ky_per_A[:points]
    direct = []
    for i in range(len(images)):
        d = found.displacements_A[i, 0]
        slices = reference.slices(found.rotations[i, 0], kx, ky)
        model = images.transfer[i, :points] * slices * np.exp(-2j * np.pi * (kx * d[0] + ky * d[1]))
        product = (images.data[i, :points] * model.conj()).real.sum()
        direct.append(product**2 / (np.abs(model) ** 2).sum())
    assert np.corrcoef(direct, found.gain[:, 0])[0, 1] > 0.99
    assert np.median(np.abs(found.gain[:, 0] / direct - 1)) < 0.1


@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_the_truth_is_found_from_nothing(noise: float) -> None:
    s, images, reference = prepared(40, noise)
    coarse = coarse_search(Templates([reference], images.band, SETTINGS), images, SETTINGS)
    away = np.rad2deg(geodesic_distance(coarse.rotations, s.rotations[:, None]))
    assert np.mean(away.min(axis=1) < 12.0) > 0.97
    assert np.median(away[:, 0]) < 6.0
    found = search_poses(reference, images, SETTINGS)
    final = np.rad2deg(geodesic_distance(found.best_rotations, s.rotations))
    assert np.mean(final < 5.0) > 0.95
    assert np.median(final) < (2.0 if noise else 0.05)
    moved = np.linalg.norm(found.best_displacements_A - s.displacements_A, axis=1)
    assert np.median(moved) < (0.7 if noise else 0.05)
    assert np.allclose(found.weights.sum(axis=1), 1.0)
    assert np.all(np.diff(found.log_likelihood, axis=1) <= 0)


def test_the_right_one_of_two_references_is_found() -> None:
    _, images, reference = prepared(40, 4.0)
    other = prepare_reference(blobs(seed=8).volume(48, 2.5), 2.5, limit_A=5.9, radius_A=47.0)
    found = search_poses([other, reference], images, SETTINGS)
    assert np.mean(found.reference[:, 0] == 1) > 0.97


def test_tiles_and_threads_change_nothing() -> None:
    _, images, reference = prepared(40, 4.0)
    first = coarse_search(Templates([reference], images.band, SETTINGS), images, SETTINGS)
    small = Templates([reference], images.band, SETTINGS, templates_per_tile=17)
    other = coarse_search(small, images, SearchSettings(**{**vars(SETTINGS), "tile_bytes": 1}), threads=2)
    assert np.mean(geodesic_distance(first.rotations[:, 0], other.rotations[:, 0]) < 1e-6) >= 0.97
    assert np.allclose(first.gain, other.gain, rtol=1e-4)


def test_priors_confine_the_search() -> None:
    s, images, reference = prepared(40, 4.0)
    library = Templates([reference], images.band, SETTINGS, allowed=lambda d: np.abs(d[:, 2]) < 0.3)
    assert np.all(np.abs(library.poses[:, 2, 2]) < 0.3)
    narrow = SearchSettings(**{**vars(SETTINGS), "shift_range_A": 3.0})
    found = coarse_search(Templates([reference], images.band, narrow), images, narrow, centre_A=s.displacements_A)
    assert np.linalg.norm(found.displacements_A - s.displacements_A[:, None], axis=-1).max() < 3.01
    away = np.rad2deg(geodesic_distance(found.rotations[:, 0], s.rotations))
    assert np.mean(away < 12.0) > 0.95


def test_soft_priors_pull_directions_shifts_and_references() -> None:
    s, images, reference = prepared(40, 4.0)
    # A prior of tilts near 90 degrees strong enough to hold every pose there.
    tilted = search_poses(reference, images, SETTINGS, log_prior=lambda d: -1e4 * d[:, 2] ** 2)
    assert np.median(np.abs(tilted.rotations[:, 0, 2, 2])) < 0.1
    flat = search_poses(reference, images, SETTINGS, log_prior=lambda d: np.zeros(len(d)))
    assert np.array_equal(flat.best_rotations, search_poses(reference, images, SETTINGS).best_rotations)
    held = SearchSettings(**{**vars(SETTINGS), "shift_sigma_A": 0.1})
    near = coarse_search(Templates([reference], images.band, held), images, held, centre_A=s.displacements_A)
    assert np.array_equal(near.displacements_A[:, 0], s.displacements_A)
    shares = search_poses([reference, reference], images, SETTINGS, log_share=[0.0, 50.0])
    assert np.all(shares.reference[:, 0] == 1)


def test_low_resolution_can_be_left_out() -> None:
    s, _, reference = prepared(40, 4.0)
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 6.0, low_A=60.0)
    found = search_poses(reference, images, SETTINGS)
    away = np.rad2deg(geodesic_distance(found.best_rotations, s.rotations))
    assert np.mean(away < 5.0) > 0.9


def test_shifts_fill_a_circle_evenly() -> None:
    shifts = hexagonal_shifts(4.0, 16.0)
    assert len(shifts) == 61
    assert np.array_equal(shifts[0], (0.0, 0.0))
    apart = np.linalg.norm(shifts[:, None] - shifts, axis=-1) + 99 * np.eye(61)
    assert np.allclose(apart.min(axis=1), 4.0)
    assert len(hexagonal_shifts(4.0, 0.0)) == 1


def test_bad_input_is_refused() -> None:
    _, images, reference = prepared(40, 0.0)
    with pytest.raises(InputError, match="keep"):
        search_poses(reference, images, SearchSettings(keep=0))
    with pytest.raises(InputError, match="at least one reference"):
        search_poses([], images)
    with pytest.raises(InputError, match="nothing to search"):
        Templates([reference], images.band, SETTINGS, allowed=lambda d: np.zeros(len(d), bool))
    with pytest.raises(InputError, match="step"):
        hexagonal_shifts(0.0, 5.0)


def test_poses_are_drawn_by_their_probability() -> None:
    _, images, reference = prepared(3, 4.0)
    few = replace(SETTINGS, spacing=float(np.deg2rad(30.0)), shift_range_A=3.0)
    library = Templates([reference], images.band, few)
    one = images.select(np.zeros(1, np.int64))
    # Every direction, in-plane angle and displacement by the sum that it stands for.
    steps = 4 * (quarter_angles(library.grid).size - 1)
    shifts = hexagonal_shifts(few.shift_step_A, few.shift_range_A)
    psi = 2.0 * np.pi / steps * np.arange(steps)
    poses = np.concatenate([library.poses, mirror_pose(library.poses)])
    rotations = euler_to_matrix(0.0, 0.0, psi)[:, None] @ poses
    points = one.band.count_to(few.limit_A)
    u, v = one.band.kx_per_A[:points], one.band.ky_per_A[:points]
    model = one.transfer[0, :points] * reference.slices(rotations, u, v)
    moved = np.exp(2j * np.pi * (shifts[:, :1] * u + shifts[:, 1:] * v)) * one.data[0, :points]
    score = np.einsum("adp,sp->ads", model.conj(), moved).real
    gain = 2.0 * score - (np.abs(model) ** 2).sum(axis=-1)[..., None]
    # Directions are sampled on rings instead of components, which changes likelihoods by a part of their own.
    for temperature in (5.0, 20.0):
        weights = np.exp((gain - gain.max()) / temperature)
        by_direction = weights.sum(axis=(0, 2)) / weights.sum()
        same = images.select(np.zeros(2000, np.int64))
        even = np.stack([(np.arange(2000) + 0.5) / 2000, np.full(2000, 0.5)], axis=1)
        drawn = draw_poses(library, same, few, even, temperature=temperature)
        hits = np.array([
            np.mean(np.abs(drawn.rotations[:, 2] - pose[2]).max(axis=1) < 1e-6) for pose in poses
        ])  # fmt: skip
        assert hits.sum() == pytest.approx(1.0)
        assert np.abs(hits - by_direction).max() < 0.1 * by_direction.max() + 2.0 / 2000
    cold = draw_poses(library, one, few, np.full((1, 2), 0.5), temperature=1e-3)
    best = np.unravel_index(gain.argmax(), gain.shape)
    assert np.rad2deg(geodesic_distance(cold.rotations[0], rotations[best[0], best[1]])) < 20.0
    assert cold.directions[0] == pytest.approx(1.0, abs=0.05)


def test_displacements_are_drawn_by_their_probability() -> None:
    s, images, reference = prepared(24, 1.0)
    which, even = np.zeros(24, np.int64), np.full(24, 0.5)
    how = {"limit_A": 10.0, "step_A": 2.0, "sigma_A": 4.0}
    found = draw_displacements([reference], images, s.rotations, which, even, **how)
    away = np.hypot(*(found - s.displacements_A).T)
    inside = np.hypot(*s.displacements_A.T) < 11.0
    assert away[inside].max() < 2.0
    # An image that shows nothing leaves the prior.
    s, images, reference = prepared(1, 1e4)
    blind = draw_displacements(
        [reference], images.select(np.zeros(500, np.int64)), np.repeat(s.rotations, 500, axis=0),
        np.zeros(500, np.int64), (np.arange(500) + 0.5) / 500, **how,
    )  # fmt: skip
    assert np.abs(blind.mean(axis=0)).max() < 0.2 and len(np.unique(blind, axis=0)) > 30
    np.testing.assert_allclose(blind.std(axis=0), 4.0, rtol=0.1)
