"""The HTTP interface: one file a subject, each adding its routes to the application."""

from __future__ import annotations

from fastapi import APIRouter

from verglas.server.routes import (
    actions,
    assets,
    files,
    imports,
    jobs,
    maps,
    particles,
    picks,
    pictures,
    profiles,
    projects,
)
from verglas.server.workspace import Workspace

SUBJECTS = (projects, assets, imports, files, actions, jobs, pictures, picks, maps, particles, profiles)


def all_routes(workspace: Workspace) -> APIRouter:
    """Return all routes, below ``/api``."""
    router = APIRouter(prefix="/api")
    for subject in SUBJECTS:
        subject.add_routes(router, workspace)
    return router
