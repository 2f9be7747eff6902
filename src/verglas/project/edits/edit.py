"""What an edit is, and how it gets numbers that are never given twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from verglas.errors import InputError

Request = dict[str, Any]
Prepared = dict[str, Any]


@dataclass(frozen=True)
class Edit:
    """One kind of line of the journal.

    Attributes
    ----------
    name
        ``edit`` in the journal.
    prepare
        From (database, request) the line's content: everything checked, every number chosen, plain JSON. Raises where
        the request makes no sense; changes nothing.
    apply
        Changes the database by a line. It depends on the line and the database alone, so that a rebuild gives the same.
    summary
        One sentence about a line, for people.
    """

    name: str
    prepare: Callable[[sqlite3.Connection, Request], Prepared]
    apply: Callable[[sqlite3.Connection, Prepared], None]
    summary: Callable[[Prepared], str]


class Numbers:
    """Gives numbers while an edit is prepared, and notes which were used, so that applying it moves the counters."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.used: dict[str, int] = {}

    def take(self, counter: str, first: int = 1) -> int:
        """Return the next number of a counter."""
        if counter in self.used:
            number = self.used[counter]
        else:
            row = self._connection.execute("SELECT next FROM counters WHERE name = ?", (counter,)).fetchone()
            number = int(row["next"]) if row else first
        self.used[counter] = number + 1
        return number


def move_counters(connection: sqlite3.Connection, used: dict[str, int]) -> None:
    """Note that these numbers were given."""
    connection.executemany("INSERT OR REPLACE INTO counters (name, next) VALUES (?, ?)", sorted(used.items()))


def text_of(request: Request, key: str) -> str:
    """Return a text that must not be empty.

    Raises
    ------
    InputError
        It is.
    """
    text = str(request.get(key) or "").strip()
    if not text:
        raise InputError(f"{request['edit']}: {key} is empty; give one.")
    return text
