"""Alarms of live processing: which figures raise them, and which say nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from verglas.actions import live_alarms
from verglas.actions.live_alarms import Alarms, conditions_of
from verglas.project import Project

SOUND = {
    "movie_alignment.total_motion_A": 12.0, "movie_alignment.found_signal": 1.0, "ctf_estimation.score": 0.1,
    "ctf_estimation.iciness": 0.2, "ctf_estimation.astigmatism_A": 300.0, "ctf_estimation.fit_resolution_A": 4.1,
    "ctf_estimation.failure_probability": 0.001,
}  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "raised"),
    [
        ({}, []),
        ({"movie_alignment.total_motion_A": 120.0}, ["drift"]),
        ({"movie_alignment.found_signal": 0.0}, ["frames without common signal"]),
        ({"ctf_estimation.iciness": 3.0}, ["ice"]),
        ({"ctf_estimation.iciness": None}, []),
        ({"ctf_estimation.astigmatism_A": 1600.0}, ["astigmatism"]),
        ({"ctf_estimation.fit_resolution_A": 9.0}, ["resolution"]),
        ({"ctf_estimation.fit_resolution_A": None}, ["resolution"]),
        ({"ctf_estimation.fit_resolution_A": 12.0, "ctf_estimation.astigmatism_A": 2400.0}, ["resolution"]),
        ({"ctf_estimation.failure_probability": 0.4, "ctf_estimation.astigmatism_A": 2400.0}, ["doubtful CTF"]),
    ],
)
def test_each_fault_raises_its_alarm(
    figures: dict[str, Any], raised: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_alarms, "figures_of_one", lambda _project, _image: {**SOUND, **figures})
    with Project.create(tmp_path / "p") as project:
        edits: list[dict[str, Any]] = []
        monkeypatch.setattr(project, "edit", edits.append)
        alarms = Alarms(project, conditions_of(()))
        said = alarms.judge([{"kind": "image", "id": 1, "name": "m"}])
        assert [text.split(": ")[1] for text in said] == raised
        assert len(edits) == len(raised)
        assert alarms.judge([{"kind": "image", "id": 1, "name": "m"}]) == [], "an alarm is said once"
