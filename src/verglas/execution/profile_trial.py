"""Try a run profile with a tiny real job whose workers each say who they are."""

from __future__ import annotations

import datetime
import getpass
import os
import platform
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from verglas import __version__
from verglas.errors import JobError
from verglas.execution.context import JobContext
from verglas.execution.controller import start_detached
from verglas.execution.events import MessageEvent
from verglas.execution.job_folder import JobFolder, ProjectReference, Request, Resources
from verglas.execution.plain_words import meaning
from verglas.execution.run_profile import RunProfile
from verglas.execution.tasks import Task

PATIENCE_SECONDS = 120.0
CLOCK_SECONDS = 5.0
"""Clocks that differ by more deserve a word."""
GATHER_SECONDS = 20.0
HOPELESS_SECONDS = 12.0
"""So much longer is waited when workers have come but cannot be talked with."""


@dataclass(frozen=True)
class Answer:
    """What one worker said of itself.

    Attributes
    ----------
    host, process, threads
        Its machine, process id, and the threads that it may use.
    ready_seconds
        From the start of the trial to its answer.
    clock_seconds
        How far its machine's clock is ahead of the shared folder's.
    gpus
        The GPUs that it is shown (``CUDA_VISIBLE_DEVICES``); none: nothing was said of any.
    """

    host: str
    process: int
    threads: int
    ready_seconds: float
    clock_seconds: float
    gpus: str | None = None


class TrialParameters(BaseModel):
    """What the trial is told: how many workers should answer."""

    model_config = ConfigDict(extra="forbid")

    workers: int


class Trial:
    """The tiny job."""

    Parameters = TrialParameters

    def run(self, context: JobContext) -> None:
        """Have each worker answer once."""
        count = context.parameters.workers
        items = [{"number": number, "count": count} for number in range(count)]
        for item, answer in context.map(say_who, items, key=lambda one: str(one["number"])):
            context.result(str(item["number"]), "answer", values=answer)


def say_who(item: dict[str, int], task: Task) -> dict[str, Any]:
    """Say from a worker who it is, then wait a while for the others, so that no worker answers for two."""
    own = task.scratch / f"here-{platform.node()}-{os.getpid()}"
    own.write_text("here\n")
    now = time.time()
    ahead = now - own.stat().st_mtime
    end = time.monotonic() + GATHER_SECONDS
    while len(list(task.scratch.glob("here-*"))) < item["count"] and time.monotonic() < end:
        time.sleep(0.1)
        task.check()
    return {
        "host": platform.node(), "process": os.getpid(), "threads": int(os.environ["OMP_NUM_THREADS"]),
        "at": now, "clock_seconds": round(ahead, 1), "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }  # fmt: skip


def try_profile(
    profile: RunProfile, folder: Path, workers: int, threads: int, *, patience: float = PATIENCE_SECONDS
) -> list[Answer]:
    """Run a tiny job by a profile, in a new folder that is removed afterwards.

    Parameters
    ----------
    profile
        The profile.
    folder
        Where to make that folder; the nodes must see it, as they must see a project.
    workers, threads
        How many workers should answer, and the threads of each.
    patience
        Seconds to wait for all of them.

    Raises
    ------
    JobError
        It went wrong; the message says where.
    """
    place = Path(tempfile.mkdtemp(prefix="verglas-profile-test-", dir=folder))
    try:
        job = JobFolder.claim(place / "Jobs", "profile-test")
        job.write_request(
            Request(
                job=job.number, action="profile-test", entry="verglas.execution.profile_trial:Trial",
                title="Profile test", parameters={"workers": workers}, project=ProjectReference(name="test", id="test"),
                resources=Resources(workers=workers, threads=threads, profile=profile.name), profile=profile,
                versions={"verglas": __version__}, user=getpass.getuser(), host=platform.node(),
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
        )  # fmt: skip
        began = time.time()
        process = start_detached(job)
        end = time.monotonic() + patience
        hopeless = False
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
            if not hopeless and _is_hopeless(job):
                hopeless = True
                end = min(end, time.monotonic() + HOPELESS_SECONDS)
        if process.poll() is None:
            words = _what_is_known(job)
            job.ask("cancel")
            process.wait()
            raise _failure(profile, f"no end after {time.time() - began:.0f} s. {words}")
        state = job.state()
        if state.name != "done" or state.failures:
            raise _failure(profile, state.message or _what_is_known(job))
        found = [event.values for event in job.results().values()]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return [
        Answer(
            one["host"], one["process"], one["threads"], round(one["at"] - began, 2), one["clock_seconds"], one["gpus"]
        )
        for one in found
    ]


def _failure(profile: RunProfile, words: str) -> JobError:
    """Return the error that quotes what was said and tells what it means."""
    plainly = meaning(words)
    return JobError(f"Run profile {profile.name!r}: {f'{plainly}. It was said: ' if plainly else ''}{words}")


def _is_hopeless(job: JobFolder) -> bool:
    """Tell whether workers have come and none of them can be talked with."""
    said = _said(job)
    unfit = any("cannot be reached" in event.text for event in job.events() if isinstance(event, MessageEvent))
    return unfit or (bool(said) and all("cannot reach" in one for one in said))


def _said(job: JobFolder) -> list[str]:
    """Return the last word of each worker."""
    return [path.read_text(errors="replace").strip() for path in sorted((job.path / "workers").glob("*.said"))]


def _what_is_known(job: JobFolder) -> str:
    """Tell how far a job came that did not end."""
    if job.controller() is None:
        return "The manager command was run but no controller has started: it waits in a queue, or cannot start there."
    said = _said(job)
    news = [event.text for event in job.events() if isinstance(event, MessageEvent)]
    unreached = [one for one in said if "cannot reach" in one] + [one for one in news if "cannot be reached" in one]
    words = unreached or [*news, f"{len(said)} worker(s) have started", *said[-1:]]
    return "; ".join(words) + "."
