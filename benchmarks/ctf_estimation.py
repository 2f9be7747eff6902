"""Time CTF estimation of a 4096 x 4096 sum, part by part, beside the Fourier transforms it cannot do without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from tests.stages.ctf_estimation.rings import ringed_noise
from tools.measured import record

from verglas.engine.threads import kernel_threads, single_blas_thread
from verglas.microscopy import Optics
from verglas.stages.ctf_estimation import SearchSettings, estimate_ctf, thon_spectrum
from verglas.stages.ctf_estimation.points import fit_points
from verglas.stages.ctf_estimation.quality import assess
from verglas.stages.ctf_estimation.search import search
from verglas.stages.ctf_estimation.spectrum import tile_size

SIZE, PIXEL_SIZE_A, BOX = 4096, 1.0, 512
REPEATS = 5
WANTED_CPU_S = 0.6


def interleaved(tasks: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the median CPU seconds of each task, taken in turns after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(REPEATS + 1):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            if turn:
                times[name].append(time.process_time() - start)
    return {f"{name}_cpu_s": round(statistics.median(values), 4) for name, values in times.items()}


def main() -> None:
    with kernel_threads(1), single_blas_thread():
        measure()


def measure() -> None:
    """Measure with one thread of loops and matrix products, as a worker of one thread has them."""
    image = ringed_noise(15300, 14700, 25, n=SIZE, pixel=PIXEL_SIZE_A, snr=0.3, seed=6, b_A2=80)
    settings, phase = SearchSettings(), SearchSettings(max_phase_shift=np.pi)
    optics = Optics(300.0, 2.7, 0.07, PIXEL_SIZE_A)
    spectrum = thon_spectrum(image, PIXEL_SIZE_A, box=BOX)
    points = fit_points(spectrum, optics, settings.coarsest_A, settings.finest_A)
    values = search(points, settings).values
    tile = tile_size(BOX, PIXEL_SIZE_A, 1.4)
    across = -(-(SIZE - tile) // int(0.75 * tile)) + 1  # tiles that overlap by a quarter
    batch = np.ascontiguousarray(image.reshape(-1)[: across * tile * tile].reshape(across, tile, tile))

    def ffts_only() -> None:
        for _ in range(across):
            scipy.fft.rfft2(batch)

    times = interleaved({
        "ffts_of_tiles": ffts_only,
        "spectrum": lambda: thon_spectrum(image, PIXEL_SIZE_A, box=BOX),
        "points": lambda: fit_points(spectrum, optics, settings.coarsest_A, settings.finest_A),
        "search": lambda: search(points, settings),
        "quality": lambda: assess(spectrum, optics, values, settings.coarsest_A),
        "all": lambda: estimate_ctf(image, PIXEL_SIZE_A, box=BOX),
        "all_with_phase_search": lambda: estimate_ctf(image, PIXEL_SIZE_A, box=BOX, settings=phase),
    })  # fmt: skip
    record(
        "ctf_benchmark",
        {
            "micrograph": SIZE, "pixel_size_A": PIXEL_SIZE_A, "box": BOX, "tile": tile, "tiles": across**2,
            "fitted_from_to_A": [settings.coarsest_A, settings.finest_A], "threads": 1, "repeats": REPEATS, **times,
            "all_over_ffts": round(times["all_cpu_s"] / times["ffts_of_tiles_cpu_s"], 2),
            "wanted_cpu_s": WANTED_CPU_S, "reached": times["all_cpu_s"] <= WANTED_CPU_S,
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
