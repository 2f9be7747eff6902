"""Slices of a prepared reference against closed forms, finite differences and the simulator's projections."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.atoms import blobs
from verglas.engine.reference import prepare_image_reference, prepare_reference, project
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix, random_rotations, rotvec_to_matrix

BOX, PIXEL_A = 48, 2.5


def plane(limit_A: float) -> tuple[np.ndarray, np.ndarray]:
    k = np.fft.fftfreq(BOX, PIXEL_A)
    kx, ky = np.meshgrid(k, k)
    inside = np.hypot(kx, ky) < 1.0 / limit_A
    return kx[inside], ky[inside]


@pytest.mark.parametrize(("oversampling", "largest_error"), [(4, 0.006), (2, 0.022), (1, 0.1)])
def test_slices_equal_the_closed_form(oversampling: int, largest_error: float) -> None:
    molecule = blobs()
    reference = prepare_reference(molecule.volume(BOX, PIXEL_A), PIXEL_A, limit_A=6.0, oversampling=oversampling)
    kx, ky = plane(6.0)
    rotations = random_rotations(10, 1)
    found = reference.slices(rotations, kx, ky, threads=2)
    exact = np.stack([molecule.transform(R, kx, ky) for R in rotations])
    # Beyond the peak at the origin, which holds the molecule's whole mass.
    inside = np.hypot(kx, ky) > 0.02
    error = np.linalg.norm((found - exact)[:, inside]) / np.linalg.norm(exact[:, inside])
    assert error < largest_error
    gain = (found * exact.conj())[:, inside].sum().real / np.linalg.norm(exact[:, inside]) ** 2
    assert abs(gain - 1) < largest_error


def test_a_wrong_convention_would_be_seen() -> None:
    molecule = blobs()
    reference = prepare_reference(molecule.volume(BOX, PIXEL_A), PIXEL_A, limit_A=6.0)
    kx, ky = plane(6.0)
    rotations = random_rotations(10, 2)
    exact = np.stack([molecule.transform(R, kx, ky) for R in rotations])

    def correlation(found: np.ndarray) -> float:
        inside = np.hypot(kx, ky) > 0.02
        a, b = found[:, inside], exact[:, inside]
        return float((a * b.conj()).real.sum() / (np.linalg.norm(a) * np.linalg.norm(b)))

    assert correlation(reference.slices(rotations, kx, ky)) > 0.999
    assert correlation(reference.slices(np.swapaxes(rotations, 1, 2), kx, ky)) < 0.9


def test_gradients_equal_differences_of_the_closed_form() -> None:
    molecule = blobs()
    reference = prepare_reference(molecule.volume(BOX, PIXEL_A), PIXEL_A, limit_A=6.0, oversampling=4)
    kx, ky = plane(7.0)
    for R in random_rotations(4, 3):
        values, gradient = reference.slices_and_gradients(R, kx, ky)
        assert np.allclose(values, reference.slices(R, kx, ky), atol=1e-4 * np.abs(values).max())
        # A small turn v moves the slice by -v x k, k in voxels.
        step = 1e-5
        u, v = kx * reference.voxels_A, ky * reference.voxels_A
        derived = (-v * gradient[2], u * gradient[2], v * gradient[0] - u * gradient[1])
        for axis in range(3):
            turn = np.zeros(3)
            turn[axis] = step
            ahead = molecule.transform(rotvec_to_matrix(turn) @ R, kx, ky)
            behind = molecule.transform(rotvec_to_matrix(-turn) @ R, kx, ky)
            expected = (ahead - behind) / (2 * step)
            error = np.linalg.norm(derived[axis] - expected) / np.linalg.norm(expected)
            assert error < 0.15


def test_projection_is_the_sum_along_the_beam() -> None:
    volume = blobs().volume(BOX, PIXEL_A)
    reference = prepare_reference(volume, PIXEL_A)
    found = project(reference, np.eye(3))
    exact = volume.sum(axis=0)
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.999
    assert np.abs(found - exact).max() < 0.05 * exact.max()


def test_an_image_is_turned_as_the_map_it_is_the_projection_of() -> None:
    molecule = blobs()
    reference = prepare_image_reference(molecule.volume(BOX, PIXEL_A).sum(axis=0), PIXEL_A, limit_A=7.0)
    kx, ky = plane(7.5)
    for psi in (0.0, 0.4, 2.5, -1.9):
        R = euler_to_matrix(0.0, 0.0, psi)
        exact = molecule.transform(R, kx, ky)
        assert np.linalg.norm(reference.slices(R, kx, ky) - exact) < 0.04 * np.linalg.norm(exact)


def test_mask_cuts_what_lies_outside() -> None:
    volume = blobs().volume(BOX, PIXEL_A)
    masked = prepare_reference(volume, PIXEL_A, radius_A=15.0, edge_A=5.0)
    image = project(masked, np.eye(3))
    y, x = np.indices(image.shape) - BOX // 2
    outside = np.hypot(x, y) * PIXEL_A > 25.0
    assert np.abs(image[outside]).max() < 0.03 * image.max()
    assert masked.radius_A == 15.0


def test_bad_input_is_refused() -> None:
    volume = blobs().volume(BOX, PIXEL_A)
    with pytest.raises(InputError, match="cube"):
        prepare_reference(volume[1:], PIXEL_A)
    with pytest.raises(InputError, match="square"):
        prepare_image_reference(volume, PIXEL_A)
    with pytest.raises(InputError, match="no sense"):
        prepare_reference(volume, 0.0)
    reference = prepare_reference(volume, PIXEL_A, limit_A=12.0)
    with pytest.raises(InputError, match="finer limit"):
        reference.slices(np.eye(3), 1 / 8.0, 0.0)


def test_slopes_are_steeper_by_what_is_stated() -> None:
    molecule = blobs()
    volume = molecule.volume(48, 2.5)
    coarse, fine = (prepare_reference(volume, 2.5, limit_A=8.0, oversampling=factor) for factor in (2, 6))
    points = np.random.Generator(np.random.Philox(4)).uniform(-0.08, 0.08, (2, 3000))
    R = random_rotations(4, 2)
    power = [
        (np.abs(r.slices_and_gradients(R, *points)[1] * r.voxels_A) ** 2).sum(dtype=np.float64) for r in (coarse, fine)
    ]
    assert coarse.slope_excess > 1.03 > fine.slope_excess > 1.0
    assert power[0] / power[1] == pytest.approx(coarse.slope_excess / fine.slope_excess, rel=0.02)
