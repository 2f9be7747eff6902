"""A project with movies, and jobs' folders as a controller would leave them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from verglas.execution.job_folder import JobFolder, ProjectReference, Request
from verglas.project import Project


def movie(name: str) -> dict[str, Any]:
    """Return the record of a movie that is about to be imported."""
    return {
        "name": name, "path": f"/data/{name}.tif", "n_x": 10, "n_y": 12, "n_frames": 5, "pixel_size_A": 1.0,
        "voltage_kV": 300.0, "cs_mm": 2.7, "dose_per_frame_e_A2": 1.0, "protein_is_white": 0,
        "sources": {"pixel_size_A": "header", "voltage_kV": "user"},
    }  # fmt: skip


def add_movies(project: Project, count: int, prefix: str = "m") -> None:
    records = [movie(f"{prefix}{number}") for number in range(count)]
    project.edit({"edit": "asset.import", "kind": "movie", "records": records})


def make_job(project_folder: Path, movies: list[int], *, finished: bool = True) -> JobFolder:
    """Leave a job's folder with one alignment of each movie."""
    job = JobFolder.claim(project_folder / "Jobs", "align-movies")
    job.write_request(
        Request(
            job=job.number, action="align-movies", entry="none:none", title=f"Align Movies #{job.number}",
            project=ProjectReference(name="p", id="1"), created="2026-01-01T00:00:00+00:00", user="ana", host="here",
        )
    )  # fmt: skip
    events: list[dict[str, Any]] = [{"event": "state", "t": 1.0, "state": "running"}]
    for number in movies:
        for role in ("sum", "spectrum", "thumbnail"):
            (job.results_folder / f"{number}_{role}.mrc").write_text(f"{job.number} {number} {role}")
        files = {role: f"results/{number}_{role}.mrc" for role in ("sum", "spectrum", "thumbnail")}
        events.append({
            "event": "result", "t": 2.0, "key": f"movie-{number}", "kind": "movie_alignment", "files": files,
            "values": {"n_x": 10, "n_y": 12, "pixel_size_A": 1.0 + job.number, "x_shifts_A": [0.0, 1.5]},
            "of": {"kind": "movie", "id": number},
        })  # fmt: skip
    if finished:
        events.append({"event": "state", "t": 3.0, "state": "done", "cpu_seconds": 1800.0})
    job.events_path.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))
    return job


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "apo") as made:
        yield made


@pytest.fixture
def rebuilt_equals_live() -> Callable[[Path], None]:
    """Return a check that a database made from the journal equals the one that was kept, row by row."""

    def check(folder: Path) -> None:
        with Project.open(folder, "rw") as opened:
            assert opened.is_owner
            live = opened.dump()
            opened.rebuild()
            assert opened.dump() == live
            assert sum(len(rows) for rows in live.values()) > 0

    return check
