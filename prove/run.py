"""``make prove``: run every proof in this folder, one after the other, and say how long each took."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import time
from pathlib import Path


def run_all(package: str) -> int:
    """Run ``main()`` of every module beside this one; return how many failed."""
    failures = 0
    folder = Path(__file__).parents[1] / package
    chosen = sys.argv[1:]
    for module in sorted(info.name for info in pkgutil.iter_modules([str(folder)])):
        if module in {"run", "support"} or (chosen and module not in chosen):
            continue
        start = time.perf_counter()
        sys.stdout.write(f"== {package}.{module}\n")
        try:
            importlib.import_module(f"{package}.{module}").main()
        except Exception as error:  # one failed proof must not hide the others
            failures += 1
            sys.stdout.write(f"FAILED: {type(error).__name__}: {error}\n")
        sys.stdout.write(f"   {(time.perf_counter() - start) / 60:.1f} min\n")
    return failures


if __name__ == "__main__":
    sys.exit(1 if run_all("prove") else 0)
