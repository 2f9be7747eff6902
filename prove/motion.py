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
from verglas.stages.motion import AlignedMovie, AlignmentSettings, align_movie
from verglas.stages.simulation import MovieParameters, MovieTruth, simulate_movies

PIXEL_SIZE_A = 1.0
FRAMES = 40
WANTED_A = 0.3
WANTED_LOCAL_A = 0.6
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

LOCAL = (
    Case("usual local motion", {"drift_A": 12.0, "local_motion_A": 2.0}, (21, 22)),
    Case("much local motion", {"drift_A": 20.0, "local_motion_A": 8.0}, (23, 24)),
    Case("no local motion", {"drift_A": 12.0, "local_motion_A": 0.0}, (25,)),
    Case("few particles", {"drift_A": 12.0, "local_motion_A": 4.0, "particles": 12}, (26, 27), must_hold=False),
)


def main(size: int = 2048) -> None:
    whole = [measure_case(case, size) for case in WHOLE_FRAME]
    local = [measure_case(case, size, patches=6) for case in LOCAL]
    asked_local = [row["rms_error_A"] for row in local if row["asked"]]
    asked = [row["rms_error_A"] for row in whole if row["asked"]]
    figures = {
        "movies": {
            "size": size, "frames": FRAMES, "pixel_size_A": PIXEL_SIZE_A, "dose_per_frame_e_per_A2": 1.0,
            "voltage_kV": 300,
            "simulator": "apoferritin in moving ice, counted electrons; whole frames: none of it local",
        },
        "whole_frame": {
            "wanted_rms_error_A": WANTED_A,
            "worst_rms_error_A": max(max(errors) for errors in asked),
            "reached": all(max(errors) < WANTED_A for errors in asked),
            "cases": whole,
        },
        "local": {
            "wanted_rms_error_A": WANTED_LOCAL_A,
            "worst_rms_error_A": max(max(errors) for errors in asked_local),
            "reached": all(max(errors) < WANTED_LOCAL_A for errors in asked_local),
            "error": "whole-frame and local shifts together, at the particles, per axis, less each particle's mean",
            "cases": local,
        },
    }  # fmt: skip
    sys.stdout.write(f"written to {record('motion_accuracy', figures)}\n")


def measure_case(case: Case, size: int, patches: int = 1, frames: int = FRAMES) -> dict[str, Any]:
    """Align the movies of a case; rms errors per axis, one a movie."""
    errors, whole_alone, stated, settled = [], [], [], []
    for seed in case.seeds:
        with tempfile.TemporaryDirectory() as name:
            options = {
                "particles": round(150 * (size / 4096) ** 2), "local_motion_A": 0.0, "dose_per_frame_e_A2": 1.0,
            } | case.differs  # fmt: skip
            parameters = MovieParameters(
                width=size, height=size, frames=frames, pixel_size_A=PIXEL_SIZE_A, seed=seed, **options
            )  # fmt: skip
            made = simulate_movies(parameters, Path(name) / "movie", threads=THREADS)
            assert made.gain is not None
            found = align_movie(
                made.images[0], pixel_size_A=PIXEL_SIZE_A, dose_per_frame_e_per_A2=parameters.dose_per_frame_e_A2,
                gain=read_image(made.gain)[0], threads=THREADS,
                alignment=AlignmentSettings(patches=patches),
            )  # fmt: skip
        with_local, whole_only = errors_at_particles_A(found, made.truth[0])
        errors.append(round(with_local, 4))
        whole_alone.append(round(whole_only, 4))
        stated.append(round(float(np.sqrt(np.mean(found.alignment.errors_A**2))), 4))
        settled.append(found.alignment.converged and found.alignment.found_signal)
    return {
        "case": case.name, "asked": case.must_hold, "seeds": list(case.seeds), "differs": case.differs,
        "rms_error_A": errors, "rms_error_of_whole_frames_alone_A": whole_alone,
        "stated_error_of_a_frame_before_smoothing_A": stated, "settled": settled,
    }  # fmt: skip


def errors_at_particles_A(found: AlignedMovie, truth: MovieTruth) -> tuple[float, float]:
    """Return the rms errors of all shifts at the particles: with the local motion that was found, and without it."""
    rows, columns = found.frame_shape
    y = np.array([2 * particle.y_px / rows - 1 for particle in truth.particles] or [0.0])
    x = np.array([2 * particle.x_px / columns - 1 for particle in truth.particles] or [0.0])
    inside = (np.abs(x) < 1) & (np.abs(y) < 1)
    x, y = x[inside], y[inside]
    true = np.array([-truth.motion.displacement_A(frame, y, x)[:, ::-1].T for frame in range(len(found.shifts_A))])
    whole = np.repeat(found.shifts_A[:, :, None], len(x), axis=2)
    local = whole if found.local is None else whole + found.local.model.shifts_A(x, y)
    return rms_A(local, true), rms_A(whole, true)


def rms_A(found: np.ndarray, true: np.ndarray) -> float:
    """Return the rms error per axis, less the mean error, which only moves the whole image."""
    error = found - true
    return float(np.sqrt(np.mean((error - error.mean(axis=0)) ** 2)))


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
