"""Run every CUDA kernel beside its CPU twin at a tiny size; started by ``test_cuda`` in the simulator."""

from __future__ import annotations

import sys

import numpy as np

from verglas.engine.fourier_sums import sphere
from verglas.geometry import random_rotations
from verglas.kernels import insertion as cpu
from verglas.kernels import insertion_cuda, polar, polar_cuda, pose_likelihood, slicing, slicing_cuda

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
    search()
    insertion()
