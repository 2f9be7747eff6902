"""What every face does with a job: tell all about it, cancel, pause and resume it."""

from __future__ import annotations

import subprocess
from typing import Any

from verglas.errors import JobError
from verglas.execution.controller import start_detached
from verglas.execution.events import StateEvent
from verglas.execution.job_folder import EventLog, JobFolder

TAKEN_FROM = ("ab-initio",)
"""Actions that may be asked to end with what they have."""


def summary_of(job: JobFolder) -> dict[str, Any]:
    """Return all about a job as plain JSON."""
    request, state, progress = job.request(), job.state(), job.progress()
    return {
        "job": job.number,
        "action": request.action,
        "title": request.title,
        "state": state.name,
        "message": state.message,
        "created": request.created,
        "user": request.user,
        "host": request.host,
        "folder": str(job.path),
        "parameters": request.parameters,
        "inputs": {name: [record.get("id") for record in records] for name, records in request.inputs.items()},
        "seed": request.seed,
        "resources": request.resources.model_dump(),
        "estimate": request.estimate.model_dump() if request.estimate else None,
        "versions": request.versions,
        "clone_of": request.clone_of,
        "cpu_seconds": state.cpu_seconds,
        "peak_memory_bytes": state.peak_memory_bytes,
        "progress": progress.model_dump(include={"done", "total", "phase", "seconds_left"}) if progress else None,
        "results": [result.model_dump(exclude={"event"}) for result in job.results().values()],
        "failures": [failure.model_dump(exclude={"event"}) for failure in job.failures().values()],
    }


def cancel(job: JobFolder) -> str:
    """Cancel a job for good; return what became of that, for people.

    Raises
    ------
    JobError
        It has ended already.
    """
    state = job.state()
    if state.is_finished:
        raise JobError(f"Job {job.number} is {state.name} already.")
    if job.controller_lives():
        job.ask("cancel")
        return "is asked to cancel"
    job.claim_control()
    writer = EventLog(job)
    writer.append(StateEvent(state="cancelled", failures=len(job.failures()), message="The job was cancelled."))
    writer.close()
    return "is cancelled"


def pause(job: JobFolder) -> str:
    """Ask a job to pause after the items in hand; return what became of that, for people.

    Raises
    ------
    JobError
        It is not running.
    """
    if not job.controller_lives():
        raise JobError(f"Job {job.number} is not running, it is {job.state().name}: there is nothing to pause.")
    job.ask("pause")
    return "is asked to pause"


def take(job: JobFolder, what: str) -> str:
    """Ask a search in rounds to end with what it has; return what became of that, for people.

    Parameters
    ----------
    job
        The job.
    what
        ``take-current`` or ``take-last-start``.

    Raises
    ------
    JobError
        It is not running, or is no job that could.
    """
    action = job.request().action
    if action not in TAKEN_FROM:
        raise JobError(f"Job {job.number} is {action}, which has nothing to take before its end: pause or cancel it.")
    if not job.controller_lives():
        raise JobError(f"Job {job.number} is not running, it is {job.state().name}: resume it, then take its maps.")
    job.ask(what)
    return "is asked to end with " + ("the maps that it has now" if what == "take-current" else "its best start's maps")


def resume(job: JobFolder) -> subprocess.Popen[bytes]:
    """Start a controller for a job that was paused, interrupted, cancelled or failed, or that set items aside.

    Raises
    ------
    JobError
        It is done or runs.
    """
    state = job.state()
    if state.name == "done" and not state.failures:
        raise JobError(f"Job {job.number} is done; `verglas jobs clone {job.number}` does it anew.")
    if job.controller_lives():
        record = job.controller()
        runner = f"process {record.process} on {record.host}" if record is not None else "nobody"
        raise JobError(f"Job {job.number} is run by {runner}; `verglas jobs log {job.number} -f` follows it.")
    return start_detached(job)
