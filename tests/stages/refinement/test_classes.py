"""Several classes: molecules come apart in both half sets alike; which class is which passes between the halves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles, molecule
from tests.stages.refinement.scenes import mixed_particles
from verglas.engine import MaskSettings, ParticleStack
from verglas.engine.reconstruction import Reconstruction
from verglas.errors import InputError
from verglas.stages.refinement import AutoRefineSettings, first_state, match_classes, refine_particles, rows_of_table
from verglas.stages.refinement.class_matching import exchange_classes

BOX, PIXEL_A = 32, 3.5


def settings(**changed: object) -> AutoRefineSettings:
    options = {"mask_radius_A": 46.0, "mask": MaskSettings(automatic=False), "classes": 2, "rounds": 12}
    return AutoRefineSettings(**{**options, **changed})  # type: ignore[arg-type]


def accuracy(occupancy: np.ndarray, label: np.ndarray) -> float:
    right = float(np.mean(occupancy.argmax(axis=0) == label))
    return max(right, 1.0 - right)


def test_two_molecules_come_apart_from_one_volume(tmp_path: Path) -> None:
    """Of one molecule with a part turned; both half sets must call the same one their first class."""
    table, label, truths = mixed_particles(tmp_path, 500, BOX, PIXEL_A, noise=1.5)
    found = refine_particles(table, tmp_path, truths[0], settings(), threads=2)
    half = np.asarray(table["half_set"])
    assert accuracy(found.rows.occupancy, label) > 0.9
    assert all(accuracy(found.rows.occupancy[:, half == number], label[half == number]) > 0.88 for number in (1, 2))
    assert found.state.agreement > 0.3
    # Both classes lie as the map that they were found at: a particle has one pose.
    np.testing.assert_array_equal(found.rows.rotations[0], found.rows.rotations[1])
    np.testing.assert_array_equal(found.rows.displacements_A[0], found.rows.displacements_A[1])


def test_molecules_that_have_nothing_in_common_come_apart_from_the_volume_of_one(tmp_path: Path) -> None:
    shapes = [molecule(BOX, PIXEL_A, seed=seed) for seed in (5, 77)]
    table, volume = make_particles(tmp_path, 400, BOX, PIXEL_A, noise=1.5, molecules=shapes)
    label = np.asarray(table["class_number"]) - 1
    classes: list[int] = []
    found = refine_particles(
        table, tmp_path, volume, settings(), threads=2, progress=lambda _, rows, maps: classes.append(len(maps))
    )  # fmt: skip
    # One class first, and then two.
    assert classes == sorted(classes) and set(classes) == {1, 2}
    assert accuracy(found.rows.occupancy, label) > 0.8
    assert found.rows.occupancy.mean(axis=1).min() > 0.25


def test_two_molecules_from_a_volume_each(tmp_path: Path) -> None:
    table, label, truths = mixed_particles(tmp_path, 240, BOX, PIXEL_A, noise=1.5)
    found = refine_particles(table, tmp_path, truths, settings(rounds=3, search_first=False), threads=2)
    assert np.mean(found.rows.occupancy.argmax(axis=0) == label) > 0.9
    with ParticleStack(table, tmp_path) as stack, pytest.raises(InputError, match="one for each class"):
        first_state(np.zeros((3, BOX, BOX, BOX)), stack, settings())


def test_classes_of_two_half_sets_are_matched() -> None:
    random = np.random.Generator(np.random.Philox(1))
    common, own = random.standard_normal((BOX,) * 3), random.standard_normal((3, BOX, BOX, BOX))
    order = [2, 0, 1]
    weight = np.ones(BOX // 2 + 1)
    halves = [((common + own[k]).astype(np.float32), (common + own[order[k]]).astype(np.float32)) for k in range(3)]
    match = match_classes([((one, weight), (two, weight)) for one, two in halves], PIXEL_A, 46.0, 10.0)
    # Class order[k] of the first half is class k of the second.
    assert [order[k] for k in match.order] == [0, 1, 2]
    assert match.agreement > 0.99


def test_exchanged_sums_and_rows_go_together(tmp_path: Path) -> None:
    sums = [Reconstruction(BOX, PIXEL_A) for _ in range(2)]
    for number, one in enumerate(sums):
        one.images[:] = (10 + number, 20 + number)
        one.halves[1].volume[:] = number
    exchange_classes(sums, np.array([1, 0]))
    assert [int(one.images[1]) for one in sums] == [21, 20] and [int(one.images[0]) for one in sums] == [10, 11]
    assert sums[0].halves[1].volume[5] == 1 and sums[1].halves[1].volume[5] == 0
    table, _ = make_particles(tmp_path, 6, BOX, PIXEL_A, points=molecule(BOX, PIXEL_A))
    rows = rows_of_table(table, np.arange(6)).split(np.stack([np.arange(6.0), 10 + np.arange(6.0)]))
    rows.permute(np.array([1, 0]), np.array([1, 3]))
    np.testing.assert_array_equal(rows.occupancy, [[0, 11, 2, 13, 4, 5], [10, 1, 12, 3, 14, 15]])
