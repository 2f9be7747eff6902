"""Time the search of reference images, as 2D classification does it, and how often it finds class and pose."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.engine.atoms import blobs
from tests.engine.scenes import scene
from tools.measured import record

from verglas.engine import (
    ImageSearchSettings,
    ImageTemplates,
    prepare_image_reference,
    prepare_images,
    prepare_reference,
    project,
    search_images,
)
from verglas.engine.threads import single_blas_thread
from verglas.geometry import euler_to_matrix, random_rotations

BOX, PIXEL_A, IMAGES, REPEATS = 64, 4.0, 400, 5


def cpu_ms(task: Callable[[], Any]) -> float:
    task()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return round(1e3 * statistics.median(times) / IMAGES, 3)


def case(classes: int, noise: float) -> dict[str, Any]:
    """Measure one number of classes at one strength of noise, with limits of the search of 20, 15 and 12 A."""
    random = np.random.Generator(np.random.Philox(1))
    made = blobs(300, radius_A=80.0, sigma_A=3.0)
    views = random_rotations(classes, 4)
    which, psi = random.integers(0, classes, IMAGES), random.uniform(-np.pi, np.pi, IMAGES)
    s = scene(
        IMAGES, box=BOX, pixel_size_A=PIXEL_A, noise=noise, shift_A=6.0, molecule=made,
        rotations=euler_to_matrix(0.0, 0.0, psi) @ views[which],
    )  # fmt: skip
    pictures = project(prepare_reference(made.volume(BOX, PIXEL_A), PIXEL_A), views)
    references = [prepare_image_reference(image, PIXEL_A, limit_A=9.9, radius_A=90.0) for image in pictures]
    images = prepare_images(s.images, s.optics, s.defocus, s.noise_power, 10.0)
    rows: dict[str, Any] = {}
    for limit_A, step_A in ((20.0, 6.5), (15.0, 5.0), (12.0, 4.0)):
        settings = ImageSearchSettings(limit_A=limit_A, shift_step_A=step_A)
        library = ImageTemplates(references, images.band, settings)
        found = search_images(library, images, settings)
        right = found.reference[:, 0] == which
        turned = np.abs(np.rad2deg(np.angle(np.exp(1j * (found.psi[:, 0] - psi)))))
        moved = np.linalg.norm(found.displacements_A[:, 0] - s.displacements_A, axis=1)
        with single_blas_thread():
            milliseconds = cpu_ms(lambda lib=library, how=settings: search_images(lib, images, how))
        rows[f"to_{limit_A:g}_A"] = {
            "cpu_ms": milliseconds,
            "right_class": round(float(np.mean(right)), 4),
            "median_deg_where_right": round(float(np.median(turned[right])), 3),
            "median_A_where_right": round(float(np.median(moved[right])), 3),
            "refined_of_one_image": round(float(np.isfinite(found.log_likelihood).sum(axis=1).mean()), 2),
        }
    return rows


def main() -> None:
    figures: dict[str, Any] = {
        "box": BOX, "pixel_size_A": PIXEL_A, "images": IMAGES, "threads": 1, "repeats": REPEATS,
        "refined_to_A": 10.0, "shift_range_A": 20.0,
        "note": "CPU ms a particle: all in-plane angles and shifts of all classes, best ones refined; no preparation",
    }  # fmt: skip
    for classes in (20, 50, 100):
        for noise in (4.0, 8.0):
            figures[f"{classes}_classes_noise_{noise:g}"] = case(classes, noise)
    record("engine_classes", figures)


if __name__ == "__main__":
    main()
