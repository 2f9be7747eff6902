"""Actions called from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project.conftest import add_movies
from verglas.actions import project_run, table
from verglas.errors import InputError, NotFoundError
from verglas.project import Project

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setitem(table.ACTIONS, "slow", table.Declared("tests.cli.slow_action:SlowAction", ""))
    with Project.create(tmp_path / "p") as made:
        add_movies(made, 3)
        made.edit({"edit": "group.add", "kind": "movie", "name": "good ones", "members": [2, 3]})
    return tmp_path / "p"


def test_a_run_on_a_group_is_waited_for_and_taken_in(project: Path) -> None:
    with Project.open(project, "rw") as opened:
        run = project_run(opened, "slow", movies="good ones", fancy=True, workers=1, threads=1, seed=5)
        assert (run.state.name, set(run.results), run.failures) == ("done", {"2", "3"}, {})
        request = run.job.request()
        assert (request.parameters, request.seed, request.resources.workers) == ({"fancy": True}, 5, 1)
        assert [image["parent_movie"] for image in opened.assets("image")] == [2, 3]
        assert (project / opened.asset("image", 1)["path"]).read_text() == "m1"


def test_what_is_wrong_is_said_before_anything_starts(project: Path) -> None:
    with Project.open(project, "rw") as opened:
        with pytest.raises(InputError, match="fanzy"):
            project_run(opened, "slow", fanzy=True)
        with pytest.raises(NotFoundError, match="bad ones"):
            project_run(opened, "slow", movies="bad ones")
        with pytest.raises(InputError, match="no action"):
            project_run(opened, "levitate")
        with pytest.raises(InputError, match="profile"):
            project_run(opened, "slow", profile="moon")
    assert not list((project / "Jobs").glob("0*"))
