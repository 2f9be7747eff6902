"""Compile every CUDA kernel to machine code: numba's simulator, which runs Python, cannot show that they compile.

No GPU is needed, but ``pip install "numba-cuda[cu12]" nvidia-cuda-nvcc-cu12``; without these it says so and records
nothing.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numba
from numba import cuda, types
from tools.measured import record

from verglas.kernels import insertion_cuda, polar_cuda, pose_refinement_cuda, slicing_cuda

CAPABILITY = (9, 0)  # H100, H200
KINDS = {
    "f": types.float32, "d": types.float64, "c": types.complex64, "i": types.int32, "l": types.int64,
    "b": types.boolean,
}  # fmt: skip
# One word an argument: its type, and how many dimensions if it is an array.
SIGNATURES: dict[str, tuple[Any, str]] = {
    "slice_values": (slicing_cuda._slice_values, "f1 l l f3 f1 f1 c2"),
    "slice_gradients": (slicing_cuda._slice_gradients, "f1 l l f3 f1 f1 c2 c3"),
    "match_poses": (slicing_cuda._match_poses, "l f1 l l f1 f1 i1 i1 c2 f2 d l1 f3 d2 d2"),
    "shift_samples": (polar_cuda._shift_samples, "f2 f3 f3"),
    "fold_maximum": (polar_cuda._fold_maximum, "f4 f4 f4 f4 f2 f1 f3 i3"),
    "insert_points": (insertion_cuda._insert_points, "f3 f4 l2 f f f2 f1 l1 l"),
}
REFINED = "l f1 l l f1 f1 i1 i1 f1 f1 f1 c2 f2 f2 l1 d1 l1 b1 d3 d1 d2 l d d3 d2 d1 d3 d1 l1"
CHOICES = {"pose_and_scale": "111111000", "all": "111111111", "in_plane": "001110000", "defocus": "000001111"}


def kernels() -> dict[str, tuple[Any, str]]:
    """Return all kernels with their signatures, that of refinement for several choices of parameters."""
    refining = {
        f"refine_{name}": (
            pose_refinement_cuda._kernel(tuple(letter == "1" for letter in chosen), pose_refinement_cuda.THREADS),
            REFINED,
        )
        for name, chosen in CHOICES.items()
    }  # fmt: skip
    return SIGNATURES | refining


def assembler() -> str | None:
    """Return the path of ptxas, from the PATH or from NVIDIA's wheel."""
    found = importlib.util.find_spec("nvidia")
    inside = (
        [Path(folder) / "cuda_nvcc/bin/ptxas" for folder in (found.submodule_search_locations or [])] if found else []
    )
    return shutil.which("ptxas") or next((str(path) for path in inside if path.exists()), None)


def compiled(kernel: Any, words: str, ptxas: str) -> dict[str, int]:
    """Return what the machine code of a kernel takes."""
    signature = tuple(
        types.Array(KINDS[word[0]], int(word[1]), "C") if len(word) > 1 else KINDS[word] for word in words.split()
    )
    fastmath = bool(kernel.targetoptions.get("fastmath"))
    # Functions called by kernels are compiled for the device at hand.
    with patch("numba.cuda.dispatcher.get_current_device", lambda: SimpleNamespace(compute_capability=CAPABILITY)):
        assembly, _ = cuda.compile_ptx(kernel.py_func, signature, cc=CAPABILITY, fastmath=fastmath)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(assembly)
        architecture = "sm_{}{}".format(*CAPABILITY)
        done = subprocess.run(
            [ptxas, "-v", f"-arch={architecture}", str(source), "-o", str(source.with_suffix(".cubin"))],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    names = {
        "registers": r"Used (\d+) registers", "shared_bytes": r"(\d+) bytes smem",
        "spilled_bytes": r"(\d+) bytes spill stores",
    }  # fmt: skip
    return {name: max((int(n) for n in re.findall(pattern, done.stderr)), default=0) for name, pattern in names.items()}


def main() -> None:
    ptxas = assembler()
    if ptxas is None or importlib.util.find_spec("numba_cuda") is None:
        sys.stdout.write(
            "no compiler for CUDA is here (numba-cuda[cu12] and nvidia-cuda-nvcc-cu12): nothing is recorded.\n"
        )
        return
    import numba_cuda

    rows = {name: compiled(kernel, words, ptxas) for name, (kernel, words) in kernels().items()}
    for name, row in rows.items():
        sys.stdout.write(f"{name}: {row}\n")
    if any(row["spilled_bytes"] for row in rows.values()):
        raise RuntimeError("a kernel spills registers to memory")
    record("cuda_compiled", {
        "note": "Compiled to machine code and not run: no GPU is needed for it.", "compute_capability": CAPABILITY,
        "numba": numba.__version__, "numba_cuda": numba_cuda.__version__, "kernels": rows,
    })  # fmt: skip


if __name__ == "__main__":
    main()
