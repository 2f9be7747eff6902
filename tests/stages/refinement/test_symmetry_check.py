"""A symmetry that the molecule does not have is noticed, one that it has is not doubted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles, molecule
from verglas.engine import MaskSettings, ParticleStack, background_noise
from verglas.stages.refinement import AutoRefineSettings, rows_of_table, symmetry_evidence

BOX, PIXEL_A = 40, 3.0


@pytest.mark.parametrize(("missing", "broken"), [(0, False), (8, True)])
def test_a_molecule_that_lacks_a_part_on_one_side_breaks_the_symmetry(
    tmp_path: Path, missing: int, broken: bool
) -> None:
    points = molecule(BOX, PIXEL_A, "C2")
    table, _ = make_particles(tmp_path, 400, BOX, PIXEL_A, noise=2.0, points=points[: len(points) - missing])
    how = AutoRefineSettings(mask_radius_A=44.0, symmetry="C2", mask=MaskSettings(automatic=False))
    with ParticleStack(table, tmp_path) as stack:
        rows, noise = rows_of_table(table, stack.rows), background_noise(stack, 44.0)
        # From other equivalent poses to begin with each time: quarters that chose at once took each other's place.
        for seed in (1, 2):
            found = symmetry_evidence(stack, rows, noise, replace(how, seed=seed), 6.5)
            assert found is not None and found.is_broken is broken, (seed, found)
            assert found.correlation > 0.5 if broken else found.correlation < 0.1
            if broken:
                # 8 of 60 points are missing, half of which the symmetric map has taken from both sides.
                assert 0.1 < found.part < 0.4


def test_few_particles_do_not_gather_in_one_corner_of_a_high_symmetry(tmp_path: Path) -> None:
    """A map of few views, one of 24 equivalent ones each, has gaps; both half sets would leave the same ones."""
    table, _ = make_particles(tmp_path, 240, BOX, PIXEL_A, symmetry="O", noise=2.0)
    how = AutoRefineSettings(mask_radius_A=44.0, symmetry="O", mask=MaskSettings(automatic=False))
    with ParticleStack(table, tmp_path) as stack:
        rows, noise = rows_of_table(table, stack.rows), background_noise(stack, 44.0)
        found = symmetry_evidence(stack, rows, noise, how, 6.5)
    assert found is not None and found.correlation < 0.1, found


def test_without_symmetry_there_is_nothing_to_ask(tmp_path: Path) -> None:
    table, _ = make_particles(tmp_path, 8, BOX, PIXEL_A, noise=2.0)
    with ParticleStack(table, tmp_path) as stack:
        rows = rows_of_table(table, stack.rows)
        assert symmetry_evidence(stack, rows, np.ones((1, 21)), AutoRefineSettings(mask_radius_A=44.0), 6.5) is None
