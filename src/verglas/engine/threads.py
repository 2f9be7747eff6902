"""Hold compiled loops to a stated number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

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
