"""How often stated regions of 50, 90 and 99 % hold the true pose, over noise, also of another shape than the model's.

Images come from Gaussian blobs in closed form (they share nothing with the engine). The regions that the engine states
are ellipsoids of the posterior's spread; beside them stand those of the normal matrix, and poses whose likelihood, over
the noise variance of the image, falls short of the maximum by no more than chi-squared allows.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2, norm
from tests.engine.atoms import blobs
from tests.engine.scenes import Scene, scene
from tools.measured import record

from verglas.engine import (
    ParticleImages,
    PoseSpread,
    Reference,
    RefinedPoses,
    RefinementSettings,
    log_likelihoods,
    noise_ratio,
    pose_spread,
    prepare_images,
    prepare_reference,
    refine_poses,
    reweigh,
)
from verglas.geometry import matrix_to_rotvec, rotvec_to_matrix

LEVELS = (0.5, 0.9, 0.99)
TOLERANCE = (0.03, 0.03, 0.01)
LEAST_EFFICIENCY = 0.85
THREADS = 2
NOISES = (1.5, 2.5, 4.0, 5.5)


@dataclass(frozen=True)
class Refined:
    """Errors of refined poses (turns in radians, displacements in A) and what the engine says of them."""

    errors: np.ndarray
    covariance: np.ndarray
    likelihood_lost_at_truth: np.ndarray
    spread_errors: np.ndarray
    spread_covariance: np.ndarray
    radii: tuple[float, ...]

    @classmethod
    def of(cls, reference: Reference, images: ParticleImages, s: Scene, found: RefinedPoses) -> Refined:
        """Compare refined poses with the truth."""
        spread = pose_spread(reference, images, found, threads=THREADS)
        likely = [
            log_likelihoods(reference, images, rotations, moved, threads=THREADS) / found.noise_variance
            for rotations, moved in ((found.rotations, found.displacements_A), (s.rotations, s.displacements_A))
        ]
        radii = tuple(spread.squared_radius(level) for level in LEVELS)
        lost = likely[0] - likely[1]
        return cls(away(found, s), found.covariance[:, :5, :5], lost, away(spread, s), spread.covariance, radii)

    def figures(self) -> dict[str, Any]:
        """Return coverage and efficiency."""
        variance = np.diagonal(self.covariance, axis1=1, axis2=2)
        joint = inside(self.errors, self.covariance, tuple(chi2.ppf(LEVELS, 5)))
        spread = inside(self.spread_errors, self.spread_covariance, self.radii)
        likely = [float(np.mean(2.0 * self.likelihood_lost_at_truth < chi2.ppf(level, 5))) for level in LEVELS]
        ratio = np.abs(self.errors) / np.sqrt(variance)
        each = [[float(x) for x in np.mean(ratio < norm.ppf(0.5 + level / 2), axis=0)] for level in LEVELS]
        efficiency = variance.mean(axis=0) / (self.errors**2).mean(axis=0)
        units = np.array([*[180 / np.pi] * 3, 1.0, 1.0])
        return {
            "inside_ellipsoids_50_90_99_percent": [round(x, 4) for x in joint],
            "inside_stated_regions_50_90_99_percent": [round(x, 4) for x in spread],
            "inside_regions_of_likelihood_50_90_99_percent": [round(x, 4) for x in likely],
            "inside_each_axis_50_90_99_percent": [[round(x, 3) for x in level] for level in each],
            "ellipsoids_calibrated": calibrated(joint),
            "stated_regions_calibrated": calibrated(spread),
            "regions_of_likelihood_calibrated": calibrated(likely),
            "efficiency_x_y_z_dx_dy": [round(float(x), 3) for x in efficiency],
            "efficient": bool(efficiency.min() >= LEAST_EFFICIENCY),
            "deviation_deg_deg_deg_A_A": [round(float(x), 3) for x in np.sqrt((self.errors**2).mean(axis=0)) * units],
        }


def away(found: RefinedPoses | PoseSpread, s: Scene) -> np.ndarray:
    """Return turns from the truth in radians and displacements in A."""
    turns = matrix_to_rotvec(found.rotations @ np.swapaxes(s.rotations, 1, 2))
    return np.concatenate([turns, found.displacements_A - s.displacements_A], axis=1)


def inside(errors: np.ndarray, covariance: np.ndarray, radii: tuple[float, ...]) -> list[float]:
    """Return how often ellipsoids of the three levels, of these squared radii, hold the truth."""
    squared = np.einsum("ni,nij,nj->n", errors, np.linalg.inv(covariance), errors)
    return [float(np.mean(squared < radius)) for radius in radii]


def calibrated(found: list[float]) -> bool:
    return all(abs(a - b) <= t for a, b, t in zip(found, LEVELS, TOLERANCE))


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
    for noise in NOISES:
        s = scene(particles, box=64, pixel_size_A=2.5, noise=noise, molecule=made)
        for name, power in (("true_noise", s.noise_power), ("noise_1.3_times_off_in_shape", misshapen(s.noise_power))):
            images = prepare_images(s.images, s.optics, s.defocus, power, 8.0)
            first, again = refine_and_weigh(reference, images, s)
            rows[f"noise_{noise:g}_{name}"] = {
                "as_given": first.figures(),
                "noise_measured_anew": again.figures(),
            }
    return rows


def main(particles: int = 5000) -> None:
    figures = calibration(particles)
    rows = [row[way] for row in figures.values() if isinstance(row, dict) for way in row]
    figures["all_stated_regions_calibrated"] = all(row["stated_regions_calibrated"] for row in rows)
    sys.stdout.write(f"written to {record('engine_calibration', figures)}\n")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
