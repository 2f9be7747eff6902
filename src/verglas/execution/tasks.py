"""One item of work as a worker meets it: what it may use, whether it should stop, and what came of it."""

from __future__ import annotations

import errno
import os
import platform
import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verglas.errors import CancelledError

POLL_SECONDS = 0.25
THREADS_VARIABLE = "VERGLAS_WORKER_THREADS"
"""Environment variable: the threads of this worker, where a run profile gives its commands different numbers."""
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass
class Task:
    """What a mapped function is given beside its item.

    ``threads`` is obeyed by BLAS and numba already; pass it to ``scipy.fft`` as ``workers=task.threads``.
    """

    job: Path
    project: Path
    results: Path
    scratch: Path
    threads: int
    device: str
    seed: int
    _polled: float = field(default=0.0, repr=False)
    _stop: bool = field(default=False, repr=False)

    def cancelled(self) -> bool:
        """Tell whether the job was asked to stop (cancel or pause); cheap enough for an inner loop."""
        now = time.monotonic()
        if not self._stop and now - self._polled > POLL_SECONDS:
            self._polled = now
            control = self.job / "control"
            self._stop = (control / "cancel").exists() or (control / "pause").exists()
        return self._stop

    def check(self) -> None:
        """Stop here if the job was asked to stop.

        Raises
        ------
        CancelledError
            It was.
        """
        if self.cancelled():
            raise CancelledError("The job was asked to stop.")


@dataclass(frozen=True)
class Outcome:
    """What came of one item."""

    key: str
    value: Any = None
    error: str | None = None
    """One line that says what went wrong, or None."""
    details: str = ""
    """The traceback, for the log."""
    stopped: bool = False
    """The item gave way to a request to stop; it neither failed nor was done."""
    disk_full: bool = False
    unfit: bool = False
    """It is the worker that failed, not the item: its machine does not see the job's folder (any more)."""
    worker: str = ""
    """Who ran it (host and process); empty where the worker died."""
    cpu_seconds: float = 0.0
    """Of the worker's process since it began."""
    peak_memory_bytes: int = 0
    """Of the worker's process since it began."""


def is_disk_full(problem: BaseException | None) -> bool:
    """Tell whether an error, or one that it was raised from or during, says that the disk or a quota is full."""
    while problem is not None:
        if isinstance(problem, OSError) and problem.errno in _DISK_FULL:
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def peak_memory_bytes() -> int:
    """Return the largest resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_task(function: Callable[[Any, Task], Any], item: Any, key: str, task: Task) -> Outcome:
    """Run one item and catch what it raises, so that a failure is data and comes back with its worker's name."""
    value, error, details, stopped, full, unfit = None, None, "", False, False, False
    task.threads = int(os.environ.get(THREADS_VARIABLE, task.threads))
    if task.cancelled():
        stopped = True
    else:
        try:
            value = function(item, task)
        except CancelledError:
            stopped = task.cancelled()
            error = None if stopped else "it says that it was cancelled, but nobody asked for that"
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
            details = traceback.format_exc()
            full = is_disk_full(problem)
            unfit = not full and not _sees(task.job)
    worker = f"{platform.node()}-{os.getpid()}"
    return Outcome(key, value, error, details, stopped, full, unfit, worker, time.process_time(), peak_memory_bytes())


def _sees(folder: Path) -> bool:
    """Tell whether a folder is to be seen from here; a shared one may be gone, or its handle stale."""
    try:
        return folder.is_dir()
    except OSError:
        return False
