"""``python -m verglas.kernels``: compile every kernel once, so that no job waits for it."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import time

import verglas.kernels as room


def warm_all() -> list[tuple[str, float]]:
    """Call ``warm()`` of every kernel module; return (module, seconds) of each."""
    times = []
    for module in sorted(info.name for info in pkgutil.iter_modules(room.__path__)):
        if module in {"__main__", "arrays", "compile"}:
            continue
        start = time.perf_counter()
        importlib.import_module(f"verglas.kernels.{module}").warm()
        times.append((module, time.perf_counter() - start))
    return times


if __name__ == "__main__":
    for name, seconds in warm_all():
        sys.stdout.write(f"kernel {name}: ready in {seconds:.1f} s\n")
