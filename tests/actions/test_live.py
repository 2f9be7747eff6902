"""Live processing: movies that grow, are cut short, come while a job runs; stopping, killing, moving lose nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.movies import make_movie
from verglas.actions.live import Watcher, WatchOptions, remembered_options
from verglas.actions.live_alarms import DEFAULTS
from verglas.errors import InputError, ProjectLockedError
from verglas.execution.controller import run_job
from verglas.execution.job_folder import JobFolder
from verglas.formats import write_tiff_movie
from verglas.project import Project

FIELDS = {"pixel_size_A": 1.4, "voltage_kV": 300.0, "cs_mm": 2.7, "dose_per_frame_e_A2": 2.0}
PARAMETERS = {
    "align-movies": {"patches": 1, "save_scaled_sum": False},
    "find-ctf": {"box_size": 128, "min_resolution_A": 30.0, "max_resolution_A": 6.0},
    "find-particles": {"radius_A": 40.0, "max_radius_A": 60.0, "threshold": 4.0, "save_picture": False},
}
SECONDS = 100.0


def options_for(source: Path, **changes: Any) -> WatchOptions:
    settings = {"fields": FIELDS, "parameters": PARAMETERS, "settle_seconds": 0.3, "batch": 2, "workers": 1,
                "threads": 1} | changes  # fmt: skip
    return WatchOptions(str(source), **settings)


def write_movie(path: Path, seed: int = 1) -> None:
    made = make_movie(
        np.random.default_rng(seed), shape=(192, 192), frames=5, pixel_size_A=1.4, dose=2.0, contrast=0.3, total_A=6.0
    )
    write_tiff_movie(path, iter(made.frames))


class Heard:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, level: str, text: str) -> None:
        self.said.append((level, text))

    def of(self, level: str) -> list[str]:
        return [text for one, text in self.said if one == level]


def until_idle(watcher: Watcher, seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while watcher.look():
        assert time.monotonic() < end, "live processing did not come to an end"
        time.sleep(0.05)


def work_done(project: Project) -> Counter[tuple[str, str]]:
    """Count the results of all jobs by (action, asset): one each is what there should be."""
    found: Counter[tuple[str, str]] = Counter()
    for job in JobFolder.all_in(project.layout.jobs):
        for key in job.results():
            found[job.action, key] += 1
    return found


class Ended:
    """A controller that has ended."""

    def poll(self) -> int:
        return 0


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Run jobs in this process, at once; what the list holds is called before the next one."""
    before: list[Callable[[], None]] = []

    def start(job: JobFolder) -> Ended:
        while before:
            before.pop()()
        run_job(job, in_process=True)
        return Ended()

    monkeypatch.setattr("verglas.actions.launch.start_detached", start)
    monkeypatch.setattr("verglas.actions.live.start_detached", start)
    return before


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "session"
    folder.mkdir()
    return folder


@pytest.mark.usefixtures("in_process")
def test_movies_that_come_one_by_one_go_through_all_steps_once(source: Path, tmp_path: Path) -> None:
    write_movie(source / "m1.tif")
    write_movie(tmp_path / "later.tif", seed=2)
    whole = (tmp_path / "later.tif").read_bytes()
    (source / "m2.tif").write_bytes(whole[: len(whole) // 2])
    heard = Heard()
    alarms = ("ctf_estimation.defocus_u_A > 1", "ctf_estimation.iciness > 1e9")
    with Project.create(tmp_path / "p") as project:
        with Watcher(project, options_for(source, alarms=alarms), heard) as watcher:
            with pytest.raises(ProjectLockedError, match="watched for already"):
                Watcher(project, options_for(source), heard)
            until_idle(watcher)
            assert [movie["name"] for movie in project.assets("movie")] == ["m1"]  # the other is cut short
            assert any("m2.tif" in text for text in heard.of("info"))
            (source / "m2.tif").write_bytes(whole)
            until_idle(watcher)
        assert [movie["name"] for movie in project.assets("movie")] == ["m1", "m2"]
        images = project.assets("image")
        assert len(images) == 2 and all(image["defocus_u_A"] for image in images)
        assert len(project.assets("positions")) == 2
        assert set(work_done(project).values()) == {1} and len(work_done(project)) == 6
        notes = [note for note in project.notes() if "defocus_u_A" in note["text"]]
        assert [note["about_id"] for note in notes] == [image["id"] for image in images]
        raised = [text for text in heard.of("alarm") if "defocus_u_A" in text]
        assert len(raised) == 2 and raised[0].startswith("m1_aligned: ")
        count = len(project.notes())

        again = Heard()  # a new watch of the same folder finds nothing to do and raises no alarm twice
        assert remembered_options(project.folder) == options_for(source, alarms=alarms)
        with Watcher(project, options_for(source, alarms=alarms), again) as watcher:
            until_idle(watcher)
        assert again.said == [] and len(project.notes()) == count
        assert len(JobFolder.all_in(project.layout.jobs)) == 6


def test_killed_at_any_moment_it_loses_and_doubles_nothing(source: Path, tmp_path: Path) -> None:
    for number in range(2):
        write_movie(source / f"m{number}.tif", seed=number)
    Project.create(tmp_path / "p").close()
    given = [f"--set={action}.{name}={json.dumps(value)}" for action, values in PARAMETERS.items()
             for name, value in values.items()]  # fmt: skip
    command = [
        sys.executable, "-m", "verglas", "watch", str(source), "--pixel-size=1.4", "--voltage=300", "--cs=2.7",
        "--dose-per-frame=2", "--settle=0.2", "--every=0.1", "--batch=2", "--workers=1", "--threads=1",
        "--last-step=find-ctf", *given,
        "--project", str(tmp_path / "p"), "--json", "--until-idle",
    ]  # fmt: skip
    for number, seconds in enumerate((2.0, 4.5)):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if number == 1:  # the machine goes down with all that runs on it
            for job in JobFolder.all_in(tmp_path / "p" / "Jobs"):
                record = job.controller()
                if record is not None and job.controller_lives():
                    os.kill(record.process, signal.SIGKILL)
    short = [*command[:4], "--project", str(tmp_path / "p"), "--json", "--until-idle", "--every=0.1"]
    done = subprocess.run(short, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(json.loads(line)["text"] for line in done.stdout.splitlines())
    with Project.open(tmp_path / "p") as project:
        assert len(project.assets("movie")) == len(project.assets("image")) == 2
        assert set(work_done(project).values()) == {1} and len(work_done(project)) == 4
        assert all(job.state().name == "done" for job in JobFolder.all_in(project.layout.jobs))


def test_a_source_that_moves_is_followed_and_what_failed_meanwhile_is_done(
    source: Path, tmp_path: Path, in_process: list[Callable[[], None]]
) -> None:
    write_movie(source / "m1.tif")
    heard = Heard()
    with Project.create(tmp_path / "p") as project:
        with Watcher(project, options_for(source, last_step="align-movies"), heard) as watcher:
            in_process.append(lambda: shutil.move(source, tmp_path / "archive"))  # while the job is starting
            until_idle(watcher)
            assert [job.state().failures for job in JobFolder.all_in(project.layout.jobs)] == [1, 0]
            write_movie(tmp_path / "archive" / "m2.tif", seed=2)
            until_idle(watcher)
            assert watcher.folder == tmp_path / "archive"
        assert [movie["path"] for movie in project.assets("movie")] == [
            str(tmp_path / "archive" / "m1.tif"), str(tmp_path / "archive" / "m2.tif"),
        ]  # fmt: skip
        assert len(project.assets("image")) == 2
        assert any("was moved to" in text for text in heard.of("info"))

        shutil.copytree(tmp_path / "archive", tmp_path / "other disk" / "session 7")
        shutil.rmtree(tmp_path / "archive")
        new = tmp_path / "other disk" / "session 7"
        with Watcher(project, options_for(new, last_step="align-movies"), heard) as watcher:
            until_idle(watcher)
        assert {Path(movie["path"]).parent for movie in project.assets("movie")} == {new}
        assert len(project.assets("image")) == 2


@pytest.mark.usefixtures("in_process")
def test_what_cannot_be_processed_is_tried_once_and_said(source: Path, tmp_path: Path) -> None:
    write_movie(source / "m1.tif")
    write_tiff_movie(source / "flat.tif", iter(np.zeros((5, 192, 192), np.uint8)))
    heard = Heard()
    with (
        Project.create(tmp_path / "p") as project,
        Watcher(project, options_for(source, last_step="align-movies"), heard) as watcher,
    ):
        until_idle(watcher)
        before = len(JobFolder.all_in(project.layout.jobs))
        until_idle(watcher)
        assert len(JobFolder.all_in(project.layout.jobs)) == before
        assert [image["name"] for image in project.assets("image")] == ["m1_aligned"]


def test_nonsense_is_refused(source: Path, tmp_path: Path) -> None:
    for changes, words in (
        ({"last_step": "refine"}, "last step"),
        ({"parameters": {"classify-2d": {}}}, "no step"),
        ({"parameters": {"find-ctf": {"colour": 1}}}, "colour"),
        ({"alarms": ("iciness > 2",)}, "ctf_estimation.iciness"),
        ({"batch": 0}, "1 movie or more"),
    ):
        with pytest.raises(InputError, match=words):
            options_for(source, **changes).check()


def test_the_page_tells_the_default_alarms() -> None:
    page = (Path(__file__).parents[2] / "docs" / "live.md").read_text()
    for text in DEFAULTS:
        name, comparison, number = text.split()
        assert f"| `{name}` | {comparison} {number} |" in page
