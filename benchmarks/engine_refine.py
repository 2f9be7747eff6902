"""Time local refinement, and compare its errors with the bound of Cramer and Rao from its own normal matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from tools.measured import record

from benchmarks.engine_search import BOX, PIXEL_A, REPEATS, SYMMETRY, cpu_ms, molecule, stack
from verglas.engine import RefinementSettings, refine_poses
from verglas.geometry import matrix_to_rotvec, point_group, rotvec_to_matrix

IMAGES = 640
TIMED_IMAGES = 32
LOST_DEG = 8.0


def main() -> None:
    images, truth, moved = stack(0.04, IMAGES, 4.4)
    reference = molecule(4.2)
    random = np.random.Generator(np.random.Philox(9))
    start = rotvec_to_matrix(np.deg2rad(3.0 / np.sqrt(3)) * random.standard_normal((IMAGES, 3))) @ truth
    shifted = moved + PIXEL_A / np.sqrt(2) * random.standard_normal((IMAGES, 2))
    figures: dict[str, Any] = {
        "box": BOX, "pixel_size_A": PIXEL_A, "snr": 0.04, "images": IMAGES, "threads": 1, "repeats": REPEATS,
        "start_off": "3 degrees and 1 pixel rms",
    }  # fmt: skip
    few = images.select(slice(0, TIMED_IMAGES))
    for limit_A, stages_A in ((8.0, ()), (4.5, (10.0, 6.0))):
        settings = RefinementSettings(limit_A=limit_A, stages_A=stages_A)
        found = refine_poses(reference, images, start, shifted, settings)
        nearest = point_group(SYMMETRY).nearest_poses(found.rotations, truth)
        turns = matrix_to_rotvec(nearest @ np.swapaxes(truth, 1, 2))
        errors = np.concatenate([turns, found.displacements_A - moved], axis=1)
        variance = np.diagonal(found.covariance, axis1=1, axis2=2)[:, :5]
        kept = np.linalg.norm(turns, axis=1) < np.deg2rad(LOST_DEG)
        measured, bound = (errors[kept] ** 2).mean(axis=0), variance[kept].mean(axis=0)
        ratio = np.abs(errors[kept]) / np.sqrt(variance[kept])
        figures[f"to_{limit_A:g}_A"] = {
            "cpu_ms": cpu_ms(
                lambda s=settings: refine_poses(reference, few, start[:TIMED_IMAGES], shifted[:TIMED_IMAGES], s),
                TIMED_IMAGES,
            ),
            "components": images.band.count_to(limit_A),
            "stages_before_A": stages_A,
            "passes_at_this_limit": round(float(found.evaluations.mean()), 2),
            "left_out_beyond_8_deg": int((~kept).sum()),
            "median_deg": round(float(np.rad2deg(np.median(np.linalg.norm(turns, axis=1)))), 3),
            "median_A": round(float(np.median(np.linalg.norm(errors[:, 3:], axis=1))), 3),
            "deviation_deg_deg_deg_A_A": [
                round(float(x), 3) for x in np.sqrt(measured) * np.array([*[180 / np.pi] * 3, 1, 1])
            ],
            "efficiency_x_y_z_dx_dy": [round(float(x), 3) for x in bound / measured],
            "inside_nominal_50_90_99_percent": [round(float(np.mean(ratio < z)), 3) for z in (0.6745, 1.6449, 2.5758)],
            "noise_variance": round(float(found.noise_variance.mean()), 4),
        }
    record("engine_refine", figures)


if __name__ == "__main__":
    main()
