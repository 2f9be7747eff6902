"""How work is run: job folders, controllers, workers, progress; knows no action."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.controller import run_job, start_detached
    from verglas.execution.job_folder import JobFolder, JobState, Request, Resources
    from verglas.execution.profile_store import find_profile
    from verglas.execution.profile_trial import try_profile
    from verglas.execution.resources import Estimate, Machine, Plan, plan, this_machine
    from verglas.execution.run_profile import RunProfile
    from verglas.execution.tasks import Task

_HOMES = {
    "Estimate": "resources",
    "JobContext": "context",
    "JobFolder": "job_folder",
    "JobState": "job_folder",
    "Machine": "resources",
    "Plan": "resources",
    "Request": "job_folder",
    "Resources": "job_folder",
    "RunProfile": "run_profile",
    "Task": "tasks",
    "find_profile": "profile_store",
    "plan": "resources",
    "run_job": "controller",
    "start_detached": "controller",
    "this_machine": "resources",
    "try_profile": "profile_trial",
}

__all__ = [
    "Estimate",
    "JobContext",
    "JobFolder",
    "JobState",
    "Machine",
    "Plan",
    "Request",
    "Resources",
    "RunProfile",
    "Task",
    "find_profile",
    "plan",
    "run_job",
    "start_detached",
    "this_machine",
    "try_profile",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that help stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"verglas.execution has no {name!r}")
    return getattr(importlib.import_module(f"verglas.execution.{_HOMES[name]}"), name)
