"""Call an action from Python: ``project_run(project, "align-movies", movies="all good ones", max_shift_A=30)``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from verglas.actions.declaration import DEFAULT_SEED
from verglas.actions.launch import prepare
from verglas.actions.registry import load_action
from verglas.actions.selection import select_inputs
from verglas.errors import JobError
from verglas.execution.events import FailureEvent, ResultEvent
from verglas.execution.job_folder import JobFolder, JobState, ProjectReference
from verglas.execution.run_profile import DEFAULT_PROFILE

if TYPE_CHECKING:
    from verglas.project import Project


@dataclass(frozen=True)
class Run:
    """A job that was run: its folder, the state it ended in, its results and the items set aside."""

    job: JobFolder
    state: JobState
    results: dict[str, ResultEvent]
    failures: dict[str, FailureEvent]


def project_run(
    project: Project,
    action: str,
    *,
    seed: int = DEFAULT_SEED,
    device: str = "cpu",
    threads: int | None = None,
    workers: int | None = None,
    profile: str = DEFAULT_PROFILE,
    reconstruction_profile: str | None = None,
    **values: Any,
) -> Run:
    """Run an action on assets of a project, wait for it, and take its results in.

    Parameters
    ----------
    project
        Open for writing.
    action
        Its name, ``align-movies``.
    seed, device, threads, workers, profile, reconstruction_profile
        As the command's options.
    **values
        Inputs (a group's name, or numbers) and parameters by their names; defaults for the rest.

    Raises
    ------
    InputError, ResourceError, DeviceError
        The job was not started.
    JobError
        It failed. Items that were set aside are no error: see ``failures``.
    """
    declared = load_action(action)
    names = {one.name for one in declared.inputs}
    inputs = select_inputs(project, declared, {name: values[name] for name in names & set(values)})
    prepared = prepare(
        declared, {name: value for name, value in values.items() if name not in names}, inputs,
        project_folder=project.folder, project=ProjectReference(name=project.name, id=project.id),
        seed=seed, device=device, threads=threads, workers=workers, profile=profile,
        reconstruction_profile=reconstruction_profile,
    )  # fmt: skip
    job, process = prepared.start()
    process.wait()
    state = job.state()
    results, failures = job.results(), job.failures()
    project.take_in()
    if state.name != "done":
        raise JobError(f"Job {job.number} is {state.name}: {state.message or f'see {job.log_path}'}.")
    return Run(job, state, results, failures)
