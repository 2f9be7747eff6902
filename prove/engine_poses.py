"""What the search and refinement of poses must show on simulated particles of known truth.

Images come from Gaussian blobs in closed form (they share nothing with the engine). Three things are measured: how
often the coarse-to-fine search finds the pose beside the exhaustive one; how often the stated regions of 50, 90 and
99 % hold the truth, also where the noise has another shape than the model's; and how near the errors of refinement
are to the bound of Cramer and Rao.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.stats import chi2, norm
from tests.engine.atoms import Blobs, blobs
from tests.engine.scenes import Scene, scene
from tools.measured import record

from verglas.engine import (
    ParticleImages,
    Reference,
    RefinedPoses,
    RefinementSettings,
    SearchSettings,
    noise_ratio,
    prepare_images,
    prepare_reference,
    refine_poses,
    reweigh,
    search_poses,
)
from verglas.geometry import matrix_to_rotvec, point_group, rotvec_to_matrix

LEVELS = (0.5, 0.9, 0.99)
TOLERANCE = (0.03, 0.03, 0.01)
LEAST_EFFICIENCY = 0.85
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
        "12_A_7.5_deg_keep_4": SearchSettings(12.0, np.deg2rad(7.5), 5.0, 16.0, 4, symmetry=case.symmetry),
        "exhaustive_12_A_5_deg": SearchSettings(
            12.0, np.deg2rad(5.0), 4.0, 16.0, 1, middle_limit_A=12.0, symmetry=case.symmetry
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


@dataclass(frozen=True)
class Refined:
    """Errors of refined poses (turns in radians, displacements in A) and what the engine says of them."""

    errors: np.ndarray
    covariance: np.ndarray
    likelihood_lost_at_truth: np.ndarray

    @classmethod
    def of(cls, reference: Reference, images: ParticleImages, s: Scene, found: RefinedPoses) -> Refined:
        """Compare refined poses with the truth."""
        turns = matrix_to_rotvec(found.rotations @ np.swapaxes(s.rotations, 1, 2))
        moved = found.displacements_A - s.displacements_A
        held = RefinementSettings(phi=False, theta=False, psi=False, x=False, y=False)
        true = refine_poses(reference, images, s.rotations, s.displacements_A, held, threads=THREADS)
        lost = found.log_likelihood - true.log_likelihood
        return cls(np.concatenate([turns, moved], axis=1), found.covariance[:, :5, :5], lost)

    def figures(self) -> dict[str, Any]:
        """Return coverage and efficiency."""
        variance = np.diagonal(self.covariance, axis1=1, axis2=2)
        squared = np.einsum("ni,nij,nj->n", self.errors, np.linalg.inv(self.covariance), self.errors)
        joint = [float(np.mean(squared < chi2.ppf(level, 5))) for level in LEVELS]
        likely = [float(np.mean(2.0 * self.likelihood_lost_at_truth < chi2.ppf(level, 5))) for level in LEVELS]
        ratio = np.abs(self.errors) / np.sqrt(variance)
        each = [[float(x) for x in np.mean(ratio < norm.ppf(0.5 + level / 2), axis=0)] for level in LEVELS]
        efficiency = variance.mean(axis=0) / (self.errors**2).mean(axis=0)
        units = np.array([*[180 / np.pi] * 3, 1.0, 1.0])
        return {
            "inside_ellipsoids_50_90_99_percent": [round(x, 4) for x in joint],
            "inside_regions_of_likelihood_50_90_99_percent": [round(x, 4) for x in likely],
            "inside_each_axis_50_90_99_percent": [[round(x, 3) for x in level] for level in each],
            "ellipsoids_calibrated": calibrated(joint),
            "regions_of_likelihood_calibrated": calibrated(likely),
            "efficiency_x_y_z_dx_dy": [round(float(x), 3) for x in efficiency],
            "efficient": bool(efficiency.min() >= LEAST_EFFICIENCY),
            "deviation_deg_deg_deg_A_A": [round(float(x), 3) for x in np.sqrt((self.errors**2).mean(axis=0)) * units],
        }


def calibrated(inside: list[float]) -> bool:
    return all(abs(a - b) <= t for a, b, t in zip(inside, LEVELS, TOLERANCE))


def near_truth(s: Scene, degrees: float = 2.0, shift_A: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.Generator(np.random.Philox(3))
    turns = np.deg2rad(degrees) * random.standard_normal((len(s.rotations), 3))
    return rotvec_to_matrix(turns) @ s.rotations, s.displacements_A + shift_A * random.standard_normal((len(turns), 2))


def refine_and_weigh(
    reference: Reference, images: ParticleImages, s: Scene, settings: RefinementSettings | None = None
) -> tuple[Refined, Refined]:
    """Return errors with the noise as it was given, and again with the noise that those poses leave."""
    first = refine_poses(reference, images, *near_truth(s), settings, threads=THREADS)
    ratio = noise_ratio(reference, images, first.rotations, first.displacements_A, first.scale, threads=THREADS)
    weighed = reweigh(images, ratio)
    again = refine_poses(
        reference, weighed, first.rotations, first.displacements_A, settings, scale=first.scale,
        threads=THREADS,
    )  # fmt: skip
    return Refined.of(reference, images, s, first), Refined.of(reference, weighed, s, again)


def misshapen(power: np.ndarray, low_to_high: float = 1.3) -> np.ndarray:
    """Return a noise spectrum too weak by this factor at the origin and as much too strong at the last ring."""
    slope = np.linspace(-1.0, 1.0, power.size)
    return power * low_to_high**slope


def calibration(particles: int) -> dict[str, Any]:
    """Measure coverage and efficiency of refinement with the true noise, and with noise of another shape."""
    rows: dict[str, Any] = {"particles": particles, "box": 64, "pixel_size_A": 2.5, "limit_A": 8.0}
    width_A = 160.0
    made = blobs(240, radius_A=0.3 * width_A, sigma_A=3.0)
    reference = prepare_reference(made.volume(64, 2.5), 2.5, limit_A=7.5)
    for noise in (1.5, 2.5, 4.0):
        s = scene(particles, box=64, pixel_size_A=2.5, noise=noise, molecule=made)
        for name, power in (("true_noise", s.noise_power), ("noise_1.3_times_off_in_shape", misshapen(s.noise_power))):
            images = prepare_images(s.images, s.optics, s.defocus, power, 8.0)
            first, again = refine_and_weigh(reference, images, s)
            rows[f"noise_{noise:g}_{name}"] = {
                "as_given": first.figures(),
                "noise_measured_anew": again.figures(),
            }
    return rows


def main(particles: int = 5000, share: float = 1.0) -> None:
    figures = {
        "calibration": calibration(particles),
        "search": [search_case(replace(case, particles=round(case.particles * share))) for case in CASES],
    }
    sys.stdout.write(f"written to {record('engine_poses', figures)}\n")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
