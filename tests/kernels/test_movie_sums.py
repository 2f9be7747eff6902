"""The kernels that sum displaced frames against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.kernels import movie_sums
from verglas.stages.motion.interpolation import interpolation_filters, mean_response

NONE = np.zeros((0, 0), np.float32)


def sums_of(frames, nodes, coefficients, gain=NONE, tile=128):
    frames = np.asarray(frames)
    means, limits = np.zeros(len(frames), np.float32), np.full(len(frames), 1e9, np.float32)
    sums = np.zeros((coefficients.shape[1], *frames.shape[1:]), np.float32)
    for y in range(0, frames.shape[1], 64):
        for x in range(0, frames.shape[2], tile):
            last_y, last_x = min(y + 64, frames.shape[1]), min(x + tile, frames.shape[2])
            movie_sums.add_frames(
                frames, NONE, gain, means, limits, coefficients, nodes, interpolation_filters(),
                y, last_y, x, last_x, sums,
            )  # fmt: skip
    return sums


def waves(y, x):
    """Return a picture whose finest wave has four fifths of the Nyquist frequency."""
    fine = np.cos(2 * np.pi * (0.4 * x + 0.1 * y)) + np.sin(2 * np.pi * (0.03 * x - 0.4 * y))
    return fine + np.cos(0.1 * x - 0.05 * y)


@pytest.mark.parametrize("tile", [64, 256])
def test_a_smooth_field_is_undone(tile):
    shape = (200, 230)
    y, x = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    node_y, node_x = np.meshgrid(64.0 * np.arange(5), 64.0 * np.arange(5), indexing="ij")
    nodes = np.stack([3.3 + 0.001 * node_x - 0.002 * node_y, -7.6 - 0.0015 * node_x + 0.001 * node_y])
    # what the frame shows at p + displacement(p) is the specimen at p
    matrix = np.array([[1.001, -0.0015], [-0.002, 1.001]])
    inverse = np.linalg.inv(matrix)
    place_y, place_x = np.einsum("ij,jyx->iyx", inverse, np.stack([y + 7.6, x - 3.3]))
    frame = waves(place_y, place_x).astype(np.float32)
    one = np.ones((1, 1), np.float32)
    found = sums_of(frame[None], nodes[None].astype(np.float32), one, tile=tile)[0]
    inner = (slice(24, -24), slice(24, -24))
    assert np.abs(found - waves(y, x))[inner].max() < 0.2
    assert np.sqrt(np.mean((found - waves(y, x))[inner] ** 2)) < 0.08


def test_whole_pixels_are_exact_mirrored_and_weighted(rng):
    frames = rng.integers(0, 9, (3, 70, 90)).astype(np.uint8)
    gain = rng.uniform(0.8, 1.2, (70, 90)).astype(np.float32)
    shifts = np.array([[0, 0], [5, -3], [-200, 100]])
    nodes = np.broadcast_to(shifts[:, :, None, None], (3, 2, 3, 3)).astype(np.float32)
    coefficients = np.array([[1, 0], [2, -1], [0.5, 3]], np.float32)
    found = sums_of(frames, nodes, coefficients, gain)
    expected = np.zeros((2, 70, 90))
    for frame, (x, y), weights in zip(frames * gain, shifts, coefficients):
        wide = np.pad(frame, ((240, 240), (240, 240)), mode="symmetric")
        expected += weights[:, None, None] * wide[240 + y : 310 + y, 240 + x : 330 + x]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_frames_without_weight_change_nothing(rng):
    frames = rng.normal(size=(2, 100, 150)).astype(np.float32)
    nodes = rng.uniform(-2, 2, (2, 2, 3, 4)).astype(np.float32)
    both = sums_of(frames, nodes, np.array([[1.0], [0.0]], np.float32))
    one = sums_of(frames[:1], nodes[:1], np.ones((1, 1), np.float32))
    assert (both == one).all()


def test_filters_keep_frequencies_up_to_nearly_nyquist():
    filters, frequency = interpolation_filters(), np.linspace(0, 0.44, 23)
    phase = np.arange(12) - 5 - np.arange(256)[:, None] / 256
    response = np.einsum("qt,qtk->qk", filters, np.exp(2j * np.pi * phase[:, :, None] * frequency))
    assert np.abs(response[:, frequency <= 0.4] - 1).max() < 0.06
    assert (filters[0] == (np.arange(12) == 5)).all()
    np.testing.assert_allclose(filters.sum(axis=1), 1, atol=1e-6)
    shifts = np.arange(-512, 512) / 256
    np.testing.assert_allclose(mean_response(shifts, frequency), response.real.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(mean_response(np.array([3.0, -2.0]), np.linspace(0, 0.5, 9)), 1)


def test_weighted_rows_are_numpys(rng):
    transform = (rng.normal(size=(8, 5)) + 1j * rng.normal(size=(8, 5))).astype(np.complex64)
    table = rng.uniform(0, 1, 60).astype(np.float32)
    frequency_y, frequency_x = rng.uniform(-0.6, 0.6, 4).astype(np.float32), np.linspace(0, 0.5, 3).astype(np.float32)
    total = np.ones((4, 3), np.complex64)
    rows = np.array([0, 1, -1, 7])
    movie_sums.add_weighted_rows(transform, rows, table, np.float32(59), frequency_y, frequency_x, 0, 4, total)
    weights = np.interp(np.hypot(frequency_y[:, None], frequency_x[None]) * 59, np.arange(60), table)
    expected = 1 + transform[rows, :3] * weights
    expected[2] = 1
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-5)


def test_warm_compiles_everything():
    movie_sums.warm()
