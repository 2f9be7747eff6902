"""Declarations: parameters, schema, estimates, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.actions.toy_action import ToyAction
from verglas.actions import ACTIONS, load_action, prepare
from verglas.actions.declaration import Action, ActionParameters, is_expert, unit_of
from verglas.errors import DeviceError, InputError, ResourceError
from verglas.execution.job_folder import ProjectReference
from verglas.execution.resources import Estimate, Machine, plan, this_machine

MOVIES = {"movies": [{"kind": "movie", "id": 1, "name": "a"}]}
PROJECT = ProjectReference(name="p", id="1")


def test_wrong_parameters_are_named_with_what_was_given() -> None:
    with pytest.raises(InputError, match=r"dose: .*greater than 0 \(given: -1\)"):
        ToyAction.check_parameters({"dose": -1})
    with pytest.raises(InputError, match="doze"):
        ToyAction.check_parameters({"doze": 1})


def test_schema_carries_units_limits_and_marks() -> None:
    schema = ToyAction.schema()
    dose = schema["parameters"]["properties"]["dose"]
    assert dose == {
        "default": 1.5, "description": "Dose.", "exclusiveMinimum": 0, "expert": False, "title": "Dose",
        "type": "number", "unit": "e/A^2",
    }  # fmt: skip
    assert schema["inputs"][0]["kind"] == "movie"
    assert unit_of(ToyAction, "max_shift_A") == "A"
    assert is_expert(ToyAction, "mode")


def test_a_parameter_without_help_is_refused() -> None:
    with pytest.raises(TypeError, match="no help"):
        type(
            "Bad",
            (Action,),
            {"name": "bad", "Parameters": type("P", (ActionParameters,), {"__annotations__": {"x": int}})},
        )


def test_every_row_of_the_table_is_as_its_class_says() -> None:
    for name, declared in ACTIONS.items():
        action = load_action(name)
        assert (action.name, action.summary, action.entry()) == (name, declared.summary, declared.entry)
    with pytest.raises(InputError, match="no action"):
        load_action("levitate")


def test_prepare_refuses_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no movies"):
        prepare(ToyAction, {}, {"movies": []}, project_folder=tmp_path, project=PROJECT)
    with pytest.raises(InputError, match="profile"):
        prepare(ToyAction, {}, MOVIES, project_folder=tmp_path, project=PROJECT, profile="moon")
    cuda = pytest.importorskip("numba.cuda")
    if not cuda.is_available():
        with pytest.raises(DeviceError, match="CUDA"):
            prepare(ToyAction, {}, MOVIES, project_folder=tmp_path, project=PROJECT, device="cuda")
    assert not list(tmp_path.iterdir())


def test_plan_fits_memory_and_cores_or_refuses_with_the_remedy(tmp_path: Path) -> None:
    machine = Machine(cores=8, memory_bytes=4_000_000_000)
    large = Estimate(memory_bytes=1_000_000_000, disk_bytes=0, core_seconds=80, tasks=100)
    made = plan(large, machine, tmp_path)
    assert (made.resources.workers, made.resources.threads) == (3, 2)
    assert made.estimate.memory_bytes == 150_000_000 + 3 * 1_200_000_000
    few = plan(Estimate(memory_bytes=1, disk_bytes=0, core_seconds=1, tasks=2), machine, tmp_path)
    assert (few.resources.workers, few.resources.threads) == (2, 4)
    with pytest.raises(ResourceError, match="--workers 3 would fit"):
        plan(large, machine, tmp_path, workers=5)
    with pytest.raises(ResourceError, match=r"free .* more"):
        plan(Estimate(memory_bytes=1, disk_bytes=10**18, core_seconds=1), machine, tmp_path)


def test_cgroup_limits_count(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert this_machine(tmp_path) == Machine(cores=1, memory_bytes=600_000)
