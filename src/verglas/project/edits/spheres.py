"""Edits of focus spheres: places on a map that were chosen by hand, kept by name for focused refinement."""

from __future__ import annotations

import json
import math
import sqlite3

from verglas.errors import InputError, NotFoundError
from verglas.project.edits.edit import Edit, Prepared, Request, text_of

PREFIX = "sphere "
"""How the key begins under which a sphere is remembered; its name follows."""
PLACE = ("x_A", "y_A", "z_A")


def _prepare_keep(connection: sqlite3.Connection, request: Request) -> Prepared:
    del connection
    values = {name: float(request[name]) for name in (*PLACE, "radius_A")}
    if not all(math.isfinite(value) for value in values.values()) or values["radius_A"] <= 0.0:
        raise InputError("a sphere needs x_A, y_A and z_A, and a radius_A above zero.")
    return {"edit": "sphere.keep", "name": text_of(request, "name"), **values}


def _apply_keep(connection: sqlite3.Connection, line: Prepared) -> None:
    content = json.dumps({name: line[name] for name in (*PLACE, "radius_A")}, sort_keys=True)
    connection.execute(
        "INSERT OR REPLACE INTO remembered (kind, content) VALUES (?, ?)", (PREFIX + line["name"], content)
    )


def _prepare_remove(connection: sqlite3.Connection, request: Request) -> Prepared:
    key = PREFIX + request["name"]
    if connection.execute("SELECT 1 FROM remembered WHERE kind = ?", (key,)).fetchone() is None:
        raise NotFoundError(f"there is no focus sphere {request['name']!r}; the page of 3D maps lists them.")
    return {"edit": "sphere.remove", "name": request["name"]}


def _apply_remove(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.execute("DELETE FROM remembered WHERE kind = ?", (PREFIX + line["name"],))


def _words(line: Prepared) -> str:
    place = ", ".join(f"{line[name]:g}" for name in PLACE)
    return f"focus sphere {line['name']} kept: {place} A, radius {line['radius_A']:g} A"


EDITS = (
    Edit("sphere.keep", _prepare_keep, _apply_keep, _words),
    Edit("sphere.remove", _prepare_remove, _apply_remove, lambda line: f"focus sphere {line['name']} removed"),
)
