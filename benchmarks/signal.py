"""Time the FSC, tiled spectra and Fourier cropping beside the FFTs that they cannot do without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from tools.measured import record

from verglas import signal

WORKERS = 2
REPEATS = 5


def interleaved(tasks: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Return the median seconds of each task, taken in turns after one turn that does not count."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(REPEATS + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {f"{name}_s": round(statistics.median(values), 4) for name, values in times.items()}


def noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape, dtype=np.float32)


def correlation(n: int) -> dict[str, Any]:
    first, second = noise((n, n, n), 1), noise((n, n, n), 2)

    def two_ffts() -> None:
        for volume in (first, second):
            scipy.fft.rfftn(volume, workers=WORKERS)

    times = interleaved(
        {
            "two_ffts": two_ffts,
            "fsc": lambda: signal.fourier_shell_correlation(first, second, 1.0, workers=WORKERS),
        }
    )
    return {"box": n, **times, "fsc_over_two_ffts": round(times["fsc_s"] / times["two_ffts_s"], 2)}


def tiles() -> dict[str, Any]:
    micrograph = noise((4096, 4096), 3)

    def ffts_only() -> None:
        # As many transforms as 512-pixel tiles overlapping by half: 15 x 15.
        batch = micrograph.reshape(64, 512, 512)[:15]
        for _ in range(15):
            scipy.fft.rfft2(batch, workers=WORKERS)

    times = interleaved(
        {"ffts": ffts_only, "tiled_spectrum": lambda: signal.tiled_spectrum(micrograph, 512, workers=WORKERS)}
    )
    ratio = round(times["tiled_spectrum_s"] / times["ffts_s"], 2)
    return {"micrograph": 4096, "tile": 512, **times, "tiled_spectrum_over_ffts": ratio}


def cropping() -> dict[str, Any]:
    micrograph = noise((4096, 4096), 4)

    def ffts_only() -> None:
        scipy.fft.rfft2(micrograph, workers=WORKERS)
        scipy.fft.irfft2(np.zeros((2048, 1025), np.complex64), workers=WORKERS)

    times = interleaved(
        {
            "ffts": ffts_only,
            "crop": lambda: signal.resize(micrograph, (2048, 2048), workers=WORKERS),
            "resample_to_any_pixel_size": lambda: signal.resample(micrograph, 1.0, 1.97),
        }
    )
    return {"from": 4096, "to": 2048, **times, "crop_over_ffts": round(times["crop_s"] / times["ffts_s"], 2)}


def main() -> None:
    figures = {"workers": WORKERS, "repeats": REPEATS, "tiles": tiles(), "crop": cropping()}
    figures["fsc"] = [correlation(n) for n in (256, 512)]
    record("signal_benchmark", figures)


if __name__ == "__main__":
    main()
