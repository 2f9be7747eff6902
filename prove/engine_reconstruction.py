"""What reconstruction must show: maps as relion_reconstruct's and as the truth, over symmetries, boxes and noise."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tests.engine.particles import make_particles
from tests.support.relion import relion_reconstruct
from tools.measured import record

from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.geometry import point_group
from verglas.signal import fourier_shell_correlation, sphere_mask

PIXEL_SIZE_A = 2.0
THREADS = 2
WANTED = 0.99
NOISE = 2.0
"""Deviation of the noise over that of the signal."""
SYMMETRIES = ("C1", "C3", "D2", "D7", "O", "I")
PARTICLES = {64: (800, 100), 128: (1200, 100), 256: (2000, 100)}
"""Particles without symmetry, of which others need their share, and the fewest."""
NOISES = {64: (0.0, NOISE), 128: (NOISE,), 256: (NOISE,)}


def shells(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the correlation of two maps within the particle, from shell 1 to 90 % of the Nyquist frequency.

    Outside, the two programs cut off the noise at different radii.
    """
    box = len(first)
    mask = sphere_mask(first.shape, 0.3 * box, 1.0, edge_A=0.1 * box)
    curve = fourier_shell_correlation(first, second, PIXEL_SIZE_A, mask=mask, workers=THREADS).fsc
    return np.asarray(curve[1 : int(0.45 * box) + 1])


def lowest_and_mean(curve: np.ndarray) -> dict[str, float]:
    return {"lowest": round(float(curve.min()), 5), "mean": round(float(curve.mean()), 5)}


def compare(symmetry: str, box: int, noise: float) -> dict[str, Any]:
    """Reconstruct one stack by both programs from one table, all images in one half, nothing filtered."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, fewest = PARTICLES[box]
        count = max(fewest, 2 * whole // (1 + point_group(symmetry).order))
        table, truth = make_particles(folder, count, box, PIXEL_SIZE_A, symmetry=symmetry, noise=noise)
        table["half_set"] = 1
        ours = reconstruct_particles(table, folder, symmetry, threads=THREADS).finish().map
        theirs = relion_reconstruct(table, folder, symmetry, timeout_s=3600.0).map
    row = {
        "symmetry": symmetry, "box": box, "particles": count, "noise_over_signal": noise,
        "fsc_to_relion_reconstruct": lowest_and_mean(shells(ours, theirs)),
        "fsc_to_the_truth": lowest_and_mean(shells(ours, truth)),
        "fsc_of_relion_reconstruct_to_the_truth": lowest_and_mean(shells(theirs, truth)),
        "grey_scale_to_the_truth": round(float(np.vdot(ours, truth) / np.vdot(truth, truth)), 4),
    }  # fmt: skip
    sys.stdout.write(f"{row}\n")
    sys.stdout.flush()
    return row


def main() -> None:
    for box in [int(word) for word in sys.argv[1:] if word.isdigit()] or list(PARTICLES):
        rows = [compare(symmetry, box, noise) for symmetry in SYMMETRIES for noise in NOISES[box]]
        figures = {
            "note": "Images of points in closed form with CTF, shifts and white noise; FSC from shell 1 to 90 % of "
            "Nyquist within the particle; relion_reconstruct --ctf --pad 2 of the same star file; one map "
            "of all images.",
            "pixel_size_A": PIXEL_SIZE_A,
            "wanted_fsc_to_relion_reconstruct": WANTED,
            "lowest_fsc_to_relion_reconstruct": min(row["fsc_to_relion_reconstruct"]["lowest"] for row in rows),
            "reached": all(row["fsc_to_relion_reconstruct"]["lowest"] > WANTED for row in rows),
            "settings": rows,
        }
        sys.stdout.write(f"written to {record(f'engine_reconstruction_box_{box}', figures)}\n")


if __name__ == "__main__":
    main()
