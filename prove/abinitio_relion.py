"""Ab-Initio 3D beside RELION 3.1's initial model, on the same stack: CPU seconds, and how right the map is.

RELION runs with the options that its job "3D initial model" has by default, on one thread, until it ends or has used
the CPU seconds that it may; what it took is a lower bound then. Arguments: which set, particles, SNR, CPU seconds.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.oracles import program
from tools.measured import record

from prove.abinitio import BOX, PIXEL_A, RIGHT_A, SYMMETRY, SimulatedSet, settings_for, simulated_set
from verglas.engine import ParticleStack
from verglas.formats import MrcStackWriter, write_particles
from verglas.formats.mrc import read_mrc_volume
from verglas.geometry import name_for_relion
from verglas.stages.abinitio import maps_of_images, prepared

POSE_COLUMNS = ("rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A", "class_number")
ROUNDS = (50, 200, 50)
WRITTEN_EVERY = 10


def write_input(made: SimulatedSet, folder: Path) -> None:
    """Write the stack, protein white as RELION wants it, and its table without poses."""
    table = made.table.copy()
    for column in POSE_COLUMNS:
        table[column] = 0
    table.optics[0].contrast_inverted = True
    with (
        ParticleStack(made.table, made.folder) as stack,
        MrcStackWriter(folder / "particles.mrcs", BOX, BOX, PIXEL_A) as writer,
    ):
        for place in range(len(stack)):
            writer.append(-stack.read([place])[0])
    write_particles(table, folder / "in.star")


def initial_model(made: SimulatedSet, folder: Path, symmetry: str, most_cpu_s: int) -> dict[str, Any]:
    """Run RELION's initial model; return what it took, how far it came and how right its last map is."""
    write_input(made, folder)
    first, between, last = ROUNDS
    command = [
        program("relion_refine", "relion"), "--i", "in.star", "--o", "./run", "--sgd", "--denovo_3dref",
        "--sgd_ini_iter", str(first), "--sgd_inbetween_iter", str(between), "--sgd_fin_iter", str(last),
        "--sgd_write_iter", str(WRITTEN_EVERY), "--sgd_ini_resol", "35", "--sgd_fin_resol", "15",
        "--sgd_ini_subset", "100", "--sgd_fin_subset", "500", "--ctf", "--K", "1", "--sym", name_for_relion(symmetry),
        "--flatten_solvent", "--zero_mask", "--dont_combine_weights_via_disc", "--preread_images", "--pool", "3",
        "--pad", "1", "--particle_diameter", f"{2.0 * (made.radius_A + 2.0):.0f}", "--oversampling", "1",
        "--healpix_order", "1", "--offset_range", "6", "--offset_step", "2", "--j", "1", "--random_seed", "1",
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "log.txt").open("w") as log:
        ended = subprocess.run(
            ["bash", "-c", 'ulimit -t "$0"; exec "$@"', str(most_cpu_s), *command], cwd=folder, stdout=log, stderr=log,
            check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    maps = sorted(folder.glob("run_it*_class001.mrc"))
    if ended.returncode and seconds < 0.95 * most_cpu_s:
        raise RuntimeError(f"relion_refine failed:\n{(folder / 'log.txt').read_text()[-2000:]}")
    begun = [int(number) for number in re.findall(r"iteration (\d+) of", (folder / "log.txt").read_text())]
    figures = {
        "cpu_seconds": round(seconds, 1), "ended": ended.returncode == 0, "rounds": sum(ROUNDS),
        "rounds_done": max(begun, default=1) - (ended.returncode != 0),
    }  # fmt: skip
    if figures["rounds_done"] >= WRITTEN_EVERY:
        reached, _ = made.judge(np.asarray(read_mrc_volume(maps[-1])[0], np.float32))
        figures |= {"fsc_05_A": round(reached, 2), "right": reached < RIGHT_A}
    return figures


def ours(name: str, made: SimulatedSet) -> dict[str, Any]:
    """Find the map with the default starts, from the stack on; return what it took and how right it is."""
    began = time.process_time()
    settings = settings_for(name, made)
    with ParticleStack(made.table, made.folder) as stack:
        images = prepared(stack, np.arange(len(stack)), settings, settings.finish_A)
    found = maps_of_images(images, settings)
    spent = time.process_time() - began
    reached, _ = made.judge(found.maps.volumes[0])
    return {
        "cpu_seconds": round(spent, 1), "starts": settings.starts, "fsc_05_A": round(reached, 2),
        "right": reached < RIGHT_A,
    }  # fmt: skip


def main(name: str = "asymmetric", particles: int = 5000, snr: float = 0.03, most_cpu_s: int = 300) -> None:
    run: Callable[[], dict[str, Any]]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        made = simulated_set(name, particles, snr, Path(folder))
        figures: dict[str, Any] = {"set": name, "particles": particles, "snr": snr, "box": BOX, "pixel_size_A": PIXEL_A}
        for key, run in (
            ("relion_3_1_3", lambda: initial_model(made, Path(other), SYMMETRY[name], most_cpu_s)),
            ("verglas", lambda: ours(name, made)),
        ):
            figures[key] = run()
            sys.stdout.write(f"{key}: {figures[key]}\n")
            sys.stdout.flush()
        figures["relion_over_verglas"] = round(
            figures["relion_3_1_3"]["cpu_seconds"] / figures["verglas"]["cpu_seconds"], 2
        )
        record(f"abinitio_relion_{name.replace('-', '_')}", figures)


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*words[:1], *map(int, words[1:2]), *map(float, words[2:3]), *map(int, words[3:4]))
