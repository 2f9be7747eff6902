"""Workers that the commands of a run profile start, on whichever machine; lost ones are replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from verglas.execution import batch_systems
from verglas.execution.batch_systems import BATCH_SYSTEMS, Submitted
from verglas.execution.quoting import start_command
from verglas.execution.run_profile import PLAIN, RunCommand, RunProfile
from verglas.execution.worker_pools import HASTY_SECONDS, MOST_HASTY_ENDS, Joining, stop_all

GONE_SECONDS = 5.0
"""A worker that was there and has been missing for so long is replaced."""
SILENT_SECONDS = 60.0
"""A command that ended well without a worker joining for so long has started none."""
ASK_SECONDS = 10.0
"""Pause between two questions to a batch system."""
BATCH_RECORD = "batch-jobs.txt"


@dataclass
class _Launch:
    """One run of a command: what came of it so far."""

    name: str
    wish: _Wish
    process: subprocess.Popen[bytes]
    printed: Path
    began: float
    batch: Submitted | None = None
    joined: float | None = None
    seen: float = 0.0
    missing: int = 0


@dataclass
class _Wish:
    """A command to be run, not before a certain time, as so-and-so-many-th of its copies."""

    command: RunCommand
    place: int = 0
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
        copies = [number for number, one in enumerate(self.profile.commands) for _ in range(one.copies)]
        places = [0] * len(self.profile.commands)
        self._wishes: list[_Wish] = []
        wanted = self.count
        while wanted > 0:  # more copies than the profile says, where more workers were asked for
            number = copies[len(self._wishes) % len(copies)]
            command = self.profile.commands[number]
            self._wishes.append(_Wish(command, places[number]))
            places[number] += 1
            wanted -= max(1, command.workers // command.copies)
        self._launches: list[_Launch] = []
        self._next_due = 0.0
        self._started = 0
        self._hasty_ends = 0
        self._last_words = "log.txt says why"
        self._asked = 0.0
        self._most = 0
        self._unfit: dict[str, str] = {}
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
            self._stop([launch])
            due = now + (1.0 if self._hasty_ends else 0.0)
            self._wishes.append(_Wish(launch.wish.command, launch.wish.place, due))
        if self._hasty_ends >= MOST_HASTY_ENDS:
            if not present:
                self.trouble = f"{self._hasty_ends} workers could not be started: {self._last_words}"
            elif self._wishes:
                self._news.append(f"no more workers can be started ({self._last_words}); {len(present)} go on")
            self._wishes.clear()
        if self._wishes and now >= max(self._next_due, self._wishes[0].due):
            wish = self._wishes[0]
            self._launch(wish)
            self._wishes.pop(0)  # not before: a folder that is gone for a while must not lose a wish
            self._next_due = now + wish.command.delay_ms / 1000.0

    def note_success(self) -> None:
        """Forget earlier troubles."""
        self._hasty_ends = 0

    def note_unfit(self, name: str, why: str) -> None:
        """Count a worker that was sent away as one that could not start; what it said is kept for the user."""
        self._unfit[name] = why

    def news(self) -> list[str]:
        """Return how many workers have joined, when that has grown."""
        found, self._news = self._news, []
        return found

    def close(self) -> None:
        """Cancel what waits in a queue and stop what runs."""
        self._wishes.clear()
        for launch in self._launches:
            self._look_at_output(launch)
        self._stop(self._launches)

    def _stop(self, launches: list[_Launch]) -> None:
        """Take launches out of their queues and end what is left of them here."""
        batch_systems.cancel([launch.batch for launch in launches if launch.batch is not None])
        stop_all([launch.process for launch in launches], group=True)

    def _launch(self, wish: _Wish) -> None:
        command = wish.command
        assert self._joining is not None
        self._started += 1
        name = f"worker-{self._started:04d}"
        alone = command.command.strip() == PLAIN
        file = self._joining.write(
            name, self.threads or command.threads, os.getpid() if alone else None, gpus=command.gpus, place=wish.place,
            shared=command.shares_file,
        )  # fmt: skip
        line = fill_in(command.command, start_command("verglas.execution.worker", file), self.program)
        printed = self._joining.folder / f"{name}.out"
        with printed.open("wb") as stream:
            # A plain command replaces its shell, so that the worker is this process's own child.
            process = subprocess.Popen(
                f"exec {line}" if alone else line, shell=True, cwd=self._joining.folder, stdin=subprocess.DEVNULL,
                stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._launches.append(_Launch(name, wish, process, printed, time.monotonic()))

    def _is_lost(self, launch: _Launch, present: set[str], now: float) -> bool:
        """Tell whether what a command started is gone, or never was."""
        if any(one.startswith(f"{launch.name}-") for one in present):
            launch.joined = launch.joined or now
            launch.seen = now
            return False
        status = launch.process.poll()
        if launch.joined is not None:
            if now - launch.seen < GONE_SECONDS:
                return False
            words = next((why for name, why in self._unfit.items() if name.startswith(f"{launch.name}-")), "")
            hasty = bool(words) or launch.seen - launch.joined < HASTY_SECONDS
            self._hasty_ends = self._hasty_ends + 1 if hasty else 0
            self._last_words = words or self._last_words
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
        there = {
            system: batch_systems.still_there(system) for system in {one.batch.system for one in waiting if one.batch}
        }
        gone = []
        for launch in waiting:
            assert launch.batch is not None
            numbers = there[launch.batch.system]
            if numbers is None:  # not known, or not just now
                continue
            launch.missing = 0 if launch.batch.number in numbers else launch.missing + 1
            if launch.missing > 1:
                self._count_failure(
                    launch, f"{launch.batch.system.name} job {launch.batch.number} ended without joining"
                )
                gone.append(launch)
        return gone

    def _count_failure(self, launch: _Launch, what: str) -> None:
        self._hasty_ends += 1
        self._last_words = self._words_of(launch)
        sys.stderr.write(f"{launch.name}, `{launch.wish.command.command}`: {what}: {self._last_words}\n")

    def _look_at_output(self, launch: _Launch) -> None:
        if launch.batch is None:
            launch.batch = batch_systems.recognise(_text(launch.printed))
            if launch.batch is not None:
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
        if launch.batch is not None:
            return f"it left no word, and its output is not in the job's folder {self._joining.folder.parent}"
        return "it said nothing"


def fill_in(command: str, start: str, program: str) -> str:
    """Return a profile's command with ``$command`` and ``$program_name`` replaced."""
    return command.replace("$command", start).replace("$program_name", program)


def remove_left_over(folder: Path) -> None:
    """Cancel what a controller that was killed has left in a batch system's queue, and remove its workers' files."""
    lines = [line.split("\t") for line in _text(folder / BATCH_RECORD).splitlines()]
    systems = {system.name: system for system in BATCH_SYSTEMS}
    batch_systems.cancel([Submitted(systems[one[0]], one[1]) for one in lines if len(one) == 2 and one[0] in systems])
    shutil.rmtree(folder, ignore_errors=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
