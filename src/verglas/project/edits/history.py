"""Edits about the project as a whole: its making, copies of it, and jobs that have ended."""

from __future__ import annotations

import sqlite3

from verglas.project.edits.edit import Edit, Prepared, Request


def _same(connection: sqlite3.Connection, request: Request) -> Prepared:
    return dict(request)


def _apply_identity(connection: sqlite3.Connection, line: Prepared) -> None:
    pairs = [("id", line["id"]), ("name", line["name"])]
    connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", pairs)


def _apply_job_ended(connection: sqlite3.Connection, line: Prepared) -> None:
    columns = ("number", "action", "title", "state", "created", "ended", "cpu_seconds", "failures", "events_bytes")
    connection.execute(
        f"INSERT OR REPLACE INTO jobs ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        [line[column] for column in columns],
    )


EDITS = (
    Edit("project.create", _same, _apply_identity, lambda line: f"project {line['name']} made"),
    Edit("project.copy", _same, _apply_identity, lambda line: f"copied from {line['from']} as {line['name']}"),
    Edit("job.end", _same, _apply_job_ended, lambda line: f"{line['title']} ended: {line['state']}"),
)
