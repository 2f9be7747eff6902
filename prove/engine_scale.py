"""Search, refinement and reconstruction of up to 100,000 particles: linear in them, flat in memory, two processes.

A stack of 100,000 different noisy particles of box 64 is made on disk (0.8 GB in half precision) and read in chunks.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tests.engine.particles import make_particles
from tests.support.memory import alone, side_by_side, status_bytes
from tools.measured import record

from verglas.engine import RefinementSettings, SearchSettings, Templates, prepare_images, refine_poses, search_poses
from verglas.engine.particle_stack import ParticleStack
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.engine.reconstruction import Reconstruction
from verglas.engine.reference import prepare_reference
from verglas.formats import ParticleTable, read_particles, write_particles
from verglas.geometry import euler_to_matrix, geodesic_distance
from verglas.signal import fourier_shell_correlation

BOX, PIXEL_SIZE_A, NOISE = 64, 2.0, 1.5
COUNTS = (1_000, 10_000, 100_000)
CHUNK = 500
SETTINGS = SearchSettings(
    limit_A=14.0, spacing=float(np.deg2rad(12.0)), shift_step_A=5.0, shift_range_A=14.0, keep=2, middle_limit_A=9.0,
    final_limit_A=6.0,
)  # fmt: skip


def make(folder: Path, count: int) -> None:
    """Write particles and their true map."""
    table, truth = make_particles(folder, count, BOX, PIXEL_SIZE_A, noise=NOISE, dtype="float16")
    write_particles(table, folder / "particles.star")
    np.save(folder / "truth.npy", truth)


def some_particles(folder: Path, rows: np.ndarray) -> ParticleTable:
    whole = read_particles(folder / "particles.star")
    whole["half_set"] = 1 + np.arange(len(whole)) % 2
    return whole.select(rows)


def reconstruct(folder: Path, first: int, last: int, save: Path | None = None) -> dict[str, Any]:
    """Reconstruct some particles; return their cost and the memory they took at most."""
    table = some_particles(folder, np.arange(first, last))
    reconstruct_particles(table.select(slice(0, 64)), folder)
    before, most = status_bytes("RssAnon"), 0

    def look(_done: int, _total: int) -> None:
        nonlocal most
        most = max(most, status_bytes("RssAnon"))

    cpu, wall = time.process_time(), time.perf_counter()
    work = reconstruct_particles(table, folder, progress=look)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if save is not None:
        work.save(save)
    return cost(last - first, cpu, wall, most - before)


def align(folder: Path, first: int, last: int, save: Path | None = None) -> dict[str, Any]:
    """Search some particles over all poses and refine what is found, chunk by chunk; return cost and accuracy."""
    table = some_particles(folder, np.arange(first, last))
    reference = prepare_reference(np.load(folder / "truth.npy"), PIXEL_SIZE_A, limit_A=5.5)
    variance = np.full(BOX, measured_noise(folder, read_particles(folder / "particles.star")))
    before, most = status_bytes("RssAnon"), 0
    times = {"search": 0.0, "refinement": 0.0}
    errors, poses = [], []
    wall = time.perf_counter()
    with ParticleStack(table, folder) as stack:
        optics = stack.optics(0)
        few = prepare_images(stack.read(np.arange(8)), optics, stack.defocus(np.arange(8)), variance, 6.0)
        library = Templates([reference], few.band, SETTINGS)
        search_poses(reference, few, SETTINGS, templates=library)
        for start in range(0, len(stack), CHUNK):
            places = np.arange(start, min(start + CHUNK, len(stack)))
            cpu = time.process_time()
            images = prepare_images(stack.read(places), optics, stack.defocus(places), variance, 6.0)
            found = search_poses(reference, images, SETTINGS, templates=library)
            middle = time.process_time()
            done = refine_poses(
                reference, images, found.best_rotations, found.best_displacements_A, RefinementSettings()
            )
            times["search"] += middle - cpu
            times["refinement"] += time.process_time() - middle
            errors.append(np.rad2deg(geodesic_distance(done.rotations, true_rotations(table, places))))
            poses.append(done.rotations)
            most = max(most, status_bytes("RssAnon"))
    if save is not None:
        np.save(save, np.concatenate(poses))
    away = np.concatenate(errors)
    return cost(last - first, sum(times.values()), time.perf_counter() - wall, most - before) | {
        "search_cpu_ms_a_particle": round(1e3 * times["search"] / (last - first), 3),
        "refinement_cpu_ms_a_particle": round(1e3 * times["refinement"] / (last - first), 3),
        "within_5_deg": round(float(np.mean(away < 5.0)), 4), "median_deg": round(float(np.median(away)), 3),
    }  # fmt: skip


def measured_noise(folder: Path, table: ParticleTable) -> float:
    """Return the power of the noise of the stack, which is white: that of the corners of some images' transforms."""
    with ParticleStack(table, folder, np.arange(200)) as stack:
        transforms = np.fft.rfft2(stack.read(np.arange(200)))
    beyond = np.hypot(np.fft.fftfreq(BOX)[:, None], np.fft.rfftfreq(BOX)) > 0.52
    return float(np.mean(np.abs(transforms[:, beyond]) ** 2) / BOX**2)


def true_rotations(table: ParticleTable, places: np.ndarray) -> np.ndarray:
    return np.asarray(
        euler_to_matrix(*(np.deg2rad(table[name][places]) for name in ("rot_deg", "tilt_deg", "psi_deg")))
    )


def cost(particles: int, cpu: float, wall: float, memory: int) -> dict[str, Any]:
    return {
        "particles": particles, "cpu_ms_a_particle": round(1e3 * cpu / particles, 4), "wall_s": round(wall, 1),
        "memory_above_the_start_MB": round(memory / 1e6, 1),
    }  # fmt: skip


def growth(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return how cost a particle and memory of the most particles compare with those of a tenth of them."""
    last, before = rows[-1], rows[-2]
    return {
        f"{name}_of_{last['particles']}_over_{before['particles']}": round(last[name] / before[name], 3)
        for name in ("cpu_ms_a_particle", "memory_above_the_start_MB")
    }


TASKS = {"reconstruction": reconstruct, "search": align}


def measure(task: str, folder: Path, largest: int, pairs: int) -> dict[str, Any]:
    """Measure one task; ``pairs`` particles are done by one process and by two."""
    function, ending = TASKS[task], "npz" if task == "reconstruction" else "npy"
    one, two, three = (folder / f"{word}.{ending}" for word in ("whole", "first", "second"))
    rows = [alone(function, folder, 0, count) for count in (*(n for n in COUNTS if n < largest), largest)]
    half = pairs // 2
    whole = alone(function, folder, 0, pairs, one)
    parts = side_by_side(function, (folder, 0, half, two), (folder, half, pairs, three))
    figures: dict[str, Any] = {
        "box": BOX, "pixel_size_A": PIXEL_SIZE_A, "noise_over_signal": NOISE, "by_count": rows, **growth(rows),
        "one_process": whole, "two_processes": parts,
        "speed_of_two_processes": round(whole["wall_s"] / max(part["wall_s"] for part in parts), 2),
    }  # fmt: skip
    if task == "reconstruction":
        sums = Reconstruction.load(two)
        sums.add(Reconstruction.load(three).arrays())
        maps = Reconstruction.load(one).finish().map, sums.finish().map
        curve = fourier_shell_correlation(*maps, PIXEL_SIZE_A).fsc
        figures["lowest_fsc_of_one_and_two_processes"] = round(float(curve[1:29].min()), 7)
    else:
        figures["search"] = "14 A, 12 degrees, displacements to 14 A, 2 directions kept, refined to 6 A"
        figures["chunk"] = CHUNK
        same = np.concatenate([np.load(two), np.load(three)]) == np.load(one)
        figures["poses_equal_to_the_bit"] = round(float(same.all(axis=(1, 2)).mean()), 6)
    return figures


def main(*tasks: str, largest: int = COUNTS[-1], pairs: int = 10_000, made: str | None = None) -> None:
    """Measure some tasks or all; ``made`` is a folder where the particles are, or will be kept."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(made or name)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "truth.npy").exists():
            alone(make, folder, largest)
        for task in tasks or TASKS:
            figures = measure(task, folder, largest, pairs)
            sys.stdout.write(f"{figures}\nwritten to {record(f'engine_scale_{task}', figures)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help=f"of {list(TASKS)}; all when none is named")
    parser.add_argument("--made", help="folder where the particles are, or will be kept")
    options = parser.parse_args()
    main(*options.tasks, made=options.made)
