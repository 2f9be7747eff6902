"""Run profiles: list, save, remove, and a test with a tiny real job."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field, ValidationError

from verglas.errors import InputError
from verglas.execution.profile_store import BUILT_IN, all_profiles, find_profile, remove_profile, save_profile
from verglas.execution.profile_trial import try_profile
from verglas.execution.resources import this_machine
from verglas.execution.run_profile import RunProfile
from verglas.server.answers import answer
from verglas.server.workspace import Workspace


class Named(BaseModel):
    """Names a profile."""

    name: str


class Saved(BaseModel):
    """A profile to keep."""

    profile: dict[str, Any]
    replace: bool = False


class Trial(Named):
    """A test of a profile."""

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    patience: Annotated[float, Field(gt=0, le=600)] = 60.0


def add_routes(router: APIRouter, workspace: Workspace) -> None:
    """Add the routes."""

    @router.get("/profiles")
    def profiles() -> Response:
        """Return all run profiles, and what this machine has."""
        machine = this_machine()
        return answer({
            "profiles": [
                {**one.model_dump(), "built_in": one.name in BUILT_IN, "local": one.is_local, "workers": one.workers}
                for one in all_profiles()
            ],
            "cores": machine.cores, "memory_bytes": machine.memory_bytes,
        })  # fmt: skip

    @router.post("/profiles/save")
    def save(asked: Saved) -> Response:
        """Keep a profile among the user's own."""
        try:
            profile = RunProfile.model_validate(asked.profile)
        except ValidationError as error:
            words = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise InputError(f"The profile cannot be kept: {words}.") from error
        save_profile(profile, replace=asked.replace)
        return answer({"name": profile.name})

    @router.post("/profiles/remove")
    def remove(asked: Named) -> Response:
        """Remove one of the user's own profiles."""
        remove_profile(asked.name)
        return answer({})

    @router.post("/projects/{key}/profiles/test")
    def test(key: str, asked: Trial) -> Response:
        """Run a tiny job by a profile, in the project's Scratch, and return what its workers said of themselves."""
        scratch = workspace.get(key).project.layout.scratch
        scratch.mkdir(exist_ok=True)
        found = find_profile(asked.name)
        answers = try_profile(found, scratch, asked.workers, found.threads, patience=asked.patience)
        return answer({"workers": [asdict(one) for one in answers]})
