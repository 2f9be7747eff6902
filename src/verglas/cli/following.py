"""Follow a job in the terminal until it ends, take its results in, and report."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress

from verglas.cli.common import open_project, print_json
from verglas.errors import VerglasError
from verglas.execution.controller import exit_status
from verglas.execution.events import Event, FailureEvent, MessageEvent, ProgressEvent, ResultEvent
from verglas.execution.job_control import summary_of
from verglas.execution.job_folder import JobFolder
from verglas.execution.resources import duration

POLL_SECONDS = 0.1
TAKE_IN_SECONDS = 2.0
LEFT_RUNNING = 130


def follow(job: JobFolder, process: subprocess.Popen[bytes], *, quiet: bool) -> None:
    """Show live progress until the controller ends, and take results in as they come.

    Ctrl-C leaves the job running and ends only this command.
    """
    show = _Quiet() if quiet else _Bar() if sys.stderr.isatty() else _Lines()
    offset, waiting, last_intake = 0, False, time.monotonic()
    try:
        with show:
            while True:
                ended = process.poll() is not None
                for event, after in job.events_from(offset):
                    show.event(event)
                    waiting = waiting or isinstance(event, ResultEvent)
                    offset = after
                if ended:
                    return
                if waiting and time.monotonic() - last_intake > TAKE_IN_SECONDS:
                    take_in(job)
                    waiting, last_intake = False, time.monotonic()
                time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"\nJob {job.number} goes on by itself: `verglas jobs log {job.number} -f` follows it, "
            f"`verglas jobs cancel {job.number}` stops it.\n"
        )
        sys.exit(LEFT_RUNNING)


def take_in(job: JobFolder) -> None:
    """Take in what there is; what cannot be taken in now is reported when the job has ended."""
    with suppress(VerglasError, OSError), open_project(job.project_folder, write=True, take_in=False) as project:
        project.take_in()


def report(job: JobFolder, *, as_json: bool) -> int:
    """Take the job's results in, print what came of it and return the exit status."""
    state = job.state()
    summary = summary_of(job)
    with open_project(job.project_folder, write=True, take_in=False) as project:
        taken = project.take_in()
    summary["problems"] = taken["problems"]
    summary["ids"] = json.loads(job.ids_path.read_text()) if job.ids_path.exists() else {}
    summary["taken_in"] = len(summary["ids"].get("results", {}))
    status = exit_status(state.name, state.failures)
    if as_json:
        print_json(summary)
        return status
    words = f"Job {job.number} {state.name}: {len(summary['results'])} result(s)"
    if state.failures:
        words += f", {state.failures} set aside (`verglas jobs show {job.number}` tells why)"
    sys.stderr.write(f"{words}, {duration(state.cpu_seconds)} of computing. {state.message}".rstrip() + "\n")
    for problem in taken["problems"]:
        sys.stderr.write(f"{problem}\n")
    return status


class _Quiet:
    """Shows nothing."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *details: object) -> None:
        return None

    def event(self, event: Event) -> None:
        """Pass over an event."""


class _Lines(_Quiet):
    """Writes lines, where standard error is no terminal."""

    def event(self, event: Event) -> None:
        """Write messages and failures."""
        if isinstance(event, MessageEvent):
            sys.stderr.write(f"{event.level}: {event.text}\n")
        elif isinstance(event, FailureEvent):
            sys.stderr.write(f"set aside: {event.key}: {event.error}\n")


class _Bar(_Lines):
    """Draws a bar with the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"),
            console=Console(stderr=True, highlight=False),
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=None, left="")

    def __enter__(self) -> None:
        self._bar.start()

    def __exit__(self, *details: object) -> None:
        self._bar.stop()

    def event(self, event: Event) -> None:
        """Move the bar, or write above it."""
        if isinstance(event, ProgressEvent):
            left = "" if event.seconds_left is None else f"{duration(event.seconds_left)} left"
            words = event.phase or "running"
            self._bar.update(self._task, description=words, completed=event.done, total=event.total, left=left)
        elif isinstance(event, MessageEvent):
            self._bar.console.print(f"{event.level}: {event.text}", markup=False)
        elif isinstance(event, FailureEvent):
            self._bar.console.print(f"set aside: {event.key}: {event.error}", markup=False)
