"""Align Movies as an action: its statement, one movie on a worker, what it refuses, and a whole job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.eer_writer import write_eer
from tests.support.movies import TrueMovie, make_movie, rms_error_A
from verglas.actions import load_action
from verglas.actions.align_movies import AlignMovies, align_one
from verglas.errors import InputError
from verglas.execution.tasks import Task
from verglas.formats import open_movie, read_image, read_section, write_mrc, write_tiff_movie


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


def task_in_again(folder: Path) -> Task:
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
    wrong = {"mag_distortion_angle_deg": 10.0, "mag_distortion_major": 1.02, "mag_distortion_minor": 102.0}
    with pytest.raises(InputError, match="near 1"):
        align_one(record | wrong, task, parameters)
    with pytest.raises(InputError, match="dose"):
        align_one(record | {"dose_per_frame_e_per_A2": None, "dose_per_frame_e_A2": None}, task, parameters)


def test_further_sums_and_defects_are_written(movie, tmp_path):
    _, record = movie
    (tmp_path / "defects.txt").write_text("100 200 3 5\n")
    chosen = AlignMovies.Parameters(unweighted_sum=True, half_sums=True, defects="defects.txt", patches=1)
    files, values = align_one(record, task_in(tmp_path), chosen.model_dump())
    images = {role: read_image(files[role])[0] for role in ("sum", "unweighted", "even", "odd")}
    assert all(image.shape == (480, 512) for image in images.values())
    assert {Path(files[role]).stem for role in ("unweighted", "even", "odd")} == {
        "movie_3_unweighted", "movie_3_even", "movie_3_odd",
    }  # fmt: skip
    assert values["bad_pixels"] == 1  # the one of 200 counts in every frame
    plain, _ = align_one(record | {"id": 4}, task_in_again(tmp_path), AlignMovies.Parameters(patches=1).model_dump())
    assert np.abs(read_image(plain["sum"])[0] - images["sum"])[190:215, 90:113].max() > 0.1  # the defect's place


def test_eer_movies_are_aligned_as_they_are_rendered(tmp_path):
    made = make_movie(
        np.random.default_rng(3), shape=(256, 256), frames=5, contrast=0.5, dose=0.5, total_A=6.0, gain_spread=0.0,
        hot_pixels=0,
    )  # fmt: skip
    rng, raw = np.random.default_rng(4), []
    for frame in np.minimum(made.frames, 1):  # one electron at most hits a detector pixel of 2 x 2 in a raw frame
        hits = np.argwhere(frame)
        taken = {(y // 2, x // 2): (y, x) for y, x in hits[rng.permutation(len(hits))]}
        fine = np.array(sorted(taken.values())) * 2  # positions on the finest grid, four a pixel
        parts = np.array_split(fine, 2)
        raw += parts
    write_eer(tmp_path / "m.eer", raw, 128, 128, pixel_size_A=2.0)
    record = {
        "kind": "movie", "id": 1, "name": "m", "path": "m.eer", "n_x": 128, "n_y": 128, "n_frames": 5,
        "pixel_size_A": 2.0, "voltage_kV": 300.0, "dose_per_frame_e_A2": 0.5, "output_binning": 1.0,
        "eer_frames_per_image": 2, "eer_super_resolution": 2,
    }  # fmt: skip
    task, chosen = task_in(tmp_path), AlignMovies.Parameters(patches=1, find_bad_pixels=False).model_dump()
    files, values = align_one(record, task, chosen)
    total, pixel_A = read_image(files["sum"])
    assert total.shape == (256, 256) and pixel_A == pytest.approx(1.0)
    with open_movie(tmp_path / "m.eer", eer_frames_per_image=2, eer_super_resolution=2) as source:
        write_mrc(tmp_path / "m.mrc", np.stack(list(source.frames())).astype(np.float32), 1.0)
    rendered = record | {
        "id": 2, "path": "m.mrc", "n_x": 256, "n_y": 256, "pixel_size_A": 1.0, "eer_frames_per_image": None,
        "eer_super_resolution": None,
    }  # fmt: skip
    same, its = align_one(rendered, task, chosen)
    np.testing.assert_array_equal(read_image(same["sum"])[0], total)
    assert its["shifts_x_A"] == values["shifts_x_A"]
    shifts = np.column_stack([values["shifts_x_A"], values["shifts_y_A"]])
    assert rms_error_A(shifts, made.shifts_A) < 1.0
    _, small = align_one(record | {"id": 3, "output_binning": 2.0}, task, chosen)
    assert (small["n_x"], small["pixel_size_A"]) == (128, pytest.approx(2.0))
    stated = AlignMovies().estimate(AlignMovies.Parameters(), {"movies": [record]})
    assert stated.memory_bytes > 2e8
    write_tiff_movie(tmp_path / "gain.tif", iter(np.full((1, 128, 128), 2, np.uint8)))
    scaled, _ = align_one(record | {"id": 5, "gain_path": "gain.tif"}, task, chosen)
    assert np.corrcoef(read_image(scaled["sum"])[0].ravel(), total.ravel())[0, 1] > 0.9999


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
