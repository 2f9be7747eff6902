"""How near refined poses come to the bound of Cramer and Rao, beside what the data allow and beside relion_refine.

Projections of the atoms of beta-galactosidase, box 128, pixels of 2 A, refined to 8 A from 3 degrees and 1 pixel off.
The bound of Cramer and Rao is computed at the true poses. An error can be larger for two reasons: a poor estimator, or
a signal so weak that no estimator reaches the bound. Bayes's risk tells them apart: of all estimators, even if they
knew scale, noise and map exactly, none has a smaller mean squared error than the mean of the posterior, whose mean
squared error is the posterior's mean variance. It is measured by importance sampling, once as that variance and once as
the errors of those means, which must agree; for estimators that know nothing of the pose but the image (a flat prior
about the maximum), and for such as also know that starts are off by this normal distribution, which the bound does not.
What the optimiser itself loses is told by refining from the true poses, and with a finer sampled reference.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.engine_search import BOX, PIXEL_A, SYMMETRY
from scipy.stats import chi2
from tests.support.relion import relion_refine_locally
from tools.measured import record

from verglas.engine import (
    ParticleImages,
    PoseSpread,
    Reference,
    RefinementSettings,
    log_likelihoods,
    pose_spread,
    prepare_images,
    prepare_reference,
    refine_poses,
)
from verglas.formats import ParticleTable, read_stack
from verglas.geometry import euler_to_matrix, matrix_to_euler, matrix_to_rotvec, point_group, rotvec_to_matrix
from verglas.microscopy import Optics
from verglas.signal import apply_filter, b_factor, noise_power, sphere_mask
from verglas.stages.simulation import StackParameters, make_density, read_atoms, simulate_stack

SNRS = (0.04, 0.1, 0.3)
PARTICLES, RELION_PARTICLES, BAYES_PARTICLES = 2000, 300, 1000
DRAWS, FREEDOM, WIDER = 512, 6.0, 1.25
START_RAD, START_A = np.deg2rad(3.0 / np.sqrt(3)), PIXEL_A / np.sqrt(2)
LIMIT_A = 8.0
# Poses farther off are in another maximum and no errors of this one.
LOST_DEG, LOST_A = 8.0, LIMIT_A
RESAMPLED = 400
LEVELS = (0.5, 0.9, 0.99)
WANTED = 0.85
THREADS = 2
ANGLES = ("rot_deg", "tilt_deg", "psi_deg")


def bound(
    reference: Reference, images: ParticleImages, rotations: np.ndarray, displacements_A: np.ndarray, scale: float
) -> np.ndarray:
    """Return the smallest possible covariance of turns, displacements (and scale, left out) at the true poses."""
    points = images.band.count_to(LIMIT_A)
    kx, ky = (k[:points] for k in images.true_k_per_A)
    u, v = kx * reference.voxels_A, ky * reference.voxels_A
    found = np.empty((len(images), 5, 5))
    for n in range(len(images)):
        value, slope = reference.slices_and_gradients(rotations[n], kx, ky)
        transfer = images.transfer[n, :points]
        rows = np.stack(
            [
                -v * slope[2], u * slope[2], v * slope[0] - u * slope[1],
                -2j * np.pi * images.band.kx_per_A[:points] * value,
                -2j * np.pi * images.band.ky_per_A[:points] * value, value / scale,
            ]
        ) * (scale * transfer)  # fmt: skip
        found[n] = np.linalg.inv(2.0 * (rows.conj() @ rows.T).real)[:5, :5]
    return found


def errors(rotations: np.ndarray, displacements_A: np.ndarray, truth: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return turns in radians and displacements in A from the truth."""
    nearest = point_group(SYMMETRY).nearest_poses(rotations, truth)
    turns = matrix_to_rotvec(nearest @ np.swapaxes(truth, 1, 2))
    return np.concatenate([turns, displacements_A - moved], axis=1)


def cut(spread: PoseSpread, some: slice) -> PoseSpread:
    """Return the spread of some particles."""
    return PoseSpread(
        spread.rotations[some], spread.displacements_A[some], spread.covariance[some], spread.effective_draws[some],
        spread.parameters,
    )  # fmt: skip


def near(away: np.ndarray) -> np.ndarray:
    """Return which errors are of the right maximum."""
    turned, moved = np.linalg.norm(away[:, :3], axis=1), np.linalg.norm(away[:, 3:], axis=1)
    return np.asarray((turned < np.deg2rad(LOST_DEG)) & (moved < LOST_A))


def ratio(above: np.ndarray, below: np.ndarray) -> tuple[list[float], list[float]]:
    """Return the ratio of the means of two quantities of the same particles, and its standard error by bootstrap."""
    random = np.random.Generator(np.random.Philox(23))
    draws = random.integers(0, len(above), (RESAMPLED, len(above)))
    spread = np.std([above[some].mean(axis=0) / below[some].mean(axis=0) for some in draws], axis=0)
    return (above.mean(axis=0) / below.mean(axis=0)).round(3).tolist(), spread.round(3).tolist()


def figures(away: np.ndarray, least: np.ndarray, stated: np.ndarray | None = None) -> dict[str, Any]:
    kept = near(away)
    measured = (away[kept] ** 2).mean(axis=0)
    efficiency, error = ratio(np.diagonal(least[kept], axis1=1, axis2=2), away[kept] ** 2)
    row: dict[str, Any] = {
        "beyond_8_deg_or_8_A": int((~kept).sum()),
        "efficiency_x_y_z_dx_dy": efficiency,
        "its_standard_error": error,
        "deviation_deg_deg_deg_A_A": [
            round(float(x), 3) for x in np.sqrt(measured) * np.array([*[180 / np.pi] * 3, 1.0, 1.0])
        ],
    }
    if stated is not None:
        squared = np.einsum("ni,nij,nj->n", away, np.linalg.inv(stated), away)
        row["inside_50_90_99_percent"] = [round(float(np.mean(squared < chi2.ppf(p, 5))), 4) for p in LEVELS]
    return row


def bayes_risk(
    reference: Reference, images: ParticleImages, spread: PoseSpread, start: np.ndarray, start_A: np.ndarray,
    truth: np.ndarray, moved: np.ndarray, scale: float, least: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """Return the smallest mean squared error of any estimator, and what posterior means reach, of some particles."""
    count = len(images)
    random = np.random.Generator(np.random.Philox(17))
    tail = np.sqrt(random.chisquare(FREEDOM, (count, DRAWS)) / FREEDOM)
    points = WIDER * random.standard_normal((count, DRAWS, 5)) / tail[..., None]
    density = -0.5 * (FREEDOM + 5) * np.log1p((points**2).sum(axis=2) / (FREEDOM * WIDER**2))
    steps = np.einsum("nij,nmj->nmi", np.linalg.cholesky(spread.covariance), points)
    rotations = rotvec_to_matrix(steps[:, :, :3]) @ spread.rotations[:, None]
    displacements = spread.displacements_A[:, None] + steps[:, :, 3:]
    flat = log_likelihoods(
        reference, images, rotations, displacements, scale=scale, limit_A=LIMIT_A, threads=THREADS
    ) - density  # fmt: skip
    turned = matrix_to_rotvec(start[:, None] @ np.swapaxes(rotations, 2, 3))
    known = -0.5 * (turned**2).sum(axis=2) / START_RAD**2
    known -= 0.5 * ((start_A[:, None] - displacements) ** 2).sum(axis=2) / START_A**2
    return {
        name: risk_of(logs, steps, spread, truth, moved, least)
        for name, logs in (("image_alone", flat), ("image_and_start", flat + known))
    }


def risk_of(
    logs: np.ndarray, steps: np.ndarray, spread: PoseSpread, truth: np.ndarray, moved: np.ndarray, least: np.ndarray
) -> dict[str, Any]:
    """Return the mean variance of posteriors known by draws, and the errors of their means."""
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean = np.einsum("nm,nmi->ni", weights, steps)
    variance = np.einsum("nm,nmi->ni", weights, (steps - mean[:, None]) ** 2)
    # A weighted variance of few draws is too small by 1 / effective draws.
    effective = 1.0 / (weights**2).sum(axis=1)
    variance *= (effective / np.maximum(effective - 1.0, 1.0))[:, None]
    away = errors(rotvec_to_matrix(mean[:, :3]) @ spread.rotations, spread.displacements_A + mean[:, 3:], truth, moved)
    smallest = variance.mean(axis=0)
    bound_ = np.diagonal(least, axis1=1, axis2=2).mean(axis=0)
    return {
        "particles": len(logs), "draws": DRAWS,
        "effective_draws_5_50_percent": np.percentile(effective, (5, 50)).round(1).tolist(),
        "smallest_mean_squared_error_over_that_of_means": (smallest / (away**2).mean(axis=0)).round(3).tolist(),
        "highest_efficiency_that_any_estimator_can_have": (bound_ / smallest).round(3).tolist(),
        "smallest_deviation_deg_deg_deg_A_A": (np.sqrt(smallest) * [*[180 / np.pi] * 3, 1, 1]).round(3).tolist(),
        "smallest_squared": smallest.tolist(),
    }  # fmt: skip


def started(table: ParticleTable, rotations: np.ndarray) -> tuple[ParticleTable, np.ndarray, np.ndarray]:
    """Return the table with poses off by 3 degrees and a pixel, and those poses and displacements."""
    random = np.random.Generator(np.random.Philox(9))
    count = len(table)
    poses = rotvec_to_matrix(START_RAD * random.standard_normal((count, 3))) @ rotations
    off = table.select(np.arange(count))
    for name, angle in zip(ANGLES, matrix_to_euler(poses)):
        off[name] = np.rad2deg(angle)
    for name in ("origin_x_A", "origin_y_A"):
        off[name] = off[name] + START_A * random.standard_normal(count)
    return off, poses, -np.stack([off["origin_x_A"], off["origin_y_A"]], axis=1)


def one(snr: float, relion: bool) -> dict[str, Any]:
    """Refine one stack."""
    parameters = StackParameters(
        model="beta-galactosidase", particles=PARTICLES, box=BOX, pixel_size_A=PIXEL_A, snr=snr, shift_sigma_A=4.0,
        seed=5,
    )  # fmt: skip
    atoms = read_atoms(parameters, parameters.conformations[0])
    density = apply_filter(make_density(atoms, BOX, PIXEL_A), PIXEL_A, b_factor(parameters.envelope_b_A2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = simulate_stack(parameters, folder, threads=THREADS)
        truth = made.truth
        pixels, _ = read_stack(made.stack)
        power = noise_power(pixels, sphere_mask((BOX, BOX), made.radius_A, PIXEL_A, edge_A=8.0))[1][0]
        optics = Optics(parameters.voltage_kV, parameters.cs_mm, parameters.amplitude_contrast, PIXEL_A)
        defocus = np.stack(
            [truth["defocus_u_A"], truth["defocus_v_A"], np.deg2rad(truth["defocus_angle_deg"]), np.zeros(PARTICLES)],
            axis=1,
        )
        images = prepare_images(pixels, optics, defocus, power, 0.95 * LIMIT_A, threads=THREADS)
        rotations = euler_to_matrix(*(np.deg2rad(truth[angle]) for angle in ANGLES))
        moved = -np.stack([truth["origin_x_A"], truth["origin_y_A"]], axis=1)
        off, poses, displaced = started(truth, rotations)
        reference = prepare_reference(density, PIXEL_A, limit_A=7.0, radius_A=atoms.radius_A)
        fine = prepare_reference(density, PIXEL_A, limit_A=7.0, radius_A=atoms.radius_A, oversampling=4)
        settings = RefinementSettings(limit_A=LIMIT_A)
        held = RefinementSettings(limit_A=LIMIT_A, phi=False, theta=False, psi=False, x=False, y=False)
        scale = float(np.median(refine_poses(fine, images, rotations, moved, held, threads=THREADS).scale))
        least = bound(fine, images, rotations, moved, scale)
        found = refine_poses(reference, images, poses, displaced, settings, threads=THREADS)
        spread = pose_spread(reference, images, found, settings, threads=THREADS)
        likeliest = errors(found.rotations, found.displacements_A, rotations, moved)
        sampled = refine_poses(fine, images, poses, displaced, settings, threads=THREADS)
        at_truth = refine_poses(reference, images, rotations, moved, settings, threads=THREADS)
        centres = errors(spread.rotations, spread.displacements_A, rotations, moved)
        some = slice(0, BAYES_PARTICLES)
        risk = bayes_risk(
            fine, images.select(some), cut(spread, some), poses[some], displaced[some], rotations[some], moved[some],
            scale, least[some],
        )  # fmt: skip
        found_too = near(likeliest[some])
        for allowed in risk.values():
            smallest = np.array(allowed.pop("smallest_squared"))
            allowed["smallest_mean_squared_error_over_ours"] = [
                round(float(x), 3) for x in smallest / (likeliest[some][found_too] ** 2).mean(axis=0)
            ]
        row: dict[str, Any] = {
            "snr": snr, "particles": PARTICLES,
            "verglas": figures(likeliest, least, found.covariance[:, :5, :5]),
            "centres_of_the_posterior": figures(centres, least, spread.covariance),
            "reference_sampled_4_times": figures(
                errors(sampled.rotations, sampled.displacements_A, rotations, moved), least
            ),
            "started_at_the_truth": figures(
                errors(at_truth.rotations, at_truth.displacements_A, rotations, moved), least
            ),
            "what_the_data_allow": risk,
        }  # fmt: skip
        row["reached"] = min(row["verglas"]["efficiency_x_y_z_dx_dy"]) >= WANTED
        row["reachable_by_any_estimator"] = {
            name: min(allowed["highest_efficiency_that_any_estimator_can_have"]) >= WANTED
            for name, allowed in risk.items()
        }
        if relion:
            some = slice(0, RELION_PARTICLES)
            theirs = relion_refine_locally(
                off.select(some), folder, scale * density, PIXEL_A, limit_A=LIMIT_A, sigma_deg=3.0,
                diameter_A=2.0 * atoms.radius_A + 20.0, threads=THREADS, timeout_s=7200.0,
            )  # fmt: skip
            seen = theirs.table
            away = errors(
                euler_to_matrix(*(np.deg2rad(seen[angle]) for angle in ANGLES)),
                -np.stack([seen["origin_x_A"], seen["origin_y_A"]], axis=1), rotations[some], moved[some],
            )  # fmt: skip
            both = near(away) & near(likeliest[some])
            compared, error = ratio(likeliest[some][both] ** 2, away[both] ** 2)
            row["same_particles"] = {
                "particles": RELION_PARTICLES,
                "squared_error_of_verglas_over_that_of_relion": compared,
                "its_standard_error": error,
                "verglas": figures(likeliest[some], least[some]),
                "relion_refine_one_pass": figures(away, least[some]),
                "relion_refine_cpu_ms_a_particle_fixed_cost_included": round(1e3 * theirs.cpu_s / RELION_PARTICLES),
            }
    sys.stdout.write(f"{row}\n")
    sys.stdout.flush()
    return row


def main(*snrs: float) -> None:
    """Measure at all signal-to-noise ratios, or at some, each in a file of its own."""
    rows = [one(snr, relion=snr < 0.2) for snr in snrs or SNRS]
    note = (
        "Efficiency: bound of Cramer and Rao at the true poses over measured variance, per axis, of poses within 8 "
        "degrees and 8 A. relion_refine 3.1.3: one pass about the same starts, reference and scale given, prior of 3 "
        "degrees, steps of 0.47 degrees and a quarter of a pixel."
    )
    figures_ = {"note": note, "limit_A": LIMIT_A, "box": BOX, "pixel_size_A": PIXEL_A, "settings": rows}
    name = "engine_efficiency" + "".join(f"_snr_{snr:g}" for snr in snrs)
    sys.stdout.write(f"written to {record(name, figures_)}\n")


if __name__ == "__main__":
    main(*(float(word) for word in sys.argv[1:]))
