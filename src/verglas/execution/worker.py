"""A worker: ``python -m verglas.execution.worker FILE`` joins the job that FILE (mode 0600) tells of."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
ORPHAN_SECONDS = 0.25


def main(arguments: list[str]) -> int:
    """Read the file, set the number of threads before anything numerical is imported, and serve until released."""
    path = Path(arguments[0])
    if path.stat().st_mode & 0o077:
        sys.stderr.write(f"{path}: others may read this file, which holds a key; it should have mode 0600.\n")
        return 1
    settings: dict[str, Any] = json.loads(path.read_text())
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(settings["threads"])
    threading.Thread(target=_leave_with, args=(settings["controller"],), name="parent", daemon=True).start()
    import asyncio

    try:
        asyncio.run(_serve(settings))
    except (KeyboardInterrupt, OSError, TimeoutError) as error:
        sys.stderr.write(f"worker {settings['name']}: {type(error).__name__}: {error}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # an item that is still running in its thread must not keep an abandoned worker alive


def _leave_with(controller: int) -> None:
    """End this process when the controller that started it has died: its successor has workers of its own."""
    while os.getppid() == controller:
        time.sleep(ORPHAN_SECONDS)
    os._exit(1)


async def _serve(settings: dict[str, Any]) -> None:
    from verglas.execution.dask_setup import configure, distributed_class, security_of

    configure()
    worker = distributed_class("Worker")(
        settings["scheduler"],
        nthreads=1,
        name=settings["name"],
        memory_limit=0,
        local_directory=settings["folder"],
        security=security_of(settings["pem"]),
        host=settings["host"],
        dashboard=False,
        death_timeout=settings["patience_seconds"],
    )
    await worker
    await worker.finished()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
