"""``make bench``: run every benchmark in this folder, one after the other."""

from __future__ import annotations

import sys

from prove.run import run_all

if __name__ == "__main__":
    sys.exit(1 if run_all("benchmarks") else 0)
