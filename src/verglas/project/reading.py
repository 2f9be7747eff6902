"""What an open project answers: its assets, groups, results, history and notes, as plain JSON."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from verglas.errors import NotFoundError, ProjectError
from verglas.project.assets import (
    ALL_NAMES,
    Record,
    count_assets,
    find_asset,
    find_group,
    known_values,
    list_assets,
    table_of,
    to_record,
)
from verglas.project.database import dump
from verglas.project.edits.filters import filter_key
from verglas.project.edits.spheres import PREFIX as SPHERE
from verglas.project.layout import Layout, ProjectFile


class ProjectReading:
    """The questions that a project answers from its database; :class:`verglas.project.Project` opens it.

    Attributes
    ----------
    layout
        Where things lie.
    file
        Name, identity and database of the project.
    """

    layout: Layout
    file: ProjectFile
    _lock: threading.RLock
    _connection: sqlite3.Connection | None

    @property
    def folder(self) -> Path:
        """The project folder."""
        return self.layout.folder

    @property
    def _reading(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ProjectError(f"the project {self.folder} is closed.")
        return self._connection

    def _rows(self, sql: str, *values: Any) -> list[Record]:
        with self._lock:
            return [to_record(row) for row in self._reading.execute(sql, values)]

    def assets(
        self, kind: str, *, group: int | str = 0, name: str | None = None, limit: int | None = None, offset: int = 0,
        sort: str | None = None, descending: bool = False,
    ) -> list[Record]:  # fmt: skip
        """Return assets of a kind (``movie``, ``image``, ``positions``, ``volume``, ``model``) as plain JSON."""
        with self._lock:
            return list_assets(
                self._reading, kind, group=group, name=name, limit=limit, offset=offset,
                sort=sort, descending=descending,
            )  # fmt: skip

    def count(self, kind: str, *, group: int | str = 0, name: str | None = None) -> int:
        """Return the number of assets in a group."""
        with self._lock:
            return count_assets(self._reading, kind, group=group, name=name)

    def known(self, kind: str, column: str) -> Record:
        """Return how many assets have a value in a column (``count``), and the sum of numbers in it (``sum``)."""
        with self._lock:
            return known_values(self._reading, kind, column)

    def asset(self, kind: str, asset: int | str) -> Record:
        """Return one asset by number or name."""
        with self._lock:
            return find_asset(self._reading, kind, asset)

    def paths(self, kind: str) -> set[str]:
        """Return the paths of all assets of a kind as the project remembers them, those in the trash left out."""
        return {row["path"] for row in self._rows(f"SELECT path FROM {table_of(kind)} WHERE trash IS NULL")}

    def groups(self, kind: str) -> list[Record]:
        """Return the groups of a kind with their sizes; group 0 holds all."""
        hidden = (
            f"SELECT count(*) AS n FROM {table_of(kind)} AS a CROSS JOIN group_members AS m "
            "ON m.kind = ? AND m.group_id = ? AND m.asset = a.id WHERE a.trash IS NOT NULL"
        )
        rows = self._rows(
            "SELECT g.id, g.name, count(m.asset) AS size FROM groups AS g LEFT JOIN group_members AS m "
            "ON m.kind = g.kind AND m.group_id = g.id WHERE g.kind = ? GROUP BY g.id ORDER BY g.id",
            kind,
        )
        for row in rows:
            row["size"] -= self._rows(hidden, kind, row["id"])[0]["n"]
        return [{"id": 0, "name": ALL_NAMES[kind], "size": self.count(kind)}, *rows]

    def group(self, kind: str, group: int | str) -> tuple[int, str]:
        """Return number and name of a group found by either."""
        with self._lock:
            return find_group(self._reading, kind, group)

    def results(self, of_kind: str | None = None, of_id: int | None = None) -> list[Record]:
        """Return the results, of one asset where it is named.

        Returns
        -------
        list of dict
            ``id``, ``kind``, ``job``, ``key``, ``of`` and ``product`` (``{"kind": "movie", "id": 1}``), ``files`` (role
            -> path below the project folder), ``values``, ``active``.
        """
        rows = self._rows(
            "SELECT r.*, a.result IS NOT NULL AS active FROM results AS r LEFT JOIN active_results AS a "
            "ON a.result = r.id WHERE r.trash IS NULL "
            "AND (?1 IS NULL OR r.of_kind = ?1) AND (?2 IS NULL OR r.of_id = ?2) ORDER BY r.id",
            of_kind,
            of_id,
        )
        return [_result(row) for row in rows]

    def result(self, number: int) -> Record:
        """Return one result; see `results`.

        Raises
        ------
        NotFoundError
            There is none.
        """
        rows = self._rows(
            "SELECT r.*, a.result IS NOT NULL AS active FROM results AS r LEFT JOIN active_results AS a "
            "ON a.result = r.id WHERE r.id = ?",
            number,
        )
        if not rows:
            raise NotFoundError(f"there is no result {number} in {self.folder}.")
        return _result(rows[0])

    def notes(self) -> list[Record]:
        """Return all notes."""
        return self._rows("SELECT * FROM notes ORDER BY id")

    def history(self, limit: int | None = None) -> list[Record]:
        """Return what was done, the latest first."""
        return self._rows("SELECT n, t, edit, user, host, summary FROM history ORDER BY n DESC LIMIT ?", limit or -1)

    def trash(self) -> list[Record]:
        """Return what lies in the trash."""
        return self._rows("SELECT id, summary, created FROM trash ORDER BY id")

    def jobs_ended(self) -> list[Record]:
        """Return the jobs that have ended."""
        return self._rows("SELECT * FROM jobs ORDER BY number")

    def remembered(self, kind: str) -> Record:
        """Return the values given at the last import of a kind."""
        rows = self._rows("SELECT content FROM remembered WHERE kind = ?", kind)
        found: Record = json.loads(rows[0]["content"]) if rows else {}
        return found

    def filters(self, kind: str) -> dict[str, Record]:
        """Return the saved filters of a kind of asset by name: ``conditions``, ``sort``, ``descending``."""
        start = filter_key(kind)
        rows = self._rows("SELECT kind, content FROM remembered WHERE substr(kind, 1, ?) = ?", len(start), start)
        return {row["kind"].removeprefix(start): json.loads(row["content"]) for row in rows}

    def spheres(self) -> dict[str, Record]:
        """Return the kept focus spheres by name: ``x_A``, ``y_A``, ``z_A``, ``radius_A``."""
        rows = self._rows("SELECT kind, content FROM remembered WHERE substr(kind, 1, ?) = ?", len(SPHERE), SPHERE)
        return {row["kind"].removeprefix(SPHERE): json.loads(row["content"]) for row in rows}

    def totals(self) -> Record:
        """Return the number of jobs that ended and the CPU hours they took, those in the trash included."""
        return self._rows("SELECT count(*) AS jobs, coalesce(sum(cpu_seconds), 0) / 3600 AS cpu_hours FROM jobs")[0]

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table, to compare databases with."""
        with self._lock:
            return dump(self._reading)

    def disk_use(self) -> Record:
        """Return the bytes that each folder of the project and each job takes."""
        parts = {name: folder_bytes(self.folder / name) for name in ("Assets", "Jobs", "Scratch", "Trash")}
        jobs = {entry.name: folder_bytes(entry) for entry in sorted(self.layout.jobs.glob("[0-9]*-*"))}
        return {"folders": parts, "jobs": jobs, "database": self.layout.database(self.file).stat().st_size}


def _result(row: Record) -> Record:
    """Return a row of results with the assets that it names as references."""
    for role in ("of", "product"):
        row[role] = {"kind": row.pop(f"{role}_kind"), "id": row.pop(f"{role}_id")}
    return row | {"active": bool(row["active"])}


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
