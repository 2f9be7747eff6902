"""Sums of arrays over fixed chunks in a fixed order, so that who computed what, or a resume, changes no bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from verglas.errors import JobError
from verglas.execution.durable import whole_file
from verglas.execution.tasks import Task

if TYPE_CHECKING:
    from verglas.execution.context import JobContext

Arrays = dict[str, np.ndarray]
ChunkFunction = Callable[[Sequence[Any], Task], Arrays]


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write named arrays whole to an ``.npz`` file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path) -> Arrays:
    """Read named arrays."""
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def sum_over_chunks(
    context: JobContext, name: str, function: ChunkFunction, items: Sequence[Any], *, chunk_size: int, phase: str = ""
) -> Arrays:
    """Sum what ``function(chunk, task)`` returns over all chunks of ``items``.

    Parameters
    ----------
    name
        Folder in Scratch for the partial sums, unique in the job (``round-03-half-1``); a resumed job goes on from
        the whole chunks it finds there.
    function
        Given consecutive items, returns named arrays whose shapes are the same for each chunk (float64 for long sums).
    items
        In an order that is the same in every attempt.
    chunk_size
        Items a chunk. It must not depend on workers or threads: it is part of the answer.

    Returns
    -------
    dict
        The sums by name. Partial sums are added pairwise, neighbours first.

    Raises
    ------
    JobError
        A chunk failed twice; a sum that lacks some items would be silently wrong.
    """
    folder = context.scratch / name
    total = folder / "sum.npz"
    if total.exists():
        return load_arrays(total)
    if not items:
        raise JobError(f"{name}: there is nothing to sum.")
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(items), chunk_size)
    level = [folder / f"level-0-{number:06d}.npz" for number in range(len(starts))]
    work = [(path, items[start : start + chunk_size]) for path, start in zip(level, starts, strict=True)]
    parents = _parents(level)
    missing = [(path, chunk) for path, chunk in work if not _is_covered(path, parents)]
    _run(context, partial(_sum_chunk, function), missing, phase or name, len(work))
    depth = 0
    while len(level) > 1:
        depth += 1
        pairs = [level[start : start + 2] for start in range(0, len(level), 2)]
        level = [folder / f"level-{depth}-{number:06d}.npz" for number in range(len(pairs))]
        todo = [(path, pair) for path, pair in zip(level, pairs, strict=True) if not _is_covered(path, parents)]
        _run(context, _sum_pair, todo, f"{phase or name}, adding up", len(pairs), adding=True)
    level[0].replace(total)
    return load_arrays(total)


def _run(
    context: JobContext, function: Any, work: list[tuple[Path, Any]], phase: str, total: int, *, adding: bool = False
) -> None:
    keys = {path: f"{path.parent.name}/{path.stem}" for path, _ in work}
    made = {
        item[0]
        for item, _ in context.map(
            function,
            work,
            key=lambda item: keys[item[0]],
            phase=phase,
            total=total,
            finished=total - len(work),
            adding=adding,
        )
    }
    lost = [keys[path] for path, _ in work if path not in made]
    if lost:
        raise JobError(f"{len(lost)} part(s) of a sum failed twice ({lost[0]} first); log.txt says why.")


def _parents(level: list[Path]) -> dict[Path, Path]:
    """Return for each partial sum the one it goes into."""
    found: dict[Path, Path] = {}
    depth = 0
    while len(level) > 1:
        depth += 1
        folder = level[0].parent
        above = [folder / f"level-{depth}-{number:06d}.npz" for number in range((len(level) + 1) // 2)]
        found |= {path: above[number // 2] for number, path in enumerate(level)}
        level = above
    return found


def _is_covered(path: Path, parents: dict[Path, Path]) -> bool:
    """Tell whether a partial sum, or one that already contains it, lies whole on disk."""
    while not path.exists():
        if path not in parents:
            return False
        path = parents[path]
    return True


def _sum_chunk(function: ChunkFunction, item: tuple[Path, Sequence[Any]], task: Task) -> None:
    path, chunk = item
    save_arrays(path, function(chunk, task))


def _sum_pair(item: tuple[Path, list[Path]], task: Task) -> None:
    path, pair = item
    task.check()
    if path.exists():
        return  # a worker of a killed controller was faster, and has removed the parts
    total = load_arrays(pair[0])
    for other in pair[1:]:
        for name, array in load_arrays(other).items():
            total[name] = total[name] + array
    save_arrays(path, total)
    for part in pair:
        part.unlink(missing_ok=True)
