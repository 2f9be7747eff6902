"""Carry out edits: prepare, write the journal, change the database, move the files; and make it all again."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from verglas.errors import InputError, ProjectError
from verglas.execution.durable import whole_file, write_json
from verglas.project.database import connect, migrate, transaction
from verglas.project.edits import EDITS
from verglas.project.journal import JournalWriter, Line, no_space, read_journal
from verglas.project.layout import Layout
from verglas.project.migrations import MIGRATIONS, SCHEMA_VERSION

LOG = logging.getLogger(__name__)


def apply_line(connection: sqlite3.Connection, line: Line, offset: int) -> None:
    """Change the database by one line: the only way in which it ever changes."""
    edit = EDITS.get(line["edit"])
    if edit is None:
        raise ProjectError(
            f"line {line['n']} of the journal is an edit {line['edit']!r} that this verglas does not know. "
            "A newer one wrote it: upgrade to open the project."
        )
    edit.apply(connection, line)
    connection.execute(
        "INSERT INTO history (n, t, edit, user, host, request, summary) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            line["n"],
            line["t"],
            line["edit"],
            line.get("user"),
            line.get("host"),
            line.get("request"),
            edit.summary(line),
        ),
    )
    pairs = [("applied_n", str(line["n"])), ("applied_offset", str(offset))]
    connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", pairs)


def applied(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return number and end offset of the last journal line that a database contains."""
    pairs = dict(connection.execute("SELECT key, value FROM meta WHERE key LIKE 'applied_%'").fetchall())
    return int(pairs.get("applied_n", 0)), int(pairs.get("applied_offset", 0))


class Store:
    """The owner's hands: journal, database and files of one project.

    Opening it finishes whatever a dead owner left half done.

    Parameters
    ----------
    layout
        The places of the project.
    database
        The database file.
    """

    def __init__(self, layout: Layout, database: Path) -> None:
        self.layout = layout
        self.database = database
        self.connection = connect(database, write=True)
        migrate(self.connection, layout.backups)
        number, offset = applied(self.connection)
        if offset > (layout.journal.stat().st_size if layout.journal.exists() else 0):
            raise ProjectError(
                f"{database} contains edits that {layout.journal} does not: one of them is from elsewhere. "
                "`verglas project rebuild` makes the database again from the journal."
            )
        for line, after in read_journal(layout.journal, offset):
            with transaction(self.connection):
                apply_line(self.connection, line, after)
            self._move_files(line)
            number, offset = line["n"], after
        self.journal = JournalWriter(layout.journal, number, offset)
        self._finish_last_moves()

    def commit(self, request: dict[str, Any], letter: str | None = None) -> Line:
        """Carry out one edit.

        Parameters
        ----------
        request
            What is asked for; ``edit`` names it.
        letter
            Name of the letter it came with; a letter that was carried out before gives the line of that time.

        Returns
        -------
        dict
            The line of the journal, with all numbers that were given.

        Raises
        ------
        VerglasError
            The edit was refused or could not be written; the project is as before.
        """
        if letter is not None:
            row = self.connection.execute("SELECT n FROM history WHERE request = ?", (letter,)).fetchone()
            if row is not None:
                return next(line for line, _ in read_journal(self.layout.journal) if line["n"] == row["n"])
        edit = EDITS.get(str(request.get("edit")))
        if edit is None:
            raise InputError(f"there is no edit called {request.get('edit')!r}.")
        prepared = edit.prepare(self.connection, request)
        before = self.journal.offset
        line, after = self.journal.append(prepared, letter)
        try:
            with transaction(self.connection):
                apply_line(self.connection, line, after)
        except sqlite3.Error as error:
            self.journal.take_back(line, before)
            remedy = "Free some space and try again." if no_space(error) else "Run `verglas project rebuild`."
            raise ProjectError(f"{self.database} cannot be written ({error}). Nothing was changed. {remedy}") from error
        except BaseException:
            self.journal.take_back(line, before)
            raise
        self._move_files(line)
        return line

    def rebuild(self) -> int:
        """Make the database again from the journal, in one step that readers see whole; return the number of lines."""
        self.journal.close()
        count, offset = 0, 0
        with transaction(self.connection):
            for row in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                self.connection.execute(f'DROP TABLE "{row["name"]}"')
            for script in MIGRATIONS:
                for statement in filter(str.strip, script.split(";")):
                    self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            for line, offset in read_journal(self.layout.journal):
                apply_line(self.connection, line, offset)
                count = line["n"]
        self.journal = JournalWriter(self.layout.journal, count, offset)
        return count

    def close(self) -> None:
        """Close journal and database."""
        self.journal.close()
        self.connection.close()

    def _finish_last_moves(self) -> None:
        """Do the file moves of the last line again, in case its writer died between the database and the files."""
        row = self.connection.execute("SELECT edit FROM history ORDER BY n DESC LIMIT 1").fetchone()
        if row is None or row["edit"] not in {
            "asset.import",
            "result.take-in",
            "trash.add",
            "trash.restore",
            "trash.empty",
        }:
            return
        with self.layout.journal.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            size = 4096
            while True:
                start = stream.seek(max(0, end - size))
                lines = stream.read(end - start).splitlines()
                if start == 0 or len(lines) > 1:
                    break
                size *= 4
        self._move_files(json.loads(lines[-1]))

    def _move_files(self, line: Line) -> None:
        """Move the files of a line to their places; doing it again does no harm."""
        for source_name, target_name in line.get("moves", ()):
            source, target = self.layout.absolute(source_name), self.layout.absolute(target_name)
            if target.exists():
                continue
            if not source.exists():
                LOG.warning("%s is missing: it should have become %s", source, target)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                source.replace(target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                with whole_file(target) as temporary:
                    shutil.copyfile(source, temporary)
                source.unlink()
        if line.get("delete"):
            shutil.rmtree(self.layout.absolute(line["delete"]), ignore_errors=True)
        if line.get("folder"):
            self._write_ids(line["folder"], line["results"][0]["job"])

    def _write_ids(self, folder: str, job: int) -> None:
        """Tell a job's folder what became of its results."""
        rows = self.connection.execute(
            "SELECT key, id, product_kind, product_id, files FROM results WHERE job = ? ORDER BY id", (job,)
        )
        results = {
            row["key"]: {
                "result": row["id"],
                "asset": {"kind": row["product_kind"], "id": row["product_id"]},
                "files": json.loads(row["files"]),
            }
            for row in rows
        }
        if self.layout.absolute(folder).is_dir():
            write_json(self.layout.absolute(folder) / "ids.json", {"format": 1, "results": results})
