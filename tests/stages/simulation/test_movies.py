"""Movies and micrographs: truth that can be found again in the images, whatever the number of threads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.fft

from verglas.errors import InputError
from verglas.formats import open_movie, read_image, read_particles
from verglas.stages.simulation import (
    MicrographParameters,
    MovieParameters,
    simulate_micrographs,
    simulate_movies,
    write_page,
)
from verglas.stages.simulation.detector import response
from verglas.stages.simulation.ice import structure_factor, water_memory
from verglas.stages.simulation.motion import draw_motion
from verglas.stages.simulation.movies import MovieMaker

TINY = {"width": 192, "height": 160, "frames": 3, "particles": 2, "pixel_size_A": 2.5, "dose_per_frame_e_A2": 5.0}


def frames_of(path: Path) -> np.ndarray:
    with open_movie(path) as movie:
        return np.stack(list(movie.frames()))


def test_threads_do_not_matter_and_seeds_do(tmp_path):
    one = simulate_movies(MovieParameters(**TINY, movies=2, seed=3), tmp_path / "one", threads=1)
    two = simulate_movies(MovieParameters(**TINY, movies=2, seed=3), tmp_path / "two", threads=2)
    other = simulate_movies(MovieParameters(**TINY, movies=1, seed=4), tmp_path / "other")
    for a, b in zip(one.images, two.images, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert one.star.read_bytes() == two.star.read_bytes()
    assert other.images[0].read_bytes() != one.images[0].read_bytes()


def test_a_movie_is_the_same_alone_or_among_others(tmp_path):
    alone = simulate_movies(MovieParameters(**TINY, movies=1), tmp_path / "alone")
    among = simulate_movies(MovieParameters(**TINY, movies=2), tmp_path / "among")
    assert alone.images[0].read_bytes() == among.images[0].read_bytes()


@pytest.mark.parametrize("ending", ["tif", "mrc"])
def test_particles_lie_where_the_table_says(tmp_path, ending):
    parameters = MovieParameters(
        width=320, height=256, frames=2, particles=4, pixel_size_A=2.5, dose_per_frame_e_A2=40, format=ending,
        radiation_damage=False, drift_A=0, local_motion_A=0, gain_variation=0.3, edge_particles=False,
    )  # fmt: skip
    result = simulate_movies(parameters, tmp_path)
    gain, _ = read_image(result.gain)
    image = frames_of(result.images[0]).sum(axis=0) * gain
    image[:, gain[0] == 0] = np.median(image)
    spectrum = scipy.fft.rfft2(np.minimum(image, 3 * np.median(image)) - np.median(image))
    k = np.hypot(scipy.fft.fftfreq(256, 2.5)[:, None], scipy.fft.rfftfreq(320, 2.5)[None, :])
    smooth = scipy.fft.irfft2(spectrum * np.exp(-((k * 40) ** 2)), image.shape)
    table = read_particles(result.star)
    assert len(table) == 4
    y, x = np.ogrid[:256, :320]
    inside = np.zeros(image.shape, bool)
    for cy, cx in zip(table["coordinate_y_px"], table["coordinate_x_px"], strict=True):
        inside |= np.hypot(y - cy, x - cx) < 65 / 2.5

    # dark protein; mirrored tables do not fit
    def contrast(mask):
        return (smooth[mask].mean() - smooth[~mask].mean()) / smooth.std()

    assert contrast(inside) < -0.8
    assert contrast(inside[::-1]) > -0.5


def test_frames_are_displaced_as_the_truth_says(tmp_path):
    parameters = MovieParameters(
        width=384, height=384, frames=4, particles=12, pixel_size_A=2.0, dose_per_frame_e_A2=200, drift_A=40,
        local_motion_A=0, water_diffusion_A2=0, radiation_damage=False, gain_variation=0, hot_pixels=0, dead_columns=0,
        quantum_efficiency=0.1, reference_frame="first",
    )  # fmt: skip
    result = simulate_movies(parameters, tmp_path)
    frames = frames_of(result.images[0]).astype(float)
    moved = np.array(json.loads(result.truth_json.read_text())["movies"][0]["displacement_A"]) / 2.0
    assert np.abs(moved[0]).max() == 0
    window = np.hanning(384)[:, None] * np.hanning(384)[None, :]
    spectra = [np.fft.rfft2((frame - frame.mean()) * window) for frame in frames]
    for frame in (1, 2, 3):
        peak = np.fft.irfft2(spectra[frame] * spectra[0].conj(), (384, 384))
        found = np.array(np.unravel_index(np.argmax(peak), peak.shape))
        found = (found + 192) % 384 - 192
        assert np.abs(found - moved[frame]).max() < 1.5, (found, moved[frame])
    assert np.abs(moved[3]).max() > 5


def test_local_motion_warps_by_the_polynomial():
    parameters = MovieParameters(
        width=256, height=256, frames=2, particles=0, pixel_size_A=2.0, local_motion_A=12, drift_A=0
    )  # fmt: skip
    maker = MovieMaker(parameters)
    motion = draw_motion(parameters, 0)
    from verglas.kernels.simulation_frame import warp_crop

    def blob(points):
        y, x = np.mgrid[: maker.canvas[0], : maker.canvas[1]].astype(np.float64)
        return sum(np.exp(-((y - b - maker.margin) ** 2 + (x - a - maker.margin) ** 2) / 18) for b, a in points)

    points = np.array([(40.0, 60.0), (128.0, 128.0), (200.0, 70.0), (90.0, 210.0)])
    out = np.empty((256, 256), np.float32)
    between = np.empty((maker.canvas[0], 256), np.float32)
    local = motion.local_A[0] / 2.0
    warp_crop(blob(points).astype(np.float32), local, maker.taps, maker.margin, between, out)
    y, x = 2 * (points[:, 0] - 128) / 256, 2 * (points[:, 1] - 128) / 256
    expected = points + motion.displacement_A(0, y, x) / 2.0 - motion.global_A[0] / 2.0
    gy, gx = np.mgrid[:256, :256]
    for (py, px), start in zip(expected, points, strict=True):
        near = np.where(np.hypot(gy - py, gx - px) < 14, np.maximum(out, 0), 0)
        found = np.array([(near * gy).sum(), (near * gx).sum()]) / near.sum()
        assert np.abs(found - (py, px)).max() < 0.1
        assert np.abs(np.array([py, px]) - start).max() < 20
    assert np.abs(expected - points).max() > 1


def test_ice_has_its_ring_and_forgets_itself():
    k = np.linspace(0.01, 0.6, 600)
    peak = k[np.argmax(structure_factor(k))]
    assert 1 / peak == pytest.approx(3.7, abs=0.1)
    keep, damping = water_memory(k, MovieParameters(), 2.0)
    assert np.all(np.diff(keep) <= 0)
    assert np.all((damping <= 1) & (damping > 0))


def test_noise_of_empty_ice_is_that_of_counting_and_of_ice():
    parameters = MovieParameters(
        width=512, height=512, frames=1, particles=0, pixel_size_A=1.0, dose_per_frame_e_A2=3, gain_variation=0,
        hot_pixels=0, dead_columns=0, thickness_variation=0, ice_strength=0, local_motion_A=0,
    )  # fmt: skip
    found: list[np.ndarray] = []
    MovieMaker(parameters).frames(0, lambda _, counts: found.append(counts))
    expected = 3 * 0.9 * np.exp(-400 / 3200)
    assert found[0].mean() == pytest.approx(expected, rel=0.01)
    assert found[0].var() == pytest.approx(expected, rel=0.015)
    MovieMaker(parameters.model_copy(update={"ice_strength": 8.0})).frames(0, lambda _, counts: found.append(counts))
    assert found[1].var() > 1.03 * expected


def test_detector_response_reaches_its_value_at_nyquist():
    assert response(np.array([0.0, 0.25]), MovieParameters(pixel_size_A=2.0)).tolist() == pytest.approx([1, 0.6])


def test_micrographs_with_everything_in_them(tmp_path):
    parameters = MicrographParameters(
        width=256, height=256, frames=2, particles=3, pixel_size_A=3.0, contamination=4, aggregates=1, carbon=1,
        movies=1, dead_columns=2, hot_pixels=5,
    )  # fmt: skip
    result = simulate_micrographs(parameters, tmp_path)
    image, pixel_size_A = read_image(result.images[0])
    assert image.shape == (256, 256)
    assert pixel_size_A == pytest.approx(3.0)
    assert np.isfinite(image).all()
    assert image.min() > 0
    truth = json.loads(result.truth_json.read_text())["movies"][0]
    assert truth["obstacles"]["carbon"]
    assert truth["obstacles"]["blobs"]
    report = json.loads(result.report.read_text())
    assert report["particles"] == len(result.particles) == 3
    assert MicrographParameters.model_validate(report["parameters"]) == parameters
    assert write_page(tmp_path).read_text().count("data:image/png") == 2


def test_an_unknown_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        simulate_movies(MovieParameters(model=str(tmp_path / "none.pdb")), tmp_path)
