"""What reconstruction must show at size: linear in particles, flat in memory, two processes, box 512 as planned."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tests.engine.particles import make_particles
from tools.measured import record

from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.engine.reconstruction import Reconstruction, memory_needed
from verglas.formats import ParticleTable, read_particles, write_particles
from verglas.signal import fourier_shell_correlation

PIXEL_SIZE_A = 2.0
IMAGES = 10_000
COUNTS = (1_000, 10_000, 100_000)
LARGE_BOX, LARGE_COUNT = 512, 16


def anonymous_bytes() -> int:
    """Return this process's memory without the pages of mapped files, which the system takes back as it likes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def reconstruct(folder: Path, rows: np.ndarray, save: Path | None = None) -> dict[str, Any]:
    """Reconstruct some particles; return their cost and the memory they took at most."""
    whole = read_particles(folder / "particles.star")
    whole["half_set"] = 1 + np.arange(len(whole)) % 2
    table = whole.select(rows)
    reconstruct_particles(whole.select(slice(0, 64)), folder)
    before, most = anonymous_bytes(), 0

    def look(_done: int, _total: int) -> None:
        nonlocal most
        most = max(most, anonymous_bytes())

    cpu, wall = time.process_time(), time.perf_counter()
    work = reconstruct_particles(table, folder, progress=look)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if save is not None:
        work.save(save)
    return {
        "particles": len(rows), "cpu_ms_a_particle": round(1e3 * cpu / len(rows), 4), "wall_s": round(wall, 2),
        "memory_above_the_start_MB": round((most - before) / 1e6, 1),
    }  # fmt: skip


def large(folder: Path) -> dict[str, Any]:
    """Reconstruct a few particles of a large box and make the maps; return what was planned and what it took."""
    planned = memory_needed(LARGE_BOX)
    table, truth = make_particles(folder, LARGE_COUNT, LARGE_BOX, PIXEL_SIZE_A, symmetry="O")
    start, cpu = anonymous_bytes(), time.process_time()
    work = reconstruct_particles(table, folder, "O")
    insertion, sums = time.process_time() - cpu, anonymous_bytes()
    cpu = time.process_time()
    found = work.finish()
    finishing = time.process_time() - cpu
    # The high-water mark of all resident memory, mapped files included.
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    curve = fourier_shell_correlation(found.map, truth, PIXEL_SIZE_A).fsc
    return {
        "box": LARGE_BOX, "particles": LARGE_COUNT, "symmetry": "O", "planned_GB": round(planned / 1e9, 2),
        "with_oversampling_1_planned_GB": round(memory_needed(LARGE_BOX, 1) / 1e9, 2),
        "before_GB": round(start / 1e9, 2), "sums_GB": round((sums - start) / 1e9, 2),
        "peak_above_the_start_GB": round((peak - start) / 1e9, 2),
        "insertion_cpu_s": round(insertion, 1), "making_both_halves_and_the_map_cpu_s": round(finishing, 1),
        "fsc_to_the_truth_at_shells": {str(shell): round(float(curve[shell]), 3) for shell in (4, 8, 16, 32)},
    }  # fmt: skip


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def stack(folder: Path) -> ParticleTable:
    table, _ = make_particles(folder, IMAGES, 64, PIXEL_SIZE_A, noise=3.0)
    write_particles(table, folder / "particles.star")
    return table


def many(folder: Path) -> dict[str, Any]:
    """Time stacks of more and more particles, and one of them in two processes."""
    stack(folder)
    rows = [alone(reconstruct, folder, np.arange(count) % IMAGES) for count in COUNTS]
    one = alone(reconstruct, folder, np.arange(IMAGES), folder / "one.npz")
    parts = [np.arange(IMAGES // 2), np.arange(IMAGES // 2, IMAGES)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        paths = [folder / "first.npz", folder / "second.npz"]
        two = list(pool.map(reconstruct, [folder] * 2, parts, paths))
    whole, first = Reconstruction.load(folder / "one.npz"), Reconstruction.load(paths[0])
    first.add(Reconstruction.load(paths[1]).arrays())
    curve = fourier_shell_correlation(whole.finish().map, first.finish().map, PIXEL_SIZE_A).fsc
    inside = curve[1 : int(0.9 * len(curve))]
    return {
        "box": 64, "images_in_the_stack": IMAGES, "note": "larger counts go through the stack several times",
        "by_count": rows, "one_process": one, "two_processes": two,
        "lowest_fsc_of_one_and_two_processes": round(float(inside.min()), 7),
        "cpu_a_particle_of_most_over_fewest": round(rows[-1]["cpu_ms_a_particle"] / rows[0]["cpu_ms_a_particle"], 3),
        "memory_of_most_over_fewest": round(
            rows[-1]["memory_above_the_start_MB"] / rows[0]["memory_above_the_start_MB"], 3
        ),
    }  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        figures = {"particles": many(Path(name))}
    sys.stdout.write(f"{figures}\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory() as name:
        figures["large_box"] = alone(large, Path(name))
    sys.stdout.write(f"{figures['large_box']}\n")
    sys.stdout.write(f"written to {record('engine_reconstruction_scale', figures)}\n")


if __name__ == "__main__":
    main()
