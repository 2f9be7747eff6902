"""Classes are found where one map was: by the leading components of what it leaves of the images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages.refinement.scenes import mixed_particles
from verglas.engine import MaskSettings, ParticleStack
from verglas.stages.refinement import (
    AutoRefineSettings,
    Variation,
    begin_classes,
    first_state,
    in_common,
    mixed_in_components,
    rows_of_table,
)
from verglas.stages.refinement.class_references import difference_to_noise

BOX, PIXEL_A = 32, 3.5


def right(occupancy: np.ndarray, label: np.ndarray) -> float:
    part = float(np.mean(occupancy.argmax(axis=0) == label))
    return max(part, 1.0 - part)


def test_each_half_set_finds_the_part_that_turns_and_a_run_finds_it_again(tmp_path: Path) -> None:
    table, label, truths = mixed_particles(tmp_path, 400, BOX, PIXEL_A, noise=2.0)
    settings = AutoRefineSettings(mask_radius_A=46.0, mask=MaskSettings(automatic=False), classes=2)
    with ParticleStack(table, tmp_path) as stack:
        state = first_state(truths.mean(axis=0), stack, settings)
        state.classes_wanted = True
        rows = rows_of_table(table, stack.rows)
        after, found = begin_classes(state, rows, stack, settings)
        again = begin_classes(state, rows, stack, settings)[1]
    assert not after.classes_wanted and found.classes == 2
    half = np.asarray(table["half_set"])
    for number in (1, 2):
        assert right(found.occupancy[:, half == number], label[half == number]) > 0.8
    np.testing.assert_allclose(found.occupancy.sum(axis=0), 1.0)
    np.testing.assert_array_equal(found.occupancy, again.occupancy)
    np.testing.assert_array_equal(found.rotations[1], rows.rotations[0])


def test_points_in_the_space_of_components_come_apart_and_none_is_empty() -> None:
    random = np.random.Generator(np.random.Philox(2))
    centres, label = np.array([[3.0, 0.0], [-2.0, 2.0], [-1.0, -3.0]]), np.arange(600) % 3
    power = np.broadcast_to(np.diag([1.5, 2.0]), (600, 2, 2))
    product = np.einsum("ncd,nd->nc", power, centres[label]) + random.standard_normal((600, 2)) * np.sqrt([1.5, 2.0])
    found = mixed_in_components(product, power, 3, [1])
    classes = found.argmax(axis=0)
    assert all(np.mean(classes[label == k] == np.bincount(classes[label == k]).argmax()) > 0.95 for k in range(3))
    assert len({int(np.bincount(classes[label == k]).argmax()) for k in range(3)}) == 3
    # Images of one kind: the classes mean nothing, but both keep particles.
    noise = random.standard_normal((200, 1))
    assert mixed_in_components(noise, np.ones((200, 1, 1)), 2, [1]).mean(axis=1).min() > 0.02


def test_half_sets_share_the_components_that_both_have() -> None:
    random = np.random.Generator(np.random.Philox(4))
    common = random.standard_normal(500)
    sets = []
    for place in (2, 0):
        volumes = random.standard_normal((4, 500))
        volumes[place] += 2.0 * common
        product = random.standard_normal((9, 4))
        sets.append(Variation(volumes.reshape(4, 5, 10, 10).astype(np.float32), product, np.stack([np.eye(4)] * 9)))
    first, second = in_common(sets[0], sets[1], 1)
    for one, whole, place in ((first, sets[0], 2), (second, sets[1], 0)):
        assert abs(np.corrcoef(one.volumes.ravel(), common)[0, 1]) > 0.85
        assert abs(np.corrcoef(one.product[:, 0], whole.product[:, place])[0, 1]) > 0.9
        np.testing.assert_allclose(one.power, 1.0, rtol=0.1)
    assert np.sum(first.volumes * second.volumes) > 0.0


def test_components_of_unlike_strength_are_found_as_well_and_are_equally_strong_in_both_half_sets() -> None:
    """A space is the same however its vectors are scaled and mixed."""
    random = np.random.Generator(np.random.Philox(5))
    common, sets = random.standard_normal(500), []
    for scales in ((1.0, 9.0, 0.2), (5.0, 0.1, 1.0)):
        volumes = random.standard_normal((3, 500))
        volumes[0] += common
        mixed = np.array(scales)[:, None] * (random.standard_normal((3, 3)) @ volumes)
        sets.append(Variation(mixed.reshape(3, 5, 10, 10).astype(np.float32), np.zeros((9, 3)), np.zeros((9, 3, 3))))
    first, second = in_common(sets[0], sets[1], 1)
    for one in (first, second):
        assert abs(np.corrcoef(one.volumes.ravel(), common)[0, 1]) > 0.65
    assert np.linalg.norm(first.volumes) == pytest.approx(np.linalg.norm(second.volumes))


def test_the_filter_of_differences_passes_what_rises_from_nothing() -> None:
    fsc = np.concatenate([np.zeros(5), np.full(10, 0.5), np.zeros(10)])
    ratio = difference_to_noise(fsc)
    np.testing.assert_allclose(ratio[8:12], 1.0, atol=1e-12)
    assert ratio[:2].max() < 0.01 and ratio[-5:].max() == 0.0
