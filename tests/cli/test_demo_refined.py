"""The demo compares poses with true ones in the frame, and in the hand, of the true map."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tests.engine.particles import density, molecule
from verglas.cli.demo_refined import errors_deg
from verglas.engine import prepare_reference, project, transform_map
from verglas.geometry import random_rotations


@pytest.mark.parametrize("mirrored", [False, True])
def test_poses_of_a_turned_map_of_either_hand_are_those_of_the_truth(mirrored: bool) -> None:
    truth = density(molecule(40, 3.0), 40, 3.0)
    turn = random_rotations(1, 4)[0]
    found = transform_map(truth, turn, np.zeros(3), 3.0, mirrored=mirrored)
    poses, true = random_rotations(5, 8), np.empty((5, 3, 3))
    alignment = cast("Any", SimpleNamespace(rotation=turn.T, mirrored=mirrored))
    # Which pose of the truth shows what the found map shows: the one that the demo calls equal.
    for n, pose in enumerate(poses):
        seen = project(prepare_reference(found, 3.0), pose)
        turned = pose @ turn
        candidates = (turned, np.diag([1.0, 1.0, -1.0]) @ -turned)
        likeness = [
            np.corrcoef(project(prepare_reference(truth, 3.0), one).ravel(), seen.ravel())[0, 1] for one in candidates
        ]
        assert max(likeness) > 0.95 > min(likeness)
        true[n] = candidates[int(np.argmax(likeness))]
    assert errors_deg(poses, true, alignment, "C1").max() < 1e-3
