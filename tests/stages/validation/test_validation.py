"""Measures of a map with known truth: missing directions, a model in either hand, the B-factor of particle numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.engine.particles import density, molecule
from tests.support.half_maps import noisy_halves
from verglas import signal
from verglas.engine.angular_distribution import all_views
from verglas.engine.half_maps import spherical_shell_mask
from verglas.stages.sharpening import inverted_hand
from verglas.stages.validation import (
    compare_with_model,
    figures_of,
    fit_reslog,
    subset_sizes,
    validate_halves,
    write_validation,
)

BOX, PIXEL_A = 48, 2.0


@pytest.fixture(scope="module")
def scene():
    truth = density(np.concatenate([molecule(BOX, PIXEL_A, seed=seed) for seed in range(3)]), BOX, PIXEL_A)
    return truth, spherical_shell_mask(BOX, 32.0, PIXEL_A, edge_A=8.0)


def test_a_good_map_has_little_against_it(scene, tmp_path):
    truth, mask = scene
    first, second = noisy_halves(truth, 1.0)
    found = validate_halves(first, second, mask, PIXEL_A)
    assert found.spread.ratio > 0.8
    assert found.efficiency is None
    assert not any("views" in text or "small" in text for text in found.warnings)
    model = compare_with_model(first + second, truth, mask, PIXEL_A)
    assert model.hand.says == "right"
    assert model.resolution_A is not None and model.resolution_A < 6.0
    files = write_validation(found, truth, tmp_path, "v", "Validation", model=model)
    assert files["report"].read_text().count("data:image/png") == 1
    assert json.loads(files["figures"].read_text())["hand"] == "right"


def test_the_other_hand_is_noticed(scene):
    truth, mask = scene
    first, second = noisy_halves(inverted_hand(truth), 1.0)
    assert compare_with_model(first + second, truth, mask, PIXEL_A).hand.says == "mirrored"


def test_missing_directions_and_poor_views_are_named(scene):
    truth, mask = scene
    halves = noisy_halves(truth, 1.0)
    k = np.fft.fftfreq(BOX)
    z, y, x = k[:, None, None], k[None, :, None], np.fft.rfftfreq(BOX)
    cone = np.abs(z) > 0.6 * np.sqrt(x**2 + y**2 + z**2)
    random = np.random.Generator(np.random.Philox(8))
    cut = []
    for half in halves:
        noise = random.standard_normal(truth.shape, dtype=np.float32) * truth.std()
        parts = np.where(cone, signal.rfft(noise), signal.rfft(half))
        cut.append(signal.irfft(parts, truth.shape))
    views = all_views(random.uniform(-180, 180, 2000), random.uniform(0, 15, 2000))
    found = validate_halves(cut[0], cut[1], mask, PIXEL_A, views=views)
    assert found.spread.ratio < 0.6
    assert abs(found.spread.worst_direction[2]) > 0.8
    said = " ".join(found.warnings)
    assert "views are missing" in said
    assert "efficient" in said
    assert figures_of(found, None, None)["hand"] == "undetermined"


def test_a_mask_too_small_for_the_mass_is_named(scene):
    truth, _ = scene
    first, second = noisy_halves(truth, 0.5)
    small = spherical_shell_mask(BOX, 12.0, PIXEL_A, edge_A=4.0)
    found = validate_halves(first, second, small, PIXEL_A, molecular_mass_kDa=60.0)
    assert any("too small" in text for text in found.warnings)


def test_reslog_gives_back_its_b_factor():
    sizes = subset_sizes(1600)
    assert sizes == [1600, 800, 400, 200, 100]
    reached = [float((2.0 * np.log(size) / 150.0 + 0.01) ** -0.5) for size in sizes]
    assert fit_reslog(sizes, reached).b_factor_A2 == pytest.approx(150.0)
    assert fit_reslog(sizes, [4.0] * 5).b_factor_A2 is None
    # Pixels that limit the largest subsets do not count.
    limited = [float("nan")] * 2 + reached[2:]
    assert fit_reslog(sizes, limited).b_factor_A2 == pytest.approx(150.0)
    assert fit_reslog([100, 50], [None, None]).b_factor_A2 is None
