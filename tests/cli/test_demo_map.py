"""The demo gives picks the poses that the simulator drew, and the shift that undoes their distance to the truth."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from verglas.cli.demo_map import at_true_poses
from verglas.formats import ParticleTable


def table_of(places_px: list[tuple[float, float]], rot_deg: list[float]) -> ParticleTable:
    table = ParticleTable.empty(len(places_px))
    table["coordinate_x_px"], table["coordinate_y_px"] = np.array(places_px).T
    table["rot_deg"] = rot_deg
    table["active"] = 1
    return table


def test_picks_get_the_pose_and_the_shift_of_their_own_particle():
    truth = table_of([(100.0, 50.0), (200.0, 80.0), (100.0, 50.0)], [10.0, 20.0, 30.0])
    truth.set_names("micrograph", ["a.tif", "a.tif", "b.tif"])
    picks = table_of([(203.0, 80.0), (101.0, 48.0), (500.0, 500.0), (100.0, 50.0)], [0.0] * 4)
    movies = cast("Any", SimpleNamespace(particles=truth))
    offsets = {"a": np.array([2.0, 0.0]), "b": np.array([0.0, -4.0])}
    found, known = at_true_poses(picks, ["a", "a", "a", "b"], movies, 2.0, offsets)
    assert known.tolist() == [True, True, False, True]
    assert found["rot_deg"][known].tolist() == [20.0, 10.0, 30.0]
    assert found["active"].tolist() == [1, 1, 0, 1]
    # The particle lies at 400 + 2 A in the sum, the box's middle at 406: it must be moved by 4 A.
    assert found["origin_x_A"][known] == pytest.approx([4.0, 0.0, 0.0])
    assert found["origin_y_A"][known] == pytest.approx([0.0, -4.0, 4.0])
