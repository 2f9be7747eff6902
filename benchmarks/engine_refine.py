"""Time local refinement beside its floor, and compare its errors with what it states of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from tools.measured import record

from benchmarks.engine_search import (
    REPEATS,
    SYMMETRY,
    cpu_ms,
    molecule,
    refinement_flops,
    sgemm_GFLOPS,
    stack,
)
from verglas.engine import ParticleImages, Reference, RefinementSettings, refine_poses
from verglas.geometry import matrix_to_rotvec, point_group, rotvec_to_matrix

TIMED_IMAGES = 32
LOST_DEG = 8.0
SNR = 0.04
# Box, pixel size, images, and resolutions with those that are refined to on the way.
SETTINGS: tuple[tuple[int, float, int, dict[float, tuple[float, ...]]], ...] = (
    (128, 2.0, 640, {8.0: (), 4.5: (10.0, 6.0)}),
    (128, 1.5, 128, {8.0: (), 6.0: (10.0,), 3.05: (10.0, 6.0, 4.0)}),
    (256, 2.0, 48, {8.0: (), 4.5: (10.0, 6.0)}),
    (256, 1.5, 48, {8.0: (), 6.0: (10.0,), 3.05: (10.0, 6.0, 4.0)}),
)


def refined(
    reference: Reference, images: ParticleImages, truth: np.ndarray, moved: np.ndarray, pixel_A: float,
    settings: RefinementSettings, rate: float,
) -> dict[str, Any]:  # fmt: skip
    """Return cost, floor and errors of refinement from 3 degrees and a pixel off."""
    random, count = np.random.Generator(np.random.Philox(9)), len(images)
    start = rotvec_to_matrix(np.deg2rad(3.0 / np.sqrt(3)) * random.standard_normal((count, 3))) @ truth
    shifted = moved + pixel_A / np.sqrt(2) * random.standard_normal((count, 2))
    found = refine_poses(reference, images, start, shifted, settings)
    few = images.select(slice(0, TIMED_IMAGES))
    cost = cpu_ms(
        lambda: refine_poses(reference, few, start[:TIMED_IMAGES], shifted[:TIMED_IMAGES], settings), TIMED_IMAGES
    )
    # Passes at the coarser resolutions are not counted by the result: four each.
    operations = refinement_flops(images.band.count_to(settings.limit_A), float(found.evaluations.mean()))
    operations += sum(refinement_flops(images.band.count_to(limit_A), 4.0) for limit_A in settings.stages_A)
    nearest = point_group(SYMMETRY).nearest_poses(found.rotations, truth)
    turns = matrix_to_rotvec(nearest @ np.swapaxes(truth, 1, 2))
    errors = np.concatenate([turns, found.displacements_A - moved], axis=1)
    variance = np.diagonal(found.covariance, axis1=1, axis2=2)[:, :5]
    kept = np.linalg.norm(turns, axis=1) < np.deg2rad(LOST_DEG)
    measured, bound = (errors[kept] ** 2).mean(axis=0), variance[kept].mean(axis=0)
    return {
        "cpu_ms": cost, "floor_ms": round(operations / (1e6 * rate), 3),
        "times_the_floor": round(cost / (operations / (1e6 * rate)), 2),
        "components": images.band.count_to(settings.limit_A), "stages_before_A": settings.stages_A,
        "passes_at_this_limit": round(float(found.evaluations.mean()), 2), "images": count,
        "left_out_beyond_8_deg": int((~kept).sum()),
        "median_deg": round(float(np.rad2deg(np.median(np.linalg.norm(turns, axis=1)))), 3),
        "median_A": round(float(np.median(np.linalg.norm(errors[:, 3:], axis=1))), 3),
        "deviation_deg_deg_deg_A_A": [
            round(float(x), 3) for x in np.sqrt(measured) * np.array([*[180 / np.pi] * 3, 1, 1])
        ],
        "stated_variance_over_measured": [round(float(x), 3) for x in bound / measured],
    }  # fmt: skip


def main() -> None:
    rate = sgemm_GFLOPS()
    results = []
    for box, pixel_A, count, limits in SETTINGS:
        finest = min(limits)
        images, truth, moved = stack(SNR, count, 0.98 * finest, box, pixel_A)
        reference = molecule(0.94 * finest, box, pixel_A)
        row: dict[str, Any] = {"box": box, "pixel_size_A": pixel_A}
        for limit_A, stages_A in limits.items():
            settings = RefinementSettings(limit_A=limit_A, stages_A=stages_A)
            row[f"to_{limit_A:g}_A"] = refined(reference, images, truth, moved, pixel_A, settings, rate)
        results.append(row)
    record("engine_refine", {
        "snr": SNR, "threads": 1, "repeats": REPEATS, "start_off": "3 degrees and 1 pixel rms",
        "sgemm_GFLOP_per_s": rate,
        "wanted_cpu_ms_at_box_128_and_2_A": {"to_8_A": 1.0, "to_4.5_A": 4.0}, "settings": results,
    })  # fmt: skip


if __name__ == "__main__":
    main()
