"""The engine's functions on a simulated GPU and on a real one against the CPU; and what is said without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import engine_cuda
from numba import cuda

from verglas.engine.reconstruction import Reconstruction
from verglas.errors import InputError
from verglas.kernels.arrays import array_library, kernel_for

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("simulated", ["1", "0"] if cuda.is_available() else ["1"])
def test_functions_on_the_gpu_equal_those_on_the_cpu(simulated: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.device_twins"], cwd=REPOSITORY, capture_output=True, text=True,
        timeout=280, env=os.environ | {"NUMBA_ENABLE_CUDASIM": simulated}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == [
        "slices", "likelihoods", "search", "reconstruction", "refinement", "search-and-refinement",
    ]  # fmt: skip


def test_without_a_gpu_or_a_kernel_for_it_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(InputError, match=r"needs CuPy.*install verglas\[gpu\]"):
        Reconstruction(16, 1.0, device="cuda")
    with pytest.raises(InputError, match="choose cpu or cuda"):
        array_library("tpu")
    with pytest.raises(InputError, match="ctf_values has no form for GPUs"):
        kernel_for(object(), "ctf", "ctf_values")


def test_the_benchmark_of_gpus_records_nothing_without_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded: list[str] = []
    monkeypatch.setattr(engine_cuda.cuda, "is_available", lambda: False)
    monkeypatch.setattr(engine_cuda, "record", lambda name, figures: recorded.append(name))
    engine_cuda.main()
    assert "no GPU to measure" in capsys.readouterr().out
    assert not recorded
