"""Waiting for things, and looking at what a job left."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.execution.toy import make_job
from verglas.execution.controller import run_job, start_detached
from verglas.execution.job_folder import JobFolder


def until(condition: Callable[[], object], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def contents(job: JobFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(job.results_folder.iterdir())}


def undisturbed(folder: Path, count: int, chunks: int = 0) -> dict[str, bytes]:
    """Return what a job of so many items leaves when nothing happens to it."""
    job = make_job(folder, count, chunks=chunks)
    assert run_job(job, in_process=True) == "done"
    return contents(job)


def finish(job: JobFolder, process: subprocess.Popen[bytes] | None = None, seconds: float = 240.0) -> None:
    """Start a job, unless that was done, and see it done with nothing set aside."""
    process = process or start_detached(job)
    assert process.wait(timeout=seconds) == 0, job.log_path.read_text()[-4000:]
    assert job.state().name == "done" and not job.failures()
    assert not list(job.path.glob("workers*")), "keys are removed"
