"""Ab-Initio 3D from averages of 2D classes: the same sets as from particles, classified first.

Arguments: which set, particles, SNR, number of classes, particles of an average, seeds. All classes are taken, for the
sets hold nothing but particles. The file is written after every seed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import record

from prove.abinitio import BOX, PIXEL_A, SimulatedSet, run_of_seed, settings_for, simulated_set
from verglas.engine import ParticleStack
from verglas.formats import ParticleTable
from verglas.stages.abinitio import averaged, members_of_classes
from verglas.stages.classification2d import ClassificationSettings, WorkingImages, classify_images
from verglas.stages.classification2d.classify import classified_table

SHIFT_A = 30.0
MASK_PART = 0.46
"""Of the box, so that some background is left."""
ROUNDS = 20


def classified(made: SimulatedSet, classes: int) -> tuple[ParticleTable, dict[str, Any]]:
    """Classify the particles of a set; return their table with classes, and figures."""
    began = time.process_time()
    with ParticleStack(made.table, made.folder) as stack:
        optics, white = stack.one_optics()
        settings = ClassificationSettings(
            classes=classes,
            mask_radius_A=min(made.radius_A + 5.0, MASK_PART * BOX * PIXEL_A),
            max_shift_A=SHIFT_A,
            rounds=ROUNDS,
        )
        working = WorkingImages.to_limit(
            BOX, optics, settings.mask_radius_A, settings.finish_A, contrast_inverted=white
        )
        found = classify_images(stack.read, stack.defocus(np.arange(len(stack))), working, settings)
        table = classified_table(
            made.table, stack.rows, found.number, found.psi, found.displacements_A, found.log_likelihood, found.weight
        )
    return table, {
        "cpu_seconds": round(time.process_time() - began, 1),
        "median_resolution_A": round(float(np.median(found.state.resolution_A)), 2),
        "occupancy": [round(float(one)) for one in found.state.occupancy],
    }


def try_seeds(
    name: str, particles: int, snr: float, classes: int, size: int, seeds: int, folder: Path
) -> Iterator[dict[str, Any]]:
    """Classify one stack and find its map from averages with several seeds; yield the figures after each."""
    made = simulated_set(name, particles, snr, folder)
    table, figures = classified(made, classes)
    sys.stdout.write(f"classified: {figures}\n")
    settings = settings_for(name, made)
    began = time.process_time()
    with ParticleStack(table, made.folder) as stack:
        members = members_of_classes(stack, np.arange(len(stack)), range(1, classes + 1), size, settings.seed)
        images = averaged(stack, members, settings, settings.finish_A)
    averaging = time.process_time() - began
    runs: list[dict[str, Any]] = []
    for seed in range(1, seeds + 1):
        runs.append(run_of_seed(name, made, images, replace(settings, seed=seed)))
        yield {
            "particles": particles, "snr": snr, "box": BOX, "pixel_size_A": PIXEL_A, "symmetry": settings.symmetry,
            "classification": figures, "classes": classes, "particles_of_an_average": size, "averages": len(images),
            "starts": settings.starts, "rounds": settings.rounds, "seeds": seed,
            "right_part": round(float(np.mean([one["right"] for one in runs])), 3),
            "averaging_cpu_seconds": round(averaging, 1),
            "median_cpu_seconds": float(np.median([one["cpu_seconds"] for one in runs])), "runs": list(runs),
        }  # fmt: skip


def main(
    name: str = "apoferritin", particles: int = 3000, snr: float = 0.03, classes: int = 20, size: int = 5,
    seeds: int = 3,
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for figures in try_seeds(name, particles, snr, classes, size, seeds, Path(folder)):
            path = record(f"abinitio_averages_{name.replace('-', '_')}", figures)
    sys.stdout.write(f"written to {path}\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*words[:1], *map(int, words[1:2]), *map(float, words[2:3]), *map(int, words[3:6]))
