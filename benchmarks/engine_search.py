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
IMAGES = 240
CLASSICAL_IMAGES = 6
REPEATS = 5
TIMED_IMAGES = 8


def stack(snr: float, count: int, high_A: float) -> tuple[ParticleImages, np.ndarray, np.ndarray]:
    """Return prepared images projected from atoms, their poses and displacements."""
    parameters = StackParameters(
        model="beta-galactosidase", particles=count, box=BOX, pixel_size_A=PIXEL_A, snr=snr, shift_sigma_A=4.0, seed=5
    )
    with tempfile.TemporaryDirectory() as folder:
        made = simulate_stack(parameters, Path(folder))
        pixels, _ = read_stack(made.stack)
    truth = made.truth
    power = noise_power(pixels, sphere_mask((BOX, BOX), made.radius_A, PIXEL_A, edge_A=8.0))[1][0]
    optics = Optics(parameters.voltage_kV, parameters.cs_mm, parameters.amplitude_contrast, PIXEL_A)
    defocus = np.stack(
        [truth["defocus_u_A"], truth["defocus_v_A"], np.deg2rad(truth["defocus_angle_deg"]), np.zeros(count)], axis=1
    )
    rotations = euler_to_matrix(*(np.deg2rad(truth[name]) for name in ("rot_deg", "tilt_deg", "psi_deg")))
    moved = -np.stack([truth["origin_x_A"], truth["origin_y_A"]], axis=1)
    return prepare_images(pixels, optics, defocus, power, high_A), rotations, moved


def molecule(limit_A: float) -> Reference:
    """Return the reference: the atoms' density with the microscope's envelope, which the forward model leaves to it."""
    parameters = StackParameters(model="beta-galactosidase")
    atoms = read_atoms(parameters, parameters.conformations[0])
    density = apply_filter(make_density(atoms, BOX, PIXEL_A), PIXEL_A, b_factor(parameters.envelope_b_A2))
    return prepare_reference(density, PIXEL_A, limit_A=limit_A, radius_A=atoms.radius_A)


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


def main() -> None:
    reference = molecule(7.0)
    exhaustive = {
        "5_deg_12_A": SearchSettings(12.0, np.deg2rad(5.0), 4.0, 16.0, 1),
        "7.5_deg_12_A": SearchSettings(12.0, np.deg2rad(7.5), 5.0, 16.0, 1),
    }
    finished = {
        "20_A_10_deg_K8": SearchSettings(keep=8),
        "20_A_10_deg_K16": SearchSettings(keep=16),
        "20_A_10_deg_K24": SearchSettings(keep=24),
        "15_A_9_deg_K8": SearchSettings(15.0, np.deg2rad(9.0), 5.5, 16.0, 8),
        "12_A_7.5_deg_K4": SearchSettings(12.0, np.deg2rad(7.5), 5.0, 16.0, 4),
    }
    rate = sgemm_GFLOPS()
    figures: dict[str, Any] = {
        "box": BOX, "pixel_size_A": PIXEL_A, "threads": 1, "repeats": REPEATS, "sgemm_GFLOP_per_s": rate,
        "timed_images": TIMED_IMAGES,
        "note": "CPU ms a particle on one thread; search includes no reading and no preparation of images",
    }  # fmt: skip
    for snr in (0.04, 0.015):
        images, rotations, moved = stack(snr, IMAGES, 7.5)
        few = images.select(slice(0, TIMED_IMAGES))
        rows: dict[str, Any] = {}
        for name, settings in exhaustive.items():
            library = Templates([reference], images.band, settings)
            found = coarse_search(library, images, settings)
            rows[f"exhaustive_{name}"] = accuracy(
                found.rotations[:, 0], found.displacements_A[:, 0], rotations, moved
            ) | {
                "cpu_ms": cpu_ms(lambda s=settings, t=library, f=few: coarse_search(t, f, s), TIMED_IMAGES),
                "floor_ms": round(flops(library, settings) / (1e6 * rate), 2),
                "templates": len(library),
            }
        for name, settings in finished.items():
            library = Templates([reference], images.band, settings)
            done = search_poses(reference, images, settings, templates=library)
            rows[f"finished_{name}"] = accuracy(done.best_rotations, done.best_displacements_A, rotations, moved) | {
                "cpu_ms": cpu_ms(
                    lambda s=settings, t=library, f=few: search_poses(reference, f, s, templates=t), TIMED_IMAGES
                )
            }
        some = images.select(slice(0, CLASSICAL_IMAGES))
        start = time.process_time()
        with single_blas_thread():
            poses, shifts = classical(reference, some, np.deg2rad(7.5))
        rows["slice_each_7.5_deg_12_A"] = accuracy(
            poses, shifts, rotations[:CLASSICAL_IMAGES], moved[:CLASSICAL_IMAGES]
        ) | {"cpu_ms": round(1e3 * (time.process_time() - start) / CLASSICAL_IMAGES)}
        figures[f"snr_{snr}"] = rows
    record("engine_search", figures)


if __name__ == "__main__":
    main()
