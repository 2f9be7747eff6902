"""A kernel that calls another one, for the test of where kernels are compiled."""

from __future__ import annotations

import numpy as np

from verglas.kernels.compile import cpu_kernel


@cpu_kernel(fastmath=True)
def total(values: np.ndarray) -> float:
    found = 0.0
    for value in values:
        found += value
    return found


@cpu_kernel()
def mean(values: np.ndarray) -> float:
    return total(values) / len(values)
