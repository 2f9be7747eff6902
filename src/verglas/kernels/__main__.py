"""``python -m verglas.kernels``: compile every kernel once, so that no job waits for it."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import time

import verglas.kernels as room
from verglas.kernels.compile import COMPILING


def warm_all() -> list[tuple[str, float]]:
    """Call ``warm()`` of every kernel module; return (module, seconds) of each."""
    times = []
    for module in sorted(info.name for info in pkgutil.iter_modules(room.__path__)):
        # Kernels for GPUs are compiled for the device at hand, when they are launched.
        if module in {"__main__", "arrays", "compile"} or module.endswith("_cuda"):
            continue
        start = time.perf_counter()
        importlib.import_module(f"verglas.kernels.{module}").warm()
        times.append((module, time.perf_counter() - start))
    return times


if __name__ == "__main__":
    os.environ[COMPILING] = "1"  # this process is the one of their own that kernels are compiled by
    for name, seconds in warm_all():
        sys.stdout.write(f"kernel {name}: ready in {seconds:.1f} s\n")
