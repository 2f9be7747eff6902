"""Time the simulation of the standard set of movies: docs/measured/simulator_benchmark.json."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.measured import record

from verglas.stages.simulation import MovieParameters, simulate_movies


def generation(folder: Path) -> dict[str, Any]:
    """Time the set of 24 movies of 2048 x 2048 x 20 frames with 60 particles each."""
    parameters = MovieParameters(movies=24)
    simulate_movies(MovieParameters(width=256, height=256, frames=2, particles=1), folder / "warm")
    start, cpu_start = time.perf_counter(), time.process_time()
    result = simulate_movies(parameters, folder / "movies", threads=2)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {
        "movies": 24, "frames": 20, "size_px": 2048, "particles_each": 60, "threads": 2,
        "listed_particles": len(result.particles), "seconds": round(seconds, 1),
        "seconds_per_movie": round(seconds / 24, 2),
        "cpu_seconds_per_movie": round(cpu_seconds / 24, 2),
        "GB_written": round(sum(path.stat().st_size for path in result.images) / 1e9, 2),
        "peak_memory_GiB_of_the_whole_run": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        record("simulator_benchmark", generation(Path(folder)))


if __name__ == "__main__":
    main()
