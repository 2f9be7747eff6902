"""Edits of the trash: assets go there with what hangs on them and with their files, and come back with everything."""

from __future__ import annotations

import json
import sqlite3

from verglas.errors import NotFoundError
from verglas.project.assets import PARENTS, TABLES, find_asset, table_of
from verglas.project.edits.edit import Edit, Numbers, Prepared, Request, move_counters

TABLES_WITH_TRASH = (
    "movies",
    "images",
    "positions",
    "volumes",
    "models",
    "packages",
    "classifications",
    "refinements",
    "selections",
    "results",
    "jobs",
)


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


def _job_folder(connection: sqlite3.Connection, number: int) -> str:
    """Return the folder of a job that has ended; what it left under ``Assets`` stays there."""
    row = connection.execute("SELECT action FROM jobs WHERE number = ? AND trash IS NULL", (number,)).fetchone()
    if row is None:
        raise NotFoundError(f"job {number} has not ended, or there is no such job (or it is in the trash).")
    return f"Jobs/{number:06d}-{row['action']}"


def _prepare_add(connection: sqlite3.Connection, request: Request) -> Prepared:
    numbers = Numbers(connection)
    trash = numbers.take("trash")
    items: list[tuple[str, int]] = []
    moves: list[list[str]] = []
    for asked in request["items"]:
        if asked["kind"] == "job":
            items.append(("job", int(asked["id"])))
            folder = _job_folder(connection, int(asked["id"]))
            moves.append([folder, f"Trash/{trash:06d}/{folder}"])
            continue
        asset = find_asset(connection, asked["kind"], int(asked["id"]))
        items += [item for item in _dependents(connection, asset["kind"], asset["id"]) if item not in items]
    files: set[str] = set()
    results: list[int] = []
    for kind, number in items:
        if kind == "job":
            continue
        for row in connection.execute(
            "SELECT id, files FROM results WHERE product_kind = ? AND product_id = ? AND trash IS NULL", (kind, number)
        ):
            results.append(row["id"])
            files |= set(json.loads(row["files"]).values())
        asset = find_asset(connection, kind, number)
        files |= {str(asset[column]) for column in ("path", "scaled_path") if asset.get(column)}
    moves += [[name, f"Trash/{trash:06d}/{name}"] for name in sorted(files) if name.startswith("Assets/")]
    names = ", ".join(f"{kind} {number}" for kind, number in items[:5]) + (" ..." if len(items) > 5 else "")
    return {
        "edit": "trash.add", "trash": trash, "items": [list(item) for item in items], "results": results,
        "moves": moves, "names": names, "counters": numbers.used,
    }  # fmt: skip


def _apply_add(connection: sqlite3.Connection, line: Prepared) -> None:
    for kind, number in line["items"]:
        place = (
            "jobs SET trash = ? WHERE number = ?" if kind == "job" else f"{table_of(kind)} SET trash = ? WHERE id = ?"
        )
        connection.execute(f"UPDATE {place}", (line["trash"], number))
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


def _prepare_empty(connection: sqlite3.Connection, request: Request) -> Prepared:
    row = _found(connection, request)
    return {"edit": "trash.empty", "trash": row["id"], "delete": f"Trash/{row['id']:06d}", "names": row["summary"]}


def _apply_empty(connection: sqlite3.Connection, line: Prepared) -> None:
    """Forget assets and results for good; ended jobs stay counted in the project's totals."""
    trash = (line["trash"],)
    for kind, table in TABLES.items():
        connection.execute(
            f"DELETE FROM group_members WHERE kind = ? AND asset IN (SELECT id FROM {table} WHERE trash = ?)",
            (kind, *trash),
        )
        connection.execute(f"DELETE FROM {table} WHERE trash = ?", trash)
    connection.execute("DELETE FROM active_results WHERE result IN (SELECT id FROM results WHERE trash = ?)", trash)
    connection.execute("DELETE FROM results WHERE trash = ?", trash)
    connection.execute("DELETE FROM trash WHERE id = ?", trash)


EDITS = (
    Edit("trash.add", _prepare_add, _apply_add, lambda line: f"{line['names']} put into the trash"),
    Edit("trash.restore", _prepare_restore, _apply_restore, lambda line: f"{line['names']} restored from the trash"),
    Edit("trash.empty", _prepare_empty, _apply_empty, lambda line: f"{line['names']} deleted for good"),
)
