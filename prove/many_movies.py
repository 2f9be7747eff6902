"""Two hundred simulated movies through all steps to a stack: memory that does not grow, time in proportion."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.measured import record

from verglas.actions import project_run
from verglas.execution.job_folder import JobFolder
from verglas.project import Project
from verglas.project.import_movies import MovieFields, import_movies
from verglas.stages.simulation import MovieParameters, simulate_movies

STEPS = ("align-movies", "find-ctf", "find-particles", "create-package")
LARGEST_GROWTH = 1.15
"""Of memory, and of time a movie, from a quarter of the movies to all of them."""


def main(count: int = 200, size: int = 512, frames: int = 8) -> None:
    parameters = MovieParameters(
        movies=count, width=size, height=size, frames=frames, particles=12, pixel_size_A=1.5, dose_per_frame_e_A2=4.0,
        drift_A=8.0, seed=200,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = simulate_movies(parameters, folder / "movies", threads=1)
        rows = [through(folder / f"project_{part}", made, parameters, part) for part in (count // 4, count)]
    small, large = rows
    figures = {
        "movies": f"{count} of {size} x {size} pixels, {frames} frames",
        "steps": {step: {"few": small["steps"][step], "all": large["steps"][step]} for step in STEPS},
        "particles": large["particles"],
        "set_aside": large["set_aside"],
        "memory_grows_by": worst(small, large, "peak_memory_bytes", per_movie=False),
        "cpu_time_a_movie_grows_by": worst(small, large, "cpu_seconds", per_movie=True),
        "wanted_at_most": LARGEST_GROWTH,
    }
    figures["reached"] = (
        max(figures["memory_grows_by"], figures["cpu_time_a_movie_grows_by"]) <= LARGEST_GROWTH
        and figures["set_aside"] == 0
    )
    sys.stdout.write(f"written to {record('many_movies', figures)}\n")


def through(folder: Path, made: Any, parameters: MovieParameters, count: int) -> dict[str, Any]:
    """Take some movies through all steps in a project of their own; return what each step took."""
    with Project.create(folder) as project:
        fields = MovieFields(
            pixel_size_A=parameters.pixel_size_A, voltage_kV=parameters.voltage_kV, cs_mm=parameters.cs_mm,
            dose_per_frame_e_A2=parameters.dose_per_frame_e_A2, gain=str(made.gain),
        )  # fmt: skip
        import_movies(project, [str(path) for path in made.images[:count]], fields)
        options: dict[str, dict[str, Any]] = {
            "align-movies": {},
            "find-ctf": {"box_size": 256},
            "find-particles": {"picker": "ring", "radius_A": 62.0, "inner_radius_A": 36.0, "max_radius_A": 65.0,
                               "threshold": 5.0, "save_picture": False},
            "create-package": {"largest_dimension_A": 130.0},
        }  # fmt: skip
        steps, set_aside = {}, 0
        for step in STEPS:
            run = project_run(project, step, threads=1, workers=1, **options[step])
            state = JobFolder(run.job.path).state()
            steps[step] = {"movies": count, "cpu_seconds": round(state.cpu_seconds, 2),
                           "peak_memory_bytes": state.peak_memory_bytes}  # fmt: skip
            set_aside += len(run.failures)
        (package,) = project.assets("package")
        return {"steps": steps, "particles": package["count"], "set_aside": set_aside}


def worst(small: dict[str, Any], large: dict[str, Any], figure: str, *, per_movie: bool) -> float:
    """Return by how much a figure grows at most, from few movies to all, over the steps."""
    ratios = []
    for step in STEPS:
        few, many = small["steps"][step], large["steps"][step]
        scale = few["movies"] / many["movies"] if per_movie else 1.0
        ratios.append(many[figure] / few[figure] * scale)
    return round(max(ratios), 3)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
