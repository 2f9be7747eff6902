"""Write a measurement to docs/measured/ together with what it takes to trust it: commit, machine, date."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
MEASURED = REPOSITORY / "docs" / "measured"


def commit() -> str:
    """Return the commit the code is at, with a mark when source, tests or scripts differ from it."""
    git = ["git", "-C", str(REPOSITORY)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "src", "prove", "benchmarks"], capture_output=True, text=True, check=True
    )
    return head.stdout.strip() + ("+changes" if changed.stdout.strip() else "")


def machine() -> dict[str, Any]:
    """Return what a reader needs to compare timings: processor, cores, memory, load, versions."""
    import numba
    import numpy as np
    import psutil
    import scipy

    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = models[0] if models else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_GiB": round(psutil.virtual_memory().total / 2**30, 1),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
    }


def record(name: str, figures: dict[str, Any]) -> Path:
    """Write ``docs/measured/<name>.json``.

    Parameters
    ----------
    name
        File name without ending, such as ``motion_benchmark``.
    figures
        What was measured, as plain JSON, with units in the keys.
    """
    MEASURED.mkdir(parents=True, exist_ok=True)
    path = MEASURED / f"{name}.json"
    content = {
        "name": name,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": figures,
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
