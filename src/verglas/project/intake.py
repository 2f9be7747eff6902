"""Turn the results in job folders into assets: each once, whatever crashes when."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from verglas.errors import NotFoundError, VerglasError
from verglas.execution.events import ResultEvent
from verglas.execution.job_folder import JobFolder
from verglas.project.assets import Record, table_of
from verglas.project.layout import Layout
from verglas.project.result_kinds import RESULT_KINDS

BATCH = 256


def jobs_with_news(layout: Layout, connection: sqlite3.Connection) -> list[JobFolder]:
    """Return the jobs whose events are longer than when they were taken in as ended, or that never were."""
    known = {row["number"]: row["events_bytes"] for row in connection.execute("SELECT number, events_bytes FROM jobs")}
    found = JobFolder.all_in(layout.jobs)
    return [job for job in found if known.get(job.number) != events_bytes(job)]


def events_bytes(job: JobFolder) -> int:
    """Return the length of a job's events."""
    return job.events_path.stat().st_size if job.events_path.exists() else 0


def is_waiting(layout: Layout, connection: sqlite3.Connection) -> bool:
    """Tell whether a job has results that are no assets yet, or has ended without the project knowing."""
    for job in jobs_with_news(layout, connection):
        known = {row["key"] for row in connection.execute("SELECT key FROM results WHERE job = ?", (job.number,))}
        try:
            if set(job.results()) - known or job.state().is_finished:
                return True
        except VerglasError:
            return True  # intake says what is wrong with it
    return False


def take_in(layout: Layout, connection: sqlite3.Connection, edit: Callable[[Record], Record]) -> dict[str, Any]:
    """Take in all results that are not yet assets, and note the jobs that have ended.

    A batch of results is one line of the journal. It holds every number, name and final place, so the line decides:
    before it nothing has happened, after it the moves can be repeated until they are done.

    Parameters
    ----------
    layout
        The places of the project.
    connection
        Its database.
    edit
        Carries out an edit as the owner.

    Returns
    -------
    dict
        ``results``: how many were taken in; ``jobs_ended``: numbers; ``problems``: what could not be taken in, and why.
    """
    taken = 0
    ended: list[int] = []
    problems: list[str] = []
    for job in jobs_with_news(layout, connection):
        length = events_bytes(job)
        try:
            taken += _take_in_job(job, layout, connection, edit, problems)
            state = job.state()
            if state.is_finished:
                request = job.request()
                edit({
                    "edit": "job.end", "number": job.number, "action": request.action, "title": request.title,
                    "state": state.name, "created": request.created, "ended": state.changed,
                    "cpu_seconds": state.cpu_seconds, "failures": state.failures, "events_bytes": length,
                })  # fmt: skip
                ended.append(job.number)
        except VerglasError as error:
            problems.append(f"job {job.number}: {error}")
    return {"results": taken, "jobs_ended": ended, "problems": problems}


def _take_in_job(
    job: JobFolder,
    layout: Layout,
    connection: sqlite3.Connection,
    edit: Callable[[Record], Record],
    problems: list[str],
) -> int:
    known = {row["key"] for row in connection.execute("SELECT key FROM results WHERE job = ?", (job.number,))}
    waiting = [event for key, event in job.results().items() if key not in known]
    folder = layout.stored(job.path)
    taken = 0
    batch: list[Record] = []
    assets: set[tuple[str, int]] = set()
    for event in waiting:
        asked = _request(event, job, folder, connection, layout, problems)
        if asked is None:
            continue
        asset = (asked["kind"], asked["of"]["id"] if asked["of"] else 0)
        if asset in assets or len(batch) == BATCH:
            taken += len(edit({"edit": "result.take-in", "results": batch, "folder": folder})["results"])
            batch, assets = [], set()
        batch.append(asked)
        assets.add(asset)
    if batch:
        taken += len(edit({"edit": "result.take-in", "results": batch, "folder": folder})["results"])
    return taken


def _request(
    event: ResultEvent, job: JobFolder, folder: str, connection: sqlite3.Connection, layout: Layout, problems: list[str]
) -> Record | None:
    """Return what to ask for, or None (and say why) where the result cannot be taken in."""
    kind = RESULT_KINDS.get(event.kind)
    if kind is None:
        problems.append(f"job {job.number}: {event.key} is of kind {event.kind}, which becomes no asset.")
        return None
    of = event.of
    if not kind.makes_asset and (of is None or of.kind != kind.of_kind):
        problems.append(f"job {job.number}: {event.key} does not say which {kind.of_kind} it belongs to.")
        return None
    unknown = sorted(role for role in event.files if kind.folder(role) is None)
    if unknown:
        problems.append(
            f"job {job.number}: {event.key} has a file {unknown[0]!r}, which {event.kind} has no place for."
        )
        return None
    table = table_of(kind.of_kind)
    if of and connection.execute(f"SELECT 1 FROM {table} WHERE id = ?", (of.id,)).fetchone() is None:
        raise NotFoundError(f"{event.key} belongs to {kind.of_kind} {of.id}, which is not in this project.")
    missing = [name for name in event.files.values() if not (job.path / name).exists()]
    if missing:
        problems.append(f"job {job.number}: {event.key}: {missing[0]} is missing. Run the job again for this asset.")
        return None
    files = {role: f"{folder}/{name}" for role, name in event.files.items()}
    return {
        "job": job.number, "key": event.key, "kind": event.kind, "of": of.model_dump() if of else None,
        "files": files, "values": event.values,
    }  # fmt: skip
