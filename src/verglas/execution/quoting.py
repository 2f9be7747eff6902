"""Paths as words without any character that a shell, or a shell started by a scheduler, could take for its own."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from urllib.parse import quote, unquote

from verglas.errors import InputError

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./+:=@-]+")


def as_word(path: Path) -> str:
    """Return a path with everything but letters, digits and ``_ . - /`` as %XX."""
    return quote(str(path.absolute()), safe="/").replace("~", "%7E")


def from_word(word: str) -> Path:
    """Return the path that :func:`as_word` was given."""
    return Path(unquote(word))


def start_command(module: str, path: Path) -> str:
    """Return the words that start one of our modules on a file or folder, wherever the same Python can be seen.

    Raises
    ------
    InputError
        Python's own path holds such characters; nothing could be done about them.
    """
    if not _PLAIN_WORD.fullmatch(sys.executable):
        raise InputError(
            f"Python lies in {shlex.quote(sys.executable)}, a name that no scheduler can pass on: install verglas in "
            "a folder without spaces and quotes."
        )
    return f"{sys.executable} -P -m {module} {as_word(path)}"
