"""Which GPUs a worker takes, by what it is shown: no GPU is needed for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from verglas.execution import gpus
from verglas.execution.addresses import HERE
from verglas.execution.gpus import VARIABLE, take_gpus
from verglas.execution.profile_trial import try_profile
from verglas.execution.run_profile import RunCommand, RunProfile


@pytest.fixture(autouse=True)
def no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*gpus.RANKS, VARIABLE):
        monkeypatch.delenv(name, raising=False)


def shown(monkeypatch: pytest.MonkeyPatch, there: str, count: int, place: int) -> str:
    monkeypatch.setenv(VARIABLE, there)
    assert not take_gpus(count, place)
    import os

    return os.environ[VARIABLE]


def test_copies_take_turns_and_a_batch_systems_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [shown(monkeypatch, "0,1,2,3", 1, place) for place in range(5)] == ["0", "1", "2", "3", "0"]
    assert [shown(monkeypatch, "0,1,2,3", 2, place) for place in range(2)] == ["0,1", "2,3"]
    assert shown(monkeypatch, "GPU-8f3a", 1, 7) == "GPU-8f3a", "just as many as wanted: all are its own"
    monkeypatch.setenv("SLURM_LOCALID", "1")
    assert shown(monkeypatch, "4,5", 1, 0) == "5"
    assert shown(monkeypatch, "4,5", 0, 0) == "4,5", "who takes none changes nothing"


def test_the_machines_own_are_found_and_too_few_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_all_devices", lambda: ["0", "1"])
    assert not take_gpus(1, 1)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(gpus, "_all_devices", list)
    assert "takes 1 GPU" in take_gpus(1, 0) and "0 are there" in take_gpus(1, 0)
    monkeypatch.setenv(VARIABLE, "0")
    assert "shows 1" in take_gpus(2, 0)


def test_each_worker_of_a_profile_is_shown_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0,1,2,3")
    elsewhere = RunProfile(
        name="env", addresses=(HERE,), commands=(RunCommand(command="env A=1 $command", copies=2, gpus=2),)
    )
    assert sorted(str(one.gpus) for one in try_profile(elsewhere, tmp_path, 2, 1)) == ["0,1", "2,3"]
    local = RunProfile(name="local", commands=(RunCommand(copies=2, gpus=1),))
    assert sorted(str(one.gpus) for one in try_profile(local, tmp_path, 2, 1)) == ["0", "1"]
