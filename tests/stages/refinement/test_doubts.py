"""A mask that cuts the particle is noticed at the end of a refinement, one that holds it is not doubted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.engine import MaskSettings, ParticleStack
from verglas.stages.refinement import (
    AutoRefineSettings,
    Doubts,
    RoundWork,
    find_doubts,
    finish_round,
    first_state,
    rows_of_table,
)
from verglas.stages.refinement.symmetry_check import SymmetryEvidence

BOX, PIXEL_A = 40, 3.0


@pytest.mark.parametrize(("radius_A", "cut"), [(46.0, False), (18.0, True)])
def test_a_mask_that_cuts_the_particle_is_noticed(tmp_path: Path, radius_A: float, cut: bool) -> None:
    table, truth = make_particles(tmp_path, 300, BOX, PIXEL_A, noise=1.0)
    how = AutoRefineSettings(mask_radius_A=radius_A, mask=MaskSettings(automatic=False), search_first=False, rounds=2)
    with ParticleStack(table, tmp_path) as stack:
        work = RoundWork(first_state(truth, stack, how), rows_of_table(table, stack.rows), stack, how)
        every = np.arange(300)
        state, rows, maps = finish_round(work, every, work.add(every))
        # As heavy as a ball of 40 A.
        found = find_doubts(stack, rows, state, maps, how, mass_kDa=217.0)
    assert any("% of the volume" in text for text in found.warnings()) is cut, found
    assert any("cuts the particle" in text for text in found.warnings()) is cut, found
    assert found.values()["hand"] == "undetermined"


def test_each_doubt_says_what_to_do() -> None:
    broken = SymmetryEvidence(0.6, 0.25, 12.0, (500, 500))
    said = Doubts("D2", broken, [0.0, 0.9], 0.05).warnings()
    assert [any(word in text for text in said) for word in ("in C1", "Class 2", "fewer classes")] == [True] * 3
    assert not Doubts("D2", SymmetryEvidence(0.05, 0.02, 12.0, (500, 500)), [0.1], 1.0).warnings()
