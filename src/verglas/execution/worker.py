"""A worker: ``python -m verglas.execution.worker FILE`` joins the job that FILE (mode 0600) tells of."""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from verglas import __version__
from verglas.execution.gpus import take_gpus
from verglas.execution.quoting import from_word
from verglas.execution.reaching import why_unreachable
from verglas.execution.tasks import THREADS_VARIABLE

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
ORPHAN_SECONDS = 0.25
LAG_SECONDS = 5.0


def main(arguments: list[str]) -> int:
    """Read the file, set the number of threads before anything numerical is imported, and serve until released."""
    path = from_word(arguments[0]) if not Path(arguments[0]).exists() else Path(arguments[0])
    _await(path)
    try:
        mode = path.stat().st_mode
        settings: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        sys.stderr.write(f"{path} is gone: the job has ended, or this machine does not see its folder.\n")
        return 1
    if mode & 0o077:
        sys.stderr.write(f"{path}: others may read this file, which holds a key; it should have mode 0600.\n")
        return 1
    if not settings["shared"]:
        path.unlink(missing_ok=True)  # the key is in memory now; whoever is killed leaves none behind
    name = f"{settings['name']}-{platform.node()}-{os.getpid()}"
    said = Path(settings["folder"]) / f"{name}.said"
    problem = _mismatch(settings) or take_gpus(settings["gpus"], settings["place"])
    if problem:
        _say(said, problem)
        return 1
    for variable in (*THREAD_VARIABLES, THREADS_VARIABLE):
        os.environ[variable] = str(settings["threads"])
    if settings["controller"] is not None:
        threading.Thread(target=_leave_with, args=(settings["controller"],), name="parent", daemon=True).start()
    import asyncio

    late = max(0.0, time.time() - settings["written"])
    problem = why_unreachable(settings["scheduler"])
    if problem:
        _say(said, f"{platform.node()} cannot reach the job's scheduler: {problem}; it goes on trying")
    else:
        _say(said, f"started on {platform.node()}, {late:.0f} s after it was asked for")
    try:
        asyncio.run(_serve(settings, name))
    except (KeyboardInterrupt, OSError, TimeoutError) as error:
        why = why_unreachable(settings["scheduler"]) or f"{type(error).__name__}: {error}"
        _say(said, f"{platform.node()} cannot reach the job's scheduler at {settings['scheduler']}: {why}")
    if settings["shared"] and why_unreachable(settings["scheduler"]):
        path.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # an item that is still running in its thread must not keep an abandoned worker alive


def _await(path: Path) -> None:
    """Give a shared folder some seconds to show a file that another machine has just written."""
    end = time.monotonic() + LAG_SECONDS
    while not path.exists() and time.monotonic() < end:
        time.sleep(ORPHAN_SECONDS)


def _mismatch(settings: dict[str, Any]) -> str:
    """Say what differs from the controller's installation, if anything does."""
    here, there = (__version__, list(sys.version_info[:2])), (settings["version"], settings["python"])
    if here == there:
        return ""
    return (
        f"{platform.node()} has verglas {here[0]} with Python {here[1][0]}.{here[1][1]}, the controller {there[0]} "
        f"with Python {there[1][0]}.{there[1][1]}: install the same on both, best once in a folder that both see"
    )


def _say(said: Path, words: str) -> None:
    """Leave a word beside the file that was read, for the controller, and in the log."""
    sys.stderr.write(f"worker {said.stem}: {words}\n")
    with suppress(OSError):  # the folder may be gone with the job
        said.write_text(f"{words}\n")


def _leave_with(controller: int) -> None:
    """End this process when the controller that started it has died: its successor has workers of its own."""
    while os.getppid() == controller:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


async def _serve(settings: dict[str, Any], name: str) -> None:
    from verglas.execution.addresses import HERE, route_to
    from verglas.execution.dask_setup import configure, distributed_class, security_of

    configure()
    scheduler = str(settings["scheduler"])
    ports = settings["ports"]
    worker = distributed_class("Worker")(
        scheduler,
        nthreads=1,
        name=name,
        memory_limit=0,
        local_directory=settings["folder"],
        security=security_of(settings["pem"]),
        host=route_to(scheduler.removeprefix("tls://").rpartition(":")[0]) or HERE,
        port=f"{ports[0]}:{ports[1]}" if ports else 0,
        dashboard=False,
        death_timeout=settings["patience_seconds"],
    )
    await worker
    await worker.finished()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
