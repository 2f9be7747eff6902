"""The schedule of automatic refinement: how many particles, which ones, searched how often, classes to what detail."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from verglas.engine.reconstructed_map import ReconstructedMap
from verglas.signal import Resolution
from verglas.stages.refinement import AutoRefineSettings, RefinementState, used_in_round
from verglas.stages.refinement.maps import ClassMaps, limit_of

HOW = AutoRefineSettings(mask_radius_A=70.0)


def state(**changes: object) -> RefinementState:
    made = RefinementState(
        references=np.zeros((2, 1, 4, 4, 4), np.float32), noise=np.ones((1, 3)), share=np.ones(1), limit_A=20.0,
        before_A=20.0, part=0.1, shift_sigma_A=0.0, resolution_A=np.zeros(0),
    )  # fmt: skip
    return replace(made, **changes)


def test_finer_limits_take_more_particles_and_symmetry_fewer() -> None:
    wanted = [HOW.part_wanted(limit, 100_000) for limit in (20.0, 10.0, 7.0, 5.0)]
    assert wanted[0] == pytest.approx(0.08 * math.exp(75.0 / 400.0))
    assert wanted == sorted(wanted) and wanted[-1] == 1.0
    assert replace(HOW, symmetry="D2").part_wanted(20.0, 100_000) == pytest.approx(wanted[0] / 4)
    assert replace(HOW, classes=2).part_wanted(20.0, 100_000) == pytest.approx(wanted[0] * 2)
    assert HOW.part_wanted(20.0, 500) == 1.0


def test_rounds_take_halves_in_turn_and_the_last_one_takes_all() -> None:
    first, second = (set(used_in_round(state(part=1.0, number=n, halved=True), 1000, HOW).tolist()) for n in (2, 3))
    assert len(first) == len(second) == 500 and not first & second
    few = used_in_round(state(part=0.1, number=2), 1000, HOW)
    assert len(few) == 100 and np.array_equal(few, np.unique(few))
    assert not np.array_equal(few, used_in_round(state(part=0.1, number=3), 1000, HOW))
    assert len(used_in_round(state(part=0.1, number=4, halved=True, final=True), 1000, HOW)) == 1000


def test_particles_are_searched_again_as_the_limit_becomes_finer_but_not_for_ever() -> None:
    searched_A = np.array([math.inf, 20.0, 10.0])
    assert HOW.search_chance(searched_A, 10.0).tolist() == [1.0, 1.0, 0.0]
    assert 0.0 < HOW.search_chance(np.array([12.0]), 10.0)[0] < 1.0
    # References better than 5 A make no other search worth while.
    assert HOW.search_chance(np.array([5.2]), 3.0)[0] == 0.0


def test_classes_are_told_at_finer_and_finer_detail() -> None:
    limits = [HOW.classification_limit_A(number, 4.0) for number in (1, 5, 9, 20)]
    assert limits == [20.0, 14.0, 8.0, 8.0]
    assert HOW.classification_limit_A(9, 12.0) == 12.0


def test_independent_halves_go_as_far_as_they_agree_also_where_it_is_not_reported() -> None:
    """Few independent components agree by chance: that is not reported, but nothing is lost by aligning so far."""
    found = ReconstructedMap((np.zeros((4, 4, 4), np.float32),) * 2, np.zeros((4, 4, 4), np.float32), None, None, None,
                             Resolution(20.0, 0.143, "start"), np.zeros(3), (1, 1))  # fmt: skip
    maps = [ClassMaps(found, np.zeros((2, 4, 4, 4), np.float32), 11.0)]
    assert maps[0].resolution_A == 20.0
    assert limit_of(maps, 200.0, HOW, 20.0, 4.0) == 11.0
    assert limit_of(maps, 200.0, HOW, 20.0, 12.0) == 12.0
    # Never coarser than the start.
    assert limit_of([replace(maps[0], agreed_A=math.inf)], 200.0, HOW, 20.0, 4.0) == 20.0


def test_a_state_of_a_former_version_goes_by_what_was_reported() -> None:
    arrays = state(resolution_A=np.array([12.0, 9.0])).arrays()
    del arrays["agreed_A"]
    assert RefinementState.from_arrays(arrays).agreed_A.tolist() == [12.0, 9.0]
