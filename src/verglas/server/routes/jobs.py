"""Jobs: the list, one with all about it, its log and figures, and cancel, pause and resume."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from verglas.errors import InputError
from verglas.execution import job_control
from verglas.execution.events import FiguresEvent, MessageEvent
from verglas.execution.job_folder import JobFolder
from verglas.server.answers import answer
from verglas.server.workspace import Workspace

LOG_BYTES = 200_000
MOST_RESULTS = 500


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""

    def find(key: str, number: int) -> JobFolder:
        return JobFolder.find(workspace.get(key).project.layout.jobs, number)

    @router.get("/projects/{key}/jobs")
    def jobs(key: str) -> Response:
        """Return where all jobs stand, the latest first."""
        return answer({"jobs": workspace.get(key).jobs.summaries()})

    @router.get("/projects/{key}/jobs/{number}")
    def job(key: str, number: int) -> Response:
        """Return all about a job; of many results the last ones."""
        found = find(key, number)
        summary = job_control.summary_of(found)
        summary["ids"] = json.loads(found.ids_path.read_text())["results"] if found.ids_path.exists() else {}
        summary["results_total"] = len(summary["results"])
        summary["results"] = summary["results"][-MOST_RESULTS:]
        return answer(summary)

    @router.get("/projects/{key}/jobs/{number}/log")
    def log(key: str, number: int, offset: Annotated[int, Query(ge=0, le=2**50)] = 0) -> Response:
        """Return the log from an offset on; a long one is cut at its beginning."""
        path = find(key, number).log_path
        if not path.exists():
            return answer({"text": "", "offset": 0})
        size = path.stat().st_size
        begin = max(min(offset, size), size - LOG_BYTES)
        with path.open("rb") as stream:
            stream.seek(begin)
            text = stream.read(LOG_BYTES)
        return answer({"text": text.decode(errors="replace"), "offset": begin + len(text), "cut": begin > offset})

    @router.get("/projects/{key}/jobs/{number}/figures")
    def figures(key: str, number: int) -> Response:
        """Return the numbers for live plots and the messages."""
        found: list[dict[str, Any]] = []
        messages: list[dict[str, Any]] = []
        for event in find(key, number).events():
            if isinstance(event, FiguresEvent):
                found.append({"t": event.t, **event.values})
            elif isinstance(event, MessageEvent):
                messages.append({"t": event.t, "level": event.level, "text": event.text})
        return answer({"figures": found[-5000:], "messages": messages[-500:]})

    @router.post("/projects/{key}/jobs/{number}/{what}")
    def control(key: str, number: int, what: str) -> Response:
        """Cancel, pause or resume a job, or have a search end with the maps it has."""
        opened, found = workspace.get(key), find(key, number)
        if what == "resume":
            opened.started(job_control.resume(found))
            words = "goes on"
        elif what == "cancel":
            words = job_control.cancel(found)
        elif what == "pause":
            words = job_control.pause(found)
        elif what in ("take-current", "take-last-start"):
            words = job_control.take(found, what)
        else:
            raise InputError(
                f"a job cannot be asked to {what!r}: cancel, pause, resume, take-current and take-last-start are known."
            )
        opened.jobs.wake()
        return answer({"words": f"Job {number} {words}."})
