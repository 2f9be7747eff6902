"""The GPU's kernels against the CPU's in numba's CUDA simulator, in a process of its own that starts with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_kernels_on_the_simulated_gpu_equal_those_on_the_cpu() -> None:
    # The simulator replaces CUDA only: the CPU's kernels run compiled beside it.
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.cuda_twins"], cwd=REPOSITORY, capture_output=True, text=True, timeout=280,
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["slices", "gradients", "matches", "shifts", "folds", "insertion"]
