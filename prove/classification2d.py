"""What 2D classification must show: views of two proteins apart, junk found, classes as fine as the truth; 10 seeds."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from tests.support.class_truth import purity, resolution_against_truth
from tests.support.mixtures import VIEWS, Mixture, make_mixture
from tools.measured import record

from verglas.stages.classification2d import (
    Classification,
    ClassificationSettings,
    WorkingImages,
    class_quality,
    classify_images,
)

PARTICLES, CLASSES, SEEDS = 1000, 8, 10
MASK_A, LIMIT_A, SUGGESTED = 100.0, 8.0, 0.4


def classified(mixture: Mixture, seed: int, classes: int = CLASSES, **options: Any) -> tuple[Classification, float]:
    """Classify a mixture; return what was found and the CPU seconds."""
    settings = ClassificationSettings(classes=classes, mask_radius_A=MASK_A, max_shift_A=40.0, finish_A=LIMIT_A,
                                      seed=seed, **options)  # fmt: skip
    working = WorkingImages.to_limit(mixture.images.shape[-1], mixture.optics, MASK_A, LIMIT_A)
    start = time.process_time()
    found = classify_images(lambda rows: mixture.images[rows], mixture.defocus, working, settings, threads=2)
    return found, time.process_time() - start


def suggested(found: Classification, pixel_size_A: float) -> np.ndarray:
    """Return which classes are suggested, as the action does."""
    state = found.state
    held = np.bincount(found.number[found.number >= 0], minlength=len(state.occupancy))
    used = found.number >= 0
    gained = np.bincount(found.number[used], found.log_likelihood[used], len(held)) / np.maximum(held, 1)
    box = found.averages.shape[-1]
    quality = class_quality(
        state.averages, state.frc, state.resolution_A, state.occupancy, gained,
        pixel_size_A=pixel_size_A * box / state.averages.shape[-1], mask_radius_A=MASK_A, limit_A=LIMIT_A,
    )  # fmt: skip
    return np.array([one.score >= SUGGESTED for one in quality])


def case(seed: int, snr: float) -> dict[str, Any]:
    """Classify one mixture and compare with the truth."""
    mixture = make_mixture(PARTICLES, snr=snr, seed=seed)
    found, cpu = classified(mixture, seed)
    good = suggested(found, mixture.optics.pixel_size_A)[found.number]
    true = mixture.label >= 0
    fine = resolution_against_truth(found.averages, found.number, mixture)
    sys.stdout.write(f"   seed {seed}, SNR {snr:g}: {cpu:.0f} CPU s\n")
    return {
        "seed": seed, "purity": round(purity(found.number, mixture.label), 4),
        "purity_of_views": round(purity(found.number[true], mixture.label[true]), 4), "cpu_s": round(cpu, 1),
        "junk_found": round(float(np.mean(~good[~true])), 4), "particles_kept": round(float(np.mean(good[true])), 4),
        "true_part_of_what_is_kept": round(float(true[good].mean()), 4),
        "resolution_against_truth_A": {
            f"{VIEWS[view][0]} {VIEWS[view][1]:g},{VIEWS[view][2]:g}": value for view, value in fine.items()
        },
    }  # fmt: skip


def main(snr: float = 0.1, seeds: int = SEEDS) -> None:
    figures: dict[str, Any] = {
        "particles": PARTICLES, "classes": CLASSES, "box": 64, "pixel_size_A": 4.0, "junk_part": 0.2,
        "junk": "noise alone, blobs of ice, two particles beside the middle, as many of each",
        "views": [list(view) for view in VIEWS], "nyquist_A": 8.0,
    }  # fmt: skip
    rows = [case(seed, snr) for seed in range(1, seeds + 1)]
    names = ("purity", "purity_of_views", "junk_found", "particles_kept", "true_part_of_what_is_kept")
    figures |= {
        "snr": snr, "worst": {name: min(row[name] for row in rows) for name in names},
        "median": {name: round(float(np.median([row[name] for row in rows])), 4) for name in names}, "seeds": rows,
    }  # fmt: skip
    sys.stdout.write(f"written to {record(f'classification2d_snr_{snr:g}', figures)}\n")


if __name__ == "__main__":
    main(*(kind(word) for kind, word in zip((float, int), sys.argv[1:], strict=False)))
