"""Sizes of the alignment, and the smoothing of paths."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.errors import InputError
from verglas.stages.motion.layout import mirrored, plan_layout
from verglas.stages.motion.smoothing import fit_polynomial, smooth_path


@pytest.mark.parametrize("shape", [(4096, 4096), (4092, 5760), (3710, 3838), (8184, 11520), (500, 620)])
@pytest.mark.parametrize("wanted", [None, 1.0, 1.3, 2.0, 3.17])
def test_pixels_come_out_square(shape, wanted):
    layout = plan_layout(shape, 0.5, wanted)
    assert layout.padded[0] <= shape[0] * 1.035
    assert layout.padded[1] <= shape[1] * 1.035
    for axis in (0, 1):
        exact = 0.5 * layout.padded[axis] / layout.stored[axis]
        assert exact == pytest.approx(layout.output_pixel_size_A, rel=1e-4 if min(shape) > 3000 else 1e-3)
        assert layout.output[axis] <= layout.stored[axis]
        assert layout.output[axis] * exact == pytest.approx(shape[axis] * 0.5, abs=exact)
    if wanted:
        assert layout.output_pixel_size_A == pytest.approx(wanted, rel=1e-4 if min(shape) > 3000 else 1e-3)


def test_a_finer_output_is_refused():
    with pytest.raises(InputError, match="below the frames"):
        plan_layout((256, 256), 1.0, 0.5)
    with pytest.raises(InputError, match="too small"):
        plan_layout((16, 256), 1.0)


def test_margins_mirror_both_edges():
    assert mirrored(5, 8).tolist() == [0, 1, 2, 3, 4, 4, 3, 0]
    assert mirrored(4, 4).tolist() == [0, 1, 2, 3]


def test_smoothing_follows_the_errors(rng):
    frames = 60
    time = np.linspace(0, 1, frames)
    true = np.stack([10 * np.exp(-3 * time), 6 * np.sin(2 * time)], 1)
    noisy = true + 1.0 * rng.standard_normal(true.shape)
    smooth, strength = smooth_path(noisy, np.full(true.shape, 1.0))
    assert strength > 0
    assert np.sqrt(np.mean((smooth - true) ** 2)) < 0.5
    exact, _ = smooth_path(true, np.full(true.shape, 1e-6))
    np.testing.assert_allclose(exact, true, atol=2e-3)


def test_smoothing_does_not_flatten_a_jump_measured_well(rng):
    path = np.zeros((30, 2))
    path[15:, 0] = 8.0
    measured = path + 0.05 * rng.standard_normal(path.shape)
    smooth, _ = smooth_path(measured, np.full(path.shape, 0.05**2))
    assert np.abs(smooth - path).max() < 0.3


@pytest.mark.parametrize("frames", [20, 64, 65, 200])
def test_smoothing_solves_its_equations_at_any_length(frames, rng):
    path = np.cumsum(rng.standard_normal((frames, 2)), axis=0)
    variances = rng.uniform(0.5, 2.0, path.shape)
    smooth, strength = smooth_path(path, variances)
    second = np.diff(np.eye(frames), n=2, axis=0)
    for axis in (0, 1):
        precision = np.diag(1 / variances[:, axis])
        expected = np.linalg.solve(precision + strength * second.T @ second, precision @ path[:, axis])
        np.testing.assert_allclose(smooth[:, axis], expected, atol=1e-6)


def test_frames_without_a_measurement_are_filled_in():
    time = np.arange(20.0)
    path = np.stack([time, -2 * time], 1)
    variances = np.full(path.shape, 0.01)
    path[7], variances[7] = 99.0, np.inf
    smooth, _ = smooth_path(path, variances)
    np.testing.assert_allclose(smooth[7], [7, -14], atol=0.05)
    weights = np.ones(20)
    weights[7] = 0
    np.testing.assert_allclose(fit_polynomial(path, weights)[7], [7, -14], atol=1e-9)
