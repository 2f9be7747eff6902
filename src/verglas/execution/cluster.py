"""A job's Dask scheduler, in this process, and how items go to workers and come back, whatever dies in between."""

from __future__ import annotations

import asyncio
import importlib
import queue
import shutil
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from verglas.errors import JobError
from verglas.execution.addresses import HERE, scheduler_address
from verglas.execution.commanded_workers import CommandedWorkers, remove_left_over
from verglas.execution.dask_setup import configure, distributed_class, make_certificate, security_of
from verglas.execution.executors import Function
from verglas.execution.reaching import why_unreachable
from verglas.execution.run_profile import RunProfile
from verglas.execution.tasks import Outcome, Task, run_task
from verglas.execution.worker_pools import Joining, LocalWorkers, WorkerPool

PATIENCE_SECONDS = 60.0
FETCH_SECONDS = 1.0
"""After so long without an item's result it is asked whether its worker still lives."""
GREETERS = 16
"""So many new workers are tried to be reached at a time."""
Entry = tuple[Function, Any, str, Task, str]
"""Function, item, key, task, and the worker to avoid."""


class Cluster:
    """A scheduler that listens on one address, and a pool of workers that join it.

    Parameters
    ----------
    folder
        Where the workers' files (mode 0600, the folder 0700) are put; removed at the end, and first of all whatever
        a killed predecessor left.
    pool
        Where workers come from.
    address
        What the scheduler listens on.
    ports
        First and last port that scheduler and workers may listen on; none: any free one.

    Raises
    ------
    JobError
        None of these ports is free.
    """

    def __init__(
        self, folder: Path, pool: WorkerPool, *, address: str = HERE, ports: tuple[int, int] | None = None
    ) -> None:
        configure()
        distributed: Any = importlib.import_module("distributed")

        self._folder = folder
        self._pool = pool
        remove_left_over(folder)
        folder.mkdir(parents=True, mode=0o700)
        self._pem = make_certificate()
        security = security_of(self._pem)
        self._runner: Any = distributed.utils.LoopRunner(asynchronous=False)
        self._runner.start()
        self._sync = distributed.utils.sync
        self._scheduler: Any = self._start_scheduler(address, ports, security)
        self._address: str = self._scheduler.address
        self._client: Any = distributed.Client(
            self._address, security=security, loop=self._runner.loop, set_as_default=False, timeout=PATIENCE_SECONDS
        )
        self._finished: queue.SimpleQueue[tuple[str, Any, Any]] = queue.SimpleQueue()
        self._queue: deque[Entry] = deque()
        self._busy: dict[Any, tuple[str, Entry]] = {}
        self._addresses: dict[str, str] = {}
        self._submitted = 0
        self._greeted: dict[str, bool] = {}
        self._news: list[str] = []
        self._closing = threading.Event()
        self._greeters = ThreadPoolExecutor(GREETERS, thread_name_prefix="greeter")
        pool.open(Joining(self._address, self._pem, folder, PATIENCE_SECONDS, ports))
        self._keeper = threading.Thread(target=self._keep_workers, name="workers", daemon=True)
        self._keeper.start()

    @property
    def slots(self) -> int:
        """How many items run at a time."""
        return self._pool.slots

    @property
    def present(self) -> set[str]:
        """Names of the workers that have joined."""
        return {str(one.name) for one in list(self._scheduler.workers.values())}

    def news(self) -> list[str]:
        """Return what people should be told about the workers since the last time."""
        found, self._news = self._news, []
        return [*found, *self._pool.news()]

    def wait_for_workers(self, count: int = 1, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until so many workers are ready."""
        self._client.wait_for_workers(count, timeout=seconds)
        end = time.monotonic() + seconds
        while sum(self._greeted.values()) < count and time.monotonic() < end:
            time.sleep(0.01)

    def submit(self, function: Function, item: Any, key: str, task: Task, avoid: str = "") -> None:
        """Queue an item; it goes to a worker that has nothing else, another one than ``avoid`` where there is one."""
        self._queue.append((function, item, key, task, avoid))
        self._dispatch()

    def wait(self, seconds: float) -> Outcome | None:
        """Return the next outcome; an item whose worker died comes back with that as its error.

        Raises
        ------
        JobError
            Workers cannot be started.
        """
        if self._pool.trouble:
            raise JobError(f"{self._pool.trouble}.")
        self._dispatch()
        try:
            key, future, brought = self._finished.get(timeout=seconds)
        except queue.Empty:
            self._take_back_strays()
            return None
        if future not in self._busy:
            return None  # it was taken back
        address, entry = self._busy.pop(future)
        if isinstance(brought, BaseException):
            return Outcome(key, error=_say(brought))
        if brought is None:
            future.cancel()
            return Outcome(key, error="its worker died before it handed over the result")
        outcome: Outcome = brought
        if outcome.unfit:
            self._queue.appendleft(entry)
            self._let_go(address, "does not see the job's folder any more", outcome.error or "")
            return None
        self._pool.note_success()
        self._addresses[outcome.worker] = address
        self._dispatch()
        return outcome

    def close(self) -> None:
        """Stop workers and scheduler; nothing of them stays."""
        self._closing.set()
        self._keeper.join()
        self._greeters.shutdown()
        self._pool.close()
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
        present = [address for address in list(self._scheduler.workers) if self._greeted.get(address)]
        idle = [address for address in present if address not in taken]
        passed: list[Entry] = []
        while idle and self._queue:
            entry = self._queue.popleft()
            function, item, key, task, avoid = entry
            other = next((one for one in idle if one != self._addresses.get(avoid)), None)
            if other is None and len(present) > 1:
                passed.append(entry)  # it waits for another worker than the one that it failed on
                continue
            address = other or idle[0]
            idle.remove(address)
            self._submitted += 1
            future = self._client.submit(
                run_task, function, item, key, task, key=f"{key}-{self._submitted}", pure=False, workers=[address]
            )
            self._busy[future] = (address, entry)
            future.add_done_callback(partial(self._note_finished, key, address))
        self._queue.extendleft(reversed(passed))

    def _greet(self) -> None:
        """See whether new workers can be reached: one behind a firewall joins, but could never hand over a result."""
        present = list(self._scheduler.workers)
        for gone in set(self._greeted) - set(present):
            del self._greeted[gone]
        new = [address for address in present if address not in self._greeted]
        for address, problem in zip(new, self._greeters.map(why_unreachable, new)):
            self._greeted[address] = not problem
            if problem:
                self._let_go(address, "joined but cannot be reached", problem)

    def _let_go(self, address: str, what: str, why: str) -> None:
        """Send a worker away that is of no use, and say why."""
        state = self._scheduler.workers.get(address)
        if state is None:
            return
        self._greeted[address] = False
        self._news.append(f"worker {state.name} {what} and is let go: {why}")
        sys.stderr.write(f"{self._news[-1]}\n")
        self._pool.note_unfit(str(state.name), f"{state.name} {what}: {why}")
        with suppress(Exception):
            self._sync(self._runner.loop, self._remove, address, callback_timeout=5)

    async def _remove(self, address: str) -> None:
        await self._scheduler.remove_worker(address, stimulus_id="let-go", close=True)

    async def _bring(self, key: str, address: str, future: Any) -> None:
        """Fetch what a finished item has brought; None if its worker, which holds it, has died.

        Dask would make such an item again, but only on that same worker, which never comes back. Many are fetched side
        by side, while the controller writes down what came before.
        """
        brought: Any = None
        while True:
            try:
                brought = await asyncio.wait_for(future._result(), FETCH_SECONDS)
            except TimeoutError:
                if address in self._scheduler.workers:
                    continue
            except (Exception, asyncio.CancelledError) as error:
                brought = error
            break
        self._finished.put((key, future, brought))

    def _take_back_strays(self) -> None:
        """Queue again what was given to a worker that was gone before it got it."""
        present = set(self._scheduler.workers)
        for future, (address, entry) in list(self._busy.items()):
            if address not in present and future.status in {"pending", "lost"}:
                del self._busy[future]
                future.cancel()
                self._queue.appendleft(entry)

    def _note_finished(self, key: str, address: str, future: Any) -> None:
        self._runner.loop.add_callback(self._bring, key, address, future)

    def _start_scheduler(self, address: str, ports: tuple[int, int] | None, security: Any) -> Any:
        """Start the scheduler on the first port that is free."""

        async def start(port: int) -> Any:
            return await distributed_class("Scheduler")(
                host=address, port=port, protocol="tls://", security=security, dashboard=False
            )

        problem: Exception | None = None
        for port in range(ports[0], ports[1] + 1) if ports else (0,):
            try:
                return self._sync(self._runner.loop, start, port)
            except Exception as error:
                problem = error
        self._runner.stop()
        where = f"any port from {ports[0]} to {ports[1]}" if ports else "a port"
        raise JobError(f"The job's scheduler cannot listen on {where} of {address}: {problem}.") from problem

    def _keep_workers(self) -> None:
        """Have the pool replace workers that were lost."""
        while not self._closing.wait(0.1):
            try:
                self._greet()
                self._pool.look_after(self.present)
            except (
                OSError,
                RuntimeError,
            ) as error:  # a shared folder that is slow or full for a while must not end all care
                sys.stderr.write(f"workers cannot be looked after just now: {error}\n")
                self._closing.wait(2.0)


def local_cluster(folder: Path, workers: int, threads: int) -> Cluster:
    """Return a cluster on this machine, listening on 127.0.0.1 only."""
    return Cluster(folder, LocalWorkers(workers, threads))


def cluster_of(profile: RunProfile, folder: Path, workers: int, threads: int, program: str) -> Cluster:
    """Return the cluster that a run profile describes; a command's workers have its threads unless told otherwise."""
    pool: WorkerPool
    if profile.is_local:
        pool = LocalWorkers(workers, threads, profile.gpus)
    else:
        pool = CommandedWorkers(profile, workers, 0 if threads == profile.threads else threads, program)
    return Cluster(folder, pool, address=scheduler_address(profile), ports=profile.ports)


def _say(error: BaseException) -> str:
    if type(error).__name__ == "KilledWorker":
        return "its worker died while it ran (killed, out of memory, or a crash in compiled code)"
    return f"{type(error).__name__}: {error}"
