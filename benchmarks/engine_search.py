"""Time the global search and its accuracy beside the scan that slices once for every pose, and beside its floor."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import record

from verglas.engine import (
    ParticleImages,
    Reference,
    SearchSettings,
    Templates,
    coarse_search,
    prepare_images,
    prepare_reference,
    search_poses,
)
from verglas.engine.polar_grid import hexagonal_shifts
from verglas.engine.threads import single_blas_thread
from verglas.formats import read_stack
from verglas.geometry import euler_to_matrix, in_plane_angles, point_group, sphere_directions
from verglas.microscopy import Optics
from verglas.signal import apply_filter, b_factor, noise_power, sphere_mask
from verglas.stages.simulation import StackParameters, make_density, read_atoms, simulate_stack

BOX, PIXEL_A = 128, 2.0
SYMMETRY = "D2"  # of the molecule; searches do not use it
IMAGES = 192
CLASSICAL_IMAGES = 4
REPEATS = 5
TIMED_IMAGES = 8


def stack(
    snr: float, count: int, high_A: float, box: int = BOX, pixel_A: float = PIXEL_A
) -> tuple[ParticleImages, np.ndarray, np.ndarray]:
    """Return prepared images projected from atoms, their poses and displacements."""
    parameters = StackParameters(
        model="beta-galactosidase", particles=count, box=box, pixel_size_A=pixel_A, snr=snr, shift_sigma_A=4.0, seed=5
    )
    with tempfile.TemporaryDirectory() as folder:
        made = simulate_stack(parameters, Path(folder))
        pixels, _ = read_stack(made.stack)
    truth = made.truth
    power = noise_power(pixels, sphere_mask((box, box), made.radius_A, pixel_A, edge_A=8.0))[1][0]
    optics = Optics(parameters.voltage_kV, parameters.cs_mm, parameters.amplitude_contrast, pixel_A)
    defocus = np.stack(
        [truth["defocus_u_A"], truth["defocus_v_A"], np.deg2rad(truth["defocus_angle_deg"]), np.zeros(count)], axis=1
    )
    rotations = euler_to_matrix(*(np.deg2rad(truth[name]) for name in ("rot_deg", "tilt_deg", "psi_deg")))
    moved = -np.stack([truth["origin_x_A"], truth["origin_y_A"]], axis=1)
    return prepare_images(pixels, optics, defocus, power, high_A), rotations, moved


def molecule(limit_A: float, box: int = BOX, pixel_A: float = PIXEL_A) -> Reference:
    """Return the reference: the atoms' density with the microscope's envelope, which the forward model leaves to it."""
    parameters = StackParameters(model="beta-galactosidase")
    atoms = read_atoms(parameters, parameters.conformations[0])
    density = apply_filter(make_density(atoms, box, pixel_A), pixel_A, b_factor(parameters.envelope_b_A2))
    return prepare_reference(density, pixel_A, limit_A=limit_A, radius_A=atoms.radius_A)


def cpu_ms(task: Callable[[], Any], items: int) -> float:
    task()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return round(1e3 * statistics.median(times) / items, 2)


def sgemm_GFLOPS() -> float:
    n = 1024
    a, b = np.ones((n, n), np.float32), np.ones((n, n), np.float32)
    with single_blas_thread():
        return round(2e-9 * n**3 / (1e-3 * cpu_ms(lambda: a @ b, 1)), 1)


def accuracy(found: np.ndarray, moved: np.ndarray, truth: np.ndarray, truly: np.ndarray) -> dict[str, Any]:
    away = np.rad2deg(point_group(SYMMETRY).distance(found, truth))
    near = away < 15.0
    return {
        "images": len(away),
        "within_15_deg": round(float(np.mean(near)), 3),
        "within_5_deg": round(float(np.mean(away < 5.0)), 3),
        "median_deg_of_found": round(float(np.median(away[near])), 2) if near.any() else None,
        "median_A_of_found": round(float(np.median(np.linalg.norm(moved - truly, axis=1)[near])), 2)
        if near.any()
        else None,
    }


def flops(library: Templates, settings: SearchSettings) -> float:
    """Return the floating-point operations of one image's matrix products."""
    grid = library.grid
    rows = len(hexagonal_shifts(settings.shift_step_A, settings.shift_range_A))
    rings = float((grid.radii.size - grid.first_ring).sum())
    quarter = int(np.ceil(0.5 * grid.orders.max())) + 1
    return 2.0 * rows * len(library) * (4.0 * rings + 4.0 * quarter * grid.orders.size)


def refinement_flops(components: int, passes: float) -> float:
    """Return the floating-point operations of refining a pose: what ``kernels/pose_refinement.py`` does, counted.

    A component and pass: 22 to place and weigh the point and 84 for value and slopes of both parts, 9 for the
    displaced data, 2 x 30 for turns, model and displacement, and 2 x 2 for each of the 36 products of eight rows.
    """
    return components * passes * (22.0 + 84.0 + 9.0 + 60.0 + 144.0)


def classical(reference: Reference, images: ParticleImages, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the best pose of every image when each orientation is sliced and multiplied as it is."""
    points = images.band.count_to(12.0)
    kx, ky = images.band.kx_per_A[:points], images.band.ky_per_A[:points]
    shifts = hexagonal_shifts(4.0, 16.0)
    ramps = np.exp(2j * np.pi * (np.outer(shifts[:, 0], kx) + np.outer(shifts[:, 1], ky))).astype(np.complex64)
    best = np.full(len(images), -np.inf)
    rotations, moved = np.empty((len(images), 3, 3)), np.empty((len(images), 2))
    psi = in_plane_angles(spacing)
    weighted = images.data[:, :points] * images.transfer[:, :points]
    for direction in np.array_split(sphere_directions(spacing), 40):
        phi, theta = np.arctan2(direction[:, 1], direction[:, 0]), np.arccos(direction[:, 2])
        poses = euler_to_matrix(phi[:, None], theta[:, None], psi).reshape(-1, 3, 3)
        slices = reference.slices(poses, kx, ky)
        power = np.abs(slices) ** 2
        for n in range(len(images)):
            product = (slices.conj() @ (weighted[n] * ramps).T).real
            score = np.maximum(product, 0) / np.sqrt(power @ images.transfer[n, :points] ** 2)[:, None]
            if score.max() > best[n]:
                pose, shift = np.unravel_index(np.argmax(score), score.shape)
                best[n], rotations[n], moved[n] = score.max(), poses[pose], shifts[shift]
    return rotations, moved


EXHAUSTIVE = {
    "5_deg_12_A": SearchSettings(12.0, np.deg2rad(5.0), 4.0, 16.0, keep=1),
    "7.5_deg_12_A": SearchSettings(12.0, np.deg2rad(7.5), 5.0, 16.0, keep=1),
}
FINISHED = {
    "20_A_10_deg_K8": SearchSettings(keep=8),
    "20_A_10_deg_K16": SearchSettings(keep=16),
    "15_A_9_deg_K8": SearchSettings(15.0, np.deg2rad(9.0), 5.5, 16.0, keep=8),
    "12_A_7.5_deg_K4": SearchSettings(12.0, np.deg2rad(7.5), 5.0, 16.0, keep=4),
}
WANTED = {
    "exhaustive_5_deg_12_A": 35.0, "exhaustive_7.5_deg_12_A": 15.0, "finished_snr_0.04": 6.0,
    "finished_snr_0.015": 14.0,
}  # fmt: skip
SETTINGS = ((128, 2.0, IMAGES), (128, 1.5, 64), (256, 2.0, 48), (256, 1.5, 48))


def searched(
    reference: Reference, images: ParticleImages, rotations: np.ndarray, moved: np.ndarray, rate: float
) -> dict[str, Any]:
    """Return cost, floor and accuracy of every way of searching."""
    few = images.select(slice(0, TIMED_IMAGES))
    rows: dict[str, Any] = {}
    for name, settings in EXHAUSTIVE.items():
        library = Templates([reference], images.band, settings)
        found = coarse_search(library, images, settings)
        floor = flops(library, settings) / (1e6 * rate)
        cost = cpu_ms(lambda s=settings, t=library: coarse_search(t, few, s), TIMED_IMAGES)
        rows[f"exhaustive_{name}"] = {
            "cpu_ms": cost, "floor_ms": round(floor, 2), "times_the_floor": round(cost / floor, 2),
            "templates": len(library), **accuracy(found.rotations[:, 0], found.displacements_A[:, 0], rotations, moved),
        }  # fmt: skip
    for name, settings in FINISHED.items():
        library = Templates([reference], images.band, settings)
        done = search_poses(reference, images, settings, templates=library)
        cost = cpu_ms(lambda s=settings, t=library: search_poses(reference, few, s, templates=t), TIMED_IMAGES)
        coarse = cpu_ms(lambda s=settings, t=library: coarse_search(t, few, s), TIMED_IMAGES)
        # The kept ones take at most the middle steps, the best one about six passes at the end.
        middle = refinement_flops(images.band.count_to(settings.middle_limit_A), settings.keep * settings.middle_steps)
        last = refinement_flops(images.band.count_to(settings.final_limit_A), 6.0)
        floor = (flops(library, settings) + middle + last) / (1e6 * rate)
        rows[f"finished_{name}"] = {
            "cpu_ms": cost, "of_it_on_the_grid_ms": coarse, "floor_ms": round(floor, 2),
            "times_the_floor": round(cost / floor, 2),
            **accuracy(done.best_rotations, done.best_displacements_A, rotations, moved),
        }  # fmt: skip
    return rows


def main() -> None:
    rate = sgemm_GFLOPS()
    results = []
    for box, pixel_A, count in SETTINGS:
        reference = molecule(7.0, box, pixel_A)
        row: dict[str, Any] = {"box": box, "pixel_size_A": pixel_A}
        for snr in (0.04, 0.015):
            images, rotations, moved = stack(snr, count, 7.5, box, pixel_A)
            row[f"snr_{snr}"] = searched(reference, images, rotations, moved, rate)
            if (box, pixel_A) == (BOX, PIXEL_A):
                some = images.select(slice(0, CLASSICAL_IMAGES))
                start = time.process_time()
                with single_blas_thread():
                    poses, shifts = classical(reference, some, np.deg2rad(7.5))
                cost = round(1e3 * (time.process_time() - start) / CLASSICAL_IMAGES)
                row[f"snr_{snr}"]["slice_each_7.5_deg_12_A"] = {
                    "cpu_ms": cost, **accuracy(poses, shifts, rotations[:CLASSICAL_IMAGES], moved[:CLASSICAL_IMAGES])
                }  # fmt: skip
        results.append(row)
    note = (
        "CPU ms a particle on one thread, search only, without reading and preparation; 12 A, displacements to 16 A, "
        "all in-plane angles; floor: floating-point operations of the products (and of refinement) over sgemm's rate."
    )
    figures = {
        "note": note, "threads": 1, "repeats": REPEATS, "timed_images": TIMED_IMAGES, "sgemm_GFLOP_per_s": rate,
        "wanted_cpu_ms_at_box_128": WANTED, "settings": results,
    }  # fmt: skip
    record("engine_search", figures)


if __name__ == "__main__":
    main()
