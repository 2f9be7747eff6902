"""Which array library an array belongs to, so that one function serves NumPy on a CPU and CuPy on a GPU."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


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


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """Return an array in host memory, copied from the device if it is there."""
    if array_namespace(array) is np:
        return np.asarray(array)
    host: np.ndarray[Any, Any] = array.get()
    return host
