"""Align Movies as an action: its statement, one movie on a worker, what it refuses, and a whole job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.movies import TrueMovie, make_movie, rms_error_A
from verglas.actions import load_action
from verglas.actions.align_movies import AlignMovies, align_one
from verglas.errors import InputError
from verglas.execution.tasks import Task
from verglas.formats import read_image, read_section, write_mrc, write_tiff_movie


@pytest.fixture
def movie(tmp_path: Path, rng: np.random.Generator) -> tuple[TrueMovie, dict[str, Any]]:
    made = make_movie(rng, contrast=0.2, frames=10, shape=(480, 512))
    write_tiff_movie(tmp_path / "m1.tif", iter(made.frames))
    write_mrc(tmp_path / "gain.mrc", made.gain, 1.0)
    record = {
        "kind": "movie", "id": 3, "name": "m1", "path": "m1.tif", "gain_path": "gain.mrc", "dark_path": None,
        "n_x": 512, "n_y": 480, "n_frames": 10, "pixel_size_A": 1.0, "voltage_kV": 300.0, "cs_mm": 2.7,
        "dose_per_frame_e_A2": 1.0, "output_binning": 1.0, "mag_distortion_major": None, "mag_distortion_minor": None,
        "eer_frames_per_image": None,
    }  # fmt: skip
    return made, record


def task_in(folder: Path) -> Task:
    (folder / "results").mkdir()
    return Task(folder, folder, folder / "results", folder, 2, "cpu", 1)


def test_one_movie_becomes_files_and_figures(movie, tmp_path):
    made, record = movie
    files, values = align_one(record, task_in(tmp_path), AlignMovies.Parameters().model_dump())
    shifts = np.column_stack([values["shifts_x_A"], values["shifts_y_A"]])
    assert rms_error_A(shifts, made.shifts_A) < 0.3
    assert set(files) == {"sum", "spectrum", "thumbnail", "shifts", "motion", "picture"}
    total, pixel_A = read_image(files["sum"])
    assert total.shape == (values["n_y"], values["n_x"]) == (480, 512)
    assert pixel_A == pytest.approx(1.0)
    assert values["total_dose_e_per_A2"] == pytest.approx(10.0)
    assert values["file_bytes"] == Path(files["sum"]).stat().st_size
    lines = [line.split() for line in Path(files["shifts"]).read_text().splitlines() if not line.startswith("#")]
    np.testing.assert_allclose(np.array(lines, float)[:, 1:3], shifts, atol=1e-4)
    assert Path(files["picture"]).read_bytes().startswith(b"\x89PNG")
    spectrum, _ = read_image(files["spectrum"])
    assert spectrum.shape == (480, 480)
    assert spectrum[240, 240] < spectrum.max()


def test_output_options(movie, tmp_path):
    _, record = movie
    chosen = AlignMovies.Parameters(
        output_pixel_size_A=2.0, half_precision_sum=True, save_scaled_sum=False, dose_filter=False
    )
    files, values = align_one(record, task_in(tmp_path), chosen.model_dump())
    assert "thumbnail" not in files
    total, pixel_A = read_section(files["sum"], 0)
    assert total.shape == (240, 256)
    assert pixel_A == pytest.approx(2.0, rel=1e-3)
    assert values["file_bytes"] < 240 * 256 * 2 + 2000


def test_what_would_be_summed_wrongly_is_refused(movie, tmp_path):
    _, record = movie
    task, parameters = task_in(tmp_path), AlignMovies.Parameters().model_dump()
    with pytest.raises(InputError, match="anisotropic"):
        align_one(record | {"mag_distortion_major": 1.02}, task, parameters)
    with pytest.raises(InputError, match="EER"):
        align_one(record | {"eer_frames_per_image": 30}, task, parameters)
    with pytest.raises(InputError, match="dose"):
        align_one(record | {"dose_per_frame_e_A2": None}, task, parameters)


def test_estimate_reads_no_file_and_grows_with_the_movie(movie):
    _, record = movie
    action, parameters = load_action("align-movies")(), AlignMovies.Parameters()
    gone = record | {"path": "nowhere.tif"}
    small = action.estimate(parameters, {"movies": [gone]})
    two = action.estimate(parameters, {"movies": [gone, gone]})
    large = action.estimate(parameters, {"movies": [gone | {"n_x": 4096, "n_y": 4096, "n_frames": 40}]})
    assert two.memory_bytes == small.memory_bytes
    assert two.disk_bytes == 2 * small.disk_bytes
    assert two.tasks == 2
    assert 1e9 < large.memory_bytes < 5e9
    assert large.core_seconds > small.core_seconds
