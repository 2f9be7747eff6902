"""Projects: the list, open, create, close, how one stands, its history, notes and trash, and the stream of news."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from verglas import __version__
from verglas.errors import InputError
from verglas.project import TABLES
from verglas.project.layout import PROJECT_FILE
from verglas.project.lineage import job_edges
from verglas.project.recent import recent_projects
from verglas.server.answers import answer
from verglas.server.workspace import OpenProject, Workspace

EDITS = {
    "asset.rename", "group.add", "group.rename", "group.remove", "group.invert", "group.join", "group.leave",
    "references.set", "result.activate", "selection.add", "selection.change", "sphere.keep", "sphere.remove",
    "note.add", "note.change", "note.remove", "trash.add", "trash.restore", "trash.empty",
}  # fmt: skip
"""The edits that a page may ask for by name; others are made by routes of their own, or by verglas itself."""


class FolderOf(BaseModel):
    """Names a project's folder."""

    folder: str = Field(min_length=1, max_length=4000)


class NewProject(FolderOf):
    """What makes a project."""

    name: str | None = None


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""

    @router.get("/news")
    async def news() -> StreamingResponse:
        """Stream what changes as server-sent events."""
        lines = workspace.news.stream()
        return StreamingResponse(lines, media_type="text/event-stream", headers={"cache-control": "no-store"})

    @router.get("/server")
    def server() -> Response:
        """Tell about the server: version, user, machine, projects."""
        return answer({
            "version": __version__, "user": getpass.getuser(), "host": platform.node(), "home": Path.home(),
            "here": Path.cwd(), "streams": workspace.news.streams,
            "open": [{"key": one.key, "name": one.project.name, "folder": one.project.folder}
                     for one in workspace.all_open()],
            "recent": [{"folder": folder, "name": name_of(Path(folder))} for folder in recent_projects()],
        })  # fmt: skip

    @router.post("/projects/open")
    def open_project(asked: FolderOf) -> Response:
        """Open a project."""
        return answer({"key": workspace.open(path_of(asked.folder)).key})

    @router.post("/projects/create")
    def create_project(asked: NewProject) -> Response:
        """Make a project and open it."""
        return answer({"key": workspace.create(path_of(asked.folder), asked.name or None).key})

    @router.post("/projects/{key}/close")
    def close_project(key: str) -> Response:
        """Close a project; its jobs go on."""
        workspace.close(key)
        return answer({})

    @router.get("/projects/{key}")
    def overview(key: str) -> Response:
        """Tell how a project stands."""
        return answer(standing(workspace.get(key)))

    @router.get("/projects/{key}/disk")
    def disk(key: str) -> Response:
        """Tell what a project takes on its disk, and what is free there."""
        project = workspace.get(key).project
        found = shutil.disk_usage(project.folder)
        return answer({**project.disk_use(), "free": found.free, "total": found.total})

    @router.get("/projects/{key}/history")
    def history(key: str, limit: int = 200) -> Response:
        """Tell what was done, the latest first."""
        return answer({"history": workspace.get(key).project.history(max(1, min(limit, 10000)))})

    @router.get("/projects/{key}/trash")
    def trash(key: str) -> Response:
        """Tell what lies in the trash."""
        return answer({"trash": workspace.get(key).project.trash()})

    @router.get("/projects/{key}/notes")
    def notes(key: str) -> Response:
        """Return the notes."""
        return answer({"notes": workspace.get(key).project.notes()})

    @router.get("/projects/{key}/spheres")
    def spheres(key: str) -> Response:
        """Return the kept focus spheres by name."""
        return answer({"spheres": workspace.get(key).project.spheres()})

    @router.get("/projects/{key}/graph")
    def graph(key: str) -> Response:
        """Tell which job's results went into which job."""
        return answer({"edges": job_edges(workspace.get(key).project)})

    @router.post("/projects/{key}/edit")
    def edit(key: str, asked: dict[str, Any]) -> Response:
        """Carry out an edit: groups, names, notes, active results, trash."""
        opened = workspace.get(key)
        if asked.get("edit") not in EDITS:
            raise InputError(f"a page cannot ask for the edit {asked.get('edit')!r}.")
        try:
            line = opened.project.edit(asked)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the edit {asked['edit']} lacks something or holds nonsense: {error}.") from error
        opened.jobs.wake()
        return answer({"line": line})


def path_of(text: str) -> Path:
    """Return the path that a person typed.

    Raises
    ------
    InputError
        It is not absolute, or no path.
    """
    if "\0" in text:
        raise InputError("a path holds a zero byte.")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"{text[:200]!r}: {error}.") from error
    if not path.is_absolute():
        raise InputError(f"{text[:200]!r} is not a whole path: begin it with / or ~.")
    return path


def name_of(folder: Path) -> str:
    """Return the name that a project's own file says, or its folder's."""
    try:
        return str(json.loads((folder / PROJECT_FILE).read_text())["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name


def standing(opened: OpenProject) -> dict[str, Any]:
    """Return how a project stands."""
    project = opened.project
    return {
        "key": opened.key, "name": project.name, "folder": project.folder,
        "owner": None if project.is_owner else project.owner_words,
        "counts": {kind: project.count(kind) for kind in TABLES}, **project.totals(),
        "particles": project.known("positions", "count")["sum"],
        "with_ctf": project.known("image", "ctf_estimation")["count"], "jobs_list": opened.jobs.summaries(),
        "problems": opened.problems, "recent_edits": project.history(12),
    }  # fmt: skip
