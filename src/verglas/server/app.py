"""The application: the page's files, the interface below ``/api``, and the guard before both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from verglas import __version__
from verglas.errors import NotFoundError
from verglas.server.access import Access
from verglas.server.answers import add_error_answers, answer
from verglas.server.guard import Guard
from verglas.server.page_files import PageFile, PageFiles
from verglas.server.routes import all_routes
from verglas.server.workspace import Workspace


def create_app(workspace: Workspace, access: Access) -> Any:
    """Return the application, guarded.

    Parameters
    ----------
    workspace
        The projects that are open, and that will be.
    access
        Tokens and sessions.
    """
    page = PageFiles()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        workspace.news.begin()
        yield
        workspace.close_all()

    app = FastAPI(
        title="verglas", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json",
    )  # fmt: skip
    add_error_answers(app)
    app.include_router(all_routes(workspace))

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return sent(page.read("index.html"), request)

    @app.get("/{name:path}", include_in_schema=False)
    async def page_file(name: str, request: Request) -> Response:
        if name.startswith("api/"):
            return answer({"error": f"there is nothing at /{name[:100]}."}, 404)
        try:
            return sent(page.read(name), request)
        except (NotFoundError, ValueError) as error:
            return answer({"error": str(error)}, 404)

    return Guard(app, access, page.policy())


def sent(file: PageFile, request: Request) -> Response:
    """Return a file of the page, or that the browser has it already."""
    headers = {"cache-control": "no-cache", "etag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.kind, headers=headers)
