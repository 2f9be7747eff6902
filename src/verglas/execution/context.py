"""All that an action sees of the world: parameters, inputs, ``map``, results, progress, checkpoints."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from verglas.errors import CancelledError, JobError, ResourceError
from verglas.execution import durable
from verglas.execution.events import (
    AssetReference,
    FailureEvent,
    FiguresEvent,
    MessageEvent,
    ProgressEvent,
    ResultEvent,
)
from verglas.execution.executors import Executor
from verglas.execution.job_folder import EventLog, JobFolder
from verglas.execution.tasks import POLL_SECONDS, Task

Item = TypeVar("Item")
Value = TypeVar("Value")

ATTEMPTS = 2
PROGRESS_SECONDS = 0.5
QUIET_SECONDS = 30.0
"""After so long the time left is said again, though no item was finished."""
DRAIN_SECONDS = {"pause": 60.0, "cancel": 5.0}


class JobPausedError(CancelledError):
    """The job was asked to pause."""


class JobContext:
    """What ``run(context)`` is given.

    Attributes
    ----------
    parameters
        The action's checked parameters.
    inputs
        Lists of asset records (plain JSON) by input name.
    seed, threads, device, workers
        Key of all random numbers; threads of each worker; ``cpu`` or ``cuda``; number of workers.
    project, results, scratch
        Folders: the project's, the one for result files, and the one that is emptied when the job has ended.
    """

    def __init__(
        self,
        job: JobFolder,
        parameters: BaseModel,
        log: EventLog,
        make_executor: Callable[[], Executor],
        make_adder: Callable[[], Executor] | None = None,
    ) -> None:
        request = job.request()
        self.job = job
        self.parameters: Any = parameters
        self.inputs = request.inputs
        self.seed = request.seed
        self.threads = request.resources.threads
        self.workers = request.resources.workers
        self.device = request.resources.device
        self.project = job.project_folder
        self.results = job.results_folder
        self.scratch = job.scratch
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.results.mkdir(exist_ok=True)
        self._log = log
        self._make = {False: make_executor, True: make_adder or make_executor}
        self._two = make_adder is not None
        self._executors: dict[bool, Executor] = {}
        self._finished = set(job.results())
        self._usage: dict[str, tuple[float, int]] = {}
        self._progress_said = 0.0
        self._progress: tuple[int, int, str] | None = None

    # Work

    def map(
        self,
        function: Callable[[Item, Task], Value],
        items: Iterable[Item],
        *,
        key: Callable[[Item], str],
        phase: str = "",
        total: int | None = None,
        finished: int = 0,
        adding: bool = False,
    ) -> Iterator[tuple[Item, Value]]:
        """Run ``function(item, task)`` on the workers and yield ``(item, value)`` as they complete, in any order.

        An item that raises is tried once more, on another worker if there is one; one that fails or kills its worker
        twice is set aside with its error, and the job goes on. Write the result of each pair you are given before
        you ask for the next: a request to stop is obeyed in between.

        Parameters
        ----------
        function
            A function that can be imported, or a ``functools.partial`` of one with small arguments.
        items
            What to work on; small (paths, index ranges), for they travel.
        key
            Name of an item: unique in this map, the same in every attempt.
        phase
            What is being done, for the progress line.
        total, finished
            For progress: how many items there are in all, and how many were finished before these.
        adding
            The items add up parts of maps: a second run profile does that where the job has one.

        Raises
        ------
        CancelledError
            The job was asked to cancel or pause.
        ResourceError
            The disk is full.
        """
        waiting = deque((key(item), item) for item in items)
        if len({name for name, _ in waiting}) != len(waiting):
            raise JobError("Two items of one map have the same key.")
        total = finished + len(waiting) if total is None else total
        progress = _Pace(finished, total)
        self.progress(finished, total, phase, now=True)
        if not waiting:
            return
        executor = self._ready_executor(adding and self._two)
        running: dict[str, tuple[Item, int]] = {}
        while waiting or running:
            self._obey_requests(running=False)
            while waiting and len(running) < 2 * executor.slots + 2:
                name, item = waiting.popleft()
                running[name] = (item, 1)
                executor.submit(function, item, name, self.task())
            for name, item, value in self._collect(executor, function, running, progress):
                del name
                yield item, value
            self.progress(progress.done, total, phase, progress.seconds_left(), now=not running and not waiting)

    def _collect(
        self, executor: Executor, function: Callable[[Any, Task], Any], running: dict[str, tuple[Any, int]], pace: _Pace
    ) -> Iterator[tuple[str, Any, Any]]:
        """Wait for one outcome and act on it; on a request to stop, hand out what still comes and then stop."""
        asked = self._asked()
        deadline = time.monotonic() + (DRAIN_SECONDS[asked] if asked else 0)
        while running:
            for text in executor.news():
                self.message(text)
            outcome = executor.wait(POLL_SECONDS)
            if outcome is not None:
                item, attempt = running.pop(outcome.key)
                if outcome.worker:
                    self._usage[outcome.worker] = (outcome.cpu_seconds, outcome.peak_memory_bytes)
                if outcome.disk_full:
                    raise ResourceError(f"{outcome.error}. Free some space, then resume job {self.job.number}.")
                if outcome.error is not None:
                    sys.stderr.write(f"item {outcome.key}, attempt {attempt}: {outcome.error}\n{outcome.details}")
                    if attempt < ATTEMPTS and not asked:
                        running[outcome.key] = (item, attempt + 1)
                        executor.submit(function, item, outcome.key, self.task(), avoid=outcome.worker)
                    elif attempt >= ATTEMPTS:
                        self._log.append(FailureEvent(key=outcome.key, error=outcome.error, attempts=ATTEMPTS))
                        pace.step()
                elif not outcome.stopped:
                    pace.step()
                    yield outcome.key, item, outcome.value
            if not asked:
                if (asked := self._asked()) is None:
                    return
                deadline = time.monotonic() + DRAIN_SECONDS[asked]
            if time.monotonic() > deadline:
                break
        if asked:
            self._obey_requests(running=True)

    def pending(self, items: Iterable[Item], key: Callable[[Item], str]) -> list[Item]:
        """Return the items that have no result under their key yet: what a resumed job still has to do."""
        return [item for item in items if key(item) not in self._finished]

    def task(self) -> Task:
        """Return what a mapped function is given beside its item."""
        return Task(self.job.path, self.project, self.results, self.scratch, self.threads, self.device, self.seed)

    def cancelled(self) -> bool:
        """Tell whether the job was asked to stop."""
        return self._asked() is not None

    def asked(self, what: str) -> bool:
        """Tell whether somebody has left a request, such as ``take-current``."""
        return self.job.is_asked(what)

    def check(self) -> None:
        """Stop here if the job was asked to stop: for long work in ``run`` itself.

        Raises
        ------
        CancelledError
            It was.
        """
        self._obey_requests(running=False)

    # Words

    def result(
        self,
        key: str,
        kind: str,
        files: dict[str, Path] | None = None,
        values: dict[str, Any] | None = None,
        of: tuple[str, int] | None = None,
    ) -> None:
        """Record a result whose files lie whole in ``results``; it is safe on disk when this returns.

        Parameters
        ----------
        key
            Unique and stable within the job; an item counts as finished once there is a result under its key.
        kind
            What the project makes of it.
        files
            Role -> path inside the job's folder.
        values
            Plain JSON.
        of
            Kind and number of the asset that it belongs to.
        """
        if key in self._finished:
            return
        named: dict[str, str] = {}
        for role, path in (files or {}).items():
            durable.sync_file(path)
            named[role] = str(Path(path).relative_to(self.job.path))
        if named:
            durable.sync_folder(self.results)
        reference = AssetReference(kind=of[0], id=of[1]) if of else None
        self._log.append(ResultEvent(key=key, kind=kind, files=named, values=values or {}, of=reference))
        self._finished.add(key)

    def message(self, text: str, level: str = "info") -> None:
        """Say something that a person should read."""
        self._log.append(MessageEvent.model_validate({"text": text, "level": level}))

    def figures(self, **values: Any) -> None:
        """Record numbers for live plots."""
        self._log.append(FiguresEvent(values=values))

    def progress(
        self, done: int, total: int, phase: str = "", seconds_left: float | None = None, *, now: bool = False
    ) -> None:
        """Say how far the job is, when that has changed: at most twice a second unless ``now``."""
        since = time.monotonic() - self._progress_said
        changed = (done, total, phase) != self._progress
        if now or since > QUIET_SECONDS or (changed and since > PROGRESS_SECONDS):
            self._progress_said = time.monotonic()
            self._progress = (done, total, phase)
            self._log.append(ProgressEvent(done=done, total=total, phase=phase, seconds_left=seconds_left))

    # Checkpoints

    def keep(self, name: str, arrays: dict[str, Any]) -> None:
        """Keep arrays in Scratch, whole, under a name such as ``round-03``: from here a resumed job goes on."""
        from verglas.execution.reduction import save_arrays

        save_arrays(self.scratch / f"{name}.npz", arrays)

    def kept(self, name: str) -> dict[str, Any] | None:
        """Return the arrays kept under a name, or None."""
        from verglas.execution.reduction import load_arrays

        path = self.scratch / f"{name}.npz"
        return load_arrays(path) if path.exists() else None

    def chunk_sums(
        self,
        name: str,
        function: Callable[[Sequence[Any], Task], dict[str, Any]],
        items: Sequence[Any],
        *,
        chunk_size: int,
        phase: str = "",
    ) -> dict[str, Any]:
        """Sum arrays over all items: fixed chunks in fixed order, then a tree; see `verglas.execution.reduction`."""
        from verglas.execution.reduction import sum_over_chunks

        return sum_over_chunks(self, name, function, items, chunk_size=chunk_size, phase=phase)

    # For the controller

    def usage(self) -> tuple[float, int]:
        """Return CPU seconds and peak memory in bytes of all workers together, as far as they told."""
        return sum(cpu for cpu, _ in self._usage.values()), sum(peak for _, peak in self._usage.values())

    def close(self) -> None:
        """Stop the workers."""
        for executor in self._executors.values():
            executor.close()
        self._executors.clear()

    def _ready_executor(self, adding: bool) -> Executor:
        if adding not in self._executors:
            self._executors[adding] = self._make[adding]()
        return self._executors[adding]

    def _asked(self) -> str | None:
        return "cancel" if self.job.is_asked("cancel") else "pause" if self.job.is_asked("pause") else None

    def _obey_requests(self, *, running: bool) -> None:
        asked = self._asked()
        if asked == "cancel":
            raise CancelledError("The job was cancelled.")
        if asked == "pause" or running:
            raise JobPausedError("The job was paused.")


class _Pace:
    """How many items are done and how long the rest will take at the pace so far."""

    def __init__(self, done: int, total: int) -> None:
        self.done = done
        self._first = done
        self._total = total
        self._began = time.monotonic()

    def step(self) -> None:
        self.done += 1

    def seconds_left(self) -> float | None:
        made = self.done - self._first
        if made == 0:
            return None
        return round((time.monotonic() - self._began) / made * (self._total - self.done), 1)
