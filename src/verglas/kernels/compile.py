"""How kernels are compiled: one place for numba's options and for where compiled code is kept."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_folder() -> Path:
    """Return the user's folder of compiled kernels (numba keeps CPU types apart inside it)."""
    base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "verglas" / f"kernels-{platform.machine()}"


os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder()))

import numba  # noqa: E402  (reads NUMBA_CACHE_DIR when it is imported)


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
    return cast("Callable[[Function], Function]", numba.njit(parallel=parallel, nogil=True, cache=True, **options))
