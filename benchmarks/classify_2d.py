"""CPU milliseconds of a particle and round of 2D classification, beside ``relion_refine`` on the same stack."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support import relion_2d
from tests.support.mixtures import Mixture, make_mixture
from tools.measured import record

from verglas.stages.classification2d import ClassificationSettings, WorkingImages, classify_images

PARTICLES, REPEATS, ROUNDS, SNR, MASK_A, SHIFT_A = 200, 5, 3, 0.1, 100.0, 20.0
LIMITS_A = (20.0, 12.0, 8.0)


def own_ms(mixture: Mixture, classes: int, limit_A: float) -> float:
    """Return ours: rounds at one limit, all particles in each, the start's averages included."""
    settings = ClassificationSettings(
        classes=classes, mask_radius_A=MASK_A, max_shift_A=SHIFT_A, rounds=ROUNDS, start_A=limit_A, finish_A=limit_A,
        percent_used=100.0,
    )  # fmt: skip
    working = WorkingImages.to_limit(mixture.images.shape[-1], mixture.optics, MASK_A, limit_A)
    start = time.process_time()
    classify_images(lambda rows: mixture.images[rows], mixture.defocus, working, settings)
    return 1e3 * (time.process_time() - start) / ROUNDS / len(mixture.images)


def relion_ms(mixture: Mixture, classes: int) -> float:
    """Return RELION's in its second iteration, so that its start does not count."""
    with tempfile.TemporaryDirectory() as folder:
        relion_2d.write_stack(mixture, Path(folder), MASK_A)
        used = relion_2d.classify(Path(folder), classes=classes, rounds=2, diameter_A=2 * MASK_A)
    return 1e3 * (used[1] - used[0]) / len(mixture.images)


def main() -> None:
    mixture = make_mixture(PARTICLES, snr=SNR, seed=1)
    figures: dict[str, Any] = {
        "box": 64, "particles": PARTICLES, "threads": 1, "repeats": REPEATS, "shifts_A": SHIFT_A,
        "relion": "3.1.3, psi step 12 degrees, offsets 5 pixels in steps of 2, oversampling 1: second iteration, once",
    }  # fmt: skip
    for classes in (10, 50):
        own_ms(mixture, classes, LIMITS_A[-1])
        ours = {
            f"to_{limit_A:g}_A": round(
                statistics.median(own_ms(mixture, classes, limit_A) for _ in range(REPEATS if classes == 10 else 3)), 3
            )
            for limit_A in LIMITS_A
        }
        theirs = round(relion_ms(mixture, classes), 1)
        figures[f"{classes}_classes"] = {
            "verglas_cpu_ms": ours, "relion_cpu_ms": theirs,
            "relion_over_verglas": {name: round(theirs / one, 1) for name, one in ours.items()},
        }  # fmt: skip
        sys.stdout.write(f"   {classes} classes: {ours}, RELION {theirs} CPU ms\n")
    record("classify_2d_benchmark", figures)


if __name__ == "__main__":
    main()
