"""Edits of results: taking them in, and choosing which one of an asset is active."""

from __future__ import annotations

import json
import sqlite3
from pathlib import PurePath
from typing import Any

from verglas.errors import InputError, NotFoundError
from verglas.project.assets import Record, insert, table_of, to_record
from verglas.project.edits.edit import Edit, Numbers, Prepared, Request, move_counters
from verglas.project.result_kinds import RESULT_KINDS, ResultKind


def _asset(connection: sqlite3.Connection, kind: str, number: int) -> Record:
    """Return an asset, also one in the trash: its results still come."""
    row = connection.execute(f"SELECT * FROM {table_of(kind)} WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise NotFoundError(f"a result belongs to {kind} {number}, which is not in this project.")
    return to_record(row, kind)


def _new(kind: ResultKind, asked: Record, numbers: Numbers) -> Record:
    """Return the asset that a result makes, as far as its files and its name need it."""
    number = numbers.take(kind.of_kind)
    values = asked["values"]
    name = values.get("name") or kind.product_name(str(number))
    return {"id": number, "name": name, "job": asked["job"], "key": asked["key"], "stem": values.get("stem")}


def _product(connection: sqlite3.Connection, taken: list[Record], job: int | None, key: str) -> int:
    """Return the number of the asset that another result of the same job made."""
    for one in taken:
        if (one["job"], one["key"]) == (job, key):
            return int(one["product_id"])
    row = connection.execute("SELECT product_id FROM results WHERE job IS ? AND key = ?", (job, key)).fetchone()
    if row is None:
        raise InputError(f"a result belongs to what {key!r} of job {job} makes, which was not taken in before it.")
    return int(row["product_id"])


def _prepare_take_in(connection: sqlite3.Connection, request: Request) -> Prepared:
    """Choose number, product and final places of each result.

    A result has ``job``, ``key``, ``kind``, ``of``, ``files`` (paths below the project folder) and ``values``. No two
    results of one request may belong to the same asset. ``package_key`` in its values names the result of its job that
    made the package it belongs to, whose number is given here.
    """
    numbers = Numbers(connection)
    taken: list[Record] = []
    moves: list[list[str]] = []
    for asked in request["results"]:
        kind = RESULT_KINDS[asked["kind"]]
        if connection.execute(
            "SELECT 1 FROM results WHERE job IS ? AND key = ?", (asked["job"], asked["key"])
        ).fetchone():
            continue
        of = _new(kind, asked, numbers) if kind.makes_asset else _asset(connection, kind.of_kind, asked["of"]["id"])
        ordinal = numbers.take(f"{kind.name} {of['id']}", first=0)
        stem = kind.file_stem(of, ordinal)
        files: dict[str, str] = {}
        for role, source in sorted(asked["files"].items()):
            folder, ending = kind.folder(role), kind.ending(role)
            if folder is None:
                raise InputError(f"{asked['key']}: a result of kind {kind.name} has no file called {role!r}.")
            files[role] = f"{folder}/{stem}{ending}{PurePath(source).suffix}"
            if files[role] in {move[1] for move in moves}:
                files[role] = f"{folder}/{stem}_{role}{PurePath(source).suffix}"
            moves.append([source, files[role]])
        values = dict(asked["values"])
        if "package_key" in values:
            values["package"] = _product(connection, taken, asked["job"], values["package_key"])
        product: Any = of
        if kind.parent_column != "id":
            product = connection.execute(
                f"SELECT id, name FROM {table_of(kind.product_kind)} WHERE {kind.parent_column} = ? AND trash IS NULL",
                (of["id"],),
            ).fetchone()
        number = product["id"] if product else numbers.take(kind.product_kind)
        name = product["name"] if product else kind.product_name(of["name"])
        taken.append({
            "id": numbers.take("result"), "kind": kind.name, "of_kind": kind.of_kind, "of_id": of["id"],
            "job": asked["job"], "key": asked["key"], "ordinal": ordinal, "product_kind": kind.product_kind,
            "product_id": number, "product_name": name, "files": files, "values": values,
        })  # fmt: skip
    prepared: Prepared = {"edit": "result.take-in", "results": taken, "moves": moves, "counters": numbers.used}
    if request.get("folder"):
        prepared["folder"] = request["folder"]
    return prepared


def _apply_take_in(connection: sqlite3.Connection, line: Prepared) -> None:
    for result in line["results"]:
        row = {key: value for key, value in result.items() if key != "product_name"}
        insert(connection, "results", [{**row, "created": line["t"]}])
        _activate(connection, result, result["product_name"], line["t"])
    move_counters(connection, line["counters"])


def _activate(connection: sqlite3.Connection, result: Record, new_name: str, now: float) -> None:
    """Make a result the active one: its product gets the columns that follow from it."""
    kind = RESULT_KINDS[result["kind"]]
    of = {} if kind.makes_asset else _asset(connection, result["of_kind"], result["of_id"])
    columns: dict[str, Any] = kind.product_columns(of, result)
    columns |= {kind.parent_column: result["of_id"], kind.active_column: result["id"]}
    table, number = table_of(kind.product_kind), result["product_id"]
    if connection.execute(f"SELECT 1 FROM {table} WHERE id = ?", (number,)).fetchone():
        values = [
            json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value
            for value in columns.values()
        ]
        assignments = ", ".join(f"{column} = ?" for column in columns)
        connection.execute(f"UPDATE {table} SET {assignments} WHERE id = ?", [*values, number])
    else:
        insert(connection, table, [{"id": number, "name": new_name, "created": now, **columns}])
    connection.execute(
        "INSERT OR REPLACE INTO active_results (kind, of_kind, of_id, result) VALUES (?, ?, ?, ?)",
        (result["kind"], result["of_kind"], result["of_id"], result["id"]),
    )


def _prepare_activate(connection: sqlite3.Connection, request: Request) -> Prepared:
    """Check one result (``result``), or all of a job that are of one kind (``job`` and ``kind``)."""
    if "job" in request:
        rows = connection.execute(
            "SELECT id FROM results WHERE job = ? AND kind = ? AND trash IS NULL ORDER BY id",
            (request["job"], request.get("kind")),
        ).fetchall()
        if not rows:
            raise NotFoundError(f"job {request['job']} has no results of kind {request.get('kind')!r} in the project.")
        return {"edit": "result.activate", "results": [row["id"] for row in rows]}
    row = connection.execute("SELECT id FROM results WHERE id = ? AND trash IS NULL", (request["result"],)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no result {request['result']}, or it is in the trash: see `verglas show`.")
    return {"edit": "result.activate", "result": row["id"]}


def _apply_activate(connection: sqlite3.Connection, line: Prepared) -> None:
    for number in line.get("results") or [line["result"]]:
        result = to_record(connection.execute("SELECT * FROM results WHERE id = ?", (number,)).fetchone())
        kind = RESULT_KINDS[result["kind"]]
        of = _asset(connection, result["of_kind"], result["of_id"])
        _activate(connection, result, kind.product_name(of["name"]), line["t"])


def _activated(line: Prepared) -> str:
    if "results" in line:
        return f"{len(line['results'])} results of a job are the active ones"
    return f"result {line['result']} is the active one"


EDITS = (
    Edit("result.take-in", _prepare_take_in, _apply_take_in, lambda line: f"{len(line['results'])} results taken in"),
    Edit("result.activate", _prepare_activate, _apply_activate, _activated),
)
