"""Edits of notes: add, change, remove; a note is about the project or about one asset or job."""

from __future__ import annotations

import sqlite3

from verglas.errors import NotFoundError
from verglas.project.assets import TABLES, find_asset
from verglas.project.edits.edit import Edit, Numbers, Prepared, Request, move_counters, text_of


def _prepare_add(connection: sqlite3.Connection, request: Request) -> Prepared:
    about = request.get("about")
    if about is not None and about["kind"] in TABLES:
        find_asset(connection, about["kind"], int(about["id"]))
    numbers = Numbers(connection)
    note = numbers.take("note")
    return {
        "edit": "note.add",
        "note": note,
        "about": about,
        "text": text_of(request, "text"),
        "counters": numbers.used,
    }


def _apply_add(connection: sqlite3.Connection, line: Prepared) -> None:
    about = line["about"] or {"kind": None, "id": None}
    connection.execute(
        "INSERT INTO notes (id, about_kind, about_id, text, created) VALUES (?, ?, ?, ?, ?)",
        (line["note"], about["kind"], about["id"], line["text"], line["t"]),
    )
    move_counters(connection, line["counters"])


def _existing(connection: sqlite3.Connection, request: Request) -> int:
    if connection.execute("SELECT 1 FROM notes WHERE id = ?", (request["note"],)).fetchone() is None:
        raise NotFoundError(f"there is no note {request['note']}: see `verglas project notes`.")
    return int(request["note"])


def _prepare_change(connection: sqlite3.Connection, request: Request) -> Prepared:
    return {"edit": "note.change", "note": _existing(connection, request), "text": text_of(request, "text")}


def _apply_change(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.execute("UPDATE notes SET text = ?, changed = ? WHERE id = ?", (line["text"], line["t"], line["note"]))


def _prepare_remove(connection: sqlite3.Connection, request: Request) -> Prepared:
    return {"edit": "note.remove", "note": _existing(connection, request)}


def _apply_remove(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.execute("DELETE FROM notes WHERE id = ?", (line["note"],))


EDITS = (
    Edit("note.add", _prepare_add, _apply_add, lambda line: f"note {line['note']}: {line['text'][:60]}"),
    Edit(
        "note.change", _prepare_change, _apply_change, lambda line: f"note {line['note']} changed: {line['text'][:60]}"
    ),
    Edit("note.remove", _prepare_remove, _apply_remove, lambda line: f"note {line['note']} removed"),
)
