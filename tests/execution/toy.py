"""A toy action: squares numbers and sums arrays over chunks; some items can be told to misbehave."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from verglas.execution.context import JobContext
from verglas.execution.durable import write_whole
from verglas.execution.job_folder import JobFolder, ProjectReference, Request, Resources
from verglas.execution.run_profile import RunProfile
from verglas.execution.tasks import Task


def square(item: dict[str, Any], task: Task) -> dict[str, Any]:
    marker = task.scratch / f"tried-{item['id']}"
    if item.get("mark"):
        marker.touch()
    if item.get("litter"):
        (task.results / f".{item['id']}-half-written").touch()
    select.select([], [], [], item.get("seconds", 0.0))  # libfaketime breaks time.sleep
    if item.get("kill") == "always" or (item.get("kill") == "once" and not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if item.get("fail") == "always" or (item.get("fail") == "once" and not marker.exists()):
        marker.touch()
        raise ValueError(f"item {item['id']} is bad")
    if item.get("wait"):
        while True:
            task.check()
            time.sleep(0.02)
    if item.get("full"):
        raise OSError(28, "No space left on device")
    path = task.results / f"{item['id']}.txt"
    write_whole(path, str(item["id"] ** 2).encode())
    return {"path": path, "threads": os.environ.get("OPENBLAS_NUM_THREADS"), "process": os.getpid()}


def chunk(items: Sequence[int], task: Task) -> dict[str, np.ndarray]:
    select.select([], [], [], 0.06)
    random = np.random.Generator(np.random.Philox([task.seed, items[0]]))
    return {"sum": random.normal(size=(len(items), 50)).sum(axis=0, dtype=np.float64) * 1e3}


class Toy:
    class Parameters(BaseModel):
        chunks: int = 0

    def run(self, context: JobContext) -> None:
        items = context.inputs["numbers"]
        todo = context.pending(items, key=lambda item: str(item["id"]))
        done = len(items) - len(todo)
        for item, value in context.map(square, todo, key=lambda i: str(i["id"]), total=len(items), finished=done):
            values = {"threads": value["threads"], "process": value["process"]}
            context.result(str(item["id"]), "square", {"text": value["path"]}, values)
        if context.parameters.chunks:
            sums = context.chunk_sums("sum", chunk, range(context.parameters.chunks * 3), chunk_size=3)
            path = context.results / "sum.bin"
            write_whole(path, sums["sum"].tobytes())
            context.result("sum", "sum", {"sum": path})


def make_job(
    project: Path,
    items: list[dict[str, Any]] | int,
    *,
    workers: int = 1,
    threads: int = 1,
    chunks: int = 0,
    profile: RunProfile | None = None,
) -> JobFolder:
    job = JobFolder.claim(project / "Jobs", "toy")
    numbers = [{"id": i} for i in range(items)] if isinstance(items, int) else items
    job.write_request(
        Request(job=job.number, action="toy", entry="tests.execution.toy:Toy", title="Toy",
                parameters={"chunks": chunks}, inputs={"numbers": numbers}, project=ProjectReference(name="p", id="1"),
                seed=7, resources=Resources(workers=workers, threads=threads), profile=profile,
                created="2026-01-01T12:00:00+00:00", user="ana", host="node1")
    )  # fmt: skip
    return job
