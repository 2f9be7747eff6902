"""Refine CTF on beta-galactosidase: beam tilt, defocus of particles beside its bound and the plane, resolution gained.

5,000 simulated particles, or VERGLAS_CTF_PARTICLES (D2, 300 kV, Cs 2.7 mm, pixels of 1.4 A), with a beam tilt
of 0.3 mrad and heights in the ice. The table that refinement begins with knows neither: each micrograph has one
defocus, off by some tens of A. Poses are refined from the true ones, so they have the errors that such images leave.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import record

from verglas.engine import MaskSettings, ParticleStack
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.formats import ParticleTable
from verglas.signal import apply_filter, b_factor, fourier_shell_correlation, resolution_at, sphere_mask
from verglas.stages.ctf_refinement import CtfImages, CtfRefinementSettings, refine_ctf
from verglas.stages.ctf_refinement.defocus import defocus_basis, scale_of
from verglas.stages.ctf_refinement.even_phase import EvenSums, even_terms
from verglas.stages.refinement import AutoRefineSettings, ClassMaps, PoseRows, RefinementState, refine_particles
from verglas.stages.simulation import StackParameters, make_density, read_atoms, simulate_stack

PARTICLES = int(os.environ.get("VERGLAS_CTF_PARTICLES", "5000"))
BOX, PIXEL_A, SYMMETRY = 144, 1.4, "D2"
SNR = 0.06
TILT_MRAD = (0.25, -0.166)
HEIGHTS_A = 150.0
MICROGRAPH_ERROR_A = 50.0
RADIUS_A, LIMIT_A = 92.0, 3.0
BOUND_PARTICLES = 400
THREADS = 1
ROUNDS = 3
PARAMETERS = StackParameters(
    model="beta-galactosidase", particles=PARTICLES, box=BOX, pixel_size_A=PIXEL_A, snr=SNR, coloured_noise=0.0,
    beam_tilt_x_mrad=TILT_MRAD[0], beam_tilt_y_mrad=TILT_MRAD[1], height_spread_A=HEIGHTS_A,
    particles_per_micrograph=100, seed=7,
)  # fmt: skip


def say(text: str) -> None:
    """Say how far it is, and after how many CPU-seconds."""
    sys.stdout.write(f"   {time.process_time():7.0f} s: {text}\n")
    sys.stdout.flush()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.process_time()
        made = simulate_stack(PARAMETERS, folder)
        truth = true_map()
        simulated = time.process_time() - start
        say(f"{PARTICLES} particles simulated")
        figures = measure(folder, made.truth, truth)
        record("ctf_refinement", {"simulation_cpu_s": round(simulated, 1), **figures})


def true_map() -> np.ndarray:
    """Return the density at the particles' box, with the microscope's envelope."""
    density = make_density(read_atoms(PARAMETERS, PARAMETERS.conformations[0]), BOX, PIXEL_A)
    return np.asarray(apply_filter(density, PIXEL_A, b_factor(PARAMETERS.envelope_b_A2)), np.float32)


def given_table(truth: ParticleTable) -> tuple[ParticleTable, np.ndarray]:
    """Return the table that knows one defocus a micrograph and no beam tilt, and what its defocus lacks."""
    random = np.random.Generator(np.random.Philox(3))
    table = truth.copy()
    micrograph = np.asarray(table["micrograph"])
    numbers, inverse = np.unique(micrograph, return_inverse=True)
    table["coordinate_x_px"], table["coordinate_y_px"] = random.uniform(0.0, 4000.0, (2, len(table)))
    mean = np.bincount(inverse, table["defocus_u_A"]) / np.bincount(inverse)
    wrong = mean + MICROGRAPH_ERROR_A * random.standard_normal(len(numbers))
    lacking = np.asarray(table["defocus_u_A"]) - wrong[inverse]
    for column in ("defocus_u_A", "defocus_v_A"):
        table[column] = np.asarray(table[column]) - lacking
    table["beam_tilt_x_mrad"] = 0.0
    table["beam_tilt_y_mrad"] = 0.0
    table["half_set"] = 1 + inverse % 2
    return table, lacking


def measure(folder: Path, true: ParticleTable, truth: np.ndarray) -> dict[str, Any]:
    """Refine poses, then the CTF, and hold both against the truth."""
    given, lacking = given_table(true)
    options = AutoRefineSettings(
        mask_radius_A=RADIUS_A, symmetry=SYMMETRY, start_A=8.0, search_first=False, rounds=ROUNDS,
        mask=MaskSettings(automatic=True),
    )  # fmt: skip
    start = time.process_time()
    poses = refine_particles(given, folder, truth, options, threads=THREADS, progress=say_round)
    posed = time.process_time() - start
    table = poses.tables[0]
    before, halves = judged(table, folder, truth)
    say(f"map before: {before}")
    settings = CtfRefinementSettings(RADIUS_A, LIMIT_A)
    start = time.process_time()
    found = refine_ctf([table], folder, [halves], settings, threads=THREADS)
    spent = time.process_time() - start
    say(f"CTF refined: {found.groups[0].odd}")
    after, _ = judged(found.tables[0], folder, truth)
    say(f"map after: {after}")
    best = found.tables[0].copy()
    for column in ("defocus_u_A", "defocus_v_A", "defocus_angle_deg", "beam_tilt_x_mrad", "beam_tilt_y_mrad"):
        best[column] = true[column]
    at_truth, _ = judged(best, folder, truth)
    say(f"map at the true CTF: {at_truth}")
    once_more = refine_particles(found.tables[0], folder, truth, options, threads=THREADS, progress=say_round)
    again, _ = judged(once_more.tables[0], folder, truth)
    say(f"map after, poses refined again: {again}")
    fit, estimate = found.groups[0].odd, found.estimate
    assert fit is not None and estimate is not None
    error = estimate.change_A - lacking
    bound = bounds(folder, found.tables[0], halves, settings)
    bound_of_truth = bounds(folder, found.tables[0], (truth, truth), settings)
    known = np.abs(estimate.alone_A - lacking) < 300.0
    return {
        "particles": PARTICLES, "box_px": BOX, "pixel_A": PIXEL_A, "snr": SNR, "limit_A": LIMIT_A,
        "beam_tilt_true_mrad": TILT_MRAD,
        "beam_tilt_found_mrad": [round(fit.as_dict()[f"beam_tilt_{axis}_mrad"][0], 4) for axis in "xy"],
        "beam_tilt_deviation_mrad": [round(fit.as_dict()[f"beam_tilt_{axis}_mrad"][1], 4) for axis in "xy"],
        "beam_tilt_significance": round(fit.significance, 1),
        "defocus_rms_error_A": {
            "as_given": rms(lacking), "plane": rms(estimate.plane_A - lacking),
            "drawn_to_the_plane": rms(error), "stated": rms(estimate.deviation_A),
            "alone": rms(estimate.alone_A - lacking), "alone_stated": rms(estimate.alone_deviation_A),
            "alone_without_outliers": rms((estimate.alone_A - lacking)[known]),
        },
        "defocus_outliers_over_300_A": int((~known).sum()),
        "spread_A": {"true": rms(lacking - lacking_plane(true, lacking)), "estimated": round(estimate.spread_A, 1)},
        "bound_rms_A": {"references_used": bound, "true_map_as_reference": bound_of_truth},
        "resolution_A": {
            "before": before, "after": after, "after_and_poses_again": again, "at_the_true_ctf": at_truth,
        },
        "cpu_ms_a_particle": {
            "ctf": round(1e3 * spent / PARTICLES, 2), f"poses_{ROUNDS}_rounds": round(1e3 * posed / PARTICLES, 1),
        },
    }  # fmt: skip


def say_round(state: RefinementState, _rows: PoseRows, _maps: list[ClassMaps]) -> None:
    """Say what a round of poses has reached."""
    say(f"round {state.number} of poses: {state.resolution_A[-1]:.2f} A")


def lacking_plane(true: ParticleTable, lacking: np.ndarray) -> np.ndarray:
    """Return each micrograph's mean of what the defocus lacks."""
    _, inverse = np.unique(np.asarray(true["micrograph"]), return_inverse=True)
    return (np.bincount(inverse, lacking) / np.bincount(inverse))[inverse]


def judged(
    table: ParticleTable, folder: Path, truth: np.ndarray
) -> tuple[dict[str, float], tuple[np.ndarray, np.ndarray]]:
    """Return resolutions of a table's map: of the halves (0.143) and to the truth (0.5); and the half maps."""
    work = reconstruct_particles(table, folder, SYMMETRY, threads=THREADS)
    mask = sphere_mask(truth.shape, RADIUS_A, PIXEL_A, edge_A=10.0)
    found = work.finish(mask=mask)
    assert found.half_maps is not None and found.resolution is not None
    mean = 0.5 * (found.half_maps[0] + found.half_maps[1])
    curve = fourier_shell_correlation(mean, truth, PIXEL_A, mask=mask)
    to_truth = resolution_at(curve.frequency_per_A, curve.fsc, 0.5).resolution_A
    high = (curve.frequency_per_A > 1.0 / 6.0) & (curve.frequency_per_A < 1.0 / 3.0)
    return {
        "halves": round(float(found.resolution.resolution_A), 3), "to_truth": round(float(to_truth), 3),
        "mean_fsc_to_truth_6_to_3_A": round(float(curve.fsc[high].mean()), 4),
    }, found.half_maps  # fmt: skip


def bounds(
    folder: Path, table: ParticleTable, halves: tuple[np.ndarray, np.ndarray], settings: CtfRefinementSettings
) -> float:
    """Return the root mean square of the bound of Cramer and Rao on single particles, for some references."""
    with ParticleStack(table, folder) as stack:
        work = CtfImages(stack, [table], [halves], settings, threads=THREADS)
        variances = []
        for products in work.products(np.arange(0, PARTICLES, PARTICLES // BOUND_PARTICLES)):
            terms = even_terms(products)
            scale = scale_of(terms)
            basis = defocus_basis(products.images.band, products.images.optics)[0]
            for n in range(len(products.places)):
                sums = EvenSums.empty(len(basis))
                sums.add(terms[:, n : n + 1], scale)
                _, information = sums.slope(np.zeros(len(basis)))
                variances.append(1.0 / float(information @ basis**2))
    return round(math.sqrt(float(np.mean(variances))), 1)


def rms(values: np.ndarray) -> float:
    return round(float(np.sqrt(np.mean(np.square(values)))), 2)


if __name__ == "__main__":
    main()
