"""Picks of an image: read them, preview a threshold, add and remove places, undo and redo."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from verglas.actions.find_particles import FindParticles, preview_picks
from verglas.errors import InputError, VerglasError
from verglas.formats.npy import read_npy
from verglas.project.pick_edits import PickState, changed, edit_picks, picks_of, redo_picks, state_of, undo_picks
from verglas.server.answers import answer
from verglas.server.workspace import OpenProject, Workspace

Place = tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]]


class Change(BaseModel):
    """What is asked of an image's picks; places in A from the first pixel's centre."""

    add: list[Place] = Field(default_factory=list, max_length=10_000)
    remove: list[Place] = Field(default_factory=list, max_length=10_000)
    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None


class Tried(BaseModel):
    """Parameters of Find Particles that are tried on one image."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    template_map: int | None = None


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""

    @router.post("/projects/{key}/picks/{image}/preview")
    def preview(key: str, image: int, asked: Tried) -> Response:
        """Return what Find Particles would pick in an image by these parameters, or ``error``; nothing is kept."""
        project = workspace.get(key).project
        template_map = None if asked.template_map is None else project.asset("volume", asked.template_map)
        record = project.asset("image", image)
        try:
            FindParticles.check_parameters(asked.parameters)
            found = workspace.previews.run(preview_picks, record, asked.parameters, template_map, project.folder)
        except VerglasError as error:
            return answer({"error": str(error)})
        return answer(found)

    @router.get("/projects/{key}/picks/{image}")
    def picks(key: str, image: int, threshold: Annotated[float | None, Query(allow_inf_nan=False)] = None) -> Response:
        """Return the picks of an image; with a threshold, what they would be."""
        opened = workspace.get(key)
        state = state_of(opened.project, image)
        if threshold is not None:
            state = changed(opened.project, state, threshold=threshold)
        return answer(told(opened, state))

    @router.post("/projects/{key}/picks/{image}")
    def change(key: str, image: int, asked: Change) -> Response:
        """Change the picks of an image; one line of the journal, which can be undone."""
        opened = workspace.get(key)
        edit_picks(opened.project, [image], add=asked.add, remove=asked.remove, threshold=asked.threshold)
        opened.jobs.wake()
        return answer(told(opened, state_of(opened.project, image)))

    @router.post("/projects/{key}/picks/{image}/{what}")
    def step(key: str, image: int, what: str) -> Response:
        """Undo or redo a change."""
        opened = workspace.get(key)
        if what not in {"undo", "redo"}:
            raise InputError(f"picks cannot be asked to {what!r}: undo or redo a change.")
        (undo_picks if what == "undo" else redo_picks)(opened.project, image)
        opened.jobs.wake()
        return answer(told(opened, state_of(opened.project, image)))


def told(opened: OpenProject, state: PickState) -> dict[str, Any]:
    """Return picks and what can be done with them."""
    project = opened.project
    found = picks_of(project, state)
    root, active = project.result(state.root), project.result(state.result)
    image = active["of"]["id"]
    scores = None
    if "candidates" in root["files"]:
        scores = read_npy(project.folder / root["files"]["candidates"])["peak_height"].astype(float).tolist()
    undone = [one for one in project.results("image", image) if one["values"].get("edited_from") == state.result]
    return {
        "result": state.result, "root": state.root, "threshold": state.threshold, "count": len(found),
        "x_A": found["x_A"].astype(float).tolist(), "y_A": found["y_A"].astype(float).tolist(),
        "score": found["peak_height"].astype(float).tolist(), "candidates": scores,
        "radius_A": root["values"].get("radius_A"), "added": len(state.added), "removed": len(state.removed),
        "can_undo": active["values"].get("edited_from") is not None, "can_redo": bool(undone),
    }  # fmt: skip
