"""The projects that this user opened last."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from verglas.execution.durable import write_json

KEPT = 20


def recent_file() -> Path:
    """Return where the list is kept."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "verglas" / "recent.json"


def recent_projects() -> list[str]:
    """Return the folders of the projects opened last, the latest first, those that are gone left out."""
    try:
        folders = json.loads(recent_file().read_text())
    except (OSError, ValueError):
        return []
    return [folder for folder in folders if Path(folder).is_dir()]


def remember(folder: Path) -> None:
    """Put a project at the head of the list; a home that cannot be written is no error."""
    kept = [str(folder), *(other for other in recent_projects() if other != str(folder))][:KEPT]
    with suppress(OSError):
        recent_file().parent.mkdir(parents=True, exist_ok=True)
        write_json(recent_file(), kept)
