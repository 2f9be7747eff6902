"""The kinds of asset that a project holds, and reading them from the database."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from verglas.errors import InputError, NotFoundError

if TYPE_CHECKING:
    import sqlite3  # types alone: declarations import this module, and their help shall be instant

# Kind of asset -> its table. Group 0 of each kind is "All ...".
TABLES = {
    "movie": "movies",
    "image": "images",
    "positions": "positions",
    "volume": "volumes",
    "model": "models",
    "package": "packages",
    "classification": "classifications",
    "refinement": "refinements",
    "selection": "selections",
}
ALL_NAMES = {
    "movie": "All Movies",
    "image": "All Images",
    "positions": "All Positions",
    "volume": "All Volumes",
    "model": "All Models",
    "package": "All Refinement Packages",
    "classification": "All Classifications",
    "refinement": "All Refinements",
    "selection": "All Class Selections",
}
# Kind -> (kind of its parent, column that names the parent).
PARENTS = {
    "image": ("movie", "parent_movie"),
    "positions": ("image", "image"),
    "classification": ("package", "package"),
    "refinement": ("package", "package"),
    "selection": ("classification", "classification"),
}
JSON_COLUMNS = {"metadata", "sources", "files", "values", "details", "members"}
FLAGS = {"protein_is_white", "contrast_inverted"}

Record = dict[str, Any]


def table_of(kind: str) -> str:
    """Return the table of a kind of asset.

    Raises
    ------
    InputError
        There is no such kind.
    """
    if kind not in TABLES:
        raise InputError(f"there is no kind of asset called {kind!r}; the kinds are {', '.join(TABLES)}.")
    return TABLES[kind]


def columns_of(connection: sqlite3.Connection, kind: str) -> list[str]:
    """Return the columns of a kind of asset."""
    return [row["name"] for row in connection.execute(f"PRAGMA table_info({table_of(kind)})")]


def to_record(row: sqlite3.Row, kind: str | None = None) -> Record:
    """Return a row as plain JSON, with its kind first when it is an asset."""
    record: Record = {} if kind is None else {"kind": kind}
    for key in row.keys():  # noqa: SIM118 - a row iterates over values
        value = row[key]
        if key in JSON_COLUMNS:
            value = json.loads(value) if value else {}
        elif key in FLAGS:
            value = bool(value)
        record[key] = value
    return record


def insert(connection: sqlite3.Connection, table: str, records: Sequence[Record]) -> None:
    """Insert records; dictionaries and lists become JSON, and keys that are no column are an error of SQLite."""
    for keys, alike in itertools.groupby(records, key=tuple):
        names = ", ".join(f'"{key}"' for key in keys)
        rows = (
            [
                json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value
                for value in record.values()
            ]
            for record in alike
        )
        connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(keys))})", rows)


def find_asset(connection: sqlite3.Connection, kind: str, asset: int | str) -> Record:
    """Return one asset, by number or by name.

    Raises
    ------
    NotFoundError
        There is none, or it is in the trash.
    InputError
        Several have that name.
    """
    column = "id" if isinstance(asset, int) else "name"
    rows = connection.execute(
        f"SELECT * FROM {table_of(kind)} WHERE {column} = ? AND trash IS NULL LIMIT 2", (asset,)
    ).fetchall()
    if not rows:
        raise NotFoundError(
            f"there is no {kind} {asset!r} in this project (or it is in the trash). See `verglas list`."
        )
    if len(rows) > 1:
        raise InputError(f"several assets of kind {kind} are called {asset!r}: give the number instead.")
    return to_record(rows[0], kind)


def find_group(connection: sqlite3.Connection, kind: str, group: int | str) -> tuple[int, str]:
    """Return number and name of a group, found by either.

    Raises
    ------
    NotFoundError
        There is no such group.
    """
    table_of(kind)
    if group in {0, "0", "all", ALL_NAMES[kind]}:
        return 0, ALL_NAMES[kind]
    row = connection.execute("SELECT id, name FROM groups WHERE kind = ? AND name = ?", (kind, str(group))).fetchone()
    if row is None and str(group).isdigit():
        row = connection.execute("SELECT id, name FROM groups WHERE kind = ? AND id = ?", (kind, int(group))).fetchone()
    if row is None:
        raise NotFoundError(f"there is no group {group!r} of kind {kind}. `verglas groups list` shows those there are.")
    return int(row["id"]), str(row["name"])


def list_assets(
    connection: sqlite3.Connection,
    kind: str,
    *,
    group: int | str = 0,
    name: str | None = None,
    limit: int | None = None,
    offset: int = 0,
    sort: str | None = None,
    descending: bool = False,
) -> list[Record]:
    """Return assets by number or sorted by a column, those in the trash left out.

    Parameters
    ----------
    group
        Number or name of a group; 0 is all.
    name
        A pattern with ``*`` and ``?`` that names must fit.
    limit, offset
        At most how many, and how many to leave out first.
    sort, descending
        Column to sort by, what is not known last; None keeps the order of numbers.

    Raises
    ------
    InputError
        There is no such column.
    """
    sql, values = _selection(connection, kind, group, name)
    direction = "DESC" if descending else "ASC"
    order = f"a.id {direction}"
    if sort is not None:
        if sort not in columns_of(connection, kind):
            raise InputError(f"a {kind} has no column {sort!r} to sort by.")
        order = f'a."{sort}" IS NULL, a."{sort}" {direction}, {order}'
    sql = f"SELECT a.* {sql} ORDER BY {order} LIMIT ? OFFSET ?"
    rows = connection.execute(sql, [*values, -1 if limit is None else limit, offset])
    return [to_record(row, kind) for row in rows]


def count_assets(connection: sqlite3.Connection, kind: str, *, group: int | str = 0, name: str | None = None) -> int:
    """Return the number of assets in a group, those in the trash left out."""
    sql, values = _selection(connection, kind, group, name)
    return int(connection.execute(f"SELECT count(*) {sql}", values).fetchone()[0])


def known_values(connection: sqlite3.Connection, kind: str, column: str) -> Record:
    """Return how many assets have a value in a column, those in the trash left out, and the sum of numbers in it.

    Raises
    ------
    InputError
        There is no such column.
    """
    if column not in columns_of(connection, kind):
        raise InputError(f"a {kind} has no column {column!r}.")
    row = connection.execute(
        f'SELECT count("{column}") AS count, coalesce(sum("{column}"), 0) AS sum '
        f"FROM {table_of(kind)} WHERE trash IS NULL"
    ).fetchone()
    return {"count": row["count"], "sum": row["sum"]}


def _selection(
    connection: sqlite3.Connection, kind: str, group: int | str, name: str | None
) -> tuple[str, list[str | int]]:
    number, _ = find_group(connection, kind, group)
    values: list[str | int] = []
    sql = f"FROM {table_of(kind)} AS a "
    if number:
        sql += "JOIN group_members AS m ON m.asset = a.id AND m.kind = ? AND m.group_id = ? "
        values += [kind, number]
    sql += "WHERE a.trash IS NULL"
    if name is not None:
        sql += " AND a.name GLOB ?"
        values.append(name)
    return sql, values
