"""2D classes by Debian's RELION: a stack fed as its own tools feed it, and what each iteration found and cost."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.support.mixtures import Mixture
from tests.support.oracles import program
from verglas.formats import MrcStackWriter, read_particles, read_stack, write_particles

CPU = "cpu.json"
PSI_STEP_DEG, OVERSAMPLING, SHIFT_RANGE_PX, SHIFT_STEP_PX = 12.0, 1, 5.0, 2.0
"""What RELION's own form gives by default: steps halved once, so 6 degrees and 1 pixel in the end."""


def write_stack(mixture: Mixture, folder: Path, radius_A: float) -> None:
    """Write a mixture as RELION wants it: white protein, the background beyond a radius of mean 0 and deviation 1."""
    box, pixel_A = mixture.images.shape[-1], mixture.optics.pixel_size_A
    y, x = np.indices((box, box)) - box // 2
    background = np.hypot(y, x) * pixel_A > radius_A
    table = mixture.table.copy()
    for column in ("rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A", "class_number"):
        table[column] = 0
    table.optics[0].contrast_inverted = True
    with MrcStackWriter(folder / "mixture.mrcs", box, box, pixel_A) as writer:
        for image in mixture.images:
            outside = image[background]
            writer.append(-(image - outside.mean()) / outside.std())
    write_particles(table, folder / "in.star")


def classify(
    folder: Path, *, classes: int, rounds: int, diameter_A: float, cpu_limit_s: float | None = None, niceness: int = 0
) -> list[float]:
    """Classify the stack of a folder with one thread; return the CPU seconds used when each iteration ended.

    They are kept in ``cpu.json`` as well, from round to round. The program is stopped when it has used more than
    ``cpu_limit_s``; what its iterations wrote stays, and a later call goes on from there.
    """
    used: list[float] = json.loads((folder / CPU).read_text()) if (folder / CPU).exists() else []
    options = (
        ["--continue", f"run_it{len(used):03d}_optimiser.star", "--o", "./run", "--j", "1"]
        if used else first_options(classes, rounds, diameter_A)
    )  # fmt: skip
    command = ["nice", "-n", f"{niceness}", program("relion_refine", "relion"), *options]
    before = max(used, default=0.0)
    with (folder / "log.txt").open("a") as log:
        running = psutil.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        spent = before
        while running.poll() is None:
            if running.status() != psutil.STATUS_ZOMBIE:
                times = running.cpu_times()
                spent = before + times.user + times.system
            while (folder / f"run_it{len(used) + 1:03d}_model.star").exists():
                used.append(round(spent, 2))
                (folder / CPU).write_text(json.dumps(used))
            if cpu_limit_s is not None and spent > cpu_limit_s:
                running.kill()
                running.wait()
                return used
            time.sleep(0.1)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, command)
    used += [round(spent, 2)] * (rounds - len(used))
    (folder / CPU).write_text(json.dumps(used))
    return used


def first_options(classes: int, rounds: int, diameter_A: float) -> list[str]:
    """Return the options of a run from its beginning."""
    return [
        "--i", "in.star", "--o", "./run",
        "--iter", f"{rounds}", "--K", f"{classes}",
        "--tau2_fudge", "2", "--particle_diameter", f"{diameter_A:g}", "--ctf", "--psi_step", f"{PSI_STEP_DEG:g}",
        "--offset_range", f"{SHIFT_RANGE_PX:g}", "--offset_step", f"{SHIFT_STEP_PX:g}",
        "--oversampling", f"{OVERSAMPLING}", "--norm", "--scale", "--zero_mask", "--flatten_solvent",
        "--dont_combine_weights_via_disc", "--preread_images", "--pool", "50", "--pad", "2", "--j", "1",
        "--random_seed", "1",
    ]  # fmt: skip


def classes_of(folder: Path, number: int) -> tuple[np.ndarray, Any]:
    """Return each particle's class, from 0, and the averages, protein positive, of an iteration."""
    found = read_particles(folder / f"run_it{number:03d}_data.star")
    classes = np.empty(len(found), np.int64)
    classes[np.asarray(found["image_section"], np.int64) - 1] = found["class_number"] - 1
    averages, _ = read_stack(folder / f"run_it{number:03d}_classes.mrcs")
    return classes, averages
