"""A job that is killed as soon as certain files are there, and resumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from verglas.actions import load_action, prepare
from verglas.actions.selection import select_inputs
from verglas.execution.controller import start_detached
from verglas.execution.job_folder import JobFolder, ProjectReference
from verglas.project import Project


def run_job(
    project: Project, action: str, options: Mapping[str, Any], choices: Mapping[str, str], killed_at: Sequence[str] = ()
) -> JobFolder:
    """Run a job to its end; kill it each time that a file is there, by names such as ``results/a.npy``."""
    declared = load_action(action)
    ready = prepare(
        declared, dict(options), select_inputs(project, declared, dict(choices)), project_folder=project.folder,
        project=ProjectReference(name="p", id="1"), workers=1, threads=1,
    )  # fmt: skip
    job, process = ready.start()
    for name in killed_at:
        folder, _, rest = name.partition("/")
        place = {"results": job.results_folder, "scratch": job.scratch}[folder]
        end = time.monotonic() + 240
        while not list(place.glob(rest)):
            assert time.monotonic() < end, job.log_path.read_text()
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert job.state().name == "interrupted"
        process = start_detached(job)
    assert process.wait(timeout=300) == 0, job.log_path.read_text()
    return job
