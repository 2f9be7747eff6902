"""Run a profile's manager command: ``python -m verglas.execution.manager FOLDER`` waits for a controller elsewhere.

While the job waits in a queue this process listens for a request to stop, and if the command fails it says so in the
job's events, which is all it ever writes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from verglas.errors import JobError
from verglas.execution import batch_systems
from verglas.execution.commanded_workers import fill_in
from verglas.execution.controller import EXIT_STATUS, exit_status
from verglas.execution.events import StateEvent, WrittenState
from verglas.execution.job_folder import EventLog, JobFolder
from verglas.execution.quoting import start_command
from verglas.execution.tasks import POLL_SECONDS
from verglas.execution.worker_pools import stop_all


def run_manager(job: JobFolder) -> int:
    """Run the manager command of a job's profile to its end.

    Returns
    -------
    int
        The exit status that tells how the job ended; 0 for a command that only put it into a queue.
    """
    profile = job.request().profile
    assert profile is not None, "a job without a profile runs here"
    before = len(job.controllers())
    line = fill_in(profile.manager_command, start_command("verglas.execution.controller", job.path), job.action)
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} manager: {line}\n")
    printed = job.path / "manager.out"
    with printed.open("wb") as stream:
        process = subprocess.Popen(
            line, shell=True, cwd=job.path, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    while process.poll() is None and len(job.controllers()) == before:
        if asked := _asked(job):
            stop_all([process], group=True)
            return _write_state(job, asked, "It had not begun.")
        time.sleep(POLL_SECONDS)
    process.wait()
    said = printed.read_text(errors="replace").strip()
    sys.stderr.write(f"{said}\n" if said else "")
    if len(job.controllers()) > before:
        return _status_of(job)
    waiting = batch_systems.recognise(said)
    if process.returncode == 0 and waiting is not None:
        return _await_turn(job, waiting, before)
    last = said.splitlines()[-1] if said else "it said nothing"
    return _write_state(
        job, "failed", f"The manager command ended with status {process.returncode} and started no controller: {last}."
    )


def _await_turn(job: JobFolder, waiting: batch_systems.Submitted, before: int) -> int:
    """Watch a job that was put into a queue until its controller starts there, then until that has ended."""
    missing = 0
    while len(job.controllers()) == before:
        if asked := _asked(job):
            batch_systems.cancel([waiting])
            return _write_state(job, asked, "It had not begun.")
        time.sleep(2.0)
        there = batch_systems.still_there(waiting.system)
        missing = missing + 1 if there is not None and waiting.number not in there else 0
        if missing > 2 and len(job.controllers()) == before:
            return _write_state(
                job, "failed", f"{waiting.system.name} job {waiting.number} ended and started no controller; see the "
                f"output it left in {job.path}.",
            )  # fmt: skip
    while job.state().is_active:
        time.sleep(2.0)
    return _status_of(job)


def _asked(job: JobFolder) -> WrittenState | None:
    """Return the state that somebody asked for, if anybody did."""
    return "cancelled" if job.is_asked("cancel") else "paused" if job.is_asked("pause") else None


def _status_of(job: JobFolder) -> int:
    """Return the exit status that tells how a job whose controller is gone has ended."""
    state = job.state()
    return exit_status(state.name if state.name in EXIT_STATUS else "interrupted", state.failures)


def _write_state(job: JobFolder, state: WrittenState, message: str) -> int:
    """Take the part of the controller that never came, to say how the job stands."""
    try:
        job.claim_control()
    except JobError:  # one came after all
        return 0
    log = EventLog(job)
    log.append(StateEvent(state=state, message=message))
    log.close()
    sys.stderr.write(f"{message}\n")
    return exit_status(state, 0)


def main(arguments: list[str]) -> int:
    """Run the manager of the job in the folder named; a signal asks the job to pause."""
    job = JobFolder(Path(arguments[0]))

    def pause(number: int, frame: object) -> None:
        del number, frame
        job.ask("pause")

    signal.signal(signal.SIGTERM, pause)
    signal.signal(signal.SIGINT, pause)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return run_manager(job)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
