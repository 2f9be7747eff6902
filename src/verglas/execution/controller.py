"""The process that runs one job, ``python -m verglas.execution.controller FOLDER``, detached from its starter."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from verglas.errors import CancelledError, JobError, VerglasError
from verglas.execution.commanded_workers import remove_left_over
from verglas.execution.context import JobContext, JobPausedError
from verglas.execution.events import StateEvent, WrittenState
from verglas.execution.executors import Executor, InProcess
from verglas.execution.job_folder import EventLog, JobFolder, Resources
from verglas.execution.liveness import BEAT_SECONDS, beat
from verglas.execution.profile_store import BUILT_IN
from verglas.execution.quoting import from_word
from verglas.execution.run_profile import DEFAULT_PROFILE, PLAIN, RunProfile
from verglas.execution.tasks import is_disk_full, peak_memory_bytes

EXIT_STATUS: dict[str, int] = {"done": 0, "failed": 1, "cancelled": 4, "paused": 5, "interrupted": 6}
EXIT_FAILURES = 3
"""The job is done, but some items were set aside."""


def exit_status(state: str, failures: int) -> int:
    """Return the exit status that tells how a job ended."""
    return EXIT_FAILURES if state == "done" and failures else EXIT_STATUS[state]


def start_detached(job: JobFolder) -> subprocess.Popen[bytes]:
    """Start the job's controller as a session of its own, which no closed terminal ends.

    Where the run profile has the controller run elsewhere, the process returned waits for it.
    """
    job.forget_requests()
    profile = job.request().profile or BUILT_IN[DEFAULT_PROFILE]
    module = "controller" if profile.manager_command.strip() == PLAIN else "manager"
    command = [sys.executable, "-P", "-m", f"verglas.execution.{module}", str(job.path.absolute())]
    with job.log_path.open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def load_entry(entry: str) -> Any:
    """Return the class that ``module:Class`` names.

    Raises
    ------
    JobError
        There is none.
    """
    module, _, name = entry.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise JobError(f"{entry} cannot be loaded ({error}); was the job made by another verglas?") from error


def run_job(job: JobFolder, *, in_process: bool = False) -> WrittenState:
    """Run a job to its end, or until it is asked to stop, and return the state it ended in.

    Parameters
    ----------
    in_process
        Run all items in this process, one after the other: for tests and debuggers.

    Raises
    ------
    JobError
        Another controller is at work in this folder.
    """
    attempt = job.claim_control()
    stop_beating = threading.Event()
    heart = threading.Thread(target=_keep_beating, args=(job, stop_beating), name="heartbeat", daemon=True)
    heart.start()
    log = EventLog(job)
    try:
        return _run_attempt(job, log, attempt, in_process=in_process)
    finally:
        log.close()
        stop_beating.set()
        heart.join()


def _run_attempt(job: JobFolder, log: EventLog, attempt: int, *, in_process: bool) -> WrittenState:
    started = time.process_time()
    _say(f"attempt {attempt} of job {job.number}, process {os.getpid()}")
    log.append(StateEvent(state="starting", message=f"attempt {attempt}"))
    context: JobContext | None = None
    state: WrittenState = "failed"
    message = ""
    try:
        job.remove_unfinished_files()
        for left in (job.path / "workers", job.path / "workers-reconstruction"):
            remove_left_over(left)
        request = job.request()
        action = load_entry(request.entry)
        parameters = action.Parameters.model_validate(request.parameters)
        resources = request.resources
        profile = request.profile or BUILT_IN[DEFAULT_PROFILE]
        make = InProcess if in_process else _cluster_maker(job, profile, resources, "workers")
        adder = request.reconstruction_profile
        add = None
        if adder is not None and not in_process:
            add = _cluster_maker(job, adder, _resources_of(adder), "workers-reconstruction")
        context = JobContext(job, parameters, log, make, add)
        log.append(StateEvent(state="running"))
        action().run(context)
        state = "done"
    except JobPausedError as error:
        state, message = "paused", str(error)
    except CancelledError as error:
        state, message = "cancelled", str(error)
    except Exception as error:
        message = str(error) if isinstance(error, VerglasError) else f"{type(error).__name__}: {error}"
        if is_disk_full(error):
            message += f". Free some space, then `verglas jobs resume {job.number}`."
        _say(traceback.format_exc())
    worker_seconds, worker_peak = 0.0, 0
    if context is not None:
        context.close()
        worker_seconds, worker_peak = context.usage()
        job.remove_unfinished_files()
    if state in {"done", "cancelled"}:
        shutil.rmtree(job.scratch, ignore_errors=True)
    failures = len(job.failures())
    log.append(
        StateEvent(
            state=state, failures=failures, message=message,
            cpu_seconds=round(time.process_time() - started + worker_seconds, 3),
            peak_memory_bytes=peak_memory_bytes() + worker_peak,
        )
    )  # fmt: skip
    _say(f"job {job.number} {state}{f' with {failures} failure(s)' if failures else ''} {message}".rstrip())
    return state


def _cluster_maker(job: JobFolder, profile: RunProfile, resources: Resources, folder: str) -> Callable[[], Executor]:
    def make() -> Executor:
        from verglas.execution.cluster import cluster_of

        return cluster_of(profile, job.path / folder, resources.workers, resources.threads, job.action)

    return make


def _resources_of(profile: RunProfile) -> Resources:
    """Return what a profile says by itself; one that is local has one worker with all cores."""
    if profile.is_local:
        from verglas.execution.resources import this_machine

        return Resources(workers=1, threads=this_machine().cores)
    return Resources(workers=profile.workers, threads=profile.threads)


def _keep_beating(job: JobFolder, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with suppress(OSError):  # a full disk must not stop the heart: the file's time moves all the same
            beat(job.heartbeat_path)


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    sys.stderr.flush()


def main(arguments: list[str]) -> int:
    """Run the job in the folder named; SIGTERM and SIGINT pause it, a hang-up is ignored."""
    given = Path(arguments[0])
    job = JobFolder(given if given.exists() else from_word(arguments[0]))

    def pause(number: int, frame: object) -> None:
        del number, frame
        job.ask("pause")

    signal.signal(signal.SIGTERM, pause)
    signal.signal(signal.SIGINT, pause)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        state = run_job(job)
    except VerglasError as error:
        _say(str(error))
        return 1
    return exit_status(state, job.state().failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
