"""Run every CUDA kernel beside its CPU twin at a tiny size; started by ``test_cuda`` in the simulator."""

from __future__ import annotations

import sys

import numpy as np

from verglas.engine.fourier_sums import sphere
from verglas.geometry import random_rotations, rotvec_to_matrix
from verglas.kernels import insertion as cpu
from verglas.kernels import (
    insertion_cuda,
    polar,
    polar_cuda,
    pose_likelihood,
    pose_refinement,
    pose_refinement_cuda,
    slicing,
    slicing_cuda,
)

THREADS = 4
random = np.random.Generator(np.random.Philox(5))


def normal(*shape: int) -> np.ndarray:
    return random.standard_normal(shape).astype(np.float32)


def passed(name: str) -> None:
    sys.stdout.write(f"{name}\n")


def slices_and_matches() -> None:
    centre = 6
    values = normal(2 * (centre + 1) * (2 * centre + 1) ** 2)
    rotations = random_rotations(3, 1).astype(np.float32)
    column, row = np.array([0, 1, 2, 3, 1, 0], np.int32), np.array([1, 0, -2, 1, 3, 2], np.int32)
    u, v = column.astype(np.float32), row.astype(np.float32)
    one, two = (np.zeros((3, 6), np.complex64) for _ in range(2))
    slicing.slice_values(values, centre, centre, rotations, u, v, one)
    slicing_cuda.slice_values(values, centre, centre, rotations, u, v, two, THREADS)
    assert np.abs(one).min() > 0.0
    assert np.allclose(one, two, atol=1e-5)
    passed("slices")
    first, second = (np.zeros((3, 3, 6), np.complex64) for _ in range(2))
    slicing.slice_gradients(values, centre, centre, rotations, u, v, one, first)
    slicing_cuda.slice_gradients(values, centre, centre, rotations, u, v, two, second, THREADS)
    assert np.allclose(one, two, atol=1e-5)
    assert np.allclose(first, second, atol=1e-5)
    passed("gradients")
    data, transfer = (normal(2, 6) + 1j * normal(2, 6)).astype(np.complex64), normal(2, 6)
    image, moved = np.array([0, 1, 1]), random.standard_normal((3, 2))
    sums, others = np.zeros((3, 2)), np.ones((3, 2))
    same = (values, centre, centre, u, v, column, row, data, transfer, 0.1, image, rotations, moved)
    pose_likelihood.match_poses(0, 3, *same, sums)
    slicing_cuda.match_poses(0, 3, *same, others, THREADS)
    assert np.abs(sums).min() > 0.0
    assert np.allclose(sums, others, rtol=1e-4, atol=1e-4)
    passed("matches")


def refinement() -> None:
    """Refine from two starts near the truth of each of two images: all parameters, then two choices of them."""
    centre, reach, size = 6, 4, 2 * 6 + 1
    volume = np.zeros((size, size, size))
    volume[5:8, 5:8, 5:8] = np.abs(random.standard_normal((3, 3, 3)))
    spectrum = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(volume)))[:, :, centre:]
    values = np.stack([spectrum.real, spectrum.imag], axis=-1).astype(np.float32).ravel()
    row, column = (grid.ravel() for grid in np.mgrid[-reach : reach + 1, : reach + 1])
    inside = (np.hypot(row, column) <= reach) & ((column > 0) | (row > 0))
    row, column = row[inside].astype(np.int32), column[inside].astype(np.int32)
    u, v, width_A = column.astype(np.float32), row.astype(np.float32), 60.0
    qx, qy = u / np.float32(width_A), v / np.float32(width_A)
    optics = np.array([np.pi * 0.02, 300.0, 2.0 * np.pi / width_A])
    higher = 0.1 * normal(row.size)
    truth = np.array([[2.0, -3.0, 1.0, 5200.0, 300.0, -200.0, 0.1], [-1.0, 2.0, 1.0, 6900.0, -100.0, 400.0, 0.1]])
    whitening = np.abs(normal(2, row.size)) + np.float32(1.0)
    group, image = np.array([1, 0]), np.array([0, 1, 1, 0])
    poses = random_rotations(2, 7)
    slices = np.zeros((2, row.size), np.complex64)
    slicing.slice_values(values, centre, centre, poses.astype(np.float32), u, v, slices)
    xx, yy = qx * qx, qy * qy
    means, cosines, sines, constants = truth[:, 3:, None].swapaxes(0, 1)
    chi = optics[0] * (means * (xx + yy) + cosines * (xx - yy) + 2.0 * sines * qx * qy)
    chi += constants - optics[1] * (xx + yy) ** 2 + higher
    transfer = (-np.sin(chi) * whitening[group]).astype(np.float32)
    moved = np.exp(-1j * optics[2] * (truth[:, :1] * column + truth[:, 1:2] * row))
    data = (transfer * slices * moved + 0.7 * (normal(2, row.size) + 1j * normal(2, row.size))).astype(np.complex64)
    starts = rotvec_to_matrix(0.05 * random.standard_normal((4, 3))) @ poses[image]
    states = truth[image] + random.standard_normal((4, 7)) * [0.5, 0.5, 0.1, 50.0, 50.0, 50.0, 0.0]
    prior, prior_centre = np.array([0.0] * 3 + [0.1] * 2 + [0.0] + [1e-5] * 3), np.zeros((4, 9))
    prior_centre[:, 3:] = truth[image][:, :6]
    axes = np.broadcast_to(np.eye(3), (4, 3, 3)).copy()
    turned = random_rotations(4, 9)
    for active, about in (("111111111", axes), ("111111000", axes), ("011010100", turned), ("000001000", axes)):
        chosen = np.array([letter == "1" for letter in active])
        found = []
        for refine, threads in ((pose_refinement.refine, ()), (pose_refinement_cuda.refine, (THREADS,))):
            results = (
                starts.copy(), states.copy(), np.zeros(4), np.zeros((4, 9, 9)), np.zeros(4), np.zeros(4, np.int64)
            )  # fmt: skip
            refine(
                0, 4, values, centre, centre, u, v, column, row, qx, qy, higher, data, transfer, whitening, group,
                optics, image, chosen, about, prior, prior_centre, 12, 0.1, *results, *threads,
            )  # fmt: skip
            found.append(results)
        ours, theirs = found
        # Costs are small differences of the data's power, some 5000, which single precision knows to 1e-3.
        assert np.allclose(ours[0], theirs[0], rtol=0.0, atol=2e-5)
        assert np.all(np.abs(ours[1] - theirs[1]) < [1e-4, 1e-4, 1e-5, 0.02, 0.02, 0.02, 1e-9])
        assert np.allclose(ours[2], theirs[2], rtol=0.0, atol=5e-3)
        assert np.allclose(ours[3], theirs[3], rtol=0.0, atol=2e-5 * ours[3].max())
        assert np.allclose(ours[4], theirs[4], rtol=0.0, atol=2e-4)
        assert np.array_equal(ours[5], theirs[5])
        # With the scale alone there is no step to take.
        assert np.array_equal(starts, theirs[0]) == (active == "000001000")
        assert np.all(theirs[5] > 2) == (active != "000001000")
    passed("refinement")


def search() -> None:
    sample, ramps = normal(2, 5), normal(3, 2, 5)
    one, two = (np.zeros((2, 3, 5), np.float32) for _ in range(2))
    polar.shift_samples(sample, ramps, one)
    polar_cuda.shift_samples(sample, ramps, two, THREADS)
    assert np.allclose(one, two, atol=1e-6)
    passed("shifts")
    images, shifts, templates, angles = 2, 3, 5, 4
    sums = [normal(angles, 2, images * shifts, templates) for _ in range(4)]
    norm, penalty = np.abs(normal(images, templates)) + 1.0, np.abs(normal(shifts))
    gain, other = (np.zeros((images, 2, templates), np.float32) for _ in range(2))
    code, place = (np.zeros((images, 2, templates), np.int32) for _ in range(2))
    polar.fold_maximum(*sums, norm, penalty, gain, code)
    polar_cuda.fold_maximum(*sums, norm, penalty, other, place, THREADS)
    assert np.allclose(gain, other, rtol=1e-5)
    assert np.array_equal(code, place)
    passed("folds")


def insertion() -> None:
    grid = sphere(9)
    # Rows of half a plane: ky, first kx, past the last kx, and where their values begin.
    lines = np.array([[-2, 1, 4, 0], [0, 1, 5, 3], [1, 0, 4, 7], [3, 0, 3, 11]])
    values, rotations = normal(2, 14, 3), random_rotations(4, 2).astype(np.float32).reshape(2, 2, 3, 3)
    one, two = (np.zeros(3 * grid.voxels + 3, np.float32) for _ in range(2))
    starts, centre = grid.starts, grid.centre
    for bend, stretch in ((0.0, np.eye(2)), (0.02, np.array([[1.05, 0.02], [0.01, 0.97]]))):
        how = (values, rotations, lines, 1.7, bend, stretch.astype(np.float32))
        one[:], two[:] = 0.0, 0.0
        cpu.insert_points(*how, one, starts, centre, grid.slabs(1))
        insertion_cuda.insert_points(*how, two, starts, centre, 4, THREADS)
        assert np.abs(one).sum() > 10.0
        assert np.allclose(one, two, atol=1e-5)
    passed("insertion")


if __name__ == "__main__":
    slices_and_matches()
    refinement()
    search()
    insertion()
