"""Edits of saved filters: the conditions by which assets are chosen again and again."""

from __future__ import annotations

import json
import sqlite3

from verglas.errors import InputError, NotFoundError
from verglas.project.assets import table_of
from verglas.project.edits.edit import Edit, Prepared, Request, text_of

PREFIX = "filter"


def filter_key(kind: str, name: str = "") -> str:
    """Return what a filter is remembered under; without a name, how those of all filters of a kind begin."""
    return f"{PREFIX} {kind} {name}"


def _prepare_save(connection: sqlite3.Connection, request: Request) -> Prepared:
    del connection
    table_of(request["kind"])
    conditions = [str(text) for text in request.get("conditions", ())]
    if not conditions and not request.get("sort"):
        raise InputError("a filter needs a condition or something to sort by: give one.")
    return {
        "edit": "filter.save", "kind": request["kind"], "name": text_of(request, "name"), "conditions": conditions,
        "sort": request.get("sort"), "descending": bool(request.get("descending")),
    }  # fmt: skip


def _apply_save(connection: sqlite3.Connection, line: Prepared) -> None:
    content = {key: line[key] for key in ("conditions", "sort", "descending")}
    connection.execute(
        "INSERT OR REPLACE INTO remembered (kind, content) VALUES (?, ?)",
        (filter_key(line["kind"], line["name"]), json.dumps(content, sort_keys=True)),
    )


def _prepare_remove(connection: sqlite3.Connection, request: Request) -> Prepared:
    key = filter_key(request["kind"], request["name"])
    if connection.execute("SELECT 1 FROM remembered WHERE kind = ?", (key,)).fetchone() is None:
        raise NotFoundError(f"there is no filter {request['name']!r}: `verglas curate ... --filters` lists them.")
    return {"edit": "filter.remove", "kind": request["kind"], "name": request["name"]}


def _apply_remove(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.execute("DELETE FROM remembered WHERE kind = ?", (filter_key(line["kind"], line["name"]),))


EDITS = (
    Edit("filter.save", _prepare_save, _apply_save,
         lambda line: f"filter {line['name']} of {line['kind']} saved: {', '.join(line['conditions'])}"),
    Edit("filter.remove", _prepare_remove, _apply_remove, lambda line: f"filter {line['name']} removed"),
)  # fmt: skip
