"""Align Movies through the command line: import, run, take in, show what came from what."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.movies import make_movie
from verglas.formats import write_tiff_movie
from verglas.project import Project

VERGLAS = str(Path(sys.executable).parent / "verglas")


def verglas(folder: Path, *words: str) -> Any:
    done = subprocess.run(
        [VERGLAS, *words, "--project", str(folder), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_align_movies_from_import_to_active_result(tmp_path: Path) -> None:
    folder = tmp_path / "project with space"
    Project.create(folder).close()
    for number in range(2):
        made = make_movie(np.random.default_rng(number), shape=(128, 128), frames=4, contrast=0.2)
        write_tiff_movie(tmp_path / f"m{number}.tif", iter(made.frames))
    files = [str(tmp_path / f"m{number}.tif") for number in range(2)]
    verglas(folder, "import", "movies", "--pixel-size", "1", "--voltage", "300", "--cs", "2.7",
            "--dose-per-frame", "1", *files)  # fmt: skip
    summary = verglas(folder, "align-movies", "--workers", "1", "--max-shift", "20")
    assert summary["state"] == "done"
    assert (summary["taken_in"], summary["problems"], summary["failures"]) == (2, [], [])
    assert summary["parameters"]["max_shift_A"] == 20.0
    assert summary["peak_memory_bytes"] < summary["estimate"]["memory_bytes"]
    with Project.open(folder) as project:
        images = project.assets("image")
        assert len(images) == 2
        assert all((folder / image["path"]).exists() for image in images)
    assert verglas(folder, "jobs", "graph")["edges"] == []
