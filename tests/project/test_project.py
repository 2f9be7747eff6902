"""Making, editing, rebuilding, moving and copying a project."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project.conftest import add_movies, make_job
from verglas.errors import InputError, NotFoundError, ProjectError, VerglasError
from verglas.project import Project, find_project
from verglas.project.moving import copy_project, move_project


def test_the_tree_is_that_of_cistem_and_ours(project: Project) -> None:
    for name in ("Assets/Images/Spectra", "Assets/Volumes/OrthViews", "Assets/ParticlePosition", "Jobs", "Scratch"):
        assert (project.folder / name).is_dir()
    assert (project.folder / "apo.db").is_file()
    assert find_project(project.folder / "Assets" / "CTF") == project.folder
    with pytest.raises(NotFoundError, match="verglas new"):
        find_project(project.folder.parent)


def test_groups(project: Project) -> None:
    add_movies(project, 5)
    project.edit({"edit": "group.add", "kind": "movie", "name": "good", "members": [1, 2, 5]})
    project.edit({"edit": "group.invert", "kind": "movie", "group": "good"})
    assert [asset["id"] for asset in project.assets("movie", group="good")] == [3, 4]
    project.edit({"edit": "group.join", "kind": "movie", "group": 1, "members": [1]})
    project.edit({"edit": "group.leave", "kind": "movie", "group": 1, "members": [4]})
    project.edit({"edit": "group.rename", "kind": "movie", "group": "good", "name": "best"})
    assert [asset["id"] for asset in project.assets("movie", group="best")] == [1, 3]
    assert [group["size"] for group in project.groups("movie")] == [5, 2]
    make_job(project.folder, [1, 2, 3])
    project.take_in()
    project.edit({"edit": "group.add", "kind": "image", "name": "from best", "parent_group": "best"})
    assert [asset["parent_movie"] for asset in project.assets("image", group="from best")] == [1, 3]
    for request, words in (
        ({"edit": "group.add", "kind": "movie", "name": "best"}, "already"),
        ({"edit": "group.invert", "kind": "movie", "group": 0}, "cannot be changed"),
        ({"edit": "group.join", "kind": "movie", "group": "best", "members": [99]}, "no movie 99"),
    ):
        with pytest.raises(InputError, match=words):
            project.edit(request)
    project.edit({"edit": "group.remove", "kind": "movie", "group": "best"})
    assert len(project.groups("movie")) == 1


def test_a_refused_edit_leaves_no_line(project: Project) -> None:
    before = project.layout.journal.read_bytes()
    with pytest.raises(NotFoundError):
        project.edit({"edit": "asset.rename", "kind": "movie", "asset": 7, "name": "x"})
    with pytest.raises(InputError, match="no edit"):
        project.edit({"edit": "nonsense"})
    assert project.layout.journal.read_bytes() == before


def random_edit(project: Project, dice: random.Random, step: int) -> None:
    """Do one of all kinds of edit; those that make no sense at the moment are refused."""

    def pick(kind: str) -> int:
        return dice.randint(1, max(1, project.count(kind) + 1))

    kind = dice.choice(["movie", "image"])
    choices = [
        lambda: add_movies(project, dice.randint(1, 4), f"s{step}-"),
        lambda: project.edit({"edit": "asset.rename", "kind": kind, "asset": pick(kind), "name": f"n{step}"}),
        lambda: project.edit({"edit": "group.add", "kind": kind, "name": f"g{step}", "members": [pick(kind)]}),
        lambda: project.edit({"edit": "group.invert", "kind": kind, "group": dice.randint(1, 3)}),
        lambda: project.edit({"edit": "group.remove", "kind": kind, "group": dice.randint(1, 9)}),
        lambda: project.edit({"edit": "group.join", "kind": kind, "group": 1, "members": [pick(kind)]}),
        lambda: project.edit({"edit": "note.add", "text": f"note {step}"}),
        lambda: project.edit({"edit": "note.remove", "note": dice.randint(1, 5)}),
        lambda: project.edit({"edit": "trash.add", "items": [{"kind": kind, "id": pick(kind)}]}),
        lambda: project.edit({"edit": "trash.restore", "trash": dice.randint(1, 4)}),
        lambda: project.edit({"edit": "trash.empty", "trash": dice.randint(1, 9)}),
        lambda: project.edit({"edit": "trash.add", "items": [{"kind": "job", "id": dice.randint(1, 4)}]}),
        lambda: project.edit({"edit": "result.activate", "result": dice.randint(1, 9)}),
        lambda: make_job(project.folder, sorted({pick("movie"), pick("movie")})),
        project.take_in,
    ]  # fmt: skip
    with contextlib.suppress(VerglasError):
        dice.choice(choices)()


@pytest.mark.parametrize("seed", range(4))
def test_a_rebuilt_database_equals_the_live_one(
    tmp_path: Path, seed: int, rebuilt_equals_live: Callable[[Path], None]
) -> None:
    dice = random.Random(seed)
    with Project.create(tmp_path / "p") as project:
        add_movies(project, 3)
        for step in range(120):
            random_edit(project, dice, step)
        project.take_in()
        assert len(project.history()) > 25
        for asset in project.assets("image"):
            assert (project.folder / asset["path"]).is_file(), "restored or never moved"
    rebuilt_equals_live(tmp_path / "p")


def test_a_lost_database_comes_back(project: Project) -> None:
    add_movies(project, 3)
    live = project.dump()
    project.close()
    for path in project.folder.glob("apo.db*"):
        path.unlink()
    with Project.open(project.folder) as again:
        assert again.dump() == live


def test_the_unfinished_last_line_never_happened(project: Project) -> None:
    add_movies(project, 2)
    project.close()
    with project.layout.journal.open("ab") as stream:
        stream.write(b'{"n":3,"t":1,"edit":"note.a')
    with Project.open(project.folder, "rw") as again:
        assert again.edit({"edit": "note.add", "text": "after"})["n"] == 3
    assert [json.loads(line)["n"] for line in project.layout.journal.read_text().splitlines()] == [1, 2, 3]


def test_a_newer_schema_is_refused_politely(project: Project) -> None:
    project.close()
    import sqlite3

    connection = sqlite3.connect(project.folder / "apo.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ProjectError, match=r"newer verglas.*nothing was changed"):
        Project.open(project.folder, "rw")


def test_move_and_copy(project: Project, tmp_path: Path) -> None:
    add_movies(project, 2)
    make_job(project.folder, [1])
    project.take_in()
    old_id = project.id
    project.close()
    moved = move_project(project.folder, tmp_path / "elsewhere" / "apo")
    copied = copy_project(moved, tmp_path / "twin", database=tmp_path / "fast" / "twin.db")
    with Project.open(moved) as here, Project.open(copied) as there:
        assert here.id == old_id != there.id
        assert (there.name, there.layout.database(there.file)) == ("twin", tmp_path / "fast" / "twin.db")
        assert here.assets("image") == there.assets("image")
        assert (there.folder / there.asset("image", "m0_aligned")["path"]).read_text() == "1 1 sum"


def test_trash_takes_files_along_and_restores_everything(project: Project) -> None:
    add_movies(project, 2)
    make_job(project.folder, [1, 2])
    project.take_in()
    project.edit({"edit": "group.add", "kind": "image", "name": "g", "members": [1, 2]})
    before = project.asset("image", 1), project.results("movie", 1)
    number = project.edit({"edit": "trash.add", "items": [{"kind": "image", "id": 1}]})["trash"]
    assert project.count("image") == 1 == project.count("image", group="g")
    assert not (project.folder / before[0]["path"]).exists()
    assert sorted(path.name for path in (project.folder / "Trash").rglob("*.mrc")) == ["m0_1_0.mrc"] * 3
    project.edit({"edit": "trash.restore", "trash": number})
    assert (project.asset("image", 1), project.results("movie", 1)) == before
    assert project.count("image", group="g") == 2 and (project.folder / before[0]["path"]).exists()


def test_a_job_goes_into_the_trash_without_its_results_and_the_trash_can_be_emptied(project: Project) -> None:
    add_movies(project, 2)
    job = make_job(project.folder, [1, 2])
    with pytest.raises(NotFoundError, match="has not ended"):
        project.edit({"edit": "trash.add", "items": [{"kind": "job", "id": 1}]})
    project.take_in()
    project.edit({"edit": "trash.add", "items": [{"kind": "job", "id": 1}]})
    assert not job.path.exists() and project.count("image") == 2
    assert project.totals()["jobs"] == 1, "its CPU hours stay counted"
    project.edit({"edit": "trash.restore", "trash": 1})
    assert job.events_path.exists() and project.take_in()["results"] == 0
    project.edit({"edit": "trash.add", "items": [{"kind": "image", "id": 2}]})
    project.edit({"edit": "trash.empty", "trash": 2})
    assert project.trash() == [] and not (project.layout.trash / "000002").exists()
    with pytest.raises(NotFoundError, match="trash"):
        project.edit({"edit": "trash.restore", "trash": 2})
    make_job(project.folder, [2])
    project.take_in()
    new = project.assets("image")[-1]
    assert (new["id"], new["path"]) == (3, "Assets/Images/m1_2_1.mrc"), "no number and no name of a file comes twice"
