"""What starts a job's workers and looks after them: the protocol of all pools, and processes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from verglas import __version__

HASTY_SECONDS = 10.0
"""A worker that ends sooner than this after its start, before it did any work, could not start."""
MOST_HASTY_ENDS = 5


@dataclass(frozen=True)
class Joining:
    """What a worker needs to know to join: written to a file of mode 0600 for each.

    Attributes
    ----------
    scheduler
        Address of the job's scheduler, ``tls://host:port``.
    pem
        Certificate and key of the job.
    folder
        Where the files lie, mode 0700.
    patience_seconds
        How long a worker tries to reach the scheduler.
    ports
        What a worker may listen on.
    """

    scheduler: str
    pem: str
    folder: Path
    patience_seconds: float
    ports: tuple[int, int] | None = None

    def write(
        self, name: str, threads: int, controller: int | None, *, gpus: int = 0, place: int = 0, shared: bool = False
    ) -> Path:
        """Write the file of a worker, or of some that share it and a name, and return it.

        Parameters
        ----------
        name, threads
            Of the worker.
        controller
            The process with which it ends; none where it is not that one's own child.
        gpus, place
            How many GPUs it takes, and how many workers of its machine come before it.
        shared
            Others read the same file; else the worker removes it as soon as it has read it.
        """
        settings = {
            "name": name, "scheduler": self.scheduler, "pem": self.pem, "threads": threads,
            "folder": str(self.folder.absolute()), "patience_seconds": self.patience_seconds, "ports": self.ports,
            "controller": controller, "version": __version__, "python": list(sys.version_info[:2]),
            "written": time.time(), "gpus": gpus, "place": place, "shared": shared,
        }  # fmt: skip
        file = self.folder / f"{name}.json"
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            json.dump(settings, stream)
        return file


class WorkerPool(Protocol):
    """Starts workers and looks after them."""

    slots: int
    """How many workers there should be."""
    trouble: str
    """Why workers end as soon as they are started; empty while that is not so."""

    def open(self, joining: Joining) -> None:
        """Start the workers."""
        ...

    def look_after(self, present: set[str]) -> None:
        """Replace what was lost, knowing the names of the workers that have joined; called often, never at once."""
        ...

    def note_success(self) -> None:
        """Take note that a worker has done some work."""
        ...

    def note_unfit(self, name: str, why: str) -> None:
        """Take note that a worker was sent away."""
        ...

    def news(self) -> list[str]:
        """Return what people should be told since the last time."""
        ...

    def close(self) -> None:
        """Stop them all and leave none in any queue."""
        ...


class LocalWorkers:
    """Processes on this machine, children of this one.

    Parameters
    ----------
    count, threads, gpus
        How many, and how many threads and GPUs each.
    """

    def __init__(self, count: int, threads: int, gpus: int = 0) -> None:
        self.slots = count
        self.trouble = ""
        self._threads = threads
        self._gpus = gpus
        self._places = list(range(count))
        self._processes: dict[int, tuple[subprocess.Popen[bytes], float, int]] = {}
        self._started = 0
        self._hasty_ends = 0
        self._joining: Joining | None = None

    @property
    def processes(self) -> list[int]:
        """Process ids."""
        return list(self._processes)

    def open(self, joining: Joining) -> None:
        """Start them."""
        self._joining = joining
        for _ in range(self.slots):
            self._start()

    def look_after(self, present: set[str]) -> None:
        """Replace those that ended; give up when new ones end as soon as they are started."""
        del present
        for number, (process, began, place) in list(self._processes.items()):
            if process.poll() is None:
                continue
            del self._processes[number]
            self._places.append(place)
            hasty = time.monotonic() - began < HASTY_SECONDS
            self._hasty_ends = self._hasty_ends + 1 if hasty else 0
            sys.stderr.write(f"worker {number} ended with status {process.returncode}; another takes its place\n")
            if self._hasty_ends < MOST_HASTY_ENDS:
                self._start()
            else:
                self.trouble = f"{self._hasty_ends} workers ended as soon as they were started; log.txt says why"

    def note_success(self) -> None:
        """Forget earlier troubles."""
        self._hasty_ends = 0

    def note_unfit(self, name: str, why: str) -> None:
        """Do nothing: it ends, and that is seen."""
        del name, why

    def news(self) -> list[str]:
        """Say nothing: they start at once."""
        return []

    def close(self) -> None:
        """Stop them."""
        stop_all([process for process, _, _ in self._processes.values()])

    def _start(self) -> None:
        assert self._joining is not None
        self._started += 1
        place = self._places.pop(0)
        name = f"worker-{self._started:04d}"
        file = self._joining.write(name, self._threads, os.getpid(), gpus=self._gpus, place=place)
        command = [sys.executable, "-P", "-m", "verglas.execution.worker", str(file)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._processes[process.pid] = (process, time.monotonic(), place)


def stop_all(processes: list[subprocess.Popen[bytes]], *, group: bool = False) -> None:
    """End processes, or all of the sessions that they lead: politely, then for certain."""

    def send(process: subprocess.Popen[bytes], number: int) -> None:
        try:
            if group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        except ProcessLookupError:
            pass

    for process in processes:
        send(process, signal.SIGTERM)
    end = time.monotonic() + 2.0
    for process in processes:
        try:
            process.wait(timeout=max(0.01, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            send(process, signal.SIGKILL)
            process.wait()
