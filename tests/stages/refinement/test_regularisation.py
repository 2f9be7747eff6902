"""Local filters: better than one curve where one part is sharper than another; noise hardly gains from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import density, make_particles
from verglas.engine import MaskSettings
from verglas.engine.reconstructed_map import signal_to_noise
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix, point_group
from verglas.signal import apply_filter, b_factor, curve, fourier_shell_correlation, resolution_at, sphere_mask
from verglas.stages.refinement import AutoRefineSettings, refine_particles
from verglas.stages.refinement.regularisation import FALLS, SIGNALS, FilterChoice, choose_filters, filter_bank

BOX, PIXEL_A = 48, 2.5
MASK = sphere_mask((BOX,) * 3, 46.0, PIXEL_A, edge_A=10.0)


def noise(seed: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal((BOX,) * 3).astype(np.float32)


def ball(x_A: float, seed: int) -> np.ndarray:
    """Return a map of points about a place on the x axis."""
    random = np.random.Generator(np.random.Philox(seed))
    direction = random.standard_normal((300, 3))
    direction *= 20.0 * random.uniform(0.0, 1.0, (300, 1)) ** (1 / 3) / np.linalg.norm(direction, axis=1, keepdims=True)
    return density(direction + [x_A, 0.0, 0.0], BOX, PIXEL_A)


def chosen(halves: list[np.ndarray], ratio: np.ndarray, resolution_A: float) -> tuple[FilterChoice, list[np.ndarray]]:
    """Return the choice for half maps, and the maps under the one curve."""
    frequency = np.arange(BOX // 2 + 1) / (BOX * PIXEL_A)
    filtered = [apply_filter(one, PIXEL_A, curve(frequency, ratio / (1.0 + ratio))) for one in halves]
    return choose_filters(filtered, halves, ratio, MASK, PIXEL_A, resolution_A), filtered


def test_each_part_is_filtered_as_it_deserves() -> None:
    sharp, loose = ball(-20.0, 1), apply_filter(ball(20.0, 2), PIXEL_A, b_factor(2000.0))
    truth = sharp + loose
    level = np.float32(5.0 * sharp.std())
    halves = [truth + level * noise(seed) for seed in (3, 4)]
    found = fourier_shell_correlation(*halves, PIXEL_A, mask=MASK)
    ratio = signal_to_noise(found.fsc, of_average=False)
    choice, filtered = chosen(halves, ratio, resolution_at(found.frequency_per_A, found.fsc).resolution_A)
    local = [choice.apply(one, PIXEL_A) for one in filtered]

    def error(maps: list[np.ndarray], weight: np.ndarray) -> float:
        return float(np.mean([np.sum(weight * (one - truth) ** 2) for one in maps]) / np.sum(weight * truth**2))

    left, right = (MASK * ((np.arange(BOX) < BOX // 2) == side) for side in (True, False))
    assert error(local, left) < 0.9 * error(filtered, left)
    assert error(local, right) < 0.7 * error(filtered, right)


@pytest.mark.parametrize("claimed", [0.1, 0.5, 2.0])
def test_noise_hardly_agrees_even_where_signal_was_claimed(claimed: float) -> None:
    """Both halves share the choice of filters; it must not make them alike."""
    ratio = np.where(np.arange(BOX // 2 + 1) / (BOX * PIXEL_A) < 1.0 / 8.0, claimed, 0.0)
    alike = []
    for seed in range(6):
        choice, filtered = chosen([noise(10 + seed), noise(20 + seed)], ratio, 10.0)
        local = [choice.apply(one, PIXEL_A) for one in filtered]
        before, after = (fourier_shell_correlation(*maps, PIXEL_A, mask=MASK).fsc[3:14] for maps in (filtered, local))
        alike.append(float(np.mean(after - before)))
    # Were each band asked for its own filter, it would be 0.035, 0.084 and 0.060.
    assert np.mean(alike) < 0.03


def test_the_first_filter_is_the_curves_own_and_others_are_wiener_filters_of_less_or_more() -> None:
    ratio, place = np.array([50.0, 4.0, 0.5]), np.array([0.2, 0.6, 1.0])
    bank = filter_bank(ratio, place)
    assert bank.shape == (len(SIGNALS) * len(FALLS), 3)
    np.testing.assert_array_equal(bank[0], 1.0)
    own = ratio / (1.0 + ratio)
    assert np.all(bank * own < 1.0) and np.all(bank[:, 0] == 1.0)
    number = SIGNALS.index(0.25) * len(FALLS) + FALLS.index(2.0)
    less = 0.25 * np.exp(-2.0 * place**2) * ratio
    np.testing.assert_allclose((bank[number] * own)[1:], (less / (1.0 + less))[1:])


def test_a_refinement_with_local_filters_finds_the_poses(tmp_path: Path) -> None:
    names = ("rot_deg", "tilt_deg", "psi_deg")
    table, truth = make_particles(tmp_path, 240, 40, 3.0, symmetry="D2", noise=1.5)
    rotations = euler_to_matrix(*(np.deg2rad(table[name]) for name in names))
    for name in (*names, "origin_x_A", "origin_y_A"):
        table[name] = 0.0
    settings = AutoRefineSettings(
        mask_radius_A=44.0, symmetry="D2", mask=MaskSettings(automatic=False), rounds=4, regularisation="local"
    )
    found = refine_particles(table, tmp_path, truth, settings, threads=2)
    away = np.rad2deg(point_group("D2").distance(found.rows.rotations[0], rotations))
    assert np.median(away) < 2.0 and np.mean(away > 10.0) < 0.1


def test_one_reference_has_nothing_to_validate_with() -> None:
    with pytest.raises(InputError, match="independent half sets"):
        AutoRefineSettings(mask_radius_A=44.0, independent_halves=False, regularisation="local")
