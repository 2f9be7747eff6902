"""Time search, refinement and reconstruction on a GPU beside what its matrix products and its memory would allow.

Without a GPU it says so and records nothing.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import cuda
from tools.measured import record

from benchmarks.engine_search import EXHAUSTIVE, REPEATS, flops, molecule, refinement_flops, stack
from verglas.engine import (
    ParticleImages,
    Reference,
    RefinementSettings,
    SearchSettings,
    Templates,
    coarse_search,
    refine_poses,
    to_device,
)
from verglas.engine.devices import COMPONENT_BYTES
from verglas.engine.reconstruction import Reconstruction
from verglas.errors import InputError
from verglas.geometry import rotvec_to_matrix
from verglas.kernels.arrays import array_library
from verglas.microscopy import ctf

SNR = 0.04
# Box, pixel size and images.
SETTINGS = ((128, 2.0, 4096), (256, 1.5, 1024))
REFINED: dict[str, RefinementSettings] = {
    "to_8_A": RefinementSettings(limit_A=8.0),
    "to_4.5_A": RefinementSettings(limit_A=4.5, stages_A=(10.0, 6.0)),
}
PRODUCT, COPIED_BYTES = 8192, 2**30
# A point adds three numbers, complex data and its weight, to eight voxels: each is read and written.
SPREAD_BYTES = 2 * 8 * 3 * 4


@dataclass(frozen=True)
class Ceilings:
    """What a GPU was measured to do: products of float32 matrices, copies within its memory and to it from the host."""

    product_GFLOP_per_s: float
    copy_GB_per_s: float
    from_host_GB_per_s: float


def seconds(task: Callable[[], Any]) -> float:
    """Return the median time of a task, the device's work included, after one run that compiles kernels."""
    wait = array_library("cuda").cuda.runtime.deviceSynchronize
    times = []
    for _ in range(REPEATS + 1):
        wait()
        start = time.perf_counter()
        task()
        wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def ceilings(product: int = PRODUCT, copied_bytes: int = COPIED_BYTES) -> Ceilings:
    """Measure them; a copy within the memory counts twice, once read and once written."""
    xp = array_library("cuda")
    a, b, out = (xp.zeros((product, product), xp.float32) for _ in range(3))
    host = np.ones(copied_bytes // 4, np.float32)
    here = xp.asarray(host)
    there = xp.zeros(copied_bytes // 4, xp.float32)

    def copy() -> None:
        there[:] = here

    return Ceilings(
        2e-9 * product**3 / seconds(lambda: xp.matmul(a, b, out=out)),
        2e-9 * copied_bytes / seconds(copy),
        1e-9 * copied_bytes / seconds(lambda: xp.asarray(host)),
    )


def row(most: Ceilings, images: int, took_s: float, operations: float, moved_bytes: float) -> dict[str, Any]:
    """Return particles per second, and which part of the ceilings that is.

    Parameters
    ----------
    most
        The ceilings.
    images, took_s
        So many took so long.
    operations, moved_bytes
        What one particle needs at the least: floating-point operations, and bytes of the device's memory.
    """
    rate = images / took_s
    return {
        "particles_per_s": round(rate, 1),
        "GFLOP_a_particle": round(1e-9 * operations, 4), "MB_a_particle": round(1e-6 * moved_bytes, 4),
        "fraction_of_product_ceiling": round(1e-9 * operations * rate / most.product_GFLOP_per_s, 4),
        "fraction_of_copy_ceiling": round(1e-9 * moved_bytes * rate / most.copy_GB_per_s, 4),
    }  # fmt: skip


def searched(most: Ceilings, reference: Reference, images: ParticleImages, settings: SearchSettings) -> dict[str, Any]:
    """Time the search on the grid; each image is read once."""
    library, there = Templates([reference], images.band, settings), to_device(images, "cuda")
    took = seconds(lambda: coarse_search(library, there, settings))
    read = COMPONENT_BYTES * images.band.count_to(settings.limit_A)
    return {"templates": len(library), **row(most, len(images), took, flops(library, settings), read)}


def refined(
    most: Ceilings, reference: Reference, images: ParticleImages, settings: RefinementSettings, truth: np.ndarray,
    moved: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """Time refinement from 3 degrees and a pixel off; each pass reads the image, the reference comes from caches."""
    random, count = np.random.Generator(np.random.Philox(9)), len(images)
    start = rotvec_to_matrix(np.deg2rad(3.0 / np.sqrt(3)) * random.standard_normal((count, 3))) @ truth
    shifted = moved + images.band.pixel_size_A / np.sqrt(2) * random.standard_normal((count, 2))
    there, seen = to_device(reference, "cuda"), to_device(images, "cuda")
    found = refine_poses(there, seen, start, shifted, settings)
    took = seconds(lambda: refine_poses(there, seen, start, shifted, settings))
    brought = seconds(lambda: refine_poses(there, images, start, shifted, settings))
    # Passes at the coarser resolutions are not counted by the result: four each.
    passes = [(settings.limit_A, float(found.evaluations.mean())), *((limit_A, 4.0) for limit_A in settings.stages_A)]
    components = [(images.band.count_to(limit_A), number) for limit_A, number in passes]
    operations = sum(refinement_flops(points, number) for points, number in components)
    read = COMPONENT_BYTES * sum(points * number for points, number in components)
    return {
        "passes_at_this_limit": round(passes[0][1], 2),
        **row(most, count, took, operations, read),
        "particles_per_s_with_images_from_host_memory": round(count / brought, 1),
    }


def reconstructed(most: Ceilings, box: int, images: ParticleImages, truth: np.ndarray) -> dict[str, Any]:
    """Time the sums of both half maps, transforms and CTF included; every point is spread to eight voxels."""
    count, pixel_size_A = len(images), images.band.pixel_size_A
    work = Reconstruction(box, pixel_size_A, device="cuda")
    pixels = np.random.Generator(np.random.Philox(1)).standard_normal((count, box, box), np.float32)
    half, still = np.arange(count) % 2, np.zeros((count, 2))

    def insert() -> None:
        transfer = ctf(*work.frequencies_per_A, images.optics, *images.defocus.T)
        work.insert(pixels, truth, still, half, ctf=transfer)

    points = work.frequencies_per_A[0].size
    needed = 4.0 * box * box + SPREAD_BYTES * points
    # 2.5 n log2 n of a real transform; 30 for a CTF, 20 to weigh; 30 to place a point and 8 x 7 to spread it.
    operations = 2.5 * box * box * np.log2(box * box) + points * (30.0 + 20.0 + 30.0 + 56.0)
    found = row(most, count, seconds(insert), float(operations), needed)
    from_host = 4e-9 * box * box * found["particles_per_s"] / most.from_host_GB_per_s
    return {**found, "fraction_of_copy_ceiling_from_the_host": round(from_host, 4)}


def main() -> None:
    try:
        if not cuda.is_available():
            raise InputError("numba finds no CUDA device")
        name = array_library("cuda").cuda.runtime.getDeviceProperties(0)["name"].decode()
    except InputError as error:
        sys.stdout.write(f"no GPU to measure: {error}; nothing is recorded.\n")
        return
    most = ceilings()
    results = []
    for box, pixel_A, count in SETTINGS:
        images, truth, moved = stack(SNR, count, 4.4, box, pixel_A)
        reference = molecule(4.2, box, pixel_A)
        found: dict[str, Any] = {"box": box, "pixel_size_A": pixel_A, "images": count}
        for name_, settings in EXHAUSTIVE.items():
            found[f"search_{name_}"] = searched(most, reference, images, settings)
        for name_, options in REFINED.items():
            found[f"refinement_{name_}"] = refined(most, reference, images, options, truth, moved)
        found["reconstruction"] = reconstructed(most, box, images, truth)
        sys.stdout.write(f"{found}\n")
        results.append(found)
    record("engine_cuda", {
        "note": "Images and reference on the GPU; medians. Fractions: the least operations over the measured rate of "
        "float32 matrix products, and the least bytes over the measured rate of copies (read and written).",
        "gpu": name, "cupy": importlib.import_module("cupy").__version__, "snr": SNR, "repeats": REPEATS,
        "product_GFLOP_per_s": round(most.product_GFLOP_per_s), "copy_GB_per_s": round(most.copy_GB_per_s),
        "copy_from_host_GB_per_s": round(most.from_host_GB_per_s, 1), "settings": results,
    })  # fmt: skip


if __name__ == "__main__":
    main()
