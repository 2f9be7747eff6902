"""Prove that no kill loses anything: worker, controller or command killed at random, or the disk full, then resume.

``python -m prove.kill [trials]``: each trial runs the action on the same inputs, disturbs it once or twice at random
moments, resumes until it is done, and compares every result file with those of an undisturbed run, byte by byte.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from tests.execution.toy import make_job
from tools.measured import REPOSITORY, record

from verglas.execution.controller import run_job, start_detached
from verglas.execution.job_folder import JobFolder

TRIALS = 300
SIDE_BY_SIDE = 2
WAYS = ("worker", "controller", "both", "starter", "disk full")
ITEMS = [{"id": i, "seconds": 0.03} for i in range(20)]
CHUNKS = 9
PATIENCE_SECONDS = 60.0
STARTER = (
    "import sys, time; from verglas.execution.controller import start_detached;"
    "from verglas.execution.job_folder import JobFolder; start_detached(JobFolder(sys.argv[1])); time.sleep(60)"
)


def contents(job: JobFolder) -> dict[str, bytes]:
    """Return every result file; a leftover of a killed writer (its name starts with a dot) is no result."""
    return {path.name: path.read_bytes() for path in job.results_folder.iterdir() if not path.name.startswith(".")}


def controller_process(job: JobFolder) -> psutil.Process | None:
    """Return the living controller's process."""
    found = job.controller()
    return psutil.Process(found.process) if found is not None and job.controller_lives() else None


def disturb(job: JobFolder, way: str, chance: random.Random, started: subprocess.Popen[bytes]) -> None:
    """Do the harm at a random moment of the job."""
    time.sleep(chance.uniform(0.0, 2.5))
    process = controller_process(job)
    workers = process.children() if process is not None else []
    if way == "starter":
        started.kill()
    elif process is not None and way == "disk full":
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (job.events_path.stat().st_size + 200, -1))
    elif process is not None:
        victims = [chance.choice(workers)] if workers and way != "controller" else []
        for victim in victims + ([process] if way != "worker" else []):
            try:
                os.kill(victim.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def finish(job: JobFolder) -> int:
    """Resume until the job is done; return how many resumes it took."""
    end = time.monotonic() + PATIENCE_SECONDS
    resumes = 0
    while time.monotonic() < end:
        if job.controller_lives() or job.state().name == "queued":
            time.sleep(0.02)
        elif job.state().name == "done":
            return resumes
        else:
            resumes += 1
            start_detached(job).wait(timeout=PATIENCE_SECONDS)
    raise AssertionError(f"{job.path} did not finish:\n{job.log_path.read_text()[-2000:]}")


def trial(number: int, expected: dict[str, bytes]) -> dict[str, Any]:
    """Run one disturbed job and judge it."""
    chance = random.Random(number)
    way = WAYS[number % len(WAYS)]
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="verglas-kill-"))
    job = make_job(folder, ITEMS, workers=2, chunks=CHUNKS)
    started = (
        subprocess.Popen([sys.executable, "-c", STARTER, str(job.path)]) if way == "starter" else start_detached(job)
    )
    disturb(job, way, chance, started)
    if way == "starter" and not job.controllers():
        time.sleep(1.0)
        if not job.controllers():
            start_detached(job)  # it was killed before it had started anything
    resumes = finish(job)
    started.kill()
    started.wait()
    keys = [line for line in job.events_path.read_text().splitlines() if line.startswith('{"event":"result"')]
    verdict = {
        "way": way,
        "equal": contents(job) == expected,
        "each_result_once": len(keys) == len(job.results()) == len(expected),
        "set_aside": len(job.failures()),
        "resumes": resumes,
        "seconds": time.monotonic() - began,
    }
    if verdict["equal"] and verdict["each_result_once"] and not verdict["set_aside"]:
        shutil.rmtree(folder)
    return verdict


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else TRIALS
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    undisturbed = make_job(Path(tempfile.mkdtemp()), ITEMS, chunks=CHUNKS)
    assert run_job(undisturbed, in_process=True) == "done"
    expected = contents(undisturbed)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        verdicts = list(pool.map(lambda number: trial(number, expected), range(trials)))
    good = [v for v in verdicts if v["equal"] and v["each_result_once"] and not v["set_aside"]]
    seconds = sorted(v["seconds"] for v in verdicts)
    path = record(
        "kill",
        {
            "action": "toy of the tests: 20 files and a sum over 9 chunks",
            "trials": trials,
            "equal_to_the_bit_and_nothing_lost_or_doubled": len(good),
            "by_way": dict(Counter(v["way"] for v in verdicts)),
            "good_by_way": dict(Counter(v["way"] for v in good)),
            "resumes_needed": sum(v["resumes"] for v in verdicts),
            "seconds_per_trial_median": round(seconds[len(seconds) // 2], 2),
            "trials_side_by_side": SIDE_BY_SIDE,
            "disk_full_by": "a file size limit set on the running controller",
        },
    )
    sys.stdout.write(path.read_text())
    assert len(good) == trials, f"{trials - len(good)} trial(s) went wrong"


if __name__ == "__main__":
    main()
