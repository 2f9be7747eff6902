"""What running work costs: help, a worker's start, one task, and the way from start to the first result."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.execution.toy import make_job
from tools.measured import REPOSITORY, record

from verglas.execution.cluster import local_cluster
from verglas.execution.controller import start_detached
from verglas.execution.tasks import Task

ROUNDS = 5
TASKS = 500


def nothing(item: int, task: Task) -> int:
    del task
    return item


def help_seconds() -> float:
    begin = time.perf_counter()
    subprocess.run([Path(sys.executable).parent / "verglas", "--help"], check=True, capture_output=True)
    return time.perf_counter() - begin


def cluster_seconds() -> tuple[float, float]:
    """Return the time until a worker is ready, and that of one small task."""
    folder = Path(tempfile.mkdtemp())
    begin = time.perf_counter()
    cluster = local_cluster(folder / "workers", 1, 1)
    scheduler = time.perf_counter()
    try:
        cluster.wait_for_workers()
        ready = time.perf_counter() - scheduler
        task = Task(folder, folder, folder, folder, 1, "cpu", 0)
        begin = time.perf_counter()
        for number in range(TASKS):
            cluster.submit(nothing, number, str(number), task)
        done = 0
        while done < TASKS:
            done += cluster.wait(1.0) is not None
        return ready, (time.perf_counter() - begin) / TASKS
    finally:
        cluster.close()


def first_result_seconds() -> float:
    job = make_job(Path(tempfile.mkdtemp()), 1)
    begin = time.time()
    start_detached(job).wait()
    return next(iter(job.results().values())).t - begin


def main() -> None:
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    helps, readies, tasks, firsts = [], [], [], []
    for _ in range(ROUNDS):
        helps.append(help_seconds())
        ready, task = cluster_seconds()
        readies.append(ready)
        tasks.append(task)
        firsts.append(first_result_seconds())
    record(
        "execution",
        {
            "help_seconds": round(statistics.median(helps), 3),
            "worker_ready_seconds": round(statistics.median(readies), 3),
            "empty_task_milliseconds": round(statistics.median(tasks) * 1e3, 2),
            "start_to_first_result_seconds": round(statistics.median(firsts), 3),
            "rounds": ROUNDS,
            "note": "medians of interleaved rounds; compare load_1min with the number of cores",
        },
    )


if __name__ == "__main__":
    main()
