"""Commands made from declarations, and ``verglas jobs``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.actions.toy_action import ToyAction
from verglas.actions.launch import prepare
from verglas.cli.actions import command_of
from verglas.cli.jobs import jobs
from verglas.execution.controller import start_detached
from verglas.execution.job_folder import JobFolder, ProjectReference
from verglas.project import Project

REPOSITORY = Path(__file__).parents[2]
NAMES = ["a", "bb", "bad", "cccc"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    records = [{"kind": "movie", "id": i + 1, "name": name} for i, name in enumerate(NAMES)]
    monkeypatch.setattr(Project, "assets", lambda self, kind, **options: records)
    monkeypatch.setattr(Project, "asset", lambda self, kind, number: records[number - 1])
    Project.create(tmp_path / "p").close()
    return tmp_path / "p"


def toy(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command_of(ToyAction), ["--project", str(project), *arguments])


def ask(project: Path, *arguments: str) -> Any:
    result = CliRunner().invoke(jobs, [*arguments, "--project", str(project), "--json"])
    assert not result.exception, result.output
    return json.loads(result.stdout)


def test_help_shows_units_limits_and_headings() -> None:
    text = CliRunner().invoke(command_of(ToyAction), ["--help"], terminal_width=200).stdout
    for part in ("--movies NAME|ID,...", "default: 1.5 e/A^2; > 0", "Expert parameters", "[slow|fast]", "--no-fancy",
                 "--max-shift", "--window", "Exit status"):  # fmt: skip
        assert part in text, text


def test_dry_run_states_and_starts_nothing(project: Path) -> None:
    result = toy(project, "--dry-run", "--json", "--dose", "2", "--window", "3", "4", "--workers", "1")
    stated = json.loads(result.stdout)
    assert stated["parameters"] == {"dose": 2.0, "max_shift_A": None, "mode": "slow", "fancy": False, "window": [3, 4]}
    assert stated["estimate"]["memory_bytes"] > 10_000_000
    assert not JobFolder.all_in(project / "Jobs")


def test_run_show_list_clone(project: Path) -> None:
    result = toy(project, "--json", "--dose", "2.5", "--workers", "1", "--threads", "1")
    assert result.exit_code == 3, result.output
    summary = json.loads(result.stdout)
    assert {found["key"]: found["values"]["count"] for found in summary["results"]} == {"1": 1, "2": 2, "4": 4}
    assert summary["failures"][0]["key"] == "3"
    assert summary["peak_memory_bytes"] > 0
    (row,) = ask(project)["jobs"]
    assert (row["state"], row["failures"], row["done"]) == ("done", 1, 4)
    assert ask(project, "show", "1")["resources"]["threads"] == 1
    text = CliRunner().invoke(jobs, ["show", "1", "--project", str(project)]).stdout
    assert "it is bad" in text
    cloned = CliRunner().invoke(jobs, ["clone", "1", "--set", "dose=9", "--project", str(project), "--json"])
    assert cloned.exit_code == 3, cloned.output
    assert json.loads(cloned.stdout)["clone_of"] == 1
    assert json.loads(cloned.stdout)["parameters"]["dose"] == 9.0
    assert ask(project, "graph") == {
        "jobs": [{"job": 1, "title": "Toy #1"}, {"job": 2, "title": "Toy #2"}],
        "edges": [],
    }
    assert CliRunner().invoke(jobs, ["log", "1", "--project", str(project)]).stdout.count("attempt 1 of job 1") == 1


def test_detach_cancel_resume(project: Path) -> None:
    movies = [{"kind": "movie", "id": i, "name": f"m{i}"} for i in range(100)]
    prepared = prepare(
        ToyAction, {}, {"movies": movies}, project_folder=project, project=ProjectReference(name="p", id="1"), workers=1
    )
    job, process = prepared.start()
    while not job.results():
        assert process.poll() is None, job.log_path.read_text()
        time.sleep(0.05)
    ask(project, "pause", "1")
    assert process.wait(timeout=300) == 5
    before = set(job.results())
    process = start_detached(job)
    while len(job.results()) == len(before):
        time.sleep(0.05)
    ask(project, "cancel", "1")
    assert process.wait(timeout=300) == 4
    assert ask(project, "show", "1")["state"] == "cancelled"
    refused = CliRunner().invoke(jobs, ["cancel", "1", "--project", str(project)])
    assert "already" in str(refused.exception)
