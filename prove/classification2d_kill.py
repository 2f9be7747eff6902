"""A 2D classification killed in each of its rounds, and one killed in every round, resume to the same answer.

Kill -9 hits the controller at a random moment of the round; results are compared with an undisturbed run's, the content
of every file of every round, to the bit.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.actions.test_classify_2d import packaged_project
from tools.measured import record

from verglas.actions.launch import prepare
from verglas.actions.registry import load_action
from verglas.execution.controller import start_detached
from verglas.execution.job_folder import JobFolder, ProjectReference
from verglas.project import Project

ROUNDS, PARTICLES, PATIENCE_SECONDS = 8, 1300, 600.0
OPTIONS = {"classes": 3, "rounds": ROUNDS, "finish_resolution_A": 14.0}
MRC_HEADER = 1024


def until_round(job: JobFolder, process: Any, number: int) -> None:
    """Wait until a round has begun: what the one before left is there."""
    end = time.monotonic() + PATIENCE_SECONDS
    before = job.scratch / f"round-{number - 1:03d}.npz"
    while not before.exists() and process.poll() is None:
        assert time.monotonic() < end, f"round {number} did not begin"
        time.sleep(0.005)


def run(
    project: Project, kills: list[int], random_moment: random.Random, round_s: float
) -> tuple[JobFolder, int, float]:
    """Run a job, killed in some of its rounds; return it, how many kills hit a running job, and the seconds."""
    ready = prepare(
        load_action("classify-2d"), OPTIONS, {"package": [project.asset("package", 1)]}, project_folder=project.folder,
        project=ProjectReference(name="p", id="1"), workers=1, threads=1,
    )  # fmt: skip
    start = time.monotonic()
    job, process = ready.start()
    hit = 0
    for number in kills:
        until_round(job, process, number)
        time.sleep(random_moment.uniform(0.0, round_s))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            hit += job.state().name == "interrupted"
            process = start_detached(job)
    assert process.wait(timeout=PATIENCE_SECONDS) == 0, job.log_path.read_text()
    return job, hit, time.monotonic() - start


def content(job: JobFolder) -> dict[str, bytes]:
    """Return averages and tables of every round, averages without their headers, which hold the time."""
    found = {}
    for path in sorted(job.results_folder.glob(f"classification_{job.number}_*")):
        if path.suffix in {".mrc", ".npy"}:
            name = path.name.split("_", 2)[2]
            found[name] = path.read_bytes()[MRC_HEADER if path.suffix == ".mrc" else 0 :]
    return found


def main() -> None:
    moments = random.Random(20261129)
    with tempfile.TemporaryDirectory() as name:
        project, _ = packaged_project(Path(name), PARTICLES)
        with project:
            whole, _, seconds = run(project, [], moments, 0.0)
            wanted = content(whole)
            assert len(wanted) >= 2 * ROUNDS, sorted(wanted)
            rows = []
            for kills in [*([number] for number in range(1, ROUNDS + 1)), list(range(1, ROUNDS + 1))]:
                job, hit, _ = run(project, kills, moments, 0.7 * seconds / (ROUNDS + 2))
                found = content(job)
                same = found.keys() == wanted.keys() and all(found[one] == wanted[one] for one in wanted)
                rows.append({"killed_in_rounds": kills, "kills_that_hit": hit, "equal_to_the_bit": same})
                sys.stdout.write(f"   killed in {kills}: {hit} hit, {'equal' if same else 'DIFFERENT'}\n")
                sys.stdout.flush()
    figures = {
        "particles": PARTICLES, "rounds": ROUNDS, "classes": OPTIONS["classes"], "files_compared": len(wanted),
        "kills": sum(row["kills_that_hit"] for row in rows), "reached": all(row["equal_to_the_bit"] for row in rows),
        "runs": rows,
    }  # fmt: skip
    sys.stdout.write(f"written to {record('classification2d_kill', figures)}\n")


if __name__ == "__main__":
    main()
