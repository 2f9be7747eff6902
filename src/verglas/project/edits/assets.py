"""Edits of assets: import, rename, and finding moved files again."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from verglas.errors import InputError
from verglas.project.assets import columns_of, find_asset, insert, table_of
from verglas.project.edits.edit import Edit, Numbers, Prepared, Request, move_counters, text_of

PATH_COLUMNS = {
    "movie": ("path", "gain_path", "dark_path"),
    "image": ("path", "scaled_path"),
    "volume": ("path", "half_map_1_path", "half_map_2_path"),
    "model": ("path",),
    "package": ("path",),
    "classification": ("path",),
    "refinement": ("path",),
}


def known_paths(connection: sqlite3.Connection, kind: str) -> set[str]:
    """Return the paths of all assets of a kind, those in the trash left out."""
    return {row["path"] for row in connection.execute(f"SELECT path FROM {table_of(kind)} WHERE trash IS NULL")}


def _prepare_import(connection: sqlite3.Connection, request: Request) -> Prepared:
    kind, numbers = request["kind"], Numbers(connection)
    allowed = set(columns_of(connection, kind)) - {"id", "created", "trash"}
    known, records, moves = known_paths(connection, kind), [], []
    for asked in request["records"]:
        record: dict[str, Any] = dict(asked)
        scaled = record.pop("scaled_from", None)
        if record["path"] in known:
            continue
        unknown = set(record) - allowed
        if unknown:
            raise InputError(f"{record['path']}: a {kind} has no {', '.join(sorted(unknown))}.")
        known.add(record["path"])
        record["id"] = numbers.take(kind)
        if scaled is not None:
            record["scaled_path"] = f"Assets/Images/Scaled/{record['name']}_{record['id']}_0.mrc"
            moves.append([scaled, record["scaled_path"]])
        records.append(record)
    prepared: Prepared = {"edit": "asset.import", "kind": kind, "records": records, "counters": numbers.used}
    prepared["moves"] = moves
    if request.get("remember"):
        prepared["remember"] = request["remember"]
    return prepared


def _apply_import(connection: sqlite3.Connection, line: Prepared) -> None:
    insert(connection, table_of(line["kind"]), [{**record, "created": line["t"]} for record in line["records"]])
    move_counters(connection, line["counters"])
    if "remember" in line:
        content = json.dumps(line["remember"], sort_keys=True)
        connection.execute("INSERT OR REPLACE INTO remembered (kind, content) VALUES (?, ?)", (line["kind"], content))


def _prepare_rename(connection: sqlite3.Connection, request: Request) -> Prepared:
    asset = find_asset(connection, request["kind"], request["asset"])
    name = text_of(request, "name")
    if "/" in name:
        raise InputError(f"{name!r} cannot name an asset: names of files are made from it, so it must have no slash.")
    return {"edit": "asset.rename", "kind": asset["kind"], "asset": asset["id"], "old": asset["name"], "name": name}


def _apply_rename(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.execute(f"UPDATE {table_of(line['kind'])} SET name = ? WHERE id = ?", (line["name"], line["asset"]))


def _prepare_relink(connection: sqlite3.Connection, request: Request) -> Prepared:
    for kind, _, column, _ in request["changes"]:
        if column not in PATH_COLUMNS.get(kind, ()):
            raise InputError(f"a {kind} has no path called {column}.")
    return {key: request[key] for key in ("edit", "old", "new", "changes")}


def _apply_relink(connection: sqlite3.Connection, line: Prepared) -> None:
    for kind, asset, column, path in line["changes"]:
        connection.execute(f"UPDATE {table_of(kind)} SET {column} = ? WHERE id = ?", (path, asset))


EDITS = (
    Edit("asset.import", _prepare_import, _apply_import,
         lambda line: f"{len(line['records'])} x {line['kind']} imported"),
    Edit("asset.rename", _prepare_rename, _apply_rename,
         lambda line: f"{line['kind']} {line['asset']} renamed from {line['old']} to {line['name']}"),
    Edit("asset.relink", _prepare_relink, _apply_relink,
         lambda line: f"{len(line['changes'])} paths now below {line['new']} instead of {line['old']}"),
)  # fmt: skip
