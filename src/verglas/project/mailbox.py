"""Edits sent to the owner of a project as files, and its answers: no sockets, so it works across hosts."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from verglas import errors
from verglas.execution.durable import write_whole

LETTER = ".letter.json"
ANSWER = ".answer.json"
ANSWER_KEPT_SECONDS = 86_400


def post(mailbox: Path, request: dict[str, Any]) -> str:
    """Leave a request for the owner and return the letter's name."""
    name = uuid.uuid4().hex
    write_whole(mailbox / f"{name}{LETTER}", json.dumps(request, allow_nan=False).encode())
    return name


def letters(mailbox: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the waiting letters, the oldest first."""
    found = []
    for path in mailbox.glob(f"*{LETTER}"):
        with suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path.name.removesuffix(LETTER), json.loads(path.read_text())))
    return [(name, request) for _, name, request in sorted(found, key=lambda letter: letter[:2])]


def answer(mailbox: Path, name: str, content: dict[str, Any]) -> None:
    """Answer a letter and take it out of the box."""
    write_whole(mailbox / f"{name}{ANSWER}", json.dumps(content).encode())
    (mailbox / f"{name}{LETTER}").unlink(missing_ok=True)


def remove_old_answers(mailbox: Path) -> None:
    """Remove answers that nobody fetched for a day: their senders are dead."""
    for path in mailbox.glob(f"*{ANSWER}"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > ANSWER_KEPT_SECONDS:
                path.unlink()


def error_content(error: errors.VerglasError) -> dict[str, Any]:
    """Return the answer that says why an edit was refused."""
    return {"error": type(error).__name__, "message": str(error)}


def read_answer(mailbox: Path, name: str) -> dict[str, Any] | None:
    """Return the line that an edit became, or None while there is no answer; both papers leave the box.

    The letter goes here too, since its answer can be seen a moment before the owner takes the letter out.

    Raises
    ------
    VerglasError
        The owner refused the edit; the same error as if it had been tried here.
    """
    path = mailbox / f"{name}{ANSWER}"
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    (mailbox / f"{name}{LETTER}").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    if "error" not in content:
        return content
    found = getattr(errors, content["error"], errors.ProjectError)
    raise (errors.ProjectError if found is errors.FormatError else found)(content["message"])
