"""Auto Refine's classes: found in each half set, on workers, at the poses of the one class that all were refined as."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from verglas.actions.auto_refine import settings_of
from verglas.actions.auto_refine_ctf import table_now
from verglas.actions.refinement_rounds import kept_arrays, round_name, state_of
from verglas.errors import JobError

if TYPE_CHECKING:
    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.tasks import Task
    from verglas.stages.refinement import RefinementState


def begin_classes(context: JobContext, state: RefinementState, kept: dict[str, np.ndarray]) -> None:
    """Find classes after a round, and keep the round's state and particles as the next one starts from them.

    Raises
    ------
    JobError
        A half set's classes could not be found.
    """
    from verglas.engine import ParticleStack
    from verglas.execution.reduction import load_arrays
    from verglas.stages.refinement import PoseRows, Variation, with_classes

    settings = settings_of(context.parameters, context.inputs, context.seed)
    paths = [context.scratch / file_name(state.number, half) for half in (0, 1)]
    waiting = [half for half in (0, 1) if not paths[half].exists()]
    work = partial(vary_half, parameters=context.parameters.model_dump(), inputs=context.inputs, number=state.number)
    for _ in context.map(
        work, waiting, key=lambda half: f"classes-{half}", phase=f"finding {settings.classes} classes",
        total=2, finished=2 - len(waiting),
    ):  # fmt: skip
        pass
    context.check()
    if not all(path.exists() for path in paths):
        raise JobError("The classes of a half set could not be found; the log says why. Resume the job to try again.")
    first, second = (Variation(**load_arrays(path)) for path in paths)
    table = table_now(context.scratch, context.project, context.inputs, state)
    with ParticleStack(table, context.project) as stack:
        after, rows = with_classes(state, PoseRows.from_arrays(kept), stack, settings, first, second)
    context.message(
        f"After round {state.number} {settings.classes} classes were found in how images depart from the map of all."
    )
    context.keep(round_name(state.number), kept_arrays(after, rows))


def file_name(number: int, half: int) -> str:
    """Return what a half set's variation is kept as in Scratch."""
    return f"{round_name(number)}-classes-{half}.npz"


def vary_half(
    half: int, task: Task, parameters: dict[str, Any], inputs: dict[str, list[dict[str, Any]]], number: int
) -> None:
    """Find on a worker how particles of a half set vary; that is left in Scratch."""
    from verglas.actions.auto_refine import AutoRefine
    from verglas.engine import ParticleStack
    from verglas.execution.reduction import load_arrays, save_arrays
    from verglas.stages.refinement import PoseRows, RefinementState, variation_of_half

    settings = settings_of(AutoRefine.Parameters.model_validate(parameters), inputs, task.seed, task.project)
    kept = load_arrays(task.scratch / f"{round_name(number)}.npz")
    state, rows = RefinementState.from_arrays(state_of(kept)), PoseRows.from_arrays(kept)
    with ParticleStack(table_now(task.scratch, task.project, inputs, state), task.project) as stack:
        found = variation_of_half(state, rows, stack, settings, half, threads=task.threads, check=task.check)
    save_arrays(task.scratch / file_name(number, half), found.arrays())
