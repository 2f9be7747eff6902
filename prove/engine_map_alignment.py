"""What the alignment of maps must show: random rotations, shifts and hands found again, and the axes of symmetries."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from tests.engine.particles import density, molecule
from tools.measured import record

from verglas.engine import align_maps, align_symmetry
from verglas.geometry import geodesic_distance, point_group, random_rotations

PIXEL_SIZE_A = 2.0
THREADS = 2
TRIALS = 8
SETTINGS = ((48, 0.0), (48, 1.0), (48, 4.0), (64, 1.0))
"""Box, and deviation of the noise of every voxel over that of the map."""
SYMMETRIES = ("C2", "C3", "C7", "D2", "D7", "T", "O", "I")


def noisy(volume: np.ndarray, noise: float, seed: int) -> np.ndarray:
    random = np.random.Generator(np.random.Philox(seed))
    return (volume + noise * volume.std() * random.standard_normal(volume.shape)).astype(np.float32)


def rotations_and_hands(box: int, noise: float, symmetry: str = "C1") -> dict[str, Any]:
    """Align noisy maps with noisy turned, moved and mirrored ones; half of the references are of the other hand."""
    group = point_group(symmetry)
    points = molecule(box, PIXEL_SIZE_A, symmetry)
    angles, shifts, hands, correlations, others, lows = [], [], [], [], [], []
    for trial in range(TRIALS):
        mirrored = bool(trial % 2)
        rotation = random_rotations(1, 100 + trial)[0]
        move = np.random.Generator(np.random.Philox(trial)).uniform(-0.1, 0.1, 3) * box * PIXEL_SIZE_A
        true = density((-points if mirrored else points) @ rotation.T + move, box, PIXEL_SIZE_A)
        found = align_maps(
            noisy(density(points, box, PIXEL_SIZE_A), noise, 500 + trial), noisy(true, noise, 700 + trial),
            PIXEL_SIZE_A, threads=THREADS,
        )  # fmt: skip
        angles.append(float(np.rad2deg(geodesic_distance(found.rotation, rotation @ group.operators).min())))
        shifts.append(float(np.abs(found.shift_A - move).max()))
        hands.append(found.mirrored == mirrored)
        correlations.append(found.correlation)
        others.append(found.other_hand)
        lows.append(float(found.fsc.fsc[1 : int(0.35 * box)].mean()))
    return {
        "box": box, "symmetry": symmetry, "noise_over_signal": noise, "trials": TRIALS, "right_hands": sum(hands),
        "median_angle_degrees": round(float(np.median(angles)), 3), "largest_angle_degrees": round(max(angles), 3),
        "largest_shift_error_A": round(max(shifts), 3), "lowest_correlation": round(min(correlations), 4),
        "smallest_lead_over_the_other_hand": round(float(np.min(np.subtract(correlations, others))), 4),
        "lowest_mean_fsc_to_0.7_of_nyquist": round(min(lows), 4),
    }  # fmt: skip


def axes(symmetry: str, box: int, noise: float) -> dict[str, Any]:
    """Find the axes of turned and moved maps; what is left must turn the group's operators into each other."""
    group = point_group(symmetry)
    points = molecule(box, PIXEL_SIZE_A, symmetry)
    angles, shifts = [], []
    for trial in range(3):
        rotation = random_rotations(1, 300 + trial)[0]
        move = np.random.Generator(np.random.Philox(trial)).uniform(-0.05, 0.05, 3) * box * PIXEL_SIZE_A
        volume = noisy(density(points @ rotation.T + move, box, PIXEL_SIZE_A), noise, 900 + trial)
        found = align_symmetry(volume, symmetry, PIXEL_SIZE_A, threads=THREADS)
        whole = found.rotation @ rotation
        turned = np.einsum("ij,njk,lk->nil", whole, group.operators, whole)
        angles.append(max(float(np.rad2deg(geodesic_distance(one, group.operators).min())) for one in turned))
        left = found.rotation @ move + found.shift_A
        shifts.append(float(np.abs(left[:2] if symmetry[0] == "C" else left).max()))
    return {
        "symmetry": symmetry, "box": box, "noise_over_signal": noise, "trials": 3,
        "largest_angle_of_an_operator_degrees": round(max(angles), 3), "largest_shift_error_A": round(max(shifts), 3),
    }  # fmt: skip


def main() -> None:
    rows = [rotations_and_hands(box, noise) for box, noise in SETTINGS]
    rows += [rotations_and_hands(48, 1.0, symmetry) for symmetry in ("C3", "D2", "O")]
    sys.stdout.write("\n".join(map(str, rows)) + "\n")
    found = [axes(symmetry, 48, 0.5) for symmetry in SYMMETRIES]
    sys.stdout.write("\n".join(map(str, found)) + "\n")
    figures = {
        "pixel_size_A": PIXEL_SIZE_A,
        "align_maps": rows,
        "every_hand_right": all(row["right_hands"] == TRIALS for row in rows),
        "align_symmetry": found,
    }
    sys.stdout.write(f"written to {record('engine_map_alignment', figures)}\n")


if __name__ == "__main__":
    main()
