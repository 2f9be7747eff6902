"""Classify 2D beside ``relion_refine`` on the same stack: purity, classes against the truth, CPU seconds.

5,000 particles, 50 classes and 25 iterations take hours of RELION's time; this runs it smaller (the figures say how
small), with the same rounds, step of angles, shifts and particles in every round. What each takes for 50 classes is in
``benchmarks/classify_2d.py``. Arguments: particles, classes, rounds, SNR.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.class_truth import purity, resolution_against_truth
from tests.support.mixtures import Mixture, make_mixture
from tools.measured import record

from prove.classification2d import classified
from verglas.formats import MrcStackWriter, ParticleTable, read_particles, read_stack, write_particles

PARTICLES, CLASSES, ROUNDS, SNR = 1500, 10, 25, 0.1
PSI_STEP_DEG, SHIFT_PX, SHIFT_STEP_PX = 6.0, 8.0, 2.0


def relion_classes(
    mixture: Mixture, folder: Path, *, classes: int, rounds: int, threads: int = 1
) -> tuple[np.ndarray, Any, float]:
    """Return RELION's class of each particle (from 0), its averages (protein positive) and its CPU seconds."""
    box, pixel_A = mixture.images.shape[-1], mixture.optics.pixel_size_A
    table: ParticleTable = mixture.table.copy()
    for column in ("rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A", "class_number"):
        table[column] = 0
    table.optics[0].contrast_inverted = True
    with MrcStackWriter(folder / "mixture.mrcs", box, box, pixel_A) as writer:
        for image in mixture.images:
            writer.append(-image)
    write_particles(table, folder / "in.star")
    command = [
        "relion_refine", "--i", "in.star", "--o", "./run", "--iter", str(rounds), "--K", str(classes),
        "--tau2_fudge", "2", "--particle_diameter", "200", "--ctf", "--psi_step", str(PSI_STEP_DEG),
        "--offset_range", str(SHIFT_PX), "--offset_step", str(SHIFT_STEP_PX), "--norm", "--scale", "--zero_mask",
        "--flatten_solvent", "--oversampling", "1", "--dont_combine_weights_via_disc", "--pool", "50", "--pad", "2",
        "--j", str(threads), "--random_seed", "1",
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "log.txt").open("w") as log:
        subprocess.run(command, cwd=folder, check=True, stdout=log, stderr=log,
                       env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = read_particles(folder / f"run_it{rounds:03d}_data.star")
    sections = np.asarray(found["image_section"], np.int64)
    number = np.empty(len(found), np.int64)
    number[sections - 1] = found["class_number"] - 1
    averages, _ = read_stack(folder / f"run_it{rounds:03d}_classes.mrcs")
    return number, averages, seconds


def judged(number: Any, averages: Any, mixture: Mixture) -> dict[str, Any]:
    """Return purity and how fine each view is."""
    fine = resolution_against_truth(averages, number, mixture)
    used, true = np.unique(np.asarray(number)), mixture.label >= 0
    return {
        "purity_of_views": round(purity(np.asarray(number)[true], mixture.label[true]), 4),
        "purity": round(purity(number, mixture.label), 4), "classes_in_use": int(np.sum(used >= 0)),
        "resolution_against_truth_A": [fine[view] for view in sorted(fine)],
    }  # fmt: skip


def compare(particles: int, classes: int, rounds: int, snr: float, seed: int = 1) -> dict[str, Any]:
    """Classify one mixture with both, and ours also with its own schedule."""
    mixture = make_mixture(particles, snr=snr, seed=seed)
    every, cpu_every = classified(mixture, seed, classes, rounds=rounds, percent_used=100.0)
    own, cpu_own = classified(mixture, seed, classes, rounds=rounds)
    with tempfile.TemporaryDirectory() as folder:
        number, averages, cpu_relion = relion_classes(mixture, Path(folder), classes=classes, rounds=rounds, threads=2)
    sys.stdout.write(f"   CPU s: verglas {cpu_every:.0f}, its own schedule {cpu_own:.0f}, RELION {cpu_relion:.0f}\n")
    return {
        "particles": particles, "classes": classes, "rounds": rounds, "snr": snr, "box": 64, "seed": seed,
        "cpu_s": {
            "verglas": round(cpu_every, 1), "its_own_schedule": round(cpu_own, 1), "relion": round(cpu_relion, 1)
        },
        "relion_over_verglas": round(cpu_relion / cpu_every, 1),
        "verglas_all_particles_each_round": judged(every.number, every.averages, mixture),
        "verglas_own_schedule": judged(own.number, own.averages, mixture),
        "relion_3_1_3": judged(number, averages, mixture),
    }  # fmt: skip


def main(particles: int = PARTICLES, classes: int = CLASSES, rounds: int = ROUNDS, snr: float = SNR) -> None:
    record("classification2d_relion", compare(particles, classes, rounds, snr))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *map(float, sys.argv[4:5]))
