"""How often the search finds the pose of simulated particles, coarse to fine beside exhaustive.

Images come from Gaussian blobs in closed form (they share nothing with the engine): symmetries, boxes, noise, a
reference with the wrong pixel size, and particles of another molecule.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tests.engine.atoms import Blobs, blobs
from tests.engine.scenes import scene
from tools.measured import record

from verglas.engine import ParticleImages, SearchSettings, prepare_images, prepare_reference, search_poses
from verglas.geometry import point_group

THREADS = 2


@dataclass(frozen=True)
class Case:
    """One set of particles for the search; ``noise`` is the noise's deviation over the signal's in the whole box."""

    symmetry: str = "C1"
    box: int = 64
    pixel_size_A: float = 3.0
    noise: float = 4.0
    wrong_pixel_size: float = 1.0
    bad_fraction: float = 0.0
    particles: int = 300

    @property
    def name(self) -> str:
        """Return it in words."""
        extra = f", pixel size off {self.wrong_pixel_size:g} times" if self.wrong_pixel_size != 1 else ""
        extra += f", {self.bad_fraction:.0%} bad particles" if self.bad_fraction else ""
        return f"{self.symmetry}, box {self.box}, noise {self.noise:g}{extra}"


CASES = (
    *(Case(noise=noise) for noise in (2.0, 4.0, 6.0)),
    *(Case(symmetry) for symmetry in ("C3", "D2", "D7", "O", "I")),
    Case(box=128, pixel_size_A=1.5),
    Case(box=256, pixel_size_A=0.75, particles=100),
    Case(wrong_pixel_size=1.03),
    Case(bad_fraction=0.3),
)


def molecule(symmetry: str, width_A: float) -> Blobs:
    operators = len(point_group(symmetry).operators)
    return blobs(max(8, 240 // operators), radius_A=0.3 * width_A, sigma_A=3.0, symmetry=symmetry)


def search_case(case: Case) -> dict[str, Any]:
    """Search one case from nothing, coarse to fine and exhaustively, both finished by the local optimiser."""
    made = molecule(case.symmetry, case.box * case.pixel_size_A)
    s = scene(case.particles, box=case.box, pixel_size_A=case.pixel_size_A, noise=case.noise, molecule=made)
    pixels = s.images
    bad = np.arange(case.particles) < round(case.bad_fraction * case.particles)
    if bad.any():
        other = scene(
            int(bad.sum()), box=case.box, pixel_size_A=case.pixel_size_A, noise=case.noise, seed=91,
            molecule=blobs(200, radius_A=0.2 * case.box * case.pixel_size_A, sigma_A=3.0, seed=92),
        )  # fmt: skip
        pixels = np.concatenate([other.images, pixels[bad.sum() :]])
    images = prepare_images(pixels, s.optics, s.defocus, s.noise_power, 8.0)
    pixel_size_A = case.pixel_size_A * case.wrong_pixel_size
    volume = made.volume(case.box, case.pixel_size_A)
    reference = prepare_reference(volume, pixel_size_A, limit_A=7.5, radius_A=0.33 * case.box * pixel_size_A)
    group = point_group(case.symmetry)
    row: dict[str, Any] = {"case": case.name, "particles": case.particles, "snr": round(snr(case, made), 4)}
    ways = {
        "20_A_10_deg_keep_16": SearchSettings(symmetry=case.symmetry, keep=16),
        "12_A_7.5_deg_keep_4": SearchSettings(12.0, np.deg2rad(7.5), 5.0, 16.0, keep=4, symmetry=case.symmetry),
        "exhaustive_12_A_5_deg": SearchSettings(
            12.0, np.deg2rad(5.0), 4.0, 16.0, keep=1, middle_limit_A=12.0, symmetry=case.symmetry
        ),
    }  # fmt: skip
    for name, settings in ways.items():
        found = search_poses(reference, images, settings, threads=THREADS)
        away = np.rad2deg(group.distance(found.best_rotations, s.rotations))[~bad]
        moved = np.linalg.norm(found.best_displacements_A - s.displacements_A, axis=1)[~bad]
        near = away < 10.0
        row[name] = {
            "within_5_deg": round(float(np.mean(away < 5.0)), 4),
            "lost_beyond_10_deg": round(float(np.mean(~near)), 4),
            "median_deg_of_found": round(float(np.median(away[near])), 3),
            "median_A_of_found": round(float(np.median(moved[near])), 3),
        }
        if bad.any():
            row[name]["bad_ranked_below_by_likelihood_auc"] = round(
                ranked_above(found.best_log_likelihood, images, bad), 4
            )
    return row


def snr(case: Case, made: Blobs) -> float:
    """Return the variance of the signal within the particle's radius over that of the noise."""
    clean, noisy = (
        scene(20, box=case.box, pixel_size_A=case.pixel_size_A, noise=noise, molecule=made).images
        for noise in (0.0, case.noise)
    )
    y, x = np.indices((case.box, case.box)) - case.box // 2
    inside = np.hypot(x, y) < 0.3 * case.box
    return float(clean[:, inside].var() / (noisy - clean).var())


def ranked_above(log_likelihood: np.ndarray, images: ParticleImages, bad: np.ndarray) -> float:
    """Return how often a good particle gains more likelihood from its pose than a bad one does."""
    gain = log_likelihood + (np.abs(images.data) ** 2).sum(axis=1, dtype=np.float64)
    return float(np.mean(gain[~bad][:, None] > gain[bad]))


def main(share: float = 1.0) -> None:
    figures = {"search": [search_case(replace(case, particles=round(case.particles * share))) for case in CASES]}
    sys.stdout.write(f"written to {record('engine_poses', figures)}\n")


if __name__ == "__main__":
    main(*(float(word) for word in sys.argv[1:]))
