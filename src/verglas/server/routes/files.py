"""Files on the server's machine: the browser that dialogs show, confined to the folders the server was started for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from verglas.errors import NotFoundError
from verglas.project.layout import PROJECT_FILE
from verglas.server.answers import answer
from verglas.server.routes.projects import path_of
from verglas.server.workspace import Workspace

MOST_ENTRIES = 5000


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""

    @router.get("/files")
    def files(folder: str = "", endings: str = "") -> Response:
        """List a folder: folders first, then files with one of the endings (``.mrc,.tif``).

        Where none is named, it is the home folder, or the first of those that the page may look at.
        """
        if not folder:
            folder = str(Path.home() if allowed(workspace, Path.home()) else workspace.browse[0])
        place = confined(workspace, path_of(folder))
        if place.is_file():
            place = place.parent
        if not place.is_dir():
            raise NotFoundError(f"{folder}: no such folder.")
        wanted = tuple(part for part in endings.lower().split(",") if part)
        folders: list[dict[str, Any]] = []
        found: list[dict[str, Any]] = []
        count = 0
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                try:
                    if entry.is_dir():
                        folders.append({"name": entry.name, "project": (Path(entry.path) / PROJECT_FILE).is_file()})
                        continue
                    if wanted and not entry.name.lower().endswith(wanted):
                        continue
                    count += 1
                    if len(found) < MOST_ENTRIES:
                        status = entry.stat()
                        found.append({"name": entry.name, "bytes": status.st_size, "changed": status.st_mtime})
                except OSError:
                    continue
        up = place.parent if place != place.parent and allowed(workspace, place.parent) else None
        return answer({
            "folder": place, "parent": up,
            "folders": sorted(folders, key=lambda one: str(one["name"]).lower())[:MOST_ENTRIES],
            "files": sorted(found, key=lambda one: str(one["name"]).lower()), "count": count,
            "is_project": (place / PROJECT_FILE).is_file(), "writable": os.access(place, os.W_OK),
        })  # fmt: skip


def allowed(workspace: Workspace, path: Path) -> bool:
    """Tell whether a path lies below the folders that may be looked at."""
    whole = path.resolve()
    return any(whole.is_relative_to(root) for root in workspace.browse)


def confined(workspace: Workspace, path: Path) -> Path:
    """Return the path with all links followed.

    Raises
    ------
    NotFoundError
        It leads out of the folders that may be looked at.
    """
    whole = path.resolve()
    if not allowed(workspace, whole):
        roots = ", ".join(str(root) for root in workspace.browse)
        raise NotFoundError(
            f"{path} is not below {roots}; `verglas serve --browse DIR` opens more folders to the page."
        )
    return whole
