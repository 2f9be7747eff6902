"""The array library is found without importing CuPy."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from verglas.kernels.arrays import array_namespace, to_numpy


def test_numpy_is_the_default() -> None:
    assert array_namespace(np.zeros(2), 3.0, [1, 2]) is np
    assert array_namespace() is np
    x = np.arange(3)
    assert to_numpy(x) is x


def test_cupy_wins_where_it_is_already_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        def get(self) -> np.ndarray:
            return np.ones(2)

    cupy = types.ModuleType("cupy")
    cupy.ndarray = Device  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert array_namespace(np.zeros(2), Device()) is cupy
    assert array_namespace(np.zeros(2)) is np
    np.testing.assert_array_equal(to_numpy(Device()), np.ones(2))
