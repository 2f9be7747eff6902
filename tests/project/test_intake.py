"""Results become assets once, whatever crashes when."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project.conftest import add_movies, make_job
from verglas.project import Project
from verglas.project import store as store_module


def test_names_places_and_active_results(project: Project) -> None:
    add_movies(project, 2)
    job = make_job(project.folder, [1, 2])
    assert project.take_in()["results"] == 2
    assert project.take_in() == {"results": 0, "jobs_ended": [], "problems": []}
    image = project.asset("image", "m0_aligned")
    assert (image["path"], image["spectrum_path"]) == ("Assets/Images/m0_1_0.mrc", "Assets/Images/Spectra/m0_1_0.mrc")
    assert (image["parent_movie"], image["pixel_size_A"], image["sources"]["voltage_kV"]) == (1, 2.0, "user")
    ids = json.loads(job.ids_path.read_text())["results"]["movie-1"]
    assert ids["asset"] == {"kind": "image", "id": image["id"]} and ids["files"]["sum"] == image["path"]

    make_job(project.folder, [1])
    project.take_in()
    again = project.asset("image", "m0_aligned")
    assert (again["id"], again["path"], again["pixel_size_A"]) == (image["id"], "Assets/Images/m0_1_1.mrc", 3.0)
    assert (project.folder / image["path"]).read_text() == "1 1 sum", "earlier results stay"
    project.edit({"edit": "result.activate", "result": 1})
    assert project.asset("image", "m0_aligned")["path"] == image["path"]
    assert project.result(3)["of"] == {"kind": "movie", "id": 1} and project.result(3)["product"]["id"] == image["id"]
    assert [result["active"] for result in project.results("movie", 1)] == [1, 0]
    assert project.totals() == {"jobs": 2, "cpu_hours": 1.0}


def test_results_of_a_running_job_are_taken_in_as_they_come(project: Project) -> None:
    add_movies(project, 2)
    job = make_job(project.folder, [1], finished=False)
    assert project.take_in()["results"] == 1
    assert project.jobs_ended() == []
    with job.events_path.open("a") as stream:
        stream.write('{"event":"state","t":5.0,"state":"done","cpu_seconds":7.0}\n')
    assert project.take_in()["jobs_ended"] == [1]


def test_a_result_whose_file_is_missing_is_reported(project: Project) -> None:
    add_movies(project, 2)
    job = make_job(project.folder, [1, 2])
    (job.results_folder / "1_sum.mrc").unlink()
    report = project.take_in()
    assert report["results"] == 1 and "1_sum.mrc is missing" in report["problems"][0]


STEPS = [f"{point}-{when}" for point in ("append", "apply", "move", "ids") for when in ("before", "after")]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_is_mended(tmp_path: Path, step: str, rebuilt_equals_live: Callable[[Path], None]) -> None:
    point, when = step.split("-")
    with Project.create(tmp_path / "p") as project:
        add_movies(project, 3)
    make_job(tmp_path / "p", [1, 2, 3], finished=False)

    child = os.fork()
    if child == 0:

        def dying(function: Callable[..., object]) -> Callable[..., object]:
            def run(*arguments: object) -> object:
                if when == "before":
                    os._exit(9)
                function(*arguments)
                os._exit(9)

            return run

        target, name = {
            "append": (store_module.JournalWriter, "append"), "apply": (store_module, "apply_line"),
            "move": (Path, "replace"), "ids": (store_module.Store, "_write_ids"),
        }[point]  # fmt: skip
        project = Project.open(tmp_path / "p", "rw")
        setattr(target, name, dying(getattr(target, name)))
        project.take_in()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, "the crash did happen"

    with Project.open(tmp_path / "p", "rw") as project:
        assert project.is_owner, "the dead owner is known to be dead"
        add_movies(project, 1, "other")
        project.take_in()
        assert [image["path"] for image in project.assets("image")] == [
            f"Assets/Images/m{n}_{n + 1}_0.mrc" for n in range(3)
        ]
        for image in project.assets("image"):
            for column in ("path", "spectrum_path", "scaled_path"):
                assert (project.folder / image[column]).is_file()
        assert len(json.loads((project.folder / "Jobs/000001-align-movies/ids.json").read_text())["results"]) == 3
    rebuilt_equals_live(tmp_path / "p")
