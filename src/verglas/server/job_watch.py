"""Watch the job folders of a project: where each job stands, told anew only from what its events have gained."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from verglas.errors import VerglasError
from verglas.execution.events import (
    FailureEvent,
    FiguresEvent,
    MessageEvent,
    ProgressEvent,
    ResultEvent,
    StateEvent,
)
from verglas.execution.job_folder import JobFolder

LOOK_SECONDS = 0.4
ENDED = {"paused", "cancelled", "failed", "done"}


class WatchedJob:
    """One job, as far as its events were read."""

    def __init__(self, job: JobFolder) -> None:
        self.job = job
        self.request = job.request()
        self.results = 0
        self._offset = 0
        self._first: StateEvent | None = None
        self._last: StateEvent | None = None
        self._progress: ProgressEvent | None = None
        self._cpu_seconds = 0.0
        self._failures: set[str] = set()
        self._warnings = 0
        self._figures = 0
        self._keys: set[str] = set()
        self.summary: dict[str, Any] = {}
        self._damage = ""

    def look(self) -> bool:
        """Read what is new; tell whether the summary changed."""
        try:
            for event, after in self.job.events_from(self._offset):
                self._offset = after
                self._take(event)
        except VerglasError as error:
            self._damage = str(error)
        made = self._summary()
        changed, self.summary = made != self.summary, made
        return changed

    def _take(self, event: object) -> None:
        if isinstance(event, StateEvent):
            self._first, self._last = self._first or event, event
            self._cpu_seconds += event.cpu_seconds or 0.0
        elif isinstance(event, ProgressEvent):
            self._progress = event
        elif isinstance(event, ResultEvent):
            self._keys.add(event.key)
            self.results = len(self._keys)
            self._failures.discard(event.key)
        elif isinstance(event, FailureEvent):
            self._failures.add(event.key)
        elif isinstance(event, MessageEvent):
            self._warnings += event.level != "info"
        elif isinstance(event, FiguresEvent):
            self._figures += 1

    def _state(self) -> tuple[str, str]:
        if self._damage:
            return "interrupted", self._damage
        last = self._last
        if last is None:
            if self.job.controller() is None:
                return "queued", ""
            return ("starting", "") if self.job.controller_lives() else ("interrupted", "its controller ended")
        if last.state not in ENDED and not self.job.controller_lives():
            return "interrupted", "its controller ended without a word; Resume goes on"
        return last.state, last.message

    @property
    def is_settled(self) -> bool:
        """Whether only longer events could tell more."""
        return self.summary.get("state") in {"cancelled", "failed", "done"}

    def _summary(self) -> dict[str, Any]:
        state, message = self._state()
        request, progress, last = self.request, self._progress, self._last
        return {
            "job": self.job.number, "action": request.action, "title": request.title, "state": state,
            "message": message, "created": request.created, "user": request.user, "host": request.host,
            "profile": request.resources.profile, "clone_of": request.clone_of,
            "started": self._first.t if self._first else None, "changed": last.t if last else None,
            "done": progress.done if progress else 0, "total": progress.total if progress else 0,
            "phase": progress.phase if progress else "",
            "seconds_left": progress.seconds_left if progress and state == "running" else None,
            "results": self.results, "failures": len(self._failures), "warnings": self._warnings,
            "figures": self._figures, "cpu_seconds": self._cpu_seconds, "events_bytes": self._offset,
            "asked": next((what for what in ("cancel", "pause") if self.job.is_asked(what)), None)
            if state in {"starting", "running"} else None,
        }  # fmt: skip


class JobWatch:
    """A thread that watches all jobs of a project.

    Parameters
    ----------
    jobs
        The project's ``Jobs`` folder.
    on_change
        Called with a job's summary when it has changed.
    on_look
        Called after every look, with whether any job has new results or has ended.
    """

    def __init__(
        self, jobs: Path, on_change: Callable[[dict[str, Any]], None], on_look: Callable[[bool], None]
    ) -> None:
        self._folder = jobs
        self._on_change, self._on_look = on_change, on_look
        self._watched: dict[int, WatchedJob] = {}
        self._sizes: dict[int, int] = {}
        self._stop, self._wake = threading.Event(), threading.Event()
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="verglas-jobs", daemon=True)

    def start(self) -> None:
        """Look once, then go on looking."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Look at once: a job was just started."""
        self._wake.set()

    def summaries(self) -> list[dict[str, Any]]:
        """Return where all jobs stand, the latest first."""
        with self._lock:
            return [self._watched[number].summary for number in sorted(self._watched, reverse=True)]

    def look(self) -> bool:
        """Look at all jobs once; return whether there are new results or ends."""
        news = False
        with self._looking:
            for job in self._found():
                news = self._look_at(job) or news
        return news

    def _found(self) -> list[JobFolder]:
        names = set()
        with suppress(FileNotFoundError):
            names = {entry.name for entry in os.scandir(self._folder) if entry.name[:1].isdigit()}
        with self._lock:
            for number in [number for number, one in self._watched.items() if one.job.path.name not in names]:
                del self._watched[number]
                self._sizes.pop(number, None)
        found = []
        for name in sorted(names):
            with suppress(VerglasError):
                found.append(JobFolder(self._folder / name))
        return found

    def _look_at(self, job: JobFolder) -> bool:
        watched = self._watched.get(job.number)
        if watched is None:
            try:
                watched = WatchedJob(job)
            except VerglasError:
                return False  # not a job yet, or its request is damaged: the project's check tells
            with self._lock:
                self._watched[job.number] = watched
        size = job.events_path.stat().st_size if job.events_path.exists() else 0
        if watched.is_settled and self._sizes.get(job.number) == size:
            return False
        self._sizes[job.number] = size
        before = (watched.results, watched.summary.get("state"))
        if watched.look():
            self._on_change(watched.summary)
        after = (watched.results, watched.summary.get("state"))
        return after[0] != before[0] or (after[1] != before[1] and watched.is_settled)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            if self._stop.is_set():
                return
            with suppress(OSError):
                self._on_look(self.look())
