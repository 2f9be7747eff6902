"""Edits of the trash: assets go there with what hangs on them and with their files, and come back with everything."""

from __future__ import annotations

import json
import sqlite3

from verglas.errors import NotFoundError
from verglas.project.assets import PARENTS, find_asset, table_of
from verglas.project.edits.edit import Edit, Numbers, Prepared, Request, move_counters

TABLES_WITH_TRASH = ("movies", "images", "positions", "volumes", "models", "results", "jobs")


def _dependents(connection: sqlite3.Connection, kind: str, number: int) -> list[tuple[str, int]]:
    """Return an asset and the assets made from it, except the aligned images of a movie, which live on."""
    found = [(kind, number)]
    for child, (parent, column) in PARENTS.items():
        if parent == kind and kind != "movie":
            rows = connection.execute(
                f"SELECT id FROM {table_of(child)} WHERE {column} = ? AND trash IS NULL", (number,)
            ).fetchall()
            for row in rows:
                found += _dependents(connection, child, int(row["id"]))
    return found


def _prepare_add(connection: sqlite3.Connection, request: Request) -> Prepared:
    numbers = Numbers(connection)
    trash = numbers.take("trash")
    items: list[tuple[str, int]] = []
    for asked in request["items"]:
        asset = find_asset(connection, asked["kind"], int(asked["id"]))
        items += [item for item in _dependents(connection, asset["kind"], asset["id"]) if item not in items]
    files: set[str] = set()
    results: list[int] = []
    for kind, number in items:
        for row in connection.execute(
            "SELECT id, files FROM results WHERE product_kind = ? AND product_id = ? AND trash IS NULL", (kind, number)
        ):
            results.append(row["id"])
            files |= set(json.loads(row["files"]).values())
        asset = find_asset(connection, kind, number)
        files |= {str(asset[column]) for column in ("path", "scaled_path") if asset.get(column)}
    moves = [[name, f"Trash/{trash:06d}/{name}"] for name in sorted(files) if name.startswith("Assets/")]
    names = ", ".join(f"{kind} {number}" for kind, number in items[:5]) + (" ..." if len(items) > 5 else "")
    return {
        "edit": "trash.add", "trash": trash, "items": [list(item) for item in items], "results": results,
        "moves": moves, "names": names, "counters": numbers.used,
    }  # fmt: skip


def _apply_add(connection: sqlite3.Connection, line: Prepared) -> None:
    for kind, number in line["items"]:
        connection.execute(f"UPDATE {table_of(kind)} SET trash = ? WHERE id = ?", (line["trash"], number))
    for result in line["results"]:
        connection.execute("UPDATE results SET trash = ? WHERE id = ?", (line["trash"], result))
    connection.execute(
        "INSERT INTO trash (id, summary, moves, created) VALUES (?, ?, ?, ?)",
        (line["trash"], line["names"], json.dumps(line["moves"]), line["t"]),
    )
    move_counters(connection, line["counters"])


def _found(connection: sqlite3.Connection, request: Request) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM trash WHERE id = ?", (request["trash"],)).fetchone()
    if row is None:
        raise NotFoundError(f"there is nothing under number {request['trash']} in the trash: see `verglas trash list`.")
    return row


def _prepare_restore(connection: sqlite3.Connection, request: Request) -> Prepared:
    row = _found(connection, request)
    moves = [[after, before] for before, after in json.loads(row["moves"])]
    return {"edit": "trash.restore", "trash": row["id"], "moves": moves, "names": row["summary"]}


def _apply_restore(connection: sqlite3.Connection, line: Prepared) -> None:
    for table in TABLES_WITH_TRASH:
        connection.execute(f"UPDATE {table} SET trash = NULL WHERE trash = ?", (line["trash"],))
    connection.execute("DELETE FROM trash WHERE id = ?", (line["trash"],))


EDITS = (
    Edit("trash.add", _prepare_add, _apply_add, lambda line: f"{line['names']} put into the trash"),
    Edit("trash.restore", _prepare_restore, _apply_restore, lambda line: f"{line['names']} restored from the trash"),
)
