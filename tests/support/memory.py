"""What a process takes of memory, and functions run in a process of their own so that this can be told."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def status_bytes(name: str) -> int:
    """Return a figure of this process: ``RssAnon`` (without mapped files), ``VmRSS``, or ``VmHWM`` (its maximum)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process."""
    return side_by_side(function, arguments)[0]


def side_by_side(function: Callable[..., Any], *calls: tuple[Any, ...]) -> list[Any]:
    """Call a function several times at once, each in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(calls), mp_context=context) as pool:
        return [one.result() for one in [pool.submit(function, *arguments) for arguments in calls]]
