"""Automatic refinement: from a low-passed start to the map of the true poses; halves are never mixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.engine import (
    MaskSettings,
    ParticleStack,
    background_noise,
    normalise,
    prepare_images,
    prepare_reference,
    search_poses,
)
from verglas.formats import MrcStackWriter
from verglas.geometry import euler_to_matrix, point_group
from verglas.signal import fourier_shell_correlation
from verglas.stages.refinement import (
    AutoRefineSettings,
    PoseRows,
    RoundWork,
    at_box,
    finish_round,
    first_state,
    refine_particles,
    rows_of_table,
)

BOX, PIXEL_A = 40, 3.0
ANGLES = ("rot_deg", "tilt_deg", "psi_deg")


def settings(**changed: object) -> AutoRefineSettings:
    options = {"mask_radius_A": 44.0, "symmetry": "D2", "mask": MaskSettings(automatic=False), "rounds": 4}
    return AutoRefineSettings(**{**options, **changed})  # type: ignore[arg-type]


def test_from_a_low_passed_start_to_the_map_of_the_true_poses(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 240, BOX, PIXEL_A, symmetry="D2", noise=1.5)
    rotations = euler_to_matrix(*(np.deg2rad(table[name]) for name in ANGLES))
    start = table.copy()
    for name in (*ANGLES, "origin_x_A", "origin_y_A"):
        start[name] = 0.0
    found = refine_particles(start, tmp_path, truth, settings(), threads=2)
    away = np.rad2deg(point_group("D2").distance(found.rows.rotations[0], rotations))
    assert np.median(away) < 2.0 and np.mean(away > 10.0) < 0.1
    assert found.maps[0].map.shape == (BOX,) * 3
    assert fourier_shell_correlation(found.maps[0].map, truth, PIXEL_A).fsc[1:12].min() > 0.8
    made = found.tables[0]
    np.testing.assert_allclose(made["origin_x_A"], -found.rows.displacements_A[0, :, 0])
    assert found.state.done and made["score"].min() > 0.0


def test_rounds_that_can_bring_nothing_are_not_waited_for(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 200, BOX, PIXEL_A, symmetry="D2", noise=1.5)
    rounds: list[tuple[bool, float]] = []
    found = refine_particles(
        table, tmp_path, truth, settings(rounds=25, finest_A=12.0), threads=2,
        progress=lambda state, rows, maps: rounds.append((state.halved, float(state.resolution_A[-1]))),
    )  # fmt: skip
    assert found.state.final and max(resolution_A for _, resolution_A in rounds[1:]) < 12.0
    # Two searches of all particles, half of them in each, end the turns; then come one round of all, and the last.
    assert [halved for halved, _ in rounds[-3:]] == [False] * 3 and all(halved for halved, _ in rounds[:-3])
    assert len(rounds) < 10


def test_the_first_reference_of_a_shell_has_no_inside(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 8, BOX, PIXEL_A, symmetry="D2", noise=1.5)
    mask = MaskSettings(automatic=False, inner_radius_A=15.0)
    with ParticleStack(table, tmp_path) as stack:
        references = first_state(truth, stack, settings(mask=mask)).references
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    inside = np.sqrt(x**2 + y**2 + z**2) * PIXEL_A < 15.0
    assert np.abs(references[..., inside]).max() == 0.0 < np.abs(references).max()


def test_a_half_knows_nothing_of_the_other(tmp_path: Path) -> None:
    """Spoil the images of one half: poses and reference of the other stay equal to the bit."""
    table, truth = make_particles(tmp_path, 60, BOX, PIXEL_A, symmetry="D2", noise=1.0)
    other = table.copy()
    second = np.flatnonzero(table["half_set"] == 2)
    other["image_section"][second] = np.roll(table["image_section"][second], 1)
    how = settings()
    results: list[tuple[PoseRows, np.ndarray]] = []
    for one in (table, other):
        with ParticleStack(one, tmp_path) as stack:
            state = first_state(truth, stack, how)
            rows = rows_of_table(one, stack.rows)
            state.noise[:] = 1.0
            work = RoundWork(state, rows, stack, how)
            found = work.add(np.arange(60))
            after, _, maps = finish_round(work, np.arange(60), found)
            assert at_box(maps[0].found, BOX, PIXEL_A).map.shape == (BOX,) * 3
            results.append((found, work.sums[0].halves[0].volume.copy()))
            assert not np.array_equal(after.references[0], after.references[1])
    first = np.flatnonzero(table["half_set"] == 1)
    np.testing.assert_array_equal(results[0][0].rotations[:, first], results[1][0].rotations[:, first])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert not np.array_equal(results[0][0].rotations[:, second], results[1][0].rotations[:, second])


def test_noise_shows_nothing_finer_than_the_start(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 240, BOX, PIXEL_A, symmetry="D2", noise=1e4)
    found = refine_particles(table, tmp_path, truth, settings(rounds=6, symmetry="D2"), threads=2)
    assert found.state.resolution_A.min() >= 20.0 and found.state.limit_A == 20.0


@pytest.mark.parametrize("independent", [True, False])
def test_symmetric_noise_shows_nothing_finer_than_the_start_either(tmp_path: Path, independent: bool) -> None:
    """With 24 equivalent views a shell has few independent components, and noise agrees by chance: to 12.7 A here."""
    table, truth = make_particles(tmp_path, 250, 48, PIXEL_A, symmetry="O", noise=1.0)
    random = np.random.Generator(np.random.Philox(2))
    with MrcStackWriter(tmp_path / "particles.mrcs", 48, 48, PIXEL_A) as writer:
        for _ in range(250):
            writer.append(random.standard_normal((48, 48)).astype(np.float32))
    table["origin_x_A"] = table["origin_y_A"] = 0.0
    how = AutoRefineSettings(
        mask_radius_A=50.0, symmetry="O", independent_halves=independent, rounds=3, seed=2, search_range_A=9.0
    )
    found = refine_particles(table, tmp_path, truth, how)
    assert found.state.resolution_A.min() >= how.start_A
    resolution = found.maps[0].resolution
    assert resolution is not None and resolution.resolution_A >= how.start_A


def test_weak_signals_find_their_poses_as_they_do_against_the_truth(tmp_path: Path) -> None:
    """Poses sought against maps that the particles are in stay wrong: their own noise, once there, holds them.

    The engine's search against the true map is the best there can be. (In a harder case, box 64 and noise 6, it misses
    4 % of the particles; with maps of all particles in each round 36 % stayed wrong, with halves in turn 8 %.)
    """
    table, truth = make_particles(tmp_path, 400, BOX, PIXEL_A, symmetry="D2", noise=3.2)
    rotations = euler_to_matrix(*(np.deg2rad(table[name]) for name in ANGLES))
    start = table.copy()
    for name in (*ANGLES, "origin_x_A", "origin_y_A"):
        start[name] = 0.0
    found = refine_particles(start, tmp_path, truth, settings(rounds=25), threads=2)
    group = point_group("D2")
    wrong = np.mean(group.distance(found.rows.rotations[0], rotations) > np.deg2rad(10.0))
    with ParticleStack(table, tmp_path) as stack:
        pixels = normalise(stack.read(np.arange(400)), 44.0, PIXEL_A)
        images = prepare_images(
            pixels, stack.optics(0), stack.defocus(np.arange(400)), background_noise(stack, 44.0)[0], 6.4, low_A=300.0
        )
    reference = prepare_reference(truth, PIXEL_A, limit_A=6.3, radius_A=44.0)
    best = search_poses(reference, images, settings().search(6.4, 4.0), centre_A=np.zeros((400, 2)))
    least = np.mean(group.distance(best.best_rotations, rotations) > np.deg2rad(10.0))
    assert wrong < least + 0.05, (wrong, least)
