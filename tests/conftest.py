"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("NUMBA_NUM_THREADS", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

OTHER_PROGRAMS = {"slurm_conf", "two"}
"""Fixtures that start programs of others: Slurm's daemons, hosts made of network namespaces."""
REAL_DATA = Path(os.environ.get("VERGLAS_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of other programs, whose timing is not ours, a second try; the last line counts those that took it."""
    for item in items:
        if OTHER_PROGRAMS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data (micrographs, models, other programs' files), or skip where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("the folder of real data is not here; set VERGLAS_REAL_DATA to try it")
    return REAL_DATA


@pytest.fixture(autouse=True)
def own_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the run profiles of whoever runs the tests out of them."""
    folder = tmp_path / "run-profiles"
    monkeypatch.setenv("VERGLAS_PROFILES", str(folder))
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a random generator with a fixed seed."""
    return np.random.Generator(np.random.Philox(20260101))
