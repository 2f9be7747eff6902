"""A project: open it, read it, edit it - as its owner, or through the owner where another process is it."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from verglas.errors import ProjectError, ProjectLockedError, VerglasError
from verglas.project import mailbox
from verglas.project.assets import (
    Record,
)
from verglas.project.database import connect
from verglas.project.intake import is_waiting, take_in
from verglas.project.journal import Line
from verglas.project.layout import Layout, ProjectFile, check_name
from verglas.project.owner import Ownership, current_owner
from verglas.project.reading import ProjectReading
from verglas.project.store import Store, applied

SERVE_SECONDS = 0.05
TAKE_IN = {"ask": "take-in"}


class Project(ProjectReading):
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
