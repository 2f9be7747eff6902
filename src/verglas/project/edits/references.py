"""Edits of active references: which volume a class of a package begins its next refinement with."""

from __future__ import annotations

import json
import sqlite3

from verglas.errors import InputError, NotFoundError
from verglas.project.edits.edit import Edit, Prepared, Request


def references_key(package: int) -> str:
    """Return what the references that were chosen for a package are remembered under."""
    return f"references {package}"


def _prepare(connection: sqlite3.Connection, request: Request) -> Prepared:
    package, number, volume = int(request["package"]), int(request["class"]), int(request["volume"])
    for table, one in (("packages", package), ("volumes", volume)):
        if connection.execute(f"SELECT 1 FROM {table} WHERE id = ? AND trash IS NULL", (one,)).fetchone() is None:
            raise NotFoundError(f"there is no {table[:-1]} {one}, or it is in the trash: see `verglas list {table}`.")
    latest = connection.execute(
        "SELECT id, classes FROM refinements WHERE package = ? AND trash IS NULL ORDER BY id DESC", (package,)
    ).fetchone()
    classes = int(latest["classes"]) if latest else 1
    if not 1 <= number <= classes:
        raise InputError(f"package {package} has classes 1 to {classes}, not {number}.")
    return {
        "edit": "references.set", "package": package, "class": number, "volume": volume,
        "after": int(latest["id"]) if latest else 0,
    }  # fmt: skip


def _apply(connection: sqlite3.Connection, line: Prepared) -> None:
    key = references_key(line["package"])
    row = connection.execute("SELECT content FROM remembered WHERE kind = ?", (key,)).fetchone()
    content = json.loads(row["content"]) if row else {}
    content[str(line["class"])] = {"volume": line["volume"], "after": line["after"]}
    connection.execute(
        "INSERT OR REPLACE INTO remembered (kind, content) VALUES (?, ?)", (key, json.dumps(content, sort_keys=True))
    )


EDITS = (
    Edit("references.set", _prepare, _apply,
         lambda line: f"class {line['class']} of package {line['package']} begins with volume {line['volume']}"),
)  # fmt: skip
