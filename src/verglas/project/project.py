"""A project: open it, read it, edit it - as its owner, or through the owner where another process is it."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from verglas.errors import NotFoundError, ProjectError, ProjectLockedError, VerglasError
from verglas.project import mailbox
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
from verglas.project.database import connect, dump
from verglas.project.edits.filters import filter_key
from verglas.project.edits.spheres import PREFIX as SPHERE
from verglas.project.intake import is_waiting, take_in
from verglas.project.journal import Line
from verglas.project.layout import Layout, ProjectFile, check_name
from verglas.project.owner import Ownership, current_owner
from verglas.project.store import Store, applied

SERVE_SECONDS = 0.05
TAKE_IN = {"ask": "take-in"}


class Project:
    """One project, open.

    Use `create` or `open`, and close it (or use it as a context manager).

    Attributes
    ----------
    layout
        Where things lie.
    name, id
        What the project is called, and what it alone is.
    """

    def __init__(self, layout: Layout, file: ProjectFile, ownership: Ownership | None) -> None:
        self.layout = layout
        self.file = file
        self.name, self.id = file.name, file.id
        self._ownership = ownership
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._store: Store | None = None
        self._server: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        if ownership is not None:
            try:
                self._store = Store(layout, layout.database(file))
            except BaseException:
                ownership.release()
                raise
            self._connection = self._store.connection
            mailbox.remove_old_answers(layout.mailbox)
            self._server = threading.Thread(target=self._serve, name="verglas-mailbox", daemon=True)
            self._server.start()
        else:
            self._connection = connect(layout.database(file), write=False)

    # Making, opening, closing

    @classmethod
    def create(cls, folder: Path | str, name: str | None = None, database: Path | str | None = None) -> Project:
        """Make a project in a folder that is new or empty, and open it as its owner.

        Parameters
        ----------
        folder
            Where.
        name
            Name of the project; default is that of the folder.
        database
            File for the database, where it shall not lie in the folder (which is on Lustre, say).

        Raises
        ------
        ProjectError
            The folder is not empty.
        """
        layout = Layout(Path(folder))
        name = check_name(name or layout.folder.name)
        if layout.folder.exists() and any(layout.folder.iterdir()):
            raise ProjectError(f"{layout.folder} exists and is not empty. Choose another folder for the project.")
        place = None
        if database is not None:
            place = Path(database).resolve()
            if place.exists():
                raise ProjectError(f"{place} exists. A new project needs a database of its own: choose another file.")
            place.parent.mkdir(parents=True, exist_ok=True)
        layout.make_folders()
        file = ProjectFile(name, uuid.uuid4().hex, None if place is None else str(place))
        layout.write(file)
        project = cls.open(layout.folder, "rw")
        project.edit({"edit": "project.create", "name": file.name, "id": file.id})
        return project

    @classmethod
    def open(cls, folder: Path | str, mode: Literal["r", "rw"] = "r") -> Project:
        """Open a project.

        Parameters
        ----------
        folder
            The project folder.
        mode
            ``rw`` to become its owner. Where another living process is the owner, the project is open all the same:
            it is read here, and edits go through the owner (`is_owner` and `owner_words` tell).

        Raises
        ------
        NotFoundError
            The folder is no project.
        ProjectError
            It is damaged or of a newer verglas.
        """
        layout = Layout(Path(folder))
        file = layout.read()
        if mode == "r" and not cls._lags(layout, file):
            return cls(layout, file, None)
        ownership = None
        with suppress(ProjectLockedError, PermissionError):
            layout.make_folders()
            ownership = Ownership.take(layout.hidden, Path(sys.argv[0]).name or "python")
        if mode == "rw" or ownership is None:
            return cls(layout, file, ownership)
        cls(layout, file, ownership).close()
        return cls(layout, file, None)

    @classmethod
    def open_rebuilt(cls, folder: Path | str) -> tuple[Project, int]:
        """Open a project as its owner with a database made again from the journal, also where the old one is damaged.

        Returns
        -------
        project, lines
            The open project and the number of lines of its journal.

        Raises
        ------
        ProjectLockedError
            Another process owns the project.
        """
        try:
            project = cls.open(folder, "rw")
        except ProjectError:
            layout = Layout(Path(folder))
            ownership = Ownership.take(layout.hidden, "verglas project rebuild")
            database = layout.database(layout.read())
            for ending in ("", "-wal", "-shm", "-journal"):
                database.with_name(database.name + ending).unlink(missing_ok=True)
            ownership.release()
            project = cls.open(folder, "rw")
        return project, project.rebuild()

    @staticmethod
    def _lags(layout: Layout, file: ProjectFile) -> bool:
        """Tell whether the database misses lines of the journal and nobody is there to bring it up to date."""
        try:
            connection = connect(layout.database(file), write=False)
        except ProjectError:
            return not layout.database(file).exists()
        try:
            size = layout.journal.stat().st_size if layout.journal.exists() else 0
            if applied(connection)[1] == size:
                return False
        except sqlite3.Error:
            return True
        finally:
            connection.close()
        owner = current_owner(layout.hidden)
        return owner is None or not owner.lives()

    @property
    def folder(self) -> Path:
        """The project folder."""
        return self.layout.folder

    @property
    def is_owner(self) -> bool:
        """Whether this process may write by itself."""
        return self._ownership is not None

    @property
    def owner_words(self) -> str | None:
        """Who owns the project, for people; None where nobody does."""
        owner = current_owner(self.layout.hidden)
        return None if owner is None else owner.words

    def close(self) -> None:
        """Close the project; an owner answers the letters that still wait and gives it back."""
        self._stop.set()
        if self._server is not None:
            self._server.join()
        if self._store is not None and self._ownership is not None:
            try:
                self._answer_letters()
            finally:
                self._store.close()
                self._ownership.release()
        elif self._connection is not None:
            self._connection.close()
        self._store = self._ownership = self._server = self._connection = None

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Editing

    def edit(self, request: Record) -> Line:
        """Carry out one edit, or have the owner do it.

        Parameters
        ----------
        request
            Plain JSON; ``edit`` names it (``group.add``, ``asset.rename``, ``note.add`` ...).

        Returns
        -------
        dict
            The line that the journal got, with the numbers that were given.

        Raises
        ------
        VerglasError
            The edit was refused; nothing was changed.
        """
        if self._store is None or self._ownership is None:
            return self._ask_owner(request)
        with self._lock:
            self._ownership.check()
            return self._store.commit(request)

    def _ask_owner(self, request: Record) -> Record:
        try:
            letter = mailbox.post(self.layout.mailbox, request)
        except OSError as error:
            raise ProjectError(
                f"{self.layout.mailbox} cannot be written ({error}). Nothing was changed. "
                "Ask the project's owner for the right to write there, or free some space."
            ) from error
        last_look = time.monotonic()
        while True:
            line = mailbox.read_answer(self.layout.mailbox, letter)
            if line is not None:
                return line
            owner = current_owner(self.layout.hidden)
            if owner is None or time.monotonic() - last_look > 1.0:
                last_look = time.monotonic()
                if owner is None or not owner.lives():
                    Project.open(self.folder, "rw").close()  # whoever owns a project answers its letters
            time.sleep(0.01)

    def _serve(self) -> None:
        while not self._stop.wait(SERVE_SECONDS):
            with suppress(OSError):
                self._answer_letters()

    def _answer_letters(self) -> None:
        assert self._store is not None and self._ownership is not None
        for name, request in mailbox.letters(self.layout.mailbox):
            with self._lock:
                try:
                    self._ownership.check()
                except ProjectLockedError:
                    return
                try:
                    is_edit = request != TAKE_IN
                    content: Record = self._store.commit(request, name) if is_edit else self.take_in()
                except VerglasError as error:
                    content = mailbox.error_content(error)
            mailbox.answer(self.layout.mailbox, name, content)

    def take_in(self) -> dict[str, Any]:
        """Turn results of jobs into assets; return how many, and what could not be taken in.

        Only the owner does this; anybody else asks the owner to.
        """
        if self._store is None:
            return self._ask_owner(TAKE_IN)
        with self._lock:
            return take_in(self.layout, self._reading, self.edit)

    def is_waiting(self) -> bool:
        """Tell whether jobs have finished something that `take_in` would turn into assets."""
        with self._lock:
            return is_waiting(self.layout, self._reading)

    def rebuild(self) -> int:
        """Make the database again from the journal and return the number of lines.

        Raises
        ------
        ProjectLockedError
            Another process owns the project.
        """
        if self._store is None:
            raise ProjectLockedError(f"{self.folder} is in use by {self.owner_words}: close that first.")
        with self._lock:
            return self._store.rebuild()

    # Reading

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
