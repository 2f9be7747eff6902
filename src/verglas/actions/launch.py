"""From an action, parameters and assets to a job: check, estimate, plan, write the request, start the controller."""

from __future__ import annotations

import datetime
import getpass
import importlib.metadata
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verglas import __version__
from verglas.actions.declaration import DEFAULT_SEED, Action, ActionParameters
from verglas.errors import InputError
from verglas.execution.controller import start_detached
from verglas.execution.job_folder import JobFolder, ProjectReference, Request
from verglas.execution.profile_store import find_profile
from verglas.execution.resources import Plan, check_device, plan, plan_elsewhere, this_machine
from verglas.execution.run_profile import DEFAULT_PROFILE, RunProfile

Assets = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Prepared:
    """A job that was checked and planned but not started: nothing was written yet."""

    action: type[Action]
    parameters: ActionParameters
    inputs: Assets
    project_folder: Path
    project: ProjectReference
    plan: Plan
    profile: RunProfile
    seed: int
    reconstruction_profile: RunProfile | None = None
    clone_of: int | None = None
    origin: str | None = None

    def start(self) -> tuple[JobFolder, subprocess.Popen[bytes]]:
        """Claim a number, write the request and start the controller, detached.

        Returns
        -------
        tuple
            The job's folder and the controller's process, for a caller that waits for it.
        """
        job = JobFolder.claim(self.project_folder / "Jobs", self.action.name)
        job.write_request(
            Request(
                job=job.number,
                action=self.action.name,
                entry=self.action.entry(),
                title=f"{self.action.title} #{job.number}",
                parameters=self.parameters.model_dump(mode="json"),
                inputs=self.inputs,
                project=self.project,
                seed=self.seed,
                resources=self.plan.resources,
                profile=self.profile,
                reconstruction_profile=self.reconstruction_profile,
                estimate=self.plan.estimate,
                versions=versions(),
                created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                user=getpass.getuser(),
                host=platform.node(),
                clone_of=self.clone_of,
                origin=self.origin,
            )
        )
        return job, start_detached(job)


def prepare(
    action: type[Action],
    parameters: dict[str, Any],
    inputs: Assets,
    *,
    project_folder: Path,
    project: ProjectReference,
    seed: int = DEFAULT_SEED,
    device: str = "cpu",
    threads: int | None = None,
    workers: int | None = None,
    profile: str = DEFAULT_PROFILE,
    reconstruction_profile: str | None = None,
    clone_of: int | None = None,
    origin: str | None = None,
) -> Prepared:
    """Check all that can be checked before a job starts, and say what it will take.

    Parameters
    ----------
    action
        What to do.
    parameters
        By name; defaults for the rest.
    inputs
        Asset records (plain JSON) by the name of the input.
    project_folder, project
        Where, and for whom.
    seed
        Key of all random numbers.
    device, threads, workers, profile
        What to run on; threads and workers are chosen from cores and memory unless given.
    reconstruction_profile
        What adds up parts of maps, where that should be another one.
    clone_of, origin
        Number of the job that this one repeats; program that starts it by itself.

    Raises
    ------
    InputError
        A parameter or an input is wrong.
    ResourceError, DeviceError
        Memory, disk or device do not suffice.
    """
    chosen = find_profile(profile)
    if reconstruction_profile and not action.two_profiles:
        raise InputError(f"{action.title} adds up no maps; it takes one run profile.")
    adder = find_profile(reconstruction_profile) if reconstruction_profile else None
    checked = action.check_parameters(parameters)
    for declared in action.inputs:
        if declared.required and not inputs.get(declared.name):
            raise InputError(f"{action.title}: there are no {declared.name} to work on; import some or choose others.")
    unknown = set(inputs) - {declared.name for declared in action.inputs}
    if unknown:
        raise InputError(f"{action.title} does not take {', '.join(sorted(unknown))}.")
    estimate = action().estimate(checked, inputs)
    if adder is not None and not adder.is_local:
        plan_elsewhere(estimate, adder, project_folder)  # does it have the memory?
    if chosen.is_local:
        workers = workers or (chosen.workers if chosen.gpus else None)
        check_device(device)
        planned = plan(estimate, this_machine(), project_folder, threads=threads, workers=workers)
    else:
        planned = plan_elsewhere(estimate, chosen, project_folder, threads=threads, workers=workers)
    names = {"device": device, "profile": profile, "reconstruction_profile": reconstruction_profile}
    resources = planned.resources.model_copy(update=names)
    return Prepared(
        action, checked, inputs, project_folder, project, Plan(resources, planned.estimate), chosen, seed, adder,
        clone_of, origin,
    )  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    packages = ("numpy", "scipy", "numba", "distributed")
    found = {package: importlib.metadata.version(package) for package in packages}
    return {"verglas": __version__, "python": platform.python_version(), **found}
