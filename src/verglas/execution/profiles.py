"""Run profiles: where a job's workers run, and a trial that starts them and has each answer."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from verglas.errors import InputError, JobError
from verglas.execution.tasks import Task

DEFAULT_PROFILE = "Default Local"
ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class RunProfile:
    """One way to run a job.

    Attributes
    ----------
    name
        What ``--profile`` names it by.
    workers
        Where the workers run and how they are started, for people.
    binds
        The addresses that scheduler and workers listen on.
    """

    name: str
    workers: str
    binds: str


PROFILES = (
    RunProfile(
        DEFAULT_PROFILE,
        "processes on this machine, started by the job's controller: one a core, fewer where memory or items are few",
        "127.0.0.1",
    ),
)


@dataclass(frozen=True)
class Answer:
    """What one worker said of itself: host, process id, threads it may use, seconds until it was ready."""

    host: str
    process: int
    threads: int
    ready_seconds: float


def find_profile(name: str) -> RunProfile:
    """Return a profile by its name.

    Raises
    ------
    InputError
        There is no such profile.
    """
    for profile in PROFILES:
        if profile.name == name:
            return profile
    there = ", ".join(repr(profile.name) for profile in PROFILES)
    raise InputError(f"There is no run profile {name!r}; there is {there}.")


def try_workers(workers: int, threads: int) -> list[Answer]:
    """Start workers on this machine as a job would, have each answer once, and stop them.

    Parameters
    ----------
    workers, threads
        How many workers, and threads each.

    Raises
    ------
    JobError
        Workers did not start or did not answer.
    """
    from verglas.execution.cluster import LocalCluster

    answers: list[Answer] = []
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        cluster = LocalCluster(Path(folder) / "workers", workers, threads)
        try:
            cluster.wait_for_workers(workers)
            place = Path(folder)
            for number in range(workers):
                cluster.submit(say_who, number, str(number), Task(place, place, place, place, threads, "cpu", 0))
            end = time.monotonic() + ANSWER_SECONDS
            while len(answers) < workers:
                outcome = cluster.wait(1.0)
                if outcome is not None and outcome.error is None:
                    host, process, given, at = outcome.value
                    answers.append(Answer(host, process, given, round(at - began, 2)))
                elif outcome is not None or time.monotonic() > end:
                    what = outcome.error if outcome is not None else f"no answer within {ANSWER_SECONDS:.0f} s"
                    raise JobError(f"{len(answers)} of {workers} workers answered; the next: {what}.")
        except TimeoutError as error:
            raise JobError(f"The workers were not ready in time: {error}.") from error
        finally:
            cluster.close()
    return answers


def say_who(number: int, task: Task) -> tuple[str, int, int, float]:
    """Say from a worker: host, process id, threads, time of the answer."""
    del number, task
    return platform.node(), os.getpid(), int(os.environ["OMP_NUM_THREADS"]), time.time()
