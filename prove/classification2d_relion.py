"""Classify 2D beside ``relion_refine`` on the same stack: CPU seconds, purity, classes against the truth.

Both have the steps of RELION's own form (6 degrees and 1 pixel in the end, shifts to 5 pixels), use all particles in
each of 25 rounds, and are judged by the same code. RELION takes hours for 5,000 particles and 50 classes, so it may be
given a limit of CPU seconds: then it is judged where it came to, beside ours at the same round and at its end. It can
be run by itself beforehand, into a folder that the comparison then takes it from. Run again there, it goes on::

    python -m prove.classification2d_relion relion FOLDER PARTICLES CLASSES CPU_SECONDS
    python -m prove.classification2d_relion compare FOLDER PARTICLES CLASSES
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tests.support import relion_2d
from tests.support.class_truth import purity, resolution_against_truth
from tests.support.mixtures import Mixture, make_mixture
from tools.measured import record

from prove.classification2d import LIMIT_A, MASK_A
from verglas.stages.classification2d import ClassificationSettings, ClassState, WorkingImages, classify_images
from verglas.stages.classification2d.weighing import ImageResult

PARTICLES, CLASSES, ROUNDS, SNR, SEED = 1000, 10, 25, 0.1, 1
CPU_LIMIT_S = 3600.0


def judged(number: Any, averages: Any, mixture: Mixture) -> dict[str, Any]:
    """Return purity and how fine each view is."""
    fine = resolution_against_truth(averages, number, mixture)
    used, true = np.unique(np.asarray(number)), mixture.label >= 0
    return {
        "purity_of_views": round(purity(np.asarray(number)[true], mixture.label[true]), 4),
        "purity": round(purity(number, mixture.label), 4), "classes_in_use": int(np.sum(used >= 0)),
        "resolution_against_truth_A": [fine[view] for view in sorted(fine)],
    }  # fmt: skip


def costs(cpu_s: float, rounds: int, particles: int) -> dict[str, Any]:
    return {
        "rounds": rounds, "cpu_s": round(cpu_s, 1),
        "cpu_ms_a_particle_and_round": round(1e3 * cpu_s / rounds / particles, 2),
    }  # fmt: skip


def ours(mixture: Mixture, classes: int, rounds: int) -> list[tuple[float, Any, Any]]:
    """Return CPU seconds, classes and averages after each round."""
    pixel_A = mixture.optics.pixel_size_A
    settings = ClassificationSettings(
        classes=classes, mask_radius_A=MASK_A, max_shift_A=relion_2d.SHIFT_RANGE_PX * pixel_A, rounds=ROUNDS,
        finish_A=LIMIT_A, percent_used=100.0, seed=SEED,
    )  # fmt: skip
    working = WorkingImages.to_limit(mixture.images.shape[-1], mixture.optics, MASK_A, LIMIT_A)
    found: list[tuple[float, Any, Any]] = []
    start = time.process_time()

    def keep(number: int, state: ClassState, result: ImageResult) -> None:
        averages = working.enlarge(state.averages) if number in (rounds, ROUNDS) else None
        found.append((time.process_time() - start, result.number.copy(), averages))

    classify_images(lambda rows: mixture.images[rows], mixture.defocus, working, settings, progress=keep)
    return found


def run_relion(mixture: Mixture, folder: Path, classes: int, cpu_limit_s: float | None = None) -> None:
    """Run RELION on a mixture in a folder, at the lowest priority: it takes long."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / relion_2d.CPU).exists():
        relion_2d.write_stack(mixture, folder, MASK_A)
    relion_2d.classify(
        folder, classes=classes, rounds=ROUNDS, diameter_A=2 * MASK_A, cpu_limit_s=cpu_limit_s, niceness=19
    )


def compare(mixture: Mixture, folder: Path, classes: int) -> dict[str, Any]:
    """Compare ours with what RELION's run in a folder came to."""
    particles = len(mixture.images)
    used = json.loads((folder / relion_2d.CPU).read_text())
    reached = len(used)
    mine = ours(mixture, classes, reached)
    figures: dict[str, Any] = {
        "particles": particles, "classes": classes, "rounds": ROUNDS, "snr": SNR, "box": mixture.images.shape[-1],
        "psi_step_deg": relion_2d.PSI_STEP_DEG / 2**relion_2d.OVERSAMPLING, "shift_range_px": relion_2d.SHIFT_RANGE_PX,
        "threads": 1, "relion_version": "3.1.3", "relion_cpu_s_after_each_round": used,
        "relion": {**costs(used[-1], reached, particles), **judged(*relion_2d.classes_of(folder, reached), mixture)},
    }  # fmt: skip
    for name, rounds in (("verglas_at_the_same_round", reached), ("verglas", ROUNDS)):
        cpu_s, number, averages = mine[rounds - 1]
        figures[name] = {**costs(cpu_s, rounds, particles), **judged(number, averages, mixture)}
    figures["relion_over_verglas_in_these_rounds"] = round(used[-1] / mine[reached - 1][0], 1)
    figures["relion_over_all_rounds_of_verglas"] = round(used[-1] / mine[-1][0], 1)
    return figures


def main(task: str = "both", folder: str | None = None, *numbers: str) -> None:
    particles, classes = map(int, numbers[:2]) if numbers else (PARTICLES, CLASSES)
    limit_s = float(numbers[2]) if len(numbers) > 2 else CPU_LIMIT_S
    mixture = make_mixture(particles, snr=SNR, seed=SEED)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(folder or temporary)
        if task in ("relion", "both"):
            run_relion(mixture, place, classes, limit_s)
        if task in ("compare", "both"):
            figures = compare(mixture, place, classes)
            sys.stdout.write(f"{figures}\nwritten to {record(f'classification2d_relion_{classes}', figures)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
