"""A hundred thousand particles through Classify 2D as a job: time in proportion, memory that does not grow.

The images are a few hundred simulated ones, again and again with new noise, and written as they are made, in float16.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.mixtures import make_mixture
from tools.measured import record

from verglas.actions import project_run
from verglas.execution.job_folder import JobFolder
from verglas.formats import MrcStackWriter, ParticleTable, write_particles
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles

PARTICLES, FEW, BOX, PIXEL_A, SNR, SIMULATED = 100_000, 20_000, 64, 4.0, 0.1, 400
OPTIONS = {"classes": 5, "rounds": 2, "percent_used": 100.0, "start_resolution_A": 20.0, "finish_resolution_A": 15.0,
           "max_shift_A": 15.0}  # fmt: skip
AT_ONCE = 2000


def write_stack(folder: Path, count: int) -> Path:
    """Write a stack and its table, some images at a time."""
    clean = make_mixture(SIMULATED, snr=1e4, junk=0.0, seed=3)
    # At such a ratio noise of variance 1 does not show; scaled down, signals are those of the ratio asked for.
    signals = clean.images * np.float32(np.sqrt(SNR / 1e4))
    random = np.random.Generator(np.random.Philox(9))
    which = np.arange(count) % SIMULATED
    with MrcStackWriter(folder / "many.mrcs", BOX, BOX, PIXEL_A, dtype=np.float16) as writer:
        for first in range(0, count, AT_ONCE):
            some = signals[which[first : first + AT_ONCE]]
            for image in some + random.standard_normal(some.shape, np.float32):
                writer.append(image)
    table: ParticleTable = clean.table.select(which)
    table["image_section"] = np.arange(1, count + 1)
    table["class_number"] = 0
    table.set_names("image_name", ["many.mrcs"] * count)
    write_particles(table, folder / "many.star")
    return folder / "many.star"


def case(count: int) -> dict[str, Any]:
    """Classify some particles in a project of their own; return what it took."""
    with tempfile.TemporaryDirectory() as name:
        star = write_stack(Path(name), count)
        with Project.create(Path(name) / "p") as project:
            import_particles(project, star, ParticleFields(largest_dimension_A=170.0))
            start = time.perf_counter()
            run = project_run(project, "classify-2d", threads=1, workers=2, **OPTIONS)
            wall = time.perf_counter() - start
            state = JobFolder(run.job.path).state()
            last = project.assets("classification")[-1]
            return {
                "particles": count, "wall_s": round(wall, 1), "cpu_s": round(state.cpu_seconds or 0.0, 1),
                "peak_memory_bytes": state.peak_memory_bytes, "classes": last["classes"],
                "cpu_ms_a_particle_and_round": round(
                    1e3 * (state.cpu_seconds or 0.0) / count / OPTIONS["rounds"], 3  # type: ignore[operator]
                ),
            }  # fmt: skip


def main(particles: int = PARTICLES, few: int = FEW) -> None:
    small, large = case(few), case(particles)
    figures = {
        "box": BOX,
        "options": OPTIONS,
        "workers": 2,
        "few": small,
        "many": large,
        "memory_grows_by": round(large["peak_memory_bytes"] / small["peak_memory_bytes"], 3),
        "cpu_time_a_particle_grows_by": round(
            large["cpu_ms_a_particle_and_round"] / small["cpu_ms_a_particle_and_round"], 3
        ),
    }
    sys.stdout.write(f"written to {record('classification2d_many', figures)}\n")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
