"""How kernels are compiled: one place for numba's options and for where compiled code is kept."""

from __future__ import annotations

import importlib
import os
import pickle
import platform
import subprocess
import sys
import threading
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])
COMPILING = "VERGLAS_COMPILES_KERNELS"
"""Set in processes that compile kernels into the cache and run nothing that counts."""
_one_at_a_time = threading.Lock()
OPTIONS_OF_LLVM = ("-max-forked-scev-depth=0",)
"""Numba lets negative indices count from the end. LLVM takes both cases for possible and then decides by the addresses
of arrays whether a loop runs as vector instructions, which round differently: results would depend on where memory lay.
"""


def cache_folder() -> Path:
    """Return the user's folder of compiled kernels, by options (numba keeps CPU types apart inside it)."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    options = zlib.crc32(" ".join(OPTIONS_OF_LLVM).encode())
    return base / "verglas" / f"kernels-{platform.machine()}-{options:08x}"


os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder()))

import numba  # noqa: E402  (reads NUMBA_CACHE_DIR when it is imported)
from llvmlite import binding  # noqa: E402

# Where something else imported numba before, it has read no folder and would keep kernels beside their source.
vars(numba.config)["CACHE_DIR"] = os.environ["NUMBA_CACHE_DIR"]
for _option in OPTIONS_OF_LLVM:
    binding.set_option("verglas", _option)


def cpu_kernel(
    *, parallel: bool = False, fastmath: bool = False, inline: bool = False
) -> Callable[[Function], Function]:
    """Decorate a plain function as a compiled, cached CPU kernel that releases the interpreter lock.

    Parameters
    ----------
    parallel
        Allow ``prange``; the number of threads is numba's current one.
    fastmath
        Allow reordering of floating-point sums. Leave it off where two tilings must agree to the bit.
    inline
        For small bodies called from other kernels: always inlined, never cached on its own.
    """
    options: dict[str, Any] = {"fastmath": fastmath, "error_model": "numpy"}
    if inline:
        return cast("Callable[[Function], Function]", numba.njit(inline="always", **options))
    compiled = numba.njit(parallel=parallel, nogil=True, cache=True, **options)
    return cast("Callable[[Function], Function]", lambda function: _compiled_apart(compiled(function)))


def _compiled_apart(kernel: Any) -> Any:
    """Have a kernel compiled by a process of its own, so that this one only ever runs what lies in the cache.

    A kernel that was compiled here calls the other kernels that were, each optimised by itself. Loaded from the cache
    it calls copies of them, optimised once more within it: sums in another order. So the first run on a machine would
    differ from all later ones in last bits.
    """
    plain = kernel.compile

    def compile_apart(signature: Any) -> Any:
        if COMPILING not in os.environ:
            with _one_at_a_time:
                if not _is_kept(kernel, signature):
                    _compile_elsewhere(kernel, signature)
        return plain(signature)

    kernel.compile = compile_apart
    return kernel


def _is_kept(kernel: Any, signature: Any) -> bool:
    """Tell whether a kernel has been compiled for a signature: here, or into the cache."""
    normalise: Any = numba.core.sigutils.normalize_signature
    arguments, _ = normalise(signature)
    if kernel.overloads.get(tuple(arguments)) is not None:
        return True
    cache = kernel._cache
    return cache._index_key(signature, kernel.targetctx.codegen()) in cache._cache_file._load_index()


def _compile_elsewhere(kernel: Any, signature: Any) -> None:
    """Compile into the cache; where that fails, the kernel is compiled here, which says why."""
    body = kernel.py_func
    wanted = pickle.dumps((body.__module__, body.__qualname__, signature))
    subprocess.run(
        [sys.executable, "-P", "-c", "from verglas.kernels.compile import compile_here; compile_here()"], input=wanted,
        env={**os.environ, COMPILING: "1", "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
        capture_output=True, check=False,
    )  # fmt: skip


def compile_here() -> None:
    """Compile the kernel that standard input names, in the process made for it."""
    module, name, signature = pickle.loads(sys.stdin.buffer.read())
    getattr(importlib.import_module(module), name).compile(signature)


def rebound(body: Function, **names: Any) -> Function:
    """Return a plain function that calls other functions by the names that its source uses.

    Bodies call small functions of their module, which are compiled for CPUs there. With the CUDA forms of those bound
    to the same names, the one source serves both.

    Parameters
    ----------
    body
        Plain function, or the compiled CPU kernel made of one.
    **names
        Global names of its source, and what they shall be.
    """
    plain: Any = getattr(body, "py_func", body)
    return cast("Function", types.FunctionType(plain.__code__, plain.__globals__ | names, plain.__name__))


def cuda_function(body: Function, **names: Any) -> Function:
    """Return a plain body compiled for calls from CUDA kernels, with names bound as by :func:`rebound`."""
    cuda: Any = importlib.import_module("numba.cuda")
    return cast("Function", cuda.jit(device=True)(rebound(body, **names)))


def cuda_kernel(*, fastmath: bool = False) -> Callable[[Function], Any]:
    """Decorate a plain function as a CUDA kernel, compiled when it is first launched.

    Parameters
    ----------
    fastmath
        Allow approximate divisions and square roots, and reordered sums.
    """
    cuda: Any = importlib.import_module("numba.cuda")
    return cast("Callable[[Function], Any]", cuda.jit(fastmath=fastmath))
