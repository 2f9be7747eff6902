"""Create Package and Combine Packages, killed at any step and resumed, leave what an undisturbed run leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.picked_projects import picked_project
from verglas.actions import load_action
from verglas.actions.launch import prepare
from verglas.actions.selection import select_inputs
from verglas.execution.controller import run_job
from verglas.execution.job_folder import JobFolder, ProjectReference
from verglas.project import Project

# The process ends at the n-th call of a function of the stage, as if the machine had been switched off.
DYING = """
import importlib, os, sys
from verglas.execution.controller import run_job
from verglas.execution.job_folder import JobFolder
module, name, count = sys.argv[2], sys.argv[3], int(sys.argv[4])
home = importlib.import_module(module)
whole, calls = getattr(home, name), []
def dying(*words, **named):
    calls.append(1)
    if len(calls) == count:
        os._exit(9)
    return whole(*words, **named)
setattr(home, name, dying)
run_job(JobFolder(sys.argv[1]), in_process=True)
"""
STACKS, COMBINING = "verglas.stages.extraction.stacks", "verglas.stages.extraction.combining"


class Ended:
    """A controller that was not started."""


def claimed(project: Project, action: str, **values: Any) -> JobFolder:
    """Return the folder of a job that has not begun."""
    declared = load_action(action)
    prepared = prepare(
        declared, values, select_inputs(project, declared, {}), project_folder=project.folder,
        project=ProjectReference(name=project.name, id=project.id), workers=1, threads=1,
    )  # fmt: skip
    return prepared.start()[0]


def files_of(job: JobFolder) -> dict[str, bytes]:
    """Return the content of a job's stack and table, by their endings."""
    return {path.suffix: path.read_bytes() for path in job.results_folder.iterdir() if path.suffix in {".mrcs", ".npy"}}


def die(job: JobFolder, module: str, name: str, count: int) -> None:
    done = subprocess.run([sys.executable, "-c", DYING, str(job.path), module, name, str(count)], check=False)
    assert done.returncode == 9, "it was to die"
    assert job.state().name == "interrupted"


def compared(project: Project, action: str, deaths: list[tuple[str, str, int]], **values: Any) -> None:
    """Check that a job that dies at all these places, one attempt after the other, leaves the same files."""
    whole = claimed(project, action, **values)
    assert run_job(whole, in_process=True) == "done"
    killed = claimed(project, action, **values)
    for module, name, count in deaths:
        die(killed, module, name, count)
    assert run_job(killed, in_process=True) == "done"
    assert len(killed.results()) == 1 and not killed.failures()
    first, second = files_of(whole), files_of(killed)
    assert set(first) == {".mrcs", ".npy"}
    assert first[".mrcs"] == second[".mrcs"]
    assert len(first[".npy"]) == len(second[".npy"])  # the table names its own stack
    assert not any(killed.scratch.glob("*")) and not list(killed.results_folder.glob(".*"))


@pytest.fixture
def not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verglas.actions.launch.start_detached", lambda job: Ended())


@pytest.mark.usefixtures("not_started")
def test_packages_survive_deaths_while_cutting_joining_and_at_the_end(tmp_path: Path) -> None:
    project, _ = picked_project(tmp_path, count=3, particles=6)
    with project:
        sizes = {"largest_dimension_A": 130.0, "box_size": 80}
        deaths = [
            (STACKS, "write_part", 1), (STACKS, "write_part", 2), (STACKS, "join_parts", 1),
            (STACKS, "write_montage", 1),
        ]  # fmt: skip
        compared(project, "create-package", deaths, **sizes)
        project.take_in()
        assert [package["count"] for package in project.assets("package")] == [18, 18]
        deaths = [(COMBINING, "bring_to", 1), (COMBINING, "bring_to", 2), (STACKS, "write_montage", 1)]
        compared(project, "combine-packages", deaths, output_pixel_size_A=4.0)
        project.take_in()
        resampled = project.assets("package")[2:]
        assert [(one["count"], one["pixel_size_A"]) for one in resampled] == [(36, 4.0), (36, 4.0)]
