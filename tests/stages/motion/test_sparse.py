"""Sparse movies: no frame shows by itself what it has in common with the others, all together do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from verglas.formats import read_image
from verglas.stages.motion import align_movie
from verglas.stages.simulation import MovieParameters, simulate_movies

FRAMES = 12


@pytest.mark.parametrize(("dose", "particles"), [(0.7, 9), (1.0, 2)])
def test_what_no_frame_shows_all_frames_show(dose, particles, tmp_path: Path):
    parameters = MovieParameters(
        width=1024, height=1024, frames=FRAMES, dose_per_frame_e_A2=dose, pixel_size_A=1.0, particles=particles,
        drift_A=12.0, local_motion_A=0.0, defocus_mean_A=12000.0, defocus_spread_A=100.0, seed=35,
    )  # fmt: skip
    made = simulate_movies(parameters, tmp_path)
    assert made.gain is not None
    found = align_movie(made.images[0], pixel_size_A=1.0, dose_per_frame_e_per_A2=dose, gain=read_image(made.gain)[0])
    middle = np.zeros(1)
    true = [-made.truth[0].motion.displacement_A(frame, middle, middle)[0, ::-1] for frame in range(FRAMES)]
    error = found.shifts_A - np.array(true).reshape(FRAMES, 2)
    assert found.alignment.found_signal and not found.alignment.is_clear
    assert found.local is None, "parts of frames show even less"
    assert np.sqrt(np.mean((error - error.mean(axis=0)) ** 2)) < 1.2
