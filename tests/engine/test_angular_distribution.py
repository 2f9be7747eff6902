"""Efficiencies of views that are known in closed form, and the plot's normalisation."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.engine.angular_distribution import all_views, sampling_compensation, view_histogram
from verglas.geometry import matrix_to_euler, random_rotations


def angles(count: int) -> tuple[np.ndarray, np.ndarray]:
    phi, theta, _ = matrix_to_euler(random_rotations(count, 3))
    return np.rad2deg(phi), np.rad2deg(theta)


def test_even_views_are_best():
    views = all_views(*angles(20_000))
    assert sampling_compensation(views) == pytest.approx(1.0, abs=0.01)
    histogram = view_histogram(views)
    assert histogram.shape == (18, 72)
    assert histogram[6:].mean() == pytest.approx(1.0, abs=0.03)
    assert (views[:, 2] >= 0).all()


def test_side_views_have_the_efficiency_of_theory():
    views = all_views(np.linspace(-180, 180, 20_000), np.full(20_000, 90.0))
    assert sampling_compensation(views, directions=4000) == pytest.approx(8 / np.pi**2, abs=0.02)


def test_top_views_leave_a_cone_unsampled():
    phi, _ = angles(5000)
    top = all_views(phi, np.full(5000, 20.0))
    assert sampling_compensation(top) < 0.3
    assert sampling_compensation(all_views(phi, np.full(5000, 45.0), "O")) > 0.8


def test_many_views_are_gathered_without_loss():
    phi, theta = angles(40_000)
    kept = np.abs(np.cos(np.deg2rad(theta))) < 0.6
    views = all_views(phi[kept], theta[kept])
    few = sampling_compensation(views[:20_000])
    assert sampling_compensation(np.concatenate([views[:20_000]] * 2)) == pytest.approx(few, abs=0.01)


def test_weights_count():
    phi, theta = angles(4000)
    views = all_views(np.r_[phi, phi[:100]], np.r_[theta, np.zeros(100)])
    weights = np.r_[np.ones(4000), np.zeros(100)]
    assert sampling_compensation(views, weights) == pytest.approx(sampling_compensation(views[:4000]), abs=1e-9)
    assert view_histogram(views, weights) == pytest.approx(view_histogram(views[:4000]))
