"""Time picking in a micrograph of 4096 x 4096 beside one FFT of it, and with 72 templates."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from tools.measured import record

from verglas.microscopy import Optics
from verglas.stages.picking import PickingSettings, pick_particles, template_images

ROUNDS = 5
SIZE = 4096
OPTICS = Optics(300.0, 2.7, 0.07, 1.0)
DEFOCUS = (15000.0, 14800.0, 0.3, 0.0)


def main(rounds: int = ROUNDS) -> None:
    image = np.random.Generator(np.random.Philox(1)).standard_normal((SIZE, SIZE), dtype=np.float32)
    y, x = np.indices((160, 160)) - 80
    bar = ((np.abs(x) < 70) & (np.abs(y) < 25)).astype(np.float32)

    def rotations(pixel_size_A: float) -> Any:
        return template_images(bar, 1.0, pixel_size_A, rotation_step_deg=5.0)

    cases: dict[str, Callable[[], Any]] = {
        "one_fft": lambda: scipy.fft.rfft2(image),
        "disc_30_A": lambda: pick(image, PickingSettings()),
        "disc_20_A": lambda: pick(image, PickingSettings(radius_A=60, max_radius_A=65, highest_resolution_A=20)),
        "72_rotations_of_an_image_30_A": lambda: pick(image, PickingSettings(shape="templates"), rotations),
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds + 1):
        for name, case in cases.items():
            start = time.process_time()
            case()
            seconds[name].append(time.process_time() - start)
    figures = {
        "micrograph": {"size_px": SIZE, "pixel_size_A": 1.0}, "threads": 1, "rounds": rounds,
        "cpu_seconds_median": {name: round(statistics.median(all_[1:]), 4) for name, all_ in seconds.items()},
    }  # fmt: skip
    sys.stdout.write(f"written to {record('picking_benchmark', figures)}\n")


def pick(image: np.ndarray, settings: PickingSettings, make: Callable[[float], Any] | None = None) -> Any:
    return pick_particles(image, 1.0, OPTICS, DEFOCUS, settings=settings, make_templates=make)


if __name__ == "__main__":
    main()
