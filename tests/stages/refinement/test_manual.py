"""Manual refinement: what is held stays, what is refined comes near the truth; classes that differ in a focus alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.particles import density, make_particles
from tests.stages.refinement.domains import with_and_without
from verglas.engine import MaskSettings, ParticleStack
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.geometry import euler_to_matrix, point_group
from verglas.stages.refinement import AlignmentSwitches, Focus, ManualSettings, PoseRows, refine_manually

BOX, PIXEL_A = 40, 3.0
CENTRE_A, RADIUS_A = (20.0, -12.0, 8.0), 9.0
EULER = ("rot_deg", "tilt_deg", "psi_deg")


def settings(**changed: Any) -> ManualSettings:
    options: dict[str, Any] = {
        "mask_radius_A": 50.0, "search_radius_A": 55.0, "limit_A": 8.0, "class_limit_A": 8.0,
        "mask": MaskSettings(automatic=False),
    }  # fmt: skip
    return ManualSettings(**{**options, **changed})


def rotations(table: ParticleTable) -> np.ndarray:
    return np.asarray(euler_to_matrix(*(np.deg2rad(table[name]) for name in EULER)))


def off(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.rad2deg(point_group("C1").distance(one, other)))


def test_only_what_is_asked_for_moves(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 80, BOX, PIXEL_A, noise=1.0)
    start = table.copy()
    start["origin_x_A"] += 2.0
    start["psi_deg"] += 3.0
    found = refine_manually([start], tmp_path, [truth], settings(moves=("psi", "x"), use_sigma=False))
    made = found.tables[0]
    np.testing.assert_allclose(made["origin_y_A"], start["origin_y_A"], atol=1e-9)
    directions = rotations(made)[:, 2] - rotations(start)[:, 2]
    np.testing.assert_allclose(directions, 0.0, atol=1e-6)
    assert np.median(np.abs(made["origin_x_A"] - table["origin_x_A"])) < 0.5
    assert np.median(off(rotations(made), rotations(table))) < 1.0
    held = refine_manually([start], tmp_path, [truth], settings(moves=()))
    np.testing.assert_allclose(rotations(held.tables[0]), rotations(start), atol=1e-9)
    assert (held.tables[0]["score"] > 0.0).all()


def test_a_global_search_with_ranges_of_its_own_in_x_and_y(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 60, BOX, PIXEL_A, noise=1.0)
    start = table.copy()
    for name in EULER:
        start[name] = 0.0
    start["origin_x_A"] += 9.0
    options = {"mode": "global", "search_range_x_A": 15.0, "search_range_y_A": 4.0}
    found = refine_manually([start], tmp_path, [truth], settings(**options))
    away = off(found.rows.rotations[0], rotations(table))
    assert np.mean(away < 5.0) > 0.9
    np.testing.assert_allclose(found.rows.searched_A, 8.0)


def test_the_defocus_of_each_particle_is_found(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 40, BOX, PIXEL_A, noise=0.5)
    start = table.copy()
    change = np.where(np.arange(40) % 2 == 0, 700.0, -600.0)
    start["defocus_u_A"] += change
    start["defocus_v_A"] += change
    switches = AlignmentSwitches(defocus_range_A=1200.0, defocus_step_A=200.0)
    found = refine_manually([start], tmp_path, [truth], settings(limit_A=6.3, switches=switches))
    error = found.tables[0]["defocus_u_A"] - table["defocus_u_A"]
    assert np.median(np.abs(error)) < 100.0


def test_blank_edges_scores_blurring_and_the_middle(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 80, BOX, PIXEL_A, noise=1.0)
    moved = np.roll(truth, 3, axis=2)
    start = table.copy()
    shift = rotations(table) @ np.array([3 * PIXEL_A, 0.0, 0.0])
    # The map lies 9 A off the middle, and poses with it.
    start["origin_x_A"] += shift[:, 0]
    start["origin_y_A"] += shift[:, 1]
    options = {"autocentre": True, "score_threshold": 0.5, "switches": AlignmentSwitches(blurring=1.0)}
    found = refine_manually([start], tmp_path, [moved], settings(**options, moves=()))
    assert 30 <= sum(found.maps[0].images) <= 50
    plain = refine_manually([table], tmp_path, [truth], settings(moves=()))
    kept = np.corrcoef(found.maps[0].map.ravel(), plain.maps[0].map.ravel())[0, 1]
    assert kept > 0.5
    with pytest.raises(InputError, match="cannot be refined"):
        settings(moves=("psi", "z"))


def random_classes(table: ParticleTable, folder: Path, seed: int = 1) -> tuple[list[ParticleTable], list[Any]]:
    """Return tables of two classes drawn at random, and their half maps."""
    drawn = np.random.Generator(np.random.Philox(seed)).integers(0, 2, len(table))
    tables = []
    for k in range(2):
        one = table.copy()
        one["occupancy"] = 100.0 * (drawn == k)
        tables.append(one)
    return tables, [reconstruct_particles(one, folder).finish().half_maps for one in tables]


def right(occupancy: np.ndarray, label: np.ndarray) -> float:
    share = float(np.mean(occupancy.argmax(axis=0) == label))
    return max(share, 1.0 - share)


def test_classes_that_differ_in_a_focus_alone(tmp_path: Path) -> None:
    molecules = with_and_without(BOX, PIXEL_A, CENTRE_A, RADIUS_A, 8)
    table, _ = make_particles(tmp_path, 400, BOX, PIXEL_A, noise=3.0, molecules=molecules)
    label = np.asarray(table["class_number"]) - 1
    truth = [density(one, BOX, PIXEL_A) for one in molecules]
    from_first_voxel = tuple(np.array(CENTRE_A) + BOX // 2 * PIXEL_A)
    sphere = Focus(from_first_voxel, 13.0)
    tables, halves = random_classes(table, tmp_path)
    at_truth = refine_manually(tables, tmp_path, truth, settings(classes=2, moves=()))
    best = right(at_truth.rows.occupancy, label)
    assert best > 0.95
    how = settings(classes=2, moves=(), rounds=8, switches=AlignmentSwitches(focus=sphere))
    found = refine_manually(tables, tmp_path, halves, how)
    assert right(found.rows.occupancy, label) > 0.9 * best
    # The same sphere as a mask volume, where residuals in its outline count.
    mask = sphere.mask(BOX, BOX, PIXEL_A)
    for by, start in (("map", halves), ("circle", truth)):
        volume = Focus(volume=(mask > 0.5).astype(np.float32), by=by)  # type: ignore[arg-type]
        how = settings(classes=2, moves=(), rounds=8 if by == "map" else 1, switches=AlignmentSwitches(focus=volume))
        assert right(refine_manually(tables, tmp_path, start, how).rows.occupancy, label) > 0.9 * best
    with pytest.raises(InputError, match="first voxel"):
        Focus((500.0, 0.0, 0.0), 10.0).mask(BOX, BOX, PIXEL_A)


def test_particles_are_not_kept_in_a_class_by_their_own_noise(tmp_path: Path) -> None:
    """Classes of one molecule, drawn at random: with its own noise taken off, a particle may as well be in either."""
    table, _ = make_particles(tmp_path, 600, BOX, PIXEL_A, noise=3.0)
    tables, halves = random_classes(table, tmp_path)
    # Classes of the other half set are matched to those of this one, and may be exchanged.
    mine = np.asarray(table["half_set"]) == 1
    classes = [np.stack([one["occupancy"] for one in tables]).argmax(axis=0)[mine]]

    def follow(_state: object, rows: PoseRows, _maps: object) -> None:
        classes.append(rows.occupancy.argmax(axis=0)[mine])

    refine_manually(tables, tmp_path, halves, settings(classes=2, moves=(), rounds=2), progress=follow)
    first, second = (float(np.mean(before != after)) for before, after in pairwise(classes))
    # References that are given may be of any particles: the first round cannot take anything off.
    assert first < 0.05
    assert 0.35 < second < 0.65


def test_how_fine_a_limit_may_be() -> None:
    assert settings().finest_honest_A(8.0) == 8.0
    one_reference = settings(independent_halves=False)
    # What is aligned spreads by two over the diameter of the mask.
    assert one_reference.finest_honest_A(8.0) == pytest.approx(1.0 / (1.0 / 8.0 - 1.0 / 50.0))
    assert one_reference.finest_honest_A(60.0) == np.inf


def test_a_focus_is_seen_where_the_particle_is(tmp_path: Path) -> None:
    from verglas.stages.refinement.focus import ProjectedFocus

    sphere = Focus(tuple(np.array(CENTRE_A) + BOX // 2 * PIXEL_A), RADIUS_A)
    volume = Focus(volume=(sphere.mask(BOX, BOX, PIXEL_A) > 0.5).astype(np.float32))
    table, _ = make_particles(tmp_path, 6, BOX, PIXEL_A)
    R, moved = rotations(table), np.array([[4.0, -6.0]] * 6)
    seen = [ProjectedFocus.of(one, BOX, PIXEL_A).seen(R, moved, BOX, PIXEL_A) for one in (sphere, volume)]
    for n in range(6):
        x, y = (R[n] @ np.array(CENTRE_A))[:2] + moved[n]
        for one in seen:
            weights = one[n] / one[n].sum()
            along = (np.arange(BOX) - BOX // 2) * PIXEL_A
            np.testing.assert_allclose([weights.sum(axis=0) @ along, weights.sum(axis=1) @ along], [x, y], atol=1.5)
    with ParticleStack(table, tmp_path) as stack:
        assert stack.box == BOX
