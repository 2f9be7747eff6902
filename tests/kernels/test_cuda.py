"""The GPU's kernels against the CPU's in numba's CUDA simulator and on a GPU, in processes that start with either."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba import cuda

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("simulated", ["1", "0"] if cuda.is_available() else ["1"])
def test_kernels_on_the_gpu_equal_those_on_the_cpu(simulated: str) -> None:
    # The simulator replaces CUDA only: the CPU's kernels run compiled beside it.
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.cuda_twins"], cwd=REPOSITORY, capture_output=True, text=True, timeout=280,
        env=os.environ | {"NUMBA_ENABLE_CUDASIM": simulated}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["slices", "gradients", "matches", "refinement", "shifts", "folds", "insertion"]
