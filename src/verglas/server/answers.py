"""How the server answers: strict JSON, and errors as a status with a sentence."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from verglas.errors import FormatError, InputError, JobError, NotFoundError, ProjectLockedError, VerglasError
from verglas.execution.plain_json import as_plain

STATUS: tuple[tuple[type[VerglasError], int], ...] = (
    (NotFoundError, 404),
    (InputError, 400),
    (FormatError, 422),
    (ProjectLockedError, 409),
    (JobError, 409),
    (VerglasError, 409),
)


def answer(content: Any, status: int = 200) -> Response:
    """Return content as strict JSON."""
    text = json.dumps(as_plain(content), ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode(), status, media_type="application/json")


def add_error_answers(app: FastAPI) -> None:
    """Have errors that verglas raises on purpose, and files that cannot be read, become answers."""

    def refuse(_: Request, error: Exception) -> Response:
        status = next((status for kind, status in STATUS if isinstance(error, kind)), 409)
        return answer({"error": str(error)}, status)

    def unreadable(_: Request, error: Exception) -> Response:
        assert isinstance(error, OSError)
        where = f"{error.filename}: " if error.filename else ""
        return answer({"error": f"{where}{error.strerror or error}. Check the path and your rights to it."}, 409)

    app.add_exception_handler(VerglasError, refuse)
    app.add_exception_handler(OSError, unreadable)
