"""The hard set, small: its stack, refinements and report; and which class is called which conformation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import verglas.cli.demo_hard
from verglas.cli.demo_hard import HardSet, hard_demo
from verglas.cli.demo_hard_sections import class_order, tables_of
from verglas.cli.main import cli
from verglas.errors import JobError
from verglas.formats import read_particles
from verglas.project import Project
from verglas.stages.refinement.maps import CLASS_RAN_EMPTY


@pytest.mark.parametrize(
    "given",
    [
        ("hard", "--movies", "6"), ("hard", "--size", "512"), ("hard", "--frames", "20"),
        ("hard", "--model", "apoferritin"), ("hard", "--particles", "0"),
        ("normal", "--start", "ab-initio"), ("normal", "--pixel-size", "1.2"),
    ],
)  # fmt: skip
def test_options_of_another_set_are_refused_before_anything_is_touched(tmp_path: Path, given: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, ["demo", "--output", str(tmp_path / "demo"), "--set", *given])
    assert result.exit_code == 2 and given[1] in result.output, result.output
    assert not (tmp_path / "demo").exists()


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
    assert figures["class_accuracy_of_true_maps_at_true_poses"] > 0.95
    assert 0.5 <= figures["class_accuracy_at_true_poses"] <= 1.0
    # Two rounds do not part the classes; what is reported must be what the last tables say.
    turned = np.asarray(read_particles(tmp_path / "particles" / "particles.star")["class_number"]) == 2
    with Project.open(tmp_path / "project") as project:
        straight, other = (np.asarray(one["occupancy"]) for one in tables_of(project, project.assets("refinement")[-1]))
    right = float(np.mean((other > straight) == turned))
    assert 0.0 < right < 1.0 and figures["class_accuracy"] == pytest.approx(max(right, 1.0 - right), abs=1e-4)
    assert all(value < 25.0 for value in figures["resolution_at_true_poses_A"])
    assert json.loads((tmp_path / "report.json").read_text()) == figures
    page = (tmp_path / "report.html").read_text()
    assert "low-passed to 30 A" in page and "at true poses, by the true maps" in page
    assert page.count("<img") == 2


def test_classes_that_do_not_come_apart_are_refined_as_one_and_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refine = verglas.cli.demo_hard.refine

    def collapsing(project: Any, package: Any, reference: int, classes: int, asked: HardSet, threads: int) -> None:
        if classes > 1:
            raise JobError(f"Job 2 is failed: {CLASS_RAN_EMPTY}.")
        refine(project, package, reference, classes, asked, threads)

    monkeypatch.setattr(verglas.cli.demo_hard, "refine", collapsing)
    asked = HardSet(particles=60, pixel_size_A=5.8, dose_e_A2=1000.0, turned_deg=90.0, rounds=2)
    figures = hard_demo(tmp_path, asked, "low-passed", 1, lambda text: None)
    assert not figures["classes_came_apart"] and CLASS_RAN_EMPTY in figures["why_not"]
    assert figures["class_accuracy"] == figures["largest_class"] < 0.8
    assert "did not come apart" in (tmp_path / "report.html").read_text()


def test_a_job_that_ends_for_another_reason_ends_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(*args: Any) -> None:
        raise JobError("Job 2 is cancelled: it was asked to stop.")

    monkeypatch.setattr(verglas.cli.demo_hard, "refine", cancelled)
    asked = HardSet(particles=10, pixel_size_A=5.8, dose_e_A2=1000.0)
    with pytest.raises(JobError, match="cancelled"):
        hard_demo(tmp_path, asked, "low-passed", 1, lambda text: None)
