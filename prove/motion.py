"""What the alignment of movies must show: how far the motion that is found lies from the simulator's true motion."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import record

from verglas.formats import read_image
from verglas.stages.motion import align_movie
from verglas.stages.simulation import MovieParameters, simulate_movies

PIXEL_SIZE_A = 1.0
FRAMES = 40
WANTED_A = 0.3
THREADS = 2


@dataclass(frozen=True)
class Case:
    """One set of movies: what differs from the usual, and whether the wanted error is asked of it."""

    name: str
    differs: dict[str, Any]
    seeds: tuple[int, ...]
    must_hold: bool = True


WHOLE_FRAME = (
    Case("usual drift", {"drift_A": 12.0}, (1, 2, 3)),
    Case("hardly any drift", {"drift_A": 1.0}, (4, 5)),
    Case("much drift", {"drift_A": 60.0}, (6, 7)),
    Case("thick ice, few particles", {"drift_A": 12.0, "ice_thickness_A": 900.0, "particles": 10}, (8, 9)),
    Case("close to focus", {"drift_A": 12.0, "defocus_mean_A": 5000.0, "defocus_spread_A": 500.0}, (10, 11)),
    Case("no particles, ice alone (weak)", {"drift_A": 12.0, "particles": 0}, (12, 13), must_hold=False),
)


def main(size: int = 2048) -> None:
    whole = [measure_case(case, size) for case in WHOLE_FRAME]
    asked = [row["rms_error_A"] for row in whole if row["asked"]]
    figures = {
        "movies": {
            "size": size, "frames": FRAMES, "pixel_size_A": PIXEL_SIZE_A, "dose_per_frame_e_per_A2": 1.0,
            "voltage_kV": 300, "simulator": "apoferritin in moving ice, counted electrons, no local motion",
        },
        "whole_frame": {
            "wanted_rms_error_A": WANTED_A,
            "worst_rms_error_A": max(max(errors) for errors in asked),
            "reached": all(max(errors) < WANTED_A for errors in asked),
            "cases": whole,
        },
    }  # fmt: skip
    sys.stdout.write(f"written to {record('motion_accuracy', figures)}\n")


def measure_case(case: Case, size: int) -> dict[str, Any]:
    """Align the movies of a case; rms errors per axis, one a movie."""
    errors, stated, settled = [], [], []
    for seed in case.seeds:
        with tempfile.TemporaryDirectory() as name:
            options = {"particles": round(150 * (size / 4096) ** 2), "local_motion_A": 0.0} | case.differs
            parameters = MovieParameters(
                width=size, height=size, frames=FRAMES, dose_per_frame_e_A2=1.0, pixel_size_A=PIXEL_SIZE_A,
                seed=seed, **options,
            )  # fmt: skip
            made = simulate_movies(parameters, Path(name) / "movie", threads=THREADS)
            assert made.gain is not None
            found = align_movie(
                made.images[0], pixel_size_A=PIXEL_SIZE_A, dose_per_frame_e_per_A2=1.0,
                gain=read_image(made.gain)[0], threads=THREADS,
            )  # fmt: skip
        true = -made.truth[0].motion.global_A[:, ::-1]
        errors.append(round(rms_A(found.shifts_A, true), 4))
        stated.append(round(float(np.sqrt(np.mean(found.alignment.errors_A**2))), 4))
        settled.append(found.alignment.converged and found.alignment.found_signal)
    return {
        "case": case.name, "asked": case.must_hold, "seeds": list(case.seeds), "differs": case.differs,
        "rms_error_A": errors, "stated_error_of_a_frame_before_smoothing_A": stated, "settled": settled,
    }  # fmt: skip


def rms_A(found: np.ndarray, true: np.ndarray) -> float:
    """Return the rms error per axis, less the mean error, which only moves the whole image."""
    error = found - true
    return float(np.sqrt(np.mean((error - error.mean(axis=0)) ** 2)))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
