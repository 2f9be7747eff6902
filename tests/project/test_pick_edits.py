"""Picks changed by hand: add, remove, threshold, undo, redo; nothing lost, and a rebuilt database the same."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.support.picked_projects import picked_project
from verglas.actions import project_run
from verglas.errors import InputError
from verglas.formats import read_coordinates
from verglas.formats.npy import read_npy
from verglas.project import Project
from verglas.project.pick_edits import edit_picks, picks_of, redo_picks, state_of, undo_picks


def positions(project: Project, image: int) -> np.ndarray:
    (record,) = (one for one in project.assets("positions") if one["image"] == image)
    table = read_npy(project.folder / record["path"])
    assert len(table) == record["count"]
    return table


def test_edits_are_kept_through_thresholds_and_undone_one_by_one(tmp_path):
    project, _ = picked_project(tmp_path, count=1)
    with project:
        run = project_run(
            project, "find-particles", radius_A=60.0, max_radius_A=60.0, edge_distance_A=0.0, use_ctf=False,
            save_picture=False, threshold=5.0, workers=1, threads=1,
        )  # fmt: skip
        assert not run.failures
        first = positions(project, 1)
        heights = np.sort(first["peak_height"])
        middle = float(heights[len(heights) // 2])
        assert edit_picks(project, [1], threshold=middle) == {1: int((heights >= middle).sum())}
        best = first[0]
        away = (float(best["x_A"]) + 5, float(best["y_A"]) - 5)
        counts = edit_picks(project, [1], add=[(10.0, 20.0), (30.0, 40.0)], remove=[away])
        assert counts == {1: int((heights >= middle).sum()) + 1}
        edited = positions(project, 1)
        assert not np.any(np.hypot(edited["x_A"] - best["x_A"], edited["y_A"] - best["y_A"]) < 1)
        assert [edited["x_A"][-1], edited["y_A"][-1]] == [30.0, 40.0]
        edit_picks(project, [1], remove=[(31.0, 41.0)])  # one that was added by hand
        assert state_of(project, 1).added == ((10.0, 20.0),)
        assert edit_picks(project, [1], threshold=5.0) == {1: len(first)}, "one removed, one added, all others back"
        now = positions(project, 1)
        assert np.array_equal(now, picks_of(project, state_of(project, 1)))
        live = project.dump()
        project.rebuild()
        assert project.dump() == live and np.array_equal(positions(project, 1), now)
        for _ in range(4):
            undo_picks(project, 1)
        assert np.array_equal(positions(project, 1), first)
        with pytest.raises(InputError, match="nothing to undo"):
            undo_picks(project, 1)
        assert redo_picks(project, 1) == int((heights >= middle).sum())


def test_changes_that_make_no_sense_change_nothing(tmp_path):
    project, fields = picked_project(tmp_path, count=2)
    with project:
        before = project.dump()
        for options, images, said in (
            ({"remove": [(1.0, 1.0)]}, [1], "no pick within"),
            ({"add": [(-1.0, 5.0)]}, [1], "outside m0"),
            ({"add": [(5.0, 5.0)]}, [1, 2], "one image at a time"),
            ({"threshold": 3.0}, [1], "imported"),
            ({"threshold": 3.0}, [9], "no picks"),
        ):
            with pytest.raises(InputError, match=said):
                edit_picks(project, images, **options)
        assert project.dump() == before and not list((project.folder / "Scratch").iterdir())
        with pytest.raises(InputError, match="undone"):
            redo_picks(project, 1)
        x, y = fields[1].places_A[3]
        assert edit_picks(project, [2], remove=[(x, y)]) == {2: 11}


def test_commands_edit_and_export(tmp_path):
    project, fields = picked_project(tmp_path, count=1)
    project.close()

    def verglas(*words):
        command = [sys.executable, "-m", "verglas", "picks", *words, "--project", str(tmp_path / "p"), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["picks"]

    assert verglas("edit", "1", "--add", "100", "120.5", "--add", "300", "320") == {"1": 14}
    assert verglas("undo", "1") == {"1": 12}
    assert verglas("redo", "1") == {"1": 14}
    assert verglas("export", str(tmp_path / "out")) == {"1": 14}
    centres = read_coordinates(tmp_path / "out" / "m0.star") * 2.5
    np.testing.assert_allclose(centres[:12], fields[0].places_A, atol=1e-3)
    np.testing.assert_allclose(centres[12:], [[100, 120.5], [300, 320]], atol=1e-3)
