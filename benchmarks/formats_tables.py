"""Time tables of a million particles: star files beside starfile, .cistem, .cs and .npy, and their memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tools.measured import REPOSITORY, record

from verglas.formats import (
    Block,
    Loop,
    ParticleTable,
    TextColumn,
    read_particles,
    read_star,
    write_particles,
    write_star,
)
from verglas.kernels import number_text, star_text

REPEATS = 5
ROWS = 1_000_000

PEER_ROWS = 100_000
PEER = """
import sys, time, starfile
start = time.process_time()
table = starfile.read(sys.argv[1])
read = time.process_time()
starfile.write(table, sys.argv[2], overwrite=True)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(read - start, time.process_time() - read, int(peak) / 1024)
"""


def loop_of_25_columns(rng: np.random.Generator, rows: int = ROWS) -> Loop:
    """Return what a RELION particle star of that many rows holds: 20 reals of six decimals, 3 integers, 2 names."""
    micrograph = np.sort(rng.integers(0, 4000, rows)).astype(np.int32)
    names = [f"MotionCorr/job002/Movies/FoilHole_{k:08d}_fractions.mrc" for k in range(4000)]
    columns: dict[str, np.ndarray | TextColumn] = {
        "rlnImageName": TextColumn(micrograph, [name + "s" for name in names], rng.integers(1, 400, rows)),
        "rlnMicrographName": TextColumn(micrograph, names),
    }
    columns |= {f"rlnReal{k}": np.round(rng.uniform(-1000, 20000, rows), 6) for k in range(20)}
    columns |= {f"rlnInteger{k}": rng.integers(0, 1000, rows) for k in range(3)}
    return Loop(columns)


def read_all_columns(path: Path) -> None:
    loop = read_star(path)[0].loops[0]
    for label in loop.labels:
        if label == "rlnImageName":
            loop.text(label, sections=True)
        else:
            loop.column(label)


def particles(rng: np.random.Generator) -> ParticleTable:
    table = ParticleTable.empty(ROWS)
    for name in ("rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A", "defocus_u_A", "defocus_v_A"):
        table[name] = np.round(rng.uniform(0, 360, ROWS), 4)
    table["pixel_size_A"], table["voltage_kV"] = 1.06, 300
    table["image_section"] = np.arange(ROWS) % 400 + 1
    names = [f"Extract/job010/stack_{k:06d}.mrcs" for k in range(2500)]
    table.set_name_indices("image_name", (np.arange(ROWS) // 400).astype(np.int32), names)
    table.set_name_indices("micrograph", (np.arange(ROWS) // 400).astype(np.int32), names)
    return table


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def summary(times: list[tuple[float, float]]) -> dict[str, float]:
    return {
        "wall_s_median": round(statistics.median(wall for wall, _ in times), 2),
        "cpu_s_median": round(statistics.median(cpu for _, cpu in times), 2),
        "wall_s_best": round(min(wall for wall, _ in times), 2),
    }


def main() -> None:
    number_text.warm()
    star_text.warm()
    rng = np.random.Generator(np.random.Philox(3))
    loop, few, table = loop_of_25_columns(rng), loop_of_25_columns(rng, PEER_ROWS), particles(rng)
    python = REPOSITORY / ".venv-oracles" / "bin" / "python"
    times: dict[str, list[tuple[float, float]]] = {}
    peer: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("VERGLAS_BENCH_FOLDER")) as folder:
        star, small = Path(folder) / "big.star", Path(folder) / "small.star"
        for _ in range(REPEATS):
            times.setdefault("star_write", []).append(timed(lambda: write_star(star, [Block("", loops=[loop])])))
            times.setdefault("star_read", []).append(timed(lambda: read_all_columns(star)))
            times.setdefault("small_star_write", []).append(timed(lambda: write_star(small, [Block("", loops=[few])])))
            times.setdefault("small_star_read", []).append(timed(lambda: read_all_columns(small)))
            if python.exists():
                done = subprocess.run(
                    [python, "-c", PEER, small, Path(folder) / "peer.star"], capture_output=True, text=True, check=True
                )
                read_s, write_s, memory_MiB = (float(word) for word in done.stdout.split())
                peer.append((read_s, write_s, memory_MiB))
                (Path(folder) / "peer.star").unlink()
        size_MB = star.stat().st_size / 1e6
        probe = "from benchmarks.formats_tables import *; read_all_columns(Path(sys.argv[1])); print(peak_MiB())"
        alone = subprocess.run(
            [sys.executable, "-c", probe, star], capture_output=True, text=True, check=True, cwd=REPOSITORY
        )
        star.unlink()
        for ending in (".star", ".cistem", ".cs", ".npy"):
            path = Path(folder) / f"particles{ending}"
            for _ in range(3):
                times.setdefault(f"particles_write{ending}", []).append(timed(lambda p=path: write_particles(table, p)))
                times.setdefault(f"particles_read{ending}", []).append(timed(lambda p=path: read_particles(p)))
            path.unlink()
    figures: dict[str, object] = {
        "rows": ROWS,
        "rows_of_small_star": PEER_ROWS,
        "load_average_at_end": [round(load, 1) for load in os.getloadavg()],
        "columns": 25,
        "star_size_MB": round(size_MB),
        "targets": {"star_read_s": 5.0, "star_write_s": 8.0},
        "repeats": {"star": REPEATS, "starfile": len(peer), "particles": 3},
        "star_read_peak_memory_MiB": round(float(alone.stdout)),
        "note": "one thread, machine shared with other work; files in the page cache; writing includes fsync",
        **{name: summary(found) for name, found in times.items()},
    }
    if peer:
        read, write, memory = (round(statistics.median(column), 2) for column in zip(*peer))
        figures["starfile"] = {
            "rows": PEER_ROWS,
            "read_cpu_s_median": read,
            "write_cpu_s_median": write,
            "peak_memory_MiB": round(memory),
        }
    record("formats_tables", figures)


def peak_MiB() -> float:
    """Return the largest memory this process has held (getrusage would count its parent's before exec)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    main()
