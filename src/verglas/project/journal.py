"""The append-only record of every edit that is not a job: one JSON object a line, on disk before anything changes."""

from __future__ import annotations

import errno
import getpass
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from verglas.errors import FormatError, ProjectError
from verglas.execution.durable import AppendOnlyFile, finished_lines, sync_file

Line = dict[str, Any]


def read_journal(path: Path, offset: int = 0) -> Iterator[tuple[Line, int]]:
    """Yield each finished line of a journal and the byte offset after it; an unfinished last line is ignored.

    Parameters
    ----------
    path
        ``journal.jsonl``; one that does not exist has no lines.
    offset
        Where to start, an offset that an earlier call gave.

    Raises
    ------
    FormatError
        A finished line is no JSON object with a number and a name of an edit.
    """
    for raw, after in finished_lines(path, offset):
        try:
            line = json.loads(raw)
            if not isinstance(line["n"], int) or not isinstance(line["edit"], str):
                raise TypeError("n or edit")
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(
                path,
                f"the line that ends at byte {after} is damaged: {raw[:80]!r} ({error}).",
                "Restore the journal from a backup; without this line the project cannot be rebuilt.",
            ) from error
        yield line, after


def user_name() -> str:
    """Return who runs this process, as far as the system knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def no_space(error: BaseException) -> bool:
    """Tell whether an error means that a disk, quota or file size limit was reached."""
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return True
    return "disk is full" in str(error) or "disk I/O error" in str(error)


class JournalWriter:
    """The owner's end of the journal.

    Opening cuts off an unfinished last line: its edit never happened.

    Parameters
    ----------
    path
        ``journal.jsonl``.
    last_number, offset
        Number of the last finished line and the byte offset after it.
    """

    def __init__(self, path: Path, last_number: int, offset: int) -> None:
        self.path = path
        self._file = AppendOnlyFile(path)
        self.last_number = last_number
        self.offset = offset

    def append(self, edit: dict[str, Any], request: str | None = None) -> tuple[Line, int]:
        """Write one edit and wait until it is on disk.

        Parameters
        ----------
        edit
            The prepared edit: plain JSON with its name under ``edit``.
        request
            Name of the letter it came with, so that no letter is answered twice.

        Returns
        -------
        line, offset
            The line as written, with number, time and user, and the byte offset after it.

        Raises
        ------
        ProjectError
            The line could not be written (disk full, say); the journal is as before.
        """
        line: Line = {"n": self.last_number + 1, "t": round(time.time(), 3), **edit}
        line["user"], line["host"] = user_name(), platform.node()
        if request is not None:
            line["request"] = request
        raw = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        if self.path.stat().st_size != self.offset:
            raise ProjectError(
                f"{self.path} was changed by somebody else while this process owned the project. "
                "Nothing was written; close this project and open it again."
            )
        try:
            self._file.append(raw, durable=True)
        except OSError as error:
            remedy = "Free some space and try again." if no_space(error) else "Check the disk and try again."
            raise ProjectError(f"{self.path} cannot be written ({error}). Nothing was changed. {remedy}") from error
        self.last_number += 1
        self.offset += len(raw) + 1
        return line, self.offset

    def take_back(self, line: Line, before: int) -> None:
        """Remove the line just written, whose edit could not be carried out.

        Parameters
        ----------
        line
            What `append` returned.
        before
            The offset before it.
        """
        assert line["n"] == self.last_number
        os.truncate(self.path, before)
        sync_file(self.path)
        self.last_number -= 1
        self.offset = before

    def close(self) -> None:
        """Close the file."""
        self._file.close()
