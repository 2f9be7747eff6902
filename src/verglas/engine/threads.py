"""Hold compiled loops and matrix products to a stated number of threads."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError


@contextmanager
def kernel_threads(threads: int) -> Iterator[None]:
    """Run the kernels called inside with this many threads (at most those numba was started with).

    Raises
    ------
    InputError
        If the number is not positive.
    """
    if threads < 1:
        raise InputError(f"{threads} threads make no sense; give 1 or more.")
    numba = import_module("verglas.kernels.compile").numba
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


class Workspace:
    """Arrays of one thread that are used again and again: fresh memory costs as much as the work done in it."""

    def __init__(self, xp: Any = np) -> None:
        self._xp = xp
        self._flat: dict[str, NDArray[np.float32]] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return an array of this name and shape, with anything in it."""
        size = math.prod(shape)
        if name not in self._flat or self._flat[name].size < size:
            self._flat[name] = self._xp.empty(size, self._xp.float32)
        return self._flat[name][:size].reshape(shape)


@lru_cache(maxsize=1)
def _openblas() -> tuple[Any, Any] | None:
    """Return the functions of NumPy's own OpenBLAS that get and set its number of threads, if it has one."""
    for path in sorted(Path(np.__file__).parents[1].glob("numpy.libs/*openblas*")):
        library = ctypes.CDLL(str(path))
        for name in ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads"):
            if hasattr(library, name.format("set")):
                return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return None


class _SingleBlasThread:
    """Who keeps matrix products single at the moment, and what to go back to when the last has done."""

    lock = threading.Lock()
    users = 0
    before = 1


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Keep NumPy's matrix products to the thread that calls them, where NumPy brings OpenBLAS.

    Small products lose by an order of magnitude when OpenBLAS shares them out. The setting holds for the process, until
    the last thread that asked for it has done; other builds of NumPy obey their own environment variables.
    """
    functions = _openblas()
    if functions is None:
        yield
        return
    get, put = functions
    single = _SingleBlasThread
    with single.lock:
        if single.users == 0:
            single.before = get()
            put(1)
        single.users += 1
    try:
        yield
    finally:
        with single.lock:
            single.users -= 1
            if single.users == 0:
                put(single.before)
