"""The engine's functions on a simulated GPU against the CPU, in a process of its own; and what is said without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from verglas.engine.reconstruction import Reconstruction
from verglas.errors import InputError
from verglas.kernels.arrays import array_library, kernel_for

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_functions_on_the_simulated_gpu_equal_those_on_the_cpu() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.device_twins"], cwd=REPOSITORY, capture_output=True, text=True,
        timeout=280, env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["slices", "likelihoods", "search", "reconstruction", "refinement-refused"]


def test_without_a_gpu_or_a_kernel_for_it_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(InputError, match=r"needs CuPy.*install verglas\[gpu\]"):
        Reconstruction(16, 1.0, device="cuda")
    with pytest.raises(InputError, match="choose cpu or cuda"):
        array_library("tpu")
    with pytest.raises(InputError, match="refine has no form for GPUs"):
        kernel_for(object(), "pose_refinement", "refine")
