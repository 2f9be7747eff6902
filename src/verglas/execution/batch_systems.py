"""What must be known of batch systems whose submit command returns at once: the job's number, and how to cancel it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class BatchSystem:
    """One batch system.

    Attributes
    ----------
    name
        Its name.
    says
        What its submit command prints, with the job's number as first group.
    cancel
        The command that takes numbers and cancels those jobs.
    alive
        The command that prints the numbers of all jobs of this user that wait or run; None: not known.
    """

    name: str
    says: re.Pattern[str]
    cancel: tuple[str, ...]
    alive: tuple[str, ...] | None = None


BATCH_SYSTEMS = (
    BatchSystem(
        "Slurm",
        re.compile(r"^Submitted batch job (\d+)", re.MULTILINE),
        ("scancel",),
        ("squeue", "--me", "--noheader", "--format=%A"),
    ),
    BatchSystem("LSF", re.compile(r"^Job <(\d+)> is submitted", re.MULTILINE), ("bkill",)),
    BatchSystem("Grid Engine", re.compile(r"^Your job (\d+) ", re.MULTILINE), ("qdel",)),
    BatchSystem("PBS", re.compile(r"^(\d+(?:\[\])?\.[\w.-]+)\s*$", re.MULTILINE), ("qdel",)),
)


@dataclass(frozen=True)
class Submitted:
    """A job in a batch system: a worker that waits there for its turn, or runs."""

    system: BatchSystem
    number: str


def recognise(printed: str) -> Submitted | None:
    """Return the job that a command's output tells of, or None if it started the worker by itself."""
    for system in BATCH_SYSTEMS:
        match = system.says.search(printed)
        if match:
            return Submitted(system, match[1])
    return None


def cancel(jobs: list[Submitted]) -> None:
    """Cancel jobs; those that have ended already are no matter."""
    for system in {job.system for job in jobs}:
        numbers = [job.number for job in jobs if job.system == system]
        for first in range(0, len(numbers), 200):
            _run((*system.cancel, *numbers[first : first + 200]))


def still_there(system: BatchSystem) -> set[str] | None:
    """Return the numbers of all jobs that wait or run; None where that cannot be learned now."""
    if system.alive is None:
        return None
    done = _run(system.alive)
    return set(done.stdout.split()) if done is not None and done.returncode == 0 else None


def _run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
