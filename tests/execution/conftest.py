"""A real Slurm for the tests that want one."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.oracles import missing
from tests.support.slurm import missing as missing_program
from tests.support.slurm import slurm

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def slurm_conf() -> Iterator[Path]:
    """Yield the configuration of a Slurm of three nodes, started once."""
    if absent := missing_program():
        missing(absent, "install Debian's slurm-wlm and munge")
    with tempfile.TemporaryDirectory(prefix="vs") as name, slurm(Path(name) / "s") as conf:
        yield conf


@pytest.fixture
def on_slurm(slurm_conf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have commands find that Slurm; its queue is emptied afterwards."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    yield slurm_conf
    subprocess.run(["scancel", "--me"], check=False)
