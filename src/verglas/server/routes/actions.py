"""Actions: their declarations for forms, what a job would need, and starting one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from verglas.actions.declaration import DEFAULT_SEED
from verglas.actions.launch import Prepared, prepare
from verglas.actions.registry import load_action
from verglas.actions.selection import Choice, select_inputs
from verglas.actions.table import ACTIONS
from verglas.errors import InputError, VerglasError
from verglas.execution.job_folder import ProjectReference
from verglas.execution.run_profile import DEFAULT_PROFILE
from verglas.server.answers import answer
from verglas.server.workspace import OpenProject, Workspace


class InputChoice(BaseModel):
    """Which assets: a group, or numbers."""

    group: int | None = None
    numbers: list[int] | None = Field(None, max_length=200_000)


class Running(BaseModel):
    """Where and how a job runs; what is not said is chosen from cores and memory."""

    profile: str = DEFAULT_PROFILE
    reconstruction_profile: str | None = None
    device: str = "cpu"
    threads: Annotated[int, Field(ge=1, le=4096)] | None = None
    workers: Annotated[int, Field(ge=1, le=100_000)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = DEFAULT_SEED


class Wanted(BaseModel):
    """A job that is wanted."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: dict[str, InputChoice] = Field(default_factory=dict)
    running: Running = Running()
    clone_of: int | None = None


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""

    @router.get("/actions")
    def actions() -> Response:
        """Return all actions in the order of work, each as its declaration says."""
        return answer({"actions": [load_action(name).schema() for name in ACTIONS]})

    @router.post("/projects/{key}/actions/{name}/estimate")
    def estimate(key: str, name: str, wanted: Wanted) -> Response:
        """Check a job and tell what it would need, or as ``error`` why it cannot be started; nothing is started."""
        opened = workspace.get(key)
        load_action(name)
        try:
            prepared = prepared_job(opened, name, wanted)
        except VerglasError as error:
            return answer({"error": str(error)})
        return answer({
            "words": prepared.plan.words, "estimate": prepared.plan.estimate.model_dump(),
            "resources": prepared.plan.resources.model_dump(),
            "inputs": {name: len(records) for name, records in prepared.inputs.items()},
        })  # fmt: skip

    @router.post("/projects/{key}/actions/{name}/start")
    def start(key: str, name: str, wanted: Wanted) -> Response:
        """Start a job; it goes on by itself."""
        opened = workspace.get(key)
        job, process = prepared_job(opened, name, wanted).start()
        opened.started(process)
        return answer({"job": job.number})


def prepared_job(opened: OpenProject, name: str, wanted: Wanted) -> Prepared:
    """Return the job, checked and planned.

    Raises
    ------
    InputError, ResourceError, DeviceError
        It cannot be started as it is.
    """
    action, project = load_action(name), opened.project
    opened.settle()
    kinds = {declared.name: declared.kind for declared in action.inputs}
    choices: dict[str, Choice] = {}
    for one, choice in wanted.inputs.items():
        if one not in kinds:
            raise InputError(f"{action.title} does not take {one}.")
        if choice.numbers is not None:
            choices[one] = choice.numbers
        elif choice.group is not None:
            choices[one] = project.group(kinds[one], choice.group)[1]
    running = wanted.running
    return prepare(
        action, wanted.parameters, select_inputs(project, action, choices), project_folder=project.folder,
        project=ProjectReference(name=project.name, id=project.id), seed=running.seed, device=running.device,
        threads=running.threads, workers=running.workers, profile=running.profile,
        reconstruction_profile=running.reconstruction_profile, clone_of=wanted.clone_of,
    )  # fmt: skip
