"""What a job will need, what this machine has, and how many workers of how many threads fit."""

from __future__ import annotations

import importlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from verglas.errors import DeviceError, InputError, ResourceError
from verglas.execution.job_folder import Resources, StatedEstimate
from verglas.execution.run_profile import RunProfile

CGROUP = Path("/sys/fs/cgroup")
KEEP_FREE = 0.05
"""Fraction of the memory that is left to others."""
CONTROLLER_BYTES = 150_000_000
"""A controller with Dask's scheduler, as measured."""
WORKER_BYTES = 200_000_000
"""An idle worker with its libraries, as measured; an action's statement comes on top."""


@dataclass(frozen=True)
class Estimate:
    """What an action says it will need for given inputs and parameters.

    Attributes
    ----------
    memory_bytes
        Of one worker at its work, beside the libraries it loads.
    disk_bytes
        Results and Scratch together, at their largest.
    core_seconds
        Computing time of all items together, on one core.
    tasks
        How many items can run side by side at most.
    """

    memory_bytes: int
    disk_bytes: int
    core_seconds: float
    tasks: int = 1


@dataclass(frozen=True)
class Machine:
    """What this process may use: its cores, and the memory that is free now; both as far as its cgroup lets it."""

    cores: int
    memory_bytes: int


@dataclass(frozen=True)
class Plan:
    """Resources of a job and what it will take with them."""

    resources: Resources
    estimate: StatedEstimate

    @property
    def words(self) -> str:
        """Say it to a person."""
        return (
            f"{self.resources.workers} worker(s) of {self.resources.threads} thread(s), "
            f"{gigabytes(self.estimate.memory_bytes)} of memory, {gigabytes(self.estimate.disk_bytes)} of disk, "
            f"about {duration(self.estimate.seconds)}"
        )


def gigabytes(size: int) -> str:
    """Return a size for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.2f} MB"


def duration(seconds: float) -> str:
    """Return a time for people."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def this_machine(cgroup: Path = CGROUP) -> Machine:
    """Return what this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = psutil.virtual_memory().available
    for folder in _own_cgroups(cgroup):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        if limit is not None:
            memory = min(memory, max(0, limit - used))
        share = _cpu_share(folder / "cpu.max")
        if share is not None:
            cores = max(1, min(cores, int(share)))
    return Machine(cores, memory)


def _own_cgroups(root: Path) -> list[Path]:
    """Return this process's cgroup folders from the root down (version 2, and version 1's memory controller)."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = [root]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in {"", "memory"}:
            folder = root / controllers if controllers else root
            for part in Path(path).parts[1:]:
                folder = folder / part
                folders.append(folder)
    return folders


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # absent, or "max"
        return None


def _cpu_share(path: Path) -> float | None:
    try:
        quota, period = path.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


def check_device(device: str) -> None:
    """Make sure that a device is there.

    Raises
    ------
    InputError
        The name is not ``cpu`` or ``cuda``.
    DeviceError
        There is no CUDA device, or no driver for it.
    """
    if device not in {"cpu", "cuda"}:
        raise InputError(f"There is no device {device!r}; choose cpu or cuda.")
    if device == "cuda":
        cuda: Any = importlib.import_module("numba.cuda")
        if not cuda.is_available():
            raise DeviceError(
                "No CUDA device is to be found here; `verglas doctor` says more, --device cpu does without."
            )


def plan(
    estimate: Estimate, machine: Machine, folder: Path, *, threads: int | None = None, workers: int | None = None
) -> Plan:
    """Choose workers and threads, and state what the job will take.

    Unless told otherwise there is a worker per core with one thread; fewer workers with more threads where memory or
    the number of tasks does not allow so many.

    Parameters
    ----------
    estimate
        What the action says.
    machine
        What there is.
    folder
        Where the project lies: its disk must hold the results.
    threads, workers
        What the user asked for.

    Raises
    ------
    ResourceError
        Memory or disk do not suffice; the message says what would.
    """
    each = WORKER_BYTES + estimate.memory_bytes
    budget = int(machine.memory_bytes * (1 - KEEP_FREE)) - CONTROLLER_BYTES
    fitting = max(0, budget // each)
    if workers is None:
        wanted = max(1, machine.cores // (threads or 1))
        workers = max(1, min(wanted, estimate.tasks, fitting))
    if threads is None:
        threads = max(1, machine.cores // workers)
    if workers > fitting:
        remedy = f"--workers {fitting} would fit" if fitting else "use a machine with more, or smaller images"
        raise ResourceError(
            f"{workers} worker(s) need {gigabytes(CONTROLLER_BYTES + workers * each)} of memory, and "
            f"{gigabytes(machine.memory_bytes)} are free: {remedy}."
        )
    check_disk(estimate, folder)
    return _planned(estimate, workers, threads, max(1, min(machine.cores, workers * threads)))


def plan_elsewhere(
    estimate: Estimate, profile: RunProfile, folder: Path, *, threads: int | None = None, workers: int | None = None
) -> Plan:
    """State what a job will take on the workers of a run profile, of which there are no more than tasks.

    Parameters
    ----------
    estimate
        What the action says.
    profile
        Where it will run.
    folder
        Where the project lies: its disk must hold the results.
    threads, workers
        What the user asked for, instead of what the profile says.

    Raises
    ------
    ResourceError
        The profile's memory of a worker, or the disk, does not suffice.
    """
    each = WORKER_BYTES + estimate.memory_bytes
    if profile.worker_memory_bytes is not None and each > profile.worker_memory_bytes:
        raise ResourceError(
            f"A worker needs {gigabytes(each)} of memory, and run profile {profile.name!r} gives it "
            f"{gigabytes(profile.worker_memory_bytes)}: ask for more in its commands and its memory."
        )
    check_disk(estimate, folder)
    threads = threads or profile.threads
    workers = max(1, min(workers or profile.workers, estimate.tasks))
    return _planned(estimate, workers, threads, workers * threads)


def check_disk(estimate: Estimate, folder: Path) -> None:
    """Make sure that the results fit on the disk.

    Raises
    ------
    ResourceError
        They do not.
    """
    free = shutil.disk_usage(folder).free
    if estimate.disk_bytes > free:
        raise ResourceError(
            f"The results need {gigabytes(estimate.disk_bytes)}, and the disk of {folder} has {gigabytes(free)} free: "
            f"free {gigabytes(estimate.disk_bytes - free)} more, or choose fewer inputs."
        )


def _planned(estimate: Estimate, workers: int, threads: int, busy: int) -> Plan:
    """Return a plan; ``busy`` cores work at a time."""
    each = WORKER_BYTES + estimate.memory_bytes
    return Plan(
        Resources(threads=threads, workers=workers, memory_bytes=CONTROLLER_BYTES + workers * each),
        StatedEstimate(
            memory_bytes=CONTROLLER_BYTES + workers * each,
            disk_bytes=estimate.disk_bytes,
            seconds=round(estimate.core_seconds / busy + 2.0, 1),
        ),
    )
