"""The hard set, small: its stack, refinements and report; and which class is called which conformation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from verglas.cli.demo_hard import HardSet, hard_demo
from verglas.cli.demo_hard_sections import class_order


def test_classes_are_named_after_the_conformation_that_they_hold() -> None:
    label = np.array([0, 0, 0, 1, 1])
    occupancy = np.array([[10.0, 20.0, 60.0, 90.0, 80.0], [90.0, 80.0, 40.0, 10.0, 20.0]])
    assert class_order(occupancy, label) == ((1, 0), 0.8)
    assert class_order(occupancy[::-1], label) == ((0, 1), 0.8)


def test_a_small_hard_set_goes_from_stack_to_report(tmp_path: Path) -> None:
    """Large pixels, many electrons and a domain turned far: poses come right from the low-passed start."""
    asked = HardSet(particles=80, pixel_size_A=5.8, dose_e_A2=1000.0, turned_deg=90.0, rounds=2)
    steps: list[str] = []
    figures = hard_demo(tmp_path, asked, "low-passed", 1, steps.append)
    assert len(steps) == 4 and "low-passed" in steps[1]
    assert figures["angular_error_deg"] < 8.0 and figures["beyond_10_deg"] < 0.3
    # The true maps tell a domain that is turned so far in every particle.
    assert figures["class_accuracy_at_true_poses"] > 0.95 and 0.5 <= figures["class_accuracy"] <= 1.0
    assert all(value < 25.0 for value in figures["resolution_at_true_poses_A"])
    assert json.loads((tmp_path / "report.json").read_text()) == figures
    page = (tmp_path / "report.html").read_text()
    assert "low-passed to 30 A" in page and "at true poses, by the true maps" in page
    assert page.count("<img") == 2
