"""Time the reconstruction of a stack beside relion_reconstruct and the floor."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.relion import relion_reconstruct
from tools.measured import record

from benchmarks.engine_search import sgemm_GFLOPS
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.engine.reconstruction import Reconstruction, memory_needed
from verglas.formats import ParticleTable, read_stack
from verglas.signal import apply_filter, b_factor, fourier_shell_correlation, rfft, sphere_mask
from verglas.stages.simulation import StackParameters, make_density, read_atoms, simulate_stack

REPEATS = 5
# Box, pixel size, particles, rounds of RELION.
SETTINGS = ((128, 2.0, 300, 2), (128, 1.5, 300, 1), (256, 2.0, 100, 1), (256, 1.5, 100, 0))
WANTED_MS = {128: 1.2, 256: 6.0}


def cpu_seconds(task: Callable[[], Any]) -> float:
    start = time.process_time()
    task()
    return time.process_time() - start


def simulate(folder: Path, box: int, pixel_size_A: float, count: int, snr: float) -> tuple[ParticleTable, np.ndarray]:
    """Write a stack with known poses; return its table and the true map."""
    parameters = StackParameters(
        model="beta-galactosidase", particles=count, box=box, pixel_size_A=pixel_size_A, snr=snr, seed=3
    )
    made = simulate_stack(parameters, folder, threads=1)
    density = make_density(read_atoms(parameters, parameters.conformations[0]), box, pixel_size_A)
    return made.truth, apply_filter(density, pixel_size_A, b_factor(parameters.envelope_b_A2))


def fsc_at(first: np.ndarray, second: np.ndarray, pixel_size_A: float) -> dict[str, float]:
    """Return the correlation of two maps within a soft sphere at a few resolutions."""
    mask = sphere_mask(first.shape, 100.0, pixel_size_A, edge_A=16.0)
    curve = fourier_shell_correlation(first, second, pixel_size_A, mask=mask)
    return {
        f"{limit_A:g}_A": round(float(np.interp(1.0 / limit_A, curve.frequency_per_A, curve.fsc)), 4)
        for limit_A in (20.0, 12.0, 8.0, 6.0, 5.0)
    }


def flops(work: Reconstruction) -> float:
    """Return the floating-point operations of one image: transform, CTF, weights, eight voxels a point."""
    box, points = work.box, work.slices.rows.size
    # 2.5 n log2 n of a real transform; 30 for a CTF, 20 to weigh; 30 to place a point and 8 x 7 to spread it.
    return 2.5 * box * box * np.log2(box * box) + points * (30.0 + 20.0 + 30.0 + 56.0)


def measure(folder: Path, box: int, pixel_size_A: float, count: int, repeats: int, rate: float) -> dict[str, Any]:
    table, truth = simulate(folder, box, pixel_size_A, count, 0.1)

    def floor() -> None:
        for first in range(0, count, 32):
            images, _ = read_stack(folder / "particles.mrcs", range(first, min(count, first + 32)))
            rfft(images, 2)

    def insert() -> Any:
        return reconstruct_particles(table, folder, oversampling=2, threads=1)

    work = insert()
    rows: dict[str, list[float]] = {"insert": [], "floor": [], "finish": [], "relion": [], "relion_of_one": []}
    for _ in range(REPEATS):
        rows["insert"].append(cpu_seconds(insert))
        rows["floor"].append(cpu_seconds(floor))
    rows["finish"].append(cpu_seconds(work.finish))
    theirs: np.ndarray | None = None
    # The iterations that correct RELION's gridding take minutes at box 256 and are no cost of particles.
    options = ("--skip_gridding",) if box > 128 else ()
    for _ in range(repeats):
        made = relion_reconstruct(table, folder, "C1", *options)
        theirs = None if options else made.map
        rows["relion"].append(made.cpu_s)
        # With one particle it only makes the map: the difference is the cost of the particles.
        rows["relion_of_one"].append(relion_reconstruct(table.select(slice(0, 1)), folder, "C1", *options).cpu_s)
    middle = {name: statistics.median(times) for name, times in rows.items() if times}
    ours = work.finish().map
    found: dict[str, Any] = {
        "box": box, "pixel_size_A": pixel_size_A, "particles": count,
        "cpu_ms_a_particle": round(1e3 * middle["insert"] / count, 3), "wanted_cpu_ms_a_particle": WANTED_MS[box],
        "floor_cpu_ms_a_particle_of_operations_over_sgemm": round(flops(work) / (1e6 * rate), 3),
        "floor_cpu_ms_a_particle_reading_and_fft_measured": round(1e3 * middle["floor"] / count, 3),
        "making_both_halves_and_the_map_cpu_s": round(middle["finish"], 2),
        "sums_and_maps_planned_GB": round(memory_needed(box, 2, 1) / 1e9, 2),
        "fsc_to_the_truth": fsc_at(ours, truth, pixel_size_A),
    }  # fmt: skip
    if repeats:
        found["relion_reconstruct_cpu_ms_a_particle"] = round(
            1e3 * (middle["relion"] - middle["relion_of_one"]) / count, 3
        )
    if theirs is not None:
        found |= {
            "relion_reconstruct_making_one_map_cpu_s": round(middle["relion_of_one"], 2),
            "relion_reconstruct_fsc_to_the_truth": fsc_at(theirs, truth, pixel_size_A),
            "fsc_to_relion_reconstruct": fsc_at(ours, theirs, pixel_size_A),
        }
    return found


def main() -> None:
    rate = sgemm_GFLOPS()
    results = []
    for setting in SETTINGS:
        with tempfile.TemporaryDirectory() as name:
            results.append(measure(Path(name), *setting, rate))
    note = (
        "CPU ms on one thread, medians; ours: reading, transform, CTF, shift and sums of both halves, oversampling 2; "
        "RELION: one map, padding 2, its fixed cost taken off. Beta-galactosidase, SNR 0.1, poses known."
    )
    record(
        "engine_reconstruction",
        {"note": note, "repeats": REPEATS, "threads": 1, "sgemm_GFLOP_per_s": rate, "settings": results},
    )


if __name__ == "__main__":
    main()
