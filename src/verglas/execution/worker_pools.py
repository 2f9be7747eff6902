"""Where a job's workers come from: processes on this machine, or commands of a run profile; lost ones are replaced."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from verglas import __version__
from verglas.execution import batch_systems
from verglas.execution.batch_systems import BATCH_SYSTEMS, Submitted
from verglas.execution.quoting import start_command
from verglas.execution.run_profile import PLAIN, RunCommand, RunProfile

HASTY_SECONDS = 10.0
"""A worker that ends sooner than this after its start, before it did any work, could not start."""
MOST_HASTY_ENDS = 5
GONE_SECONDS = 5.0
"""A worker that was there and has been missing for so long is replaced."""
SILENT_SECONDS = 60.0
"""A command that ended well without a worker joining for so long has started none."""
ASK_SECONDS = 10.0
"""Pause between two questions to a batch system."""
BATCH_RECORD = "batch-jobs.txt"


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

    def write(self, name: str, threads: int, controller: int | None) -> Path:
        """Write the file of a worker, or of some that share a name, and return it."""
        settings = {
            "name": name, "scheduler": self.scheduler, "pem": self.pem, "threads": threads,
            "folder": str(self.folder.absolute()), "patience_seconds": self.patience_seconds, "ports": self.ports,
            "controller": controller, "version": __version__, "python": list(sys.version_info[:2]),
            "written": time.time(),
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
    count, threads
        How many, and how many threads each.
    """

    def __init__(self, count: int, threads: int) -> None:
        self.slots = count
        self.trouble = ""
        self._threads = threads
        self._processes: dict[int, tuple[subprocess.Popen[bytes], float]] = {}
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
        for number, (process, began) in list(self._processes.items()):
            if process.poll() is None:
                continue
            del self._processes[number]
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

    def news(self) -> list[str]:
        """Say nothing: they start at once."""
        return []

    def close(self) -> None:
        """Stop them."""
        stop_all([process for process, _ in self._processes.values()])

    def _start(self) -> None:
        assert self._joining is not None
        self._started += 1
        file = self._joining.write(f"worker-{self._started:04d}", self._threads, os.getpid())
        command = [sys.executable, "-P", "-m", "verglas.execution.worker", str(file)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._processes[process.pid] = (process, time.monotonic())


@dataclass
class _Launch:
    """One run of a command: what came of it so far."""

    name: str
    command: RunCommand
    process: subprocess.Popen[bytes]
    printed: Path
    began: float
    batch: Submitted | None = None
    joined: float | None = None
    seen: float = 0.0
    missing: int = 0


@dataclass
class _Wish:
    """A command to be run, not before a certain time."""

    command: RunCommand
    due: float = 0.0


@dataclass
class CommandedWorkers:
    """Workers that the commands of a run profile start, on whichever machine.

    Parameters
    ----------
    profile
        The profile.
    count
        How many workers there should be: fewer than the profile's where there is less to do.
    threads
        Threads of each; 0: as each command says.
    program
        What ``$program_name`` stands for.
    """

    profile: RunProfile
    count: int
    threads: int = 0
    program: str = "verglas"
    slots: int = field(init=False)
    trouble: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.slots = self.count
        copies = [command for command in self.profile.commands for _ in range(command.copies)]
        self._wishes: list[_Wish] = []
        wanted = self.count
        while wanted > 0:  # more copies than the profile says, where more workers were asked for
            command = copies[len(self._wishes) % len(copies)]
            self._wishes.append(_Wish(command))
            wanted -= max(1, command.workers // command.copies)
        self._launches: list[_Launch] = []
        self._submitted: list[Submitted] = []
        self._next_due = 0.0
        self._started = 0
        self._hasty_ends = 0
        self._asked = 0.0
        self._most = 0
        self._news: list[str] = []
        self._joining: Joining | None = None

    def open(self, joining: Joining) -> None:
        """Run the first command; the others follow with the delay of the profile."""
        self._joining = joining
        self._news.append(f"{self.slots} worker(s) are asked for by run profile {self.profile.name!r}")

    def look_after(self, present: set[str]) -> None:
        """Run commands that are due, and those again whose workers were lost or never came."""
        now = time.monotonic()
        if len(present) > self._most:
            self._most = len(present)
            self._news.append(f"{len(present)} of {self.slots} worker(s) have joined")
        lost = [launch for launch in self._launches if self._is_lost(launch, present, now)]
        lost += self._vanished(now)
        for launch in lost:
            self._launches.remove(launch)
            self._wishes.append(_Wish(launch.command, now + (1.0 if self._hasty_ends else 0.0)))
        if not present and self._hasty_ends >= MOST_HASTY_ENDS:
            self.trouble = f"{self._hasty_ends} workers could not be started: {self._last_words(lost)}"
            self._wishes.clear()
        elif self._hasty_ends >= MOST_HASTY_ENDS and self._wishes:
            self._news.append(f"no more workers can be started ({self._last_words(lost)}); {len(present)} go on")
            self._wishes.clear()
        if self._wishes and now >= max(self._next_due, self._wishes[0].due):
            command = self._wishes.pop(0).command
            self._launch(command)
            self._next_due = now + command.delay_ms / 1000.0

    def note_success(self) -> None:
        """Forget earlier troubles."""
        self._hasty_ends = 0

    def news(self) -> list[str]:
        """Return how many workers have joined, when that has grown."""
        found, self._news = self._news, []
        return found

    def close(self) -> None:
        """Cancel what waits in a queue and stop what runs."""
        self._wishes.clear()
        for launch in self._launches:
            self._look_at_output(launch)
        batch_systems.cancel(self._submitted)
        stop_all([launch.process for launch in self._launches], group=True)

    def _launch(self, command: RunCommand) -> None:
        assert self._joining is not None
        self._started += 1
        name = f"worker-{self._started:04d}"
        alone = command.command.strip() == PLAIN
        file = self._joining.write(name, self.threads or command.threads, os.getpid() if alone else None)
        line = fill_in(command.command, start_command("verglas.execution.worker", file), self.program)
        printed = self._joining.folder / f"{name}.out"
        with printed.open("wb") as stream:
            # A plain command replaces its shell, so that the worker is this process's own child.
            process = subprocess.Popen(
                f"exec {line}" if alone else line, shell=True, cwd=self._joining.folder, stdin=subprocess.DEVNULL,
                stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._launches.append(_Launch(name, command, process, printed, time.monotonic()))

    def _is_lost(self, launch: _Launch, present: set[str], now: float) -> bool:
        """Tell whether what a command started is gone, or never was."""
        if any(one.startswith(launch.name) for one in present):
            launch.joined = launch.joined or now
            launch.seen = now
            return False
        status = launch.process.poll()
        if launch.joined is not None:
            if now - launch.seen < GONE_SECONDS:
                return False
            self._hasty_ends = self._hasty_ends + 1 if launch.seen - launch.joined < HASTY_SECONDS else 0
            sys.stderr.write(f"{launch.name} is gone; another takes its place\n")
            return True
        if status is None:
            return False
        self._look_at_output(launch)
        if launch.batch is not None or (status == 0 and now - launch.began < SILENT_SECONDS):
            return False
        self._count_failure(launch, f"ended with status {status}")
        return True

    def _vanished(self, now: float) -> list[_Launch]:
        """Return the launches whose job has left its batch system without its worker having joined."""
        waiting = [one for one in self._launches if one.batch is not None and one.joined is None]
        if not waiting or now - self._asked < ASK_SECONDS:
            return []
        self._asked = now
        gone = []
        for system in BATCH_SYSTEMS:
            mine = [one for one in waiting if one.batch is not None and one.batch.system == system]
            there = batch_systems.still_there(system) if mine else None
            for launch in mine if there is not None else []:
                assert launch.batch is not None and there is not None
                launch.missing = 0 if launch.batch.number in there else launch.missing + 1
                if launch.missing > 1:
                    self._count_failure(launch, f"{system.name} job {launch.batch.number} ended without joining")
                    gone.append(launch)
        return gone

    def _count_failure(self, launch: _Launch, what: str) -> None:
        self._hasty_ends += 1
        sys.stderr.write(f"{launch.name}, `{launch.command.command}`: {what}: {self._words_of(launch)}\n")

    def _look_at_output(self, launch: _Launch) -> None:
        if launch.batch is None:
            launch.batch = batch_systems.recognise(_text(launch.printed))
            if launch.batch is not None:
                self._submitted.append(launch.batch)
                assert self._joining is not None
                with (self._joining.folder / BATCH_RECORD).open("a") as stream:
                    stream.write(f"{launch.batch.system.name}\t{launch.batch.number}\n")

    def _words_of(self, launch: _Launch) -> str:
        """Return the last line that a launch, its job or its worker has written."""
        assert self._joining is not None
        files = [*sorted(self._joining.folder.glob(f"{launch.name}*.said")), launch.printed]
        if launch.batch is not None:
            files[:0] = sorted(self._joining.folder.glob(f"*{launch.batch.number}.out"))
        for file in files:
            lines = _text(file).strip().splitlines()
            if lines:
                return lines[-1]
        return "it said nothing"

    def _last_words(self, lost: list[_Launch]) -> str:
        return self._words_of(lost[-1]) if lost else "log.txt says why"


def fill_in(command: str, start: str, program: str) -> str:
    """Return a profile's command with ``$command`` and ``$program_name`` replaced."""
    return command.replace("$command", start).replace("$program_name", program)


def cancel_left_over(folder: Path) -> None:
    """Cancel what a controller that was killed has left in a batch system's queue."""
    lines = [line.split("\t") for line in _text(folder / BATCH_RECORD).splitlines()]
    systems = {system.name: system for system in BATCH_SYSTEMS}
    batch_systems.cancel([Submitted(systems[one[0]], one[1]) for one in lines if len(one) == 2 and one[0] in systems])


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


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def pool_of(profile: RunProfile, workers: int, threads: int, program: str) -> Any:
    """Return the pool that a profile asks for."""
    if profile.is_local:
        return LocalWorkers(workers, threads)
    return CommandedWorkers(profile, workers, threads, program)
