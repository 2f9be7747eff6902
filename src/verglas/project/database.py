"""The SQLite file: opened as the file system wants it, migrated in numbered steps after a copy was made."""

from __future__ import annotations

import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from verglas.errors import ProjectError
from verglas.project.filesystems import describe
from verglas.project.migrations import MIGRATIONS, SCHEMA_VERSION

BUSY_SECONDS = 30.0


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open a database that is there, or make an empty one when writing.

    On a local disk the owner keeps a write-ahead log, so readers never wait; on a shared file system SQLite uses lock
    folders (its ``unix-dotfile`` mode) and a plain rollback journal, which need no kernel locks and no shared memory.

    Parameters
    ----------
    path
        The database file.
    write
        Whether this process owns the project.

    Raises
    ------
    ProjectError
        There is no such database, or a newer verglas made it.
    """
    if not write and not path.exists():
        raise ProjectError(
            f"the database {path} is missing. `verglas project rebuild` makes it again from the journal."
        )
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
    shared = describe(path).is_network
    options = {"mode": "rwc" if write or shared else "rw"} | ({"vfs": "unix-dotfile"} if shared else {})
    address = f"file:{urllib.parse.quote(str(path))}?{urllib.parse.urlencode(options)}"
    try:
        connection = sqlite3.connect(
            address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        if write:
            connection.execute("PRAGMA journal_mode = " + ("DELETE" if shared else "WAL")).fetchone()
            connection.execute("PRAGMA synchronous = NORMAL" if not shared else "PRAGMA synchronous = FULL")
        else:
            connection.execute("PRAGMA query_only = ON")
        version = schema_version(connection)
    except sqlite3.Error as error:
        raise ProjectError(
            f"the database {path} cannot be opened ({error}). "
            "If it is damaged, delete it: opening the project makes it again from the journal."
        ) from error
    if version > SCHEMA_VERSION:
        connection.close()
        raise ProjectError(
            f"{path} has schema {version}, this verglas knows schemas up to {SCHEMA_VERSION}: a newer verglas made it. "
            "Upgrade this one to open the project; nothing was changed."
        )
    return connection


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the number of migrations that a database has seen."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make everything inside happen or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def migrate(connection: sqlite3.Connection, backups: Path) -> Path | None:
    """Bring a database to the present schema.

    Parameters
    ----------
    connection
        The owner's connection.
    backups
        Folder for the copy that is made before an older database is changed.

    Returns
    -------
    pathlib.Path or None
        The copy, or None where nothing had to be kept.
    """
    version = schema_version(connection)
    if version == SCHEMA_VERSION:
        return None
    backup = None
    if version:
        backups.mkdir(parents=True, exist_ok=True)
        backup = backups / f"schema-{version}.db"
        backup.unlink(missing_ok=True)
        with closing(sqlite3.connect(backup)) as target:
            connection.backup(target)
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        with transaction(connection):
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
    return backup


def dump(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, in the order of the columns' values: two equal databases give equal dumps."""
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {
        table: sorted((tuple(row) for row in connection.execute(f'SELECT * FROM "{table}"')), key=repr)
        for table in tables
        if not table.startswith("sqlite_")
    }
