"""Actions that work on assets one by one: each asset becomes one result, and what has one already is left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verglas.execution.context import JobContext
    from verglas.execution.tasks import Task

Work = Callable[[dict[str, Any], "Task"], tuple[dict[str, str], dict[str, Any]]]
"""From an asset's record to files by role and figures; runs on a worker."""


def one_by_one(
    context: JobContext,
    assets: list[dict[str, Any]],
    work: Work,
    *,
    kind: str,
    phase: str,
    warnings_about: Callable[[dict[str, Any], dict[str, Any]], list[str]],
) -> None:
    """Work on every asset that has no result yet and record what comes of it, under the asset's number.

    Parameters
    ----------
    context
        The job's.
    assets
        Records of all assets of the job.
    work
        What is done with one.
    kind
        Kind of the results.
    phase
        What is being done, for the progress line.
    warnings_about
        From record and figures to what a person should know.
    """
    todo = context.pending(assets, key=_key)
    finished = len(assets) - len(todo)
    for asset, (files, values) in context.map(work, todo, key=_key, phase=phase, total=len(assets), finished=finished):
        for warning in warnings_about(asset, values):
            context.message(warning, level="warning")
        paths = {role: Path(path) for role, path in files.items()}
        context.result(_key(asset), kind, paths, values, of=(asset["kind"], asset["id"]))


def _key(asset: dict[str, Any]) -> str:
    return str(asset["id"])
