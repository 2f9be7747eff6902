"""Which array library an array belongs to, so that one function serves NumPy on a CPU and CuPy on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from verglas.errors import InputError

CUDA_MODULES = {
    "slicing": "slicing_cuda", "pose_likelihood": "slicing_cuda", "polar": "polar_cuda", "insertion": "insertion_cuda",
    "pose_refinement": "pose_refinement_cuda",
}  # fmt: skip


def array_namespace(*arrays: Any) -> Any:
    """Return ``cupy`` when any of the arrays is a CuPy array, else ``numpy``.

    CuPy is never imported here: an array of it can only exist once somebody else has.

    Parameters
    ----------
    *arrays
        Arrays, scalars or nested sequences.

    Returns
    -------
    module
        The array library whose functions accept the given arrays.
    """
    cupy = sys.modules.get("cupy")
    if cupy is not None and any(isinstance(array, cupy.ndarray) for array in arrays):
        return cupy
    return np


def array_library(device: str) -> Any:
    """Return the array library of a device: ``numpy`` for cpu, ``cupy`` for cuda.

    Raises
    ------
    InputError
        There is no such device, or CuPy is not installed.
    """
    if device == "cpu":
        return np
    if device != "cuda":
        raise InputError(f"there is no device {device!r}; choose cpu or cuda.")
    try:
        return import_module("cupy")
    except ImportError as error:
        raise InputError(f"device cuda needs CuPy, which cannot be imported ({error}); install verglas[gpu].") from None


def kernel_for(xp: Any, module: str, name: str) -> Callable[..., Any]:
    """Return a kernel of a module compiled for CPUs, or its CUDA form for other arrays than NumPy's.

    Raises
    ------
    InputError
        It has no CUDA form.
    """
    if xp is not np and module not in CUDA_MODULES:
        raise InputError(f"{name} has no form for GPUs yet; give arrays in host memory.")
    home = module if xp is np else CUDA_MODULES[module]
    found: Callable[..., Any] = getattr(import_module(f"verglas.kernels.{home}"), name)
    return found


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """Return an array in host memory, copied from the device if it is there."""
    if array_namespace(array) is np:
        return np.asarray(array)
    host: np.ndarray[Any, Any] = array.get()
    return host
