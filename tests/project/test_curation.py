"""Choosing assets by their figures, and the groups and the picture that come of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.project.conftest import add_movies, make_job
from verglas.cli.main import cli
from verglas.errors import InputError
from verglas.project import Project
from verglas.project.curation import Condition, choose, figures_of


@pytest.fixture
def curated(project: Project) -> Project:
    """Return a project with five movies, three of them aligned (pixel 2 A), one of those again (3 A)."""
    add_movies(project, 5)
    make_job(project.folder, [1, 2, 3])
    project.take_in()
    make_job(project.folder, [2])
    project.take_in()
    return project


def test_conditions_are_read_and_nonsense_is_refused() -> None:
    assert Condition.parse("a_A<=5") == Condition("a_A", "<=", 5.0)
    assert Condition.parse(" k.b != -1e3 ") == Condition("k.b", "!=", -1000.0)
    for text in ("a", "a <", "a < b", "< 5", "a << 5"):
        with pytest.raises(InputError, match="no condition"):
            Condition.parse(text)


def test_figures_are_columns_and_active_results(curated: Project) -> None:
    movies = figures_of(curated, "movie")
    assert [one["movie_alignment.pixel_size_A"] for _, one in movies] == [2.0, 3.0, 2.0, None, None]
    assert all(one["n_frames"] == 5.0 for _, one in movies)
    images = figures_of(curated, "image")
    assert [one["movie_alignment.n_x"] for _, one in images] == [10.0] * 3
    with pytest.raises(InputError, match=r"called 'colour'.*pixel_size_A"):
        choose(movies, [Condition("colour", "<", 1)], None, descending=False)


def test_what_is_not_known_fulfils_nothing_and_sorts_last(curated: Project) -> None:
    movies = figures_of(curated, "movie")
    name = "movie_alignment.pixel_size_A"
    taken, left = choose(movies, [Condition(name, "<", 2.5)], None, descending=False)
    assert ([a["id"] for a, _ in taken], [a["id"] for a, _ in left]) == ([1, 3], [2, 4, 5])
    order = [a["id"] for a, _ in choose(movies, [], name, descending=True)[0]]
    assert order == [2, 1, 3, 4, 5]


def test_the_command_keeps_both_parts_and_draws(curated: Project, tmp_path: Path) -> None:
    folder = curated.folder
    curated.close()
    name, picture = "movie_alignment.pixel_size_A", tmp_path / "a.png"

    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, ["curate", "movies", *words, "--project", str(folder)])

    done = run("--where", f"{name} < 2.5", "--accept", "good", "--reject", "bad", "--plot", str(picture), "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert (content["chosen"], content["left"]) == (2, 3)
    assert content["assets"][0] == {"id": 1, "name": "m0", name: 2.0}
    assert picture.read_bytes().startswith(b"\x89PNG")
    with Project.open(folder) as project:
        assert [movie["id"] for movie in project.assets("movie", group="good")] == [1, 3]
        assert [movie["id"] for movie in project.assets("movie", group="bad")] == [2, 4, 5]
    assert "pixel_size_A" in run().stdout
    assert run("--plot", str(picture)).exit_code == 1
    assert run("--figures", "colour").exit_code == 1


def test_filters_are_saved_and_lists_kept_up_to_date(
    curated: Project, tmp_path: Path, rebuilt_equals_live: Callable[[Path], None]
) -> None:
    folder = curated.folder
    curated.close()
    name = "movie_alignment.pixel_size_A"

    def run(*words: str, status: int = 0) -> Any:
        done = CliRunner().invoke(cli, ["curate", "movies", *words, "--project", str(folder), "--json"])
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if status == 0 and done.stdout else done.exception

    def group(title: str) -> list[int]:
        with Project.open(folder) as project:
            return [movie["id"] for movie in project.assets("movie", group=title)]

    run("--where", f"{name} < 2.5", "--sort", "id", status=1)  # a number is no figure to sort by
    run("--where", f"{name} < 2.5", "--sort", name, "--descending", "--save-filter", "fine", "--accept", "good")
    assert group("good") == [1, 3]
    content = run("--filter", "fine")
    assert (content["chosen"], content["left"]) == (2, 3)
    assert run("--filters")["filters"] == {
        "fine": {"conditions": [f"{name} < 2.5"], "sort": name, "descending": True}
    }  # fmt: skip
    (tmp_path / "bad.txt").write_text("m0   # blurred\n\n5\n")
    run("--filter", "fine", "--keep", "2,4", "--drop", str(tmp_path / "bad.txt"), "--accept", "good", "--reject", "bad")
    assert (group("good"), group("bad")) == ([2, 3, 4], [1, 5])
    assert "--drop" in str(run("--keep", "2", "--drop", "2", status=1))
    assert "neither" in str(run("--keep", "nowhere.txt", status=1))
    assert "saved are: fine" in str(run("--filter", "coarse", status=1))
    rebuilt_equals_live(folder)
    run("--forget-filter", "fine")
    assert run("--filters")["filters"] == {}
