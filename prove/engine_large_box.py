"""Box 512: the memory that a reconstruction states, what it takes, how long, and whether the map is right."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tests.engine.particles import make_particles
from tests.support.memory import alone, status_bytes
from tools.measured import record

from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.engine.reconstruction import memory_needed
from verglas.formats import MrcStackWriter, read_particles, read_volume, write_particles
from verglas.signal import fourier_shell_correlation

BOX, PARTICLES, PIXEL_SIZE_A, SYMMETRY = 512, 120, 1.0, "D2"
SHELLS = (8, 32, 64, 128, 192, 230)


def make(folder: Path) -> None:
    """Write particles and their true map."""
    table, truth = make_particles(folder, PARTICLES, BOX, PIXEL_SIZE_A, symmetry=SYMMETRY)
    write_particles(table, folder / "particles.star")
    with MrcStackWriter(folder / "truth.mrc", BOX, BOX, PIXEL_SIZE_A, is_volume=True) as writer:
        for plane in truth:
            writer.append(plane)


def reconstruct(folder: Path, threads: int) -> dict[str, Any]:
    """Reconstruct both halves and the map in a budget of what is stated; return what it took."""
    stated = memory_needed(BOX, threads=threads)
    table = read_particles(folder / "particles.star")
    table["half_set"] = 1 + np.arange(len(table)) % 2
    start, cpu, wall = status_bytes("VmRSS"), time.process_time(), time.perf_counter()
    work = reconstruct_particles(table, folder, SYMMETRY, threads=threads, memory_bytes=stated)
    inserted, insertion_wall, sums = time.process_time() - cpu, time.perf_counter() - wall, status_bytes("VmRSS")
    cpu, wall = time.process_time(), time.perf_counter()
    found = work.finish()
    finished, finishing_wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = status_bytes("VmHWM")
    del work
    truth, _ = read_volume(folder / "truth.mrc")
    assert found.correlation is not None
    truly = fourier_shell_correlation(found.map, truth, PIXEL_SIZE_A).fsc
    return {
        "box": BOX, "pixel_size_A": PIXEL_SIZE_A, "particles": PARTICLES, "symmetry": SYMMETRY, "oversampling": 2,
        "threads": threads, "stated_GB": round(stated / 1e9, 2),
        "with_oversampling_1_stated_GB": round(memory_needed(BOX, 1, threads) / 1e9, 2),
        "sums_GB": round((sums - start) / 1e9, 2), "peak_GB": round((peak - start) / 1e9, 2),
        "within_what_was_stated": peak - start <= stated,
        "insertion_cpu_s": round(inserted, 1), "insertion_wall_s": round(insertion_wall, 1),
        "insertion_cpu_ms_a_particle": round(1e3 * inserted / PARTICLES, 1),
        "both_half_maps_and_the_filtered_map_cpu_s": round(finished, 1), "maps_wall_s": round(finishing_wall, 1),
        "fsc_to_the_truth_at_shells": {str(shell): round(float(truly[shell]), 4) for shell in SHELLS},
        "fsc_of_the_halves_at_shells": {str(shell): round(float(found.correlation.fsc[shell]), 4) for shell in SHELLS},
    }  # fmt: skip


def main(threads: int = 1, made: str | None = None) -> None:
    """Measure; ``made`` is a folder where the particles are, or will be kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(made or name)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "truth.mrc").exists():
            alone(make, folder)
        figures = alone(reconstruct, folder, threads)
    sys.stdout.write(f"{figures}\nwritten to {record('engine_large_box', figures)}\n")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]), *sys.argv[2:3])
