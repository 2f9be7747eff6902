"""Edits of groups: add, rename, remove, invert, members in and out; a new group may follow from one of parents."""

from __future__ import annotations

import json
import sqlite3

from verglas.errors import InputError
from verglas.project.assets import ALL_NAMES, PARENTS, find_group, list_assets, table_of
from verglas.project.edits.edit import Edit, Numbers, Prepared, Request, move_counters, text_of


def _free_name(connection: sqlite3.Connection, kind: str, request: Request) -> str:
    name = text_of(request, "name")
    taken = connection.execute("SELECT 1 FROM groups WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    if taken or name in {ALL_NAMES[kind], "all"} or name.isdigit():
        raise InputError(f"there is a group {name!r} of kind {kind} already, or it is a number: choose another name.")
    return name


def _members(connection: sqlite3.Connection, kind: str, request: Request) -> list[int]:
    asked = sorted({int(number) for number in request.get("members", ())})
    rows = connection.execute(
        f"SELECT j.value FROM json_each(?) AS j LEFT JOIN {table_of(kind)} AS a ON a.id = j.value AND a.trash IS NULL "
        "WHERE a.id IS NULL",
        (json.dumps(asked),),
    )
    missing = [row[0] for row in rows]
    if missing:
        raise InputError(
            f"there is no {kind} {missing[0]} (and {len(missing) - 1} more are missing): see `verglas list`."
        )
    return asked


def _own_group(connection: sqlite3.Connection, request: Request) -> tuple[int, str]:
    number, name = find_group(connection, request["kind"], request["group"])
    if number == 0:
        raise InputError(f"{name!r} always holds everything and cannot be changed; make a group of your own.")
    return number, name


def _prepare_add(connection: sqlite3.Connection, request: Request) -> Prepared:
    kind = request["kind"]
    table_of(kind)
    numbers = Numbers(connection)
    members = _members(connection, kind, request)
    parent = request.get("parent_group")
    if parent is not None:
        if kind not in PARENTS:
            raise InputError(f"assets of kind {kind} have no parents to make a group from.")
        parent_kind, column = PARENTS[kind]
        parents = {asset["id"] for asset in list_assets(connection, parent_kind, group=parent)}
        rows = connection.execute(f"SELECT id, {column} AS parent FROM {table_of(kind)} WHERE trash IS NULL")
        members = sorted(set(members) | {row["id"] for row in rows if row["parent"] in parents})
    name = _free_name(connection, kind, request)
    group = numbers.take(f"group {kind}")
    return {
        "edit": "group.add",
        "kind": kind,
        "group": group,
        "name": name,
        "members": members,
        "counters": numbers.used,
    }


def _insert_members(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO group_members (kind, group_id, asset) SELECT ?, ?, value FROM json_each(?)",
        (line["kind"], line["group"], json.dumps(line["members"])),
    )


def _apply_add(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.execute(
        "INSERT INTO groups (kind, id, name, created) VALUES (?, ?, ?, ?)",
        (line["kind"], line["group"], line["name"], line["t"]),
    )
    _insert_members(connection, line)
    move_counters(connection, line["counters"])


def _prepare_rename(connection: sqlite3.Connection, request: Request) -> Prepared:
    group, old = _own_group(connection, request)
    name = _free_name(connection, request["kind"], request)
    return {"edit": "group.rename", "kind": request["kind"], "group": group, "old": old, "name": name}


def _apply_rename(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.execute(
        "UPDATE groups SET name = ? WHERE kind = ? AND id = ?", (line["name"], line["kind"], line["group"])
    )


def _prepare_same(connection: sqlite3.Connection, request: Request) -> Prepared:
    group, name = _own_group(connection, request)
    return {"edit": request["edit"], "kind": request["kind"], "group": group, "name": name}


def _apply_remove(connection: sqlite3.Connection, line: Prepared) -> None:
    key = (line["kind"], line["group"])
    connection.execute("DELETE FROM groups WHERE kind = ? AND id = ?", key)
    connection.execute("DELETE FROM group_members WHERE kind = ? AND group_id = ?", key)


def _apply_invert(connection: sqlite3.Connection, line: Prepared) -> None:
    key = (line["kind"], line["group"])
    others = connection.execute(
        f"SELECT json_group_array(id) FROM {table_of(line['kind'])} WHERE trash IS NULL AND id NOT IN "
        "(SELECT asset FROM group_members WHERE kind = ? AND group_id = ?)",
        key,
    ).fetchone()[0]
    connection.execute("DELETE FROM group_members WHERE kind = ? AND group_id = ?", key)
    connection.execute(
        "INSERT INTO group_members (kind, group_id, asset) SELECT ?, ?, value FROM json_each(?)", (*key, others)
    )


def _prepare_members(connection: sqlite3.Connection, request: Request) -> Prepared:
    members = _members(connection, request["kind"], request)
    return {**_prepare_same(connection, request), "members": members}


def _apply_leave(connection: sqlite3.Connection, line: Prepared) -> None:
    connection.executemany(
        "DELETE FROM group_members WHERE kind = ? AND group_id = ? AND asset = ?",
        [(line["kind"], line["group"], member) for member in line["members"]],
    )


EDITS = (
    Edit("group.add", _prepare_add, _apply_add,
         lambda line: f"group {line['name']} of {len(line['members'])} x {line['kind']} added"),
    Edit("group.rename", _prepare_rename, _apply_rename, lambda line: f"group {line['old']} renamed to {line['name']}"),
    Edit("group.remove", _prepare_same, _apply_remove, lambda line: f"group {line['name']} removed"),
    Edit("group.invert", _prepare_same, _apply_invert, lambda line: f"group {line['name']} inverted"),
    Edit("group.join", _prepare_members, _insert_members,
         lambda line: f"{len(line['members'])} x {line['kind']} put into group {line['name']}"),
    Edit("group.leave", _prepare_members, _apply_leave,
         lambda line: f"{len(line['members'])} x {line['kind']} taken out of group {line['name']}"),
)  # fmt: skip
