"""A job's workers: a Dask scheduler in this process, each worker a process of its own, lost ones replaced."""

from __future__ import annotations

import importlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from verglas.errors import JobError
from verglas.execution.dask_setup import configure, distributed_class, make_certificate, security_of
from verglas.execution.executors import Function
from verglas.execution.tasks import Outcome, Task, run_task

PATIENCE_SECONDS = 60.0
FETCH_SECONDS = 1.0
"""After so long without an item's result it is asked whether its worker still lives."""
HASTY_SECONDS = 10.0
"""A worker that ends sooner than this after its start, before it did any work, could not start."""
MOST_HASTY_ENDS = 5
Entry = tuple[Function, Any, str, Task, str]
"""Function, item, key, task, and the worker to avoid."""


def worker_command(file: Path) -> list[str]:
    """Return the command that starts a worker; it names a file and holds no secret."""
    return [sys.executable, "-P", "-m", "verglas.execution.worker", str(file)]


class LocalCluster:
    """Scheduler and workers on this machine, listening on 127.0.0.1 only.

    Parameters
    ----------
    folder
        Where the workers' files (mode 0600, the folder 0700) are put; removed at the end, and first of all whatever
        a killed predecessor left.
    workers, threads
        How many workers, and how many threads each.
    """

    def __init__(self, folder: Path, workers: int, threads: int) -> None:
        configure()
        distributed: Any = importlib.import_module("distributed")

        self._folder = folder
        self._threads = threads
        self._count = workers
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        self._pem = make_certificate()
        security = security_of(self._pem)
        self._runner: Any = distributed.utils.LoopRunner(asynchronous=False)
        self._runner.start()
        self._sync = distributed.utils.sync

        async def start() -> Any:
            return await distributed_class("Scheduler")(
                host="127.0.0.1", port=0, protocol="tls://", security=security, dashboard=False
            )

        self._scheduler: Any = self._sync(self._runner.loop, start)
        self._address: str = self._scheduler.address
        self._client: Any = distributed.Client(
            self._address, security=security, loop=self._runner.loop, set_as_default=False, timeout=PATIENCE_SECONDS
        )
        self._finished: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._queue: deque[Entry] = deque()
        self._busy: dict[Any, tuple[str, Entry]] = {}
        self._addresses: dict[str, str] = {}
        self._processes: dict[int, tuple[subprocess.Popen[bytes], float]] = {}
        self._started = 0
        self._hasty_ends = 0
        self._submitted = 0
        self._closing = threading.Event()
        for _ in range(workers):
            self._start_worker()
        self._keeper = threading.Thread(target=self._keep_workers, name="workers", daemon=True)
        self._keeper.start()

    @property
    def slots(self) -> int:
        """How many items run at a time."""
        return self._count

    @property
    def processes(self) -> list[int]:
        """Process ids of the workers."""
        return list(self._processes)

    def wait_for_workers(self, count: int = 1, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until so many workers are ready."""
        self._client.wait_for_workers(count, timeout=seconds)

    def submit(self, function: Function, item: Any, key: str, task: Task, avoid: str = "") -> None:
        """Queue an item; it goes to a worker that has nothing else, another one than ``avoid`` where there is one."""
        self._queue.append((function, item, key, task, avoid))
        self._dispatch()

    def wait(self, seconds: float) -> Outcome | None:
        """Return the next outcome; an item whose worker died comes back with that as its error.

        Raises
        ------
        JobError
            Workers end as soon as they are started.
        """
        if self._hasty_ends >= MOST_HASTY_ENDS:
            raise JobError(f"{self._hasty_ends} workers ended as soon as they were started; log.txt says why.")
        self._dispatch()
        try:
            key, future = self._finished.get(timeout=seconds)
        except queue.Empty:
            self._take_back_strays()
            return None
        if future not in self._busy:
            return None  # it was taken back
        address, _ = self._busy.pop(future)
        try:
            outcome = self._fetch(future, address)
        except Exception as error:
            return Outcome(key, error=_say(error))
        if outcome is None:
            return Outcome(key, error="its worker died before it handed over the result")
        self._hasty_ends = 0
        self._addresses[outcome.worker] = address
        self._dispatch()
        return outcome

    def close(self) -> None:
        """Stop workers and scheduler; nothing of them stays."""
        self._closing.set()
        self._keeper.join()
        for process, _ in self._processes.values():
            process.terminate()
        for process, _ in self._processes.values():
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with suppress(
            Exception
        ):  # everything of value is on disk; a scheduler that stumbles while closing harms nobody
            self._client.close(timeout=2)
            self._sync(self._runner.loop, self._scheduler.close, callback_timeout=5)
        self._runner.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _dispatch(self) -> None:
        """Give each idle worker one item: so, when a worker dies, it is known which item it was at."""
        taken = {address for address, _ in self._busy.values()}
        idle = [address for address in list(self._scheduler.workers) if address not in taken]
        while idle and self._queue:
            entry = self._queue.popleft()
            function, item, key, task, avoid = entry
            address = next((one for one in idle if one != self._addresses.get(avoid)), idle[0])
            idle.remove(address)
            self._submitted += 1
            future = self._client.submit(
                run_task, function, item, key, task, key=f"{key}-{self._submitted}", pure=False, workers=[address]
            )
            self._busy[future] = (address, entry)
            future.add_done_callback(partial(self._note_finished, key))

    def _fetch(self, future: Any, address: str) -> Outcome | None:
        """Return what a finished item brought, or None if its worker, which holds it, has died.

        Dask would make such an item again, but only on that same worker, which never comes back.
        """
        while True:
            try:
                outcome: Outcome = future.result(timeout=FETCH_SECONDS)
                return outcome
            except TimeoutError:
                if address not in self._scheduler.workers:
                    future.cancel()
                    return None

    def _take_back_strays(self) -> None:
        """Queue again what was given to a worker that was gone before it got it."""
        present = set(self._scheduler.workers)
        for future, (address, entry) in list(self._busy.items()):
            if address not in present and future.status in {"pending", "lost"}:
                del self._busy[future]
                future.cancel()
                self._queue.appendleft(entry)

    def _note_finished(self, key: str, future: Any) -> None:
        self._finished.put((key, future))

    def _start_worker(self) -> None:
        self._started += 1
        name = f"worker-{self._started:04d}"
        file = self._folder / f"{name}.json"
        settings = {
            "name": name, "scheduler": self._address, "pem": self._pem, "threads": self._threads,
            "host": "127.0.0.1", "folder": str(self._folder), "patience_seconds": PATIENCE_SECONDS,
            "controller": os.getpid(),
        }  # fmt: skip
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            json.dump(settings, stream)
        process = subprocess.Popen(worker_command(file), stdin=subprocess.DEVNULL)
        self._processes[process.pid] = (process, time.monotonic())

    def _keep_workers(self) -> None:
        """Replace workers that ended; give up when new ones end as soon as they are started."""
        while not self._closing.wait(0.1):
            for number, (process, began) in list(self._processes.items()):
                if process.poll() is None:
                    continue
                del self._processes[number]
                hasty = time.monotonic() - began < HASTY_SECONDS
                self._hasty_ends = self._hasty_ends + 1 if hasty else 0
                sys.stderr.write(f"worker {number} ended with status {process.returncode}; another takes its place\n")
                if self._hasty_ends < MOST_HASTY_ENDS:
                    self._start_worker()


def _say(error: Exception) -> str:
    if type(error).__name__ == "KilledWorker":
        return "its worker died while it ran (killed, out of memory, or a crash in compiled code)"
    return f"{type(error).__name__}: {error}"
