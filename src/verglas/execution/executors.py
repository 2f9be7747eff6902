"""What a job's context asks of whatever runs its items, and the twin that runs them in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from verglas.execution.tasks import Outcome, Task, run_task

Function = Callable[[Any, Task], Any]


class Executor(Protocol):
    """Runs items somewhere and hands back their outcomes as they come."""

    @property
    def slots(self) -> int:
        """How many items run at a time."""
        ...

    def submit(self, function: Function, item: Any, key: str, task: Task, avoid: str = "") -> None:
        """Queue an item; ``avoid`` names a worker that should not get it if there is another."""
        ...

    def wait(self, seconds: float) -> Outcome | None:
        """Return the next outcome, or None when none came in that time.

        Raises
        ------
        JobError
            There is nobody left to run anything.
        """
        ...

    def news(self) -> list[str]:
        """Return what people should be told about the workers since the last time."""
        ...

    def close(self) -> None:
        """Stop everything."""
        ...


class InProcess:
    """Runs items one after the other in this process: for tests, debuggers and tiny jobs."""

    slots = 1

    def __init__(self) -> None:
        self._queue: deque[tuple[Function, Any, str, Task]] = deque()

    def submit(self, function: Function, item: Any, key: str, task: Task, avoid: str = "") -> None:
        """Queue an item."""
        del avoid  # there is but one worker
        self._queue.append((function, item, key, task))

    def wait(self, seconds: float) -> Outcome | None:
        """Run the next item now."""
        del seconds
        return run_task(*self._queue.popleft()) if self._queue else None

    def news(self) -> list[str]:
        """Say nothing: there are no workers."""
        return []

    def close(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
