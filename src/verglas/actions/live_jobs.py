"""The jobs of live processing, read from their folders: what is done, what is in hand, what must go on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from verglas.execution.job_folder import JobFolder, Request

ORIGIN = "watch"
MOST_ATTEMPTS = 5


@dataclass
class Ledger:
    """What the job folders say, as of one reading.

    Attributes
    ----------
    handled
        Action -> numbers of the assets that need no further job: done, set aside, given up, or in an unfinished job.
    running
        Jobs of live processing whose controllers live.
    stopped
        Those that were interrupted or failed, and may be resumed.
    given_up
        Those that stopped too often to be resumed again.
    """

    handled: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    running: list[JobFolder] = field(default_factory=list)
    stopped: list[JobFolder] = field(default_factory=list)
    given_up: list[JobFolder] = field(default_factory=list)


class JobReader:
    """Reads the ledger again and again; finished jobs are read once.

    Parameters
    ----------
    jobs
        The project's ``Jobs``.
    actions
        The actions of live processing.
    """

    def __init__(self, jobs: Path, actions: Collection[str]) -> None:
        self.jobs, self.actions = jobs, actions
        self._finished: dict[int, tuple[str, set[int]]] = {}
        self._requests: dict[int, Request] = {}

    def forgive(self) -> None:
        """Forget what finished jobs said: the next reading may forgive other failures."""
        self._finished.clear()

    def read(self, forgiven_before: float = 0.0) -> Ledger:
        """Return what the job folders say now.

        Parameters
        ----------
        forgiven_before
            Failures of jobs made earlier than this (seconds since 1970) do not count: their cause is gone.
        """
        ledger = Ledger()
        for job in JobFolder.all_in(self.jobs):
            if job.action not in self.actions:
                continue
            if job.number not in self._finished:
                self._read_one(job, forgiven_before, ledger)
            if job.number in self._finished:
                action, ids = self._finished[job.number]
                ledger.handled[action] |= ids
        return ledger

    def _read_one(self, job: JobFolder, forgiven_before: float, ledger: Ledger) -> None:
        request = self._requests.setdefault(job.number, job.request())
        state, is_own = job.state(), request.origin == ORIGIN
        inputs = {int(asset["id"]) for assets in request.inputs.values() for asset in assets if "id" in asset}
        if state.name in {"done", "cancelled"}:
            ids: set[int] = set()
            if is_own:
                created = datetime.fromisoformat(request.created).timestamp()
                failed = {int(key) for key in job.failures()} if created < forgiven_before else set()
                ids = inputs - failed  # what was cancelled was not wanted
            self._finished[job.number] = (job.action, ids)
        elif not is_own:
            if state.is_active or state.name == "paused":
                ledger.handled[job.action] |= inputs
        else:
            ledger.handled[job.action] |= inputs
            if state.is_active:
                ledger.running.append(job)
            elif state.name != "paused":
                gave_up = len(job.controllers()) >= MOST_ATTEMPTS
                (ledger.given_up if gave_up else ledger.stopped).append(job)
