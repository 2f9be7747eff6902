"""Edits of selections of 2D classes: add or copy, take classes in and out, invert, clear."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from verglas.errors import InputError
from verglas.project.assets import find_asset, insert
from verglas.project.edits.edit import Edit, Numbers, Prepared, Request, move_counters


def _numbers_of(request: Request, key: str, classes: int) -> list[int]:
    """Return class numbers of a request, each once, in order."""
    asked = sorted({int(number) for number in request.get(key) or ()})
    wrong = [number for number in asked if not 1 <= number <= classes]
    if wrong:
        raise InputError(f"there is no class {wrong[0]}: the classification has classes 1 to {classes}.")
    return asked


def _free_name(connection: sqlite3.Connection, name: str, classification: int) -> str:
    if "/" in name or name.isdigit():
        raise InputError(f"{name!r} cannot name a selection: give a name without a slash that is no number.")
    sql = "SELECT 1 FROM selections WHERE name = ? AND classification = ? AND trash IS NULL"
    if connection.execute(sql, (name, classification)).fetchone():
        raise InputError(f"classification {classification} has a selection {name!r} already: choose another name.")
    return name


def _prepare_add(connection: sqlite3.Connection, request: Request) -> Prepared:
    numbers = Numbers(connection)
    copied = None if request.get("copy_of") is None else find_asset(connection, "selection", request["copy_of"])
    of = request.get("classification", copied and copied["classification"])
    if of is None:
        raise InputError("a selection is of a classification: say which one.")
    made_of = find_asset(connection, "classification", of)
    members = _numbers_of(request, "members", made_of["classes"])
    if copied is not None:
        members = _numbers_of({"members": copied["members"]}, "members", made_of["classes"])
    number = numbers.take("selection")
    name = _free_name(connection, str(request.get("name") or "").strip() or f"Selection #{number}", made_of["id"])
    return {
        "edit": "selection.add", "selection": number, "name": name, "classification": made_of["id"],
        "members": members, "note": request.get("note"), "counters": numbers.used,
    }  # fmt: skip


def _apply_add(connection: sqlite3.Connection, line: Prepared) -> None:
    insert(connection, "selections", [{
        "id": line["selection"], "name": line["name"], "classification": line["classification"],
        "members": line["members"], "note": line["note"], "created": line["t"],
    }])  # fmt: skip
    move_counters(connection, line["counters"])


def _changed(connection: sqlite3.Connection, request: Request) -> tuple[dict[str, Any], set[int], int]:
    """Return the selection of a request, its classes and how many there are to choose from."""
    selection = find_asset(connection, "selection", request["selection"])
    classes = find_asset(connection, "classification", selection["classification"])["classes"]
    return selection, set(selection["members"]), classes


def _line(selection: dict[str, Any], members: set[int]) -> Prepared:
    return {"edit": "selection.change", "selection": selection["id"], "name": selection["name"],
            "before": selection["members"], "members": sorted(members)}  # fmt: skip


def _prepare_change(connection: sqlite3.Connection, request: Request) -> Prepared:
    selection, members, classes = _changed(connection, request)
    if request.get("invert"):
        members = set(range(1, classes + 1)) - members
    if request.get("clear"):
        members = set()
    members |= set(_numbers_of(request, "include", classes))
    return _line(selection, members - set(_numbers_of(request, "exclude", classes)))


def _apply_change(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.execute(
        "UPDATE selections SET members = ? WHERE id = ?", (json.dumps(line["members"]), line["selection"])
    )


EDITS = (
    Edit("selection.add", _prepare_add, _apply_add,
         lambda line: f"selection {line['name']} of {len(line['members'])} classes added"),
    Edit("selection.change", _prepare_change, _apply_change,
         lambda line: f"selection {line['name']} holds {len(line['members'])} classes, before {len(line['before'])}"),
)  # fmt: skip
