"""The job folder: the contract between who starts a job, the controller that runs it, and all who read about it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from verglas.errors import FormatError, JobError
from verglas.execution import durable
from verglas.execution.events import Event, FailureEvent, ProgressEvent, ResultEvent, State, StateEvent, parse_event
from verglas.execution.liveness import ProcessRecord, beat
from verglas.execution.run_profile import DEFAULT_PROFILE, RunProfile

FORMAT = 1
_NAME = re.compile(r"(\d{6,})-([a-z0-9][a-z0-9-]*)")
_STATE_MARK = b'{"event":"state"'
_ENDED = {"paused", "cancelled", "failed", "done"}
REQUESTS = ("cancel", "pause", "take-current", "take-last-start")
"""What may be asked of a controller; the last two are for jobs that search in rounds and have a map already."""


class Resources(BaseModel):
    """What a job may use: tasks at a time, threads of each, device, memory of all together, run profile."""

    model_config = ConfigDict(extra="forbid")

    threads: int = 1
    workers: int = 1
    device: str = "cpu"
    memory_bytes: int | None = None
    profile: str = DEFAULT_PROFILE
    reconstruction_profile: str | None = None


class StatedEstimate(BaseModel):
    """What was stated before the job started."""

    model_config = ConfigDict(extra="ignore")

    memory_bytes: int
    disk_bytes: int
    seconds: float


class ProjectReference(BaseModel):
    """The project that a job belongs to."""

    name: str
    id: str


class Request(BaseModel):
    """``request.json``: what was asked for, by whom, with which versions; never changed afterwards."""

    model_config = ConfigDict(extra="ignore")

    format: int = FORMAT
    job: int
    action: str
    entry: str
    title: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, list[dict[str, Any]]] = Field(default_factory=dict)
    project: ProjectReference
    seed: int = 0
    resources: Resources = Field(default_factory=Resources)
    profile: RunProfile | None = None
    """The run profile as it was when the job was made, so that its controller needs no file of the user's."""
    reconstruction_profile: RunProfile | None = None
    """The run profile that adds up partial maps; none: the other one does."""
    estimate: StatedEstimate | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    created: str
    user: str
    host: str
    clone_of: int | None = None
    origin: str | None = None
    """Which program started it by itself (``watch``); None where a person did."""


@dataclass(frozen=True)
class JobState:
    """Where a job stands."""

    name: State
    failures: int = 0
    message: str = ""
    cpu_seconds: float = 0.0
    """Of all attempts that ended with a state line, workers included."""
    peak_memory_bytes: int | None = None
    changed: float | None = None
    """When the last state line was written, seconds since 1970."""
    started: float | None = None
    """When the first controller started."""

    @property
    def is_active(self) -> bool:
        """Whether a controller is at work on it."""
        return self.name in {"starting", "running"}

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do but what somebody asks for."""
        return self.name in {"done", "cancelled", "failed"}


class JobFolder:
    """One job's folder, ``Jobs/000042-align-movies``.

    Parameters
    ----------
    path
        The folder; its parent's parent is the project's folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        match = _NAME.fullmatch(self.path.name)
        if match is None:
            raise JobError(f"{self.path}: no job's folder; its name should look like 000042-align-movies.")
        self.number = int(match[1])
        self.action = match[2]

    def __repr__(self) -> str:
        return f"JobFolder({str(self.path)!r})"

    @classmethod
    def claim(cls, jobs: Path | str, action: str) -> JobFolder:
        """Make the folder of a new job under the next free number, safe against all who do the same at once.

        A number is claimed by making the folder ``.numbers/000042``, which stays when the job is deleted, so that no
        number is ever given twice.
        """
        jobs = Path(jobs)
        numbers = jobs / ".numbers"
        numbers.mkdir(parents=True, exist_ok=True)
        taken = [int(entry.name) for entry in numbers.iterdir() if entry.name.isdigit()]
        taken += [int(match[1]) for entry in jobs.iterdir() if (match := _NAME.fullmatch(entry.name))]
        number = max(taken, default=0) + 1
        while True:
            try:
                (numbers / f"{number:06d}").mkdir()
            except FileExistsError:
                number += 1
                continue
            break
        folder = cls(jobs / f"{number:06d}-{action}")
        for part in (folder.path, folder.results_folder, folder.control_folder):
            part.mkdir()
        return folder

    @classmethod
    def all_in(cls, jobs: Path | str) -> list[JobFolder]:
        """Return all jobs with a request under ``Jobs``, by number; a folder without one was never a job."""
        try:
            names = [entry.name for entry in os.scandir(jobs) if _NAME.fullmatch(entry.name)]
        except FileNotFoundError:
            return []
        found = [cls(Path(jobs) / name) for name in names]
        return sorted((job for job in found if job.request_path.exists()), key=lambda job: job.number)

    @classmethod
    def find(cls, jobs: Path | str, number: int) -> JobFolder:
        """Return job ``number``.

        Raises
        ------
        JobError
            There is no such job.
        """
        for path in Path(jobs).glob(f"{number:06d}-*"):
            job = cls(path)
            if job.request_path.exists():
                return job
        raise JobError(f"There is no job {number} in {jobs}; `verglas jobs` lists those there are.")

    # Places

    @property
    def project_folder(self) -> Path:
        """The project's folder."""
        return self.path.parent.parent

    @property
    def scratch(self) -> Path:
        """The job's folder under the project's ``Scratch``; emptied when the job has ended."""
        return self.project_folder / "Scratch" / self.path.name

    @property
    def results_folder(self) -> Path:
        """Where result files are written."""
        return self.path / "results"

    @property
    def control_folder(self) -> Path:
        """Where requests to the controller lie."""
        return self.path / "control"

    @property
    def request_path(self) -> Path:
        """The request."""
        return self.path / "request.json"

    @property
    def events_path(self) -> Path:
        """The events."""
        return self.path / "events.jsonl"

    @property
    def log_path(self) -> Path:
        """What a person reads."""
        return self.path / "log.txt"

    @property
    def heartbeat_path(self) -> Path:
        """The file whose time says that the controller lives."""
        return self.path / "heartbeat"

    @property
    def ids_path(self) -> Path:
        """What the owner of the database gave each result: number, place and name."""
        return self.path / "ids.json"

    # Request

    def write_request(self, request: Request) -> None:
        """Write the request whole; from then on the folder is a job."""
        durable.write_whole(self.request_path, request.model_dump_json(indent=1).encode() + b"\n")

    def request(self) -> Request:
        """Return the request.

        Raises
        ------
        FormatError
            It is missing, damaged or from a newer verglas.
        """
        try:
            request = Request.model_validate_json(self.request_path.read_bytes())
        except FileNotFoundError as error:
            raise FormatError(self.request_path, "the job has no request.", "Start it anew from its action.") from error
        except ValidationError as error:
            raise FormatError(self.request_path, f"the request is damaged: {error}") from error
        if request.format > FORMAT:
            raise FormatError(self.request_path, "it was written by a newer verglas.", "Install that one.")
        return request

    # Events

    def events(self) -> Iterator[Event]:
        """Yield all events in order; an unfinished last line and kinds of a newer verglas are left out."""
        for event, _ in self.events_from(0):
            yield event

    def events_from(self, offset: int) -> Iterator[tuple[Event, int]]:
        """Yield the events after a byte offset, each with the offset behind it: for following a job."""
        for line, after in durable.finished_lines(self.events_path, offset):
            event = parse_event(line, str(self.events_path), after)
            if event is not None:
                yield event, after

    def results(self) -> dict[str, ResultEvent]:
        """Return the results by key, in the order in which they came."""
        found: dict[str, ResultEvent] = {}
        for event in self.events():
            if isinstance(event, ResultEvent):
                found.setdefault(event.key, event)
        return found

    def failures(self) -> dict[str, FailureEvent]:
        """Return the items that are set aside: failed, and without a result since."""
        failed: dict[str, FailureEvent] = {}
        for event in self.events():
            if isinstance(event, FailureEvent):
                failed[event.key] = event
            elif isinstance(event, ResultEvent):
                failed.pop(event.key, None)
        return failed

    def progress(self) -> ProgressEvent | None:
        """Return the last word on how far the job is."""
        last = None
        for event in self.events():
            if isinstance(event, ProgressEvent):
                last = event
        return last

    def state(self) -> JobState:
        """Return where the job stands; ``queued`` and ``interrupted`` are derived, not written."""
        first: StateEvent | None = None
        last: StateEvent | None = None
        cpu_seconds = 0.0
        peak: int | None = None
        for line, after in durable.finished_lines(self.events_path):
            if not line.startswith(_STATE_MARK):
                continue
            event = parse_event(line, str(self.events_path), after)
            assert isinstance(event, StateEvent)
            first, last = first or event, event
            cpu_seconds += event.cpu_seconds or 0.0
            peak = max(filter(None, (peak, event.peak_memory_bytes)), default=None)
        if last is None:
            controller = self.controller()
            name: State = "queued" if controller is None else "starting" if self.controller_lives() else "interrupted"
            return JobState(name)
        name = last.state
        message = last.message
        if name not in _ENDED and not self.controller_lives():
            name, message = "interrupted", "its controller ended without a word; `verglas jobs resume` goes on"
        return JobState(name, last.failures, message, cpu_seconds, peak, last.t, first.t if first else None)

    # The controller

    def controllers(self) -> list[Path]:
        """Return the records of all controllers that this job has had, in order."""
        return sorted(self.path.glob("controller-*.json"))

    def controller(self) -> ProcessRecord | None:
        """Return the latest controller's record, or None where the job never had one."""
        records = self.controllers()
        if not records:
            return None
        try:
            return ProcessRecord.model_validate_json(records[-1].read_bytes())
        except ValidationError:
            return ProcessRecord(host="", process=0, process_started=0.0)  # its writer died writing it

    def controller_lives(self) -> bool:
        """Tell whether a controller is at work in this folder."""
        record = self.controller()
        return record is not None and record.lives(self.heartbeat_path)

    def claim_control(self) -> int:
        """Become the job's controller; return which attempt this is (1 for the first).

        Whoever creates ``controller-000N.json`` is the Nth controller; of two that try at once one succeeds.

        Raises
        ------
        JobError
            Another controller is at work in this folder.
        """
        record = self.controller()
        if record is not None and record.is_seen_alive(self.heartbeat_path):
            raise JobError(
                f"Job {self.number} is run already, by process {record.process} on {record.host}; "
                f"`verglas jobs pause {self.number}` stops it."
            )
        attempt = len(self.controllers()) + 1
        path = self.path / f"controller-{attempt:04d}.json"
        beat(self.heartbeat_path)
        content = ProcessRecord.of_this_process().model_dump_json().encode()
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError as error:
            raise JobError(f"Another process started to run job {self.number} at the same moment.") from error
        try:
            os.write(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        return attempt

    def remove_unfinished_files(self) -> None:
        """Remove what writers that were killed left half written; only the controller may, while it has no worker."""
        for folder in (self.results_folder, self.scratch):
            for path in folder.rglob(".*"):
                if path.is_file():
                    path.unlink(missing_ok=True)

    # Requests to the controller

    def ask(self, what: str) -> None:
        """Leave a request for the controller: one of :data:`REQUESTS`."""
        self.control_folder.mkdir(exist_ok=True)
        (self.control_folder / what).touch()

    def is_asked(self, what: str) -> bool:
        """Tell whether somebody has left a request."""
        return (self.control_folder / what).exists()

    def forget_requests(self) -> None:
        """Remove all requests: who resumes a job means it to run."""
        for what in REQUESTS:
            with suppress(FileNotFoundError):
                (self.control_folder / what).unlink()


class EventLog:
    """The writing end of ``events.jsonl``, for the one process that has claimed control of the job."""

    def __init__(self, job: JobFolder) -> None:
        self._file = durable.AppendOnlyFile(job.events_path)

    def append(self, event: Event) -> None:
        """Append one event; states, results and failures are on disk when this returns."""
        self._file.append(event.model_dump_json(exclude_none=True).encode(), durable=event.durable)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
