"""Which files of a folder that is being written to are complete movies, and where a moved folder has gone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from verglas.formats import write_mrc, write_tiff_movie
from verglas.project import Project
from verglas.project.arrivals import Arrivals
from verglas.project.import_movies import MovieFields, import_movies
from verglas.project.moved_source import find_moved, follow_move, moved_into

FRAMES = np.arange(6 * 64 * 64, dtype=np.uint8).reshape(6, 64, 64)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "session"
    folder.mkdir()
    return folder


def names(arrivals: Arrivals, known: tuple[str, ...] = ()) -> list[str]:
    return [arrival.path.name for arrival in arrivals.look(known)]


def test_a_growing_file_is_taken_once_and_only_when_whole(source: Path, clock: Clock) -> None:
    whole = source.parent / "whole.mrc"
    write_mrc(whole, FRAMES.astype(np.float32), 1.0)
    content = whole.read_bytes()
    arrivals = Arrivals(source, settle_seconds=10, clock=clock)
    growing = source / "m1.mrc"
    for part in (1000, 30000, len(content) - 1):
        growing.write_bytes(content[:part])
        for _ in range(2):
            clock.now += 4
            assert names(arrivals) == []
    clock.now += 30  # it stood still, but its header promises more
    assert names(arrivals) == []
    assert "m1.mrc" in arrivals.waiting[str(growing)].reason
    assert arrivals.undecided == []
    growing.write_bytes(content)
    assert names(arrivals) == []  # it has just changed
    assert arrivals.undecided == [str(growing)]
    clock.now += 11
    assert names(arrivals) == ["m1.mrc"]
    clock.now += 100
    assert names(arrivals) == []


def test_what_is_no_movie_or_known_or_unfinished_by_name_is_left(source: Path, clock: Clock) -> None:
    write_mrc(source / "gain.mrc", FRAMES[0].astype(np.float32), 1.0)
    write_mrc(source / "one.mrc", FRAMES[0].astype(np.float32), 1.0)
    (source / "sub").mkdir()
    for name in ("known.tif", ".m2.tif.Xy12", "sub/m3.tif"):
        write_tiff_movie(source.parent / "a.tif", iter(FRAMES))
        shutil.copy(source.parent / "a.tif", source / name)
    (source / "notes.txt").write_text("no movie")
    arrivals = Arrivals(source, settle_seconds=0, clock=clock, left_out=[source / "gain.mrc"])
    assert names(arrivals, (str(source / "known.tif"),)) == ["m3.tif"]
    assert "not a movie" in arrivals.waiting[str(source / "one.mrc")].reason
    flat = Arrivals(source, recursive=False, settle_seconds=0, clock=clock)
    assert names(flat) == ["known.tif"]


def test_a_tiff_with_few_frames_is_waited_for(source: Path, clock: Clock) -> None:
    for number, count in enumerate((6, 6, 3)):
        write_tiff_movie(source / f"m{number}.tif", iter(FRAMES[:count]))
    arrivals = Arrivals(source, settle_seconds=5, patience_seconds=60, clock=clock)
    arrivals.look()
    clock.now = 6
    assert names(arrivals) == ["m0.tif", "m1.tif"]
    assert arrivals.undecided == [str(source / "m2.tif")]
    write_tiff_movie(source / "m2.tif", iter(FRAMES[:4]))  # one more frame: the waiting begins anew
    clock.now = 62
    assert names(arrivals) == []
    clock.now = 62 + 61
    (late,) = arrivals.look()
    assert late.path.name == "m2.tif"
    assert "4 frames only, others have 6" in late.warning


def test_old_files_need_no_waiting(source: Path, clock: Clock) -> None:
    write_tiff_movie(source / "m.tif", iter(FRAMES))
    os.utime(source / "m.tif", (1e9, 1e9))
    assert names(Arrivals(source, settle_seconds=30, clock=clock)) == ["m.tif"]


def test_a_movie_that_could_not_be_imported_is_looked_at_again_when_it_changes(source: Path, clock: Clock) -> None:
    write_tiff_movie(source / "m.tif", iter(FRAMES))
    arrivals = Arrivals(source, settle_seconds=0, clock=clock)
    assert names(arrivals) == ["m.tif"]
    arrivals.forget(source / "m.tif", "wrong size")
    assert names(arrivals) == []
    write_tiff_movie(source / "m.tif", iter(FRAMES[::-1]))
    assert names(arrivals) == ["m.tif"]


@pytest.fixture
def session(tmp_path: Path) -> tuple[Project, Path]:
    """Return a project with two movies of /…/disk1/session/movies and their gain reference one folder above."""
    folder = tmp_path / "disk1" / "session" / "movies"
    folder.mkdir(parents=True)
    for number in range(2):
        write_tiff_movie(folder / f"m{number}.tif", iter(FRAMES))
    write_mrc(folder.parent / "gain.mrc", np.ones((64, 64), np.float32), 1.0)
    project = Project.create(tmp_path / "p")
    fields = MovieFields(1.0, 300.0, 2.7, 1.0, gain=str(folder.parent / "gain.mrc"))
    assert len(import_movies(project, [str(folder)], fields).imported) == 2
    return project, folder


def test_a_moved_folder_is_found_with_the_gain_beside_it(session: tuple[Project, Path], tmp_path: Path) -> None:
    project, folder = session
    (tmp_path / "disk2").mkdir()
    shutil.copytree(folder.parent, tmp_path / "disk2" / "session")  # a copy: no inode tells
    assert moved_into(project, tmp_path / "disk2") == {}  # nothing is missing yet
    shutil.rmtree(tmp_path / "disk1")
    new = tmp_path / "disk2" / "session" / "movies"
    assert moved_into(project, new) == {str(folder): str(new)}
    assert moved_into(project, new.parent) == {str(folder): str(new)}
    assert find_moved(project, folder) == new
    report = follow_move(project, str(folder), str(new))
    assert len(report.changed) == 4 and not report.missing and not report.different
    movies = project.assets("movie")
    assert [movie["path"] for movie in movies] == [str(new / "m0.tif"), str(new / "m1.tif")]
    assert {movie["gain_path"] for movie in movies} == {str(new.parent / "gain.mrc")}
    project.close()


def test_a_renamed_folder_is_found_by_its_identity_and_a_namesake_is_not(
    session: tuple[Project, Path], tmp_path: Path
) -> None:
    project, folder = session
    status = folder.stat()
    decoy = tmp_path / "disk1" / "other" / "movies"
    decoy.mkdir(parents=True)
    (decoy / "m0.tif").write_text("another one")
    renamed = folder.parent / "grid 3"
    folder.rename(renamed)
    assert find_moved(project, folder) is None
    assert find_moved(project, folder, (status.st_dev, status.st_ino)) == renamed
    project.close()
