"""Anisotropic magnification against cisTEM, hot and dead pixels, sums of halves of the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.fft

from tests.support.movies import make_movie, rms_error_A
from tests.support.oracles import ask_oracle
from verglas.errors import InputError
from verglas.formats import write_tiff_movie
from verglas.stages.motion import AlignmentSettings, ArrayMovie, SumSettings, align_movie
from verglas.stages.motion.frames import Corrections, FrameDecimator
from verglas.stages.motion.hot_pixels import bad_pixels
from verglas.stages.motion.layout import plan_low_layout
from verglas.stages.motion.magnification import Magnification

WHOLE = AlignmentSettings(patches=1)
PLAIN = SumSettings(dose_filter=False)


def smooth_texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a picture without frequencies above three tenths of a cycle per pixel."""
    k = np.hypot(scipy.fft.fftfreq(size)[:, None], scipy.fft.rfftfreq(size)[None])
    spectrum = scipy.fft.rfft2(rng.standard_normal((size, size))) * (k < 0.3) * (k > 0.01)
    return scipy.fft.irfft2(spectrum).astype(np.float32)


CISTEM = """
import mrcfile
from pycistem.core import Image
with mrcfile.new("in.mrc", overwrite=True) as file:
    file.set_data(picture)
image = Image()
image.QuickAndDirtyReadSlice("in.mrc", 1)
image.CorrectMagnificationDistortion(*[float(v) for v in distortion])
image.QuickAndDirtyWriteSlice("out.mrc", 1, True, 1.0)
answer["corrected"] = mrcfile.read("out.mrc").squeeze()
"""


@pytest.mark.parametrize("distortion", [(30.0, 1.03, 0.99), (-70.0, 1.01, 1.0), (0.0, 1.0, 1.02)])
def test_magnification_is_corrected_as_cistem_does(distortion, rng, tmp_path: Path):
    picture = smooth_texture(rng, 384)
    frames = np.repeat(picture[None], 3, axis=0)
    found = align_movie(
        ArrayMovie(frames), pixel_size_A=1.0, alignment=WHOLE, summation=PLAIN,
        magnification=Magnification(*distortion), find_bad_pixels=False,
    )  # fmt: skip
    assert found.pixel_size_A == pytest.approx(2.0 / (distortion[1] + distortion[2]))
    theirs = ask_oracle(CISTEM, tmp_path, picture=picture, distortion=np.array(distortion))["corrected"]
    inner = (slice(40, -40), slice(40, -40))
    ours = found.sum[inner] / 3.0
    assert np.corrcoef(ours.ravel(), theirs[inner].ravel())[0, 1] > 0.99
    plain = np.corrcoef(picture[inner].ravel(), theirs[inner].ravel())[0, 1]
    assert plain < 0.9  # the correction matters


def test_no_distortion_changes_nothing_and_nonsense_is_refused(rng):
    frames = make_movie(rng, frames=5, shape=(256, 256), contrast=0.2).frames
    plain = align_movie(ArrayMovie(frames), pixel_size_A=1.0, alignment=WHOLE, summation=PLAIN)
    same = align_movie(
        ArrayMovie(frames), pixel_size_A=1.0, alignment=WHOLE, summation=PLAIN, magnification=Magnification(20, 1, 1)
    )
    np.testing.assert_allclose(same.sum, plain.sum, atol=1e-3)
    with pytest.raises(InputError, match="near 1"):
        align_movie(ArrayMovie(frames), pixel_size_A=1.0, magnification=Magnification(0.0, 101.0, 1.0))


def test_hot_pixels_that_no_frame_betrays_are_left_out(rng):
    movie = make_movie(rng, frames=16, shape=(384, 384), contrast=0.1, total_A=20.0, hot_pixels=0, gain_spread=0.0)
    frames = movie.frames.copy()
    places = np.unique(rng.integers(0, 384, (400, 2)), axis=0)
    frames[:, places[:, 0], places[:, 1]] = rng.poisson(6.0, (16, len(places)))  # others have 1: no outliers
    few = places[:60]
    fewer = movie.frames.copy()
    fewer[:, few[:, 0], few[:, 1]] = frames[:, few[:, 0], few[:, 1]]
    found = align_movie(ArrayMovie(fewer), pixel_size_A=1.0, alignment=WHOLE, summation=PLAIN)
    assert abs(found.bad_pixels - len(few)) <= 1
    clean = align_movie(ArrayMovie(movie.frames), pixel_size_A=1.0, alignment=WHOLE, summation=PLAIN)
    left = align_movie(ArrayMovie(fewer), pixel_size_A=1.0, alignment=WHOLE, summation=PLAIN, find_bad_pixels=False)
    assert clean.bad_pixels == left.bad_pixels == 0
    assert rms_error_A(found.shifts_A, movie.shifts_A) < 0.5
    assert np.std(found.sum - clean.sum) < 0.25 * np.std(left.sum - clean.sum)
    too_many = align_movie(ArrayMovie(frames), pixel_size_A=1.0, alignment=WHOLE, summation=PLAIN)
    assert too_many.bad_pixels == 0  # one in 400: no detector is like this, something else is the reason


def test_memory_does_not_change_what_is_hot(rng, tmp_path):
    frames = make_movie(rng, frames=80, shape=(512, 512), hot_pixels=0).frames
    frames[:, 100, 200] = 9
    write_tiff_movie(tmp_path / "m.tif", iter(frames))

    def run(memory_bytes):
        return align_movie(tmp_path / "m.tif", pixel_size_A=1.0, alignment=WHOLE, summation=PLAIN,
                           memory_bytes=memory_bytes)  # fmt: skip

    whole = run(None)
    small = run(whole.estimate.memory_bytes - 8_000_000)
    assert (whole.bad_pixels, small.bad_pixels, small.estimate.passes) == (1, 1, 2)
    np.testing.assert_array_equal(whole.sum, small.sum)


def test_bright_holes_are_not_hot_and_dead_pixels_are_found(rng):
    total = rng.poisson(30.0, (300, 300)).astype(np.float32)
    y, x = np.indices(total.shape)
    hole = np.hypot(y - 150, x - 150) < 60
    total[hole] = rng.poisson(120.0, hole.sum())
    assert len(bad_pixels(total, 10, Corrections())) == 0
    total[20, 30], total[40, 50], total[152, 150] = 0, 300, 900
    found = {tuple(place) for place in bad_pixels(total, 10, Corrections())}
    assert found == {(20, 30), (40, 50), (152, 150)}
    gain = np.ones((300, 300), np.float32)
    gain[20, 30] = gain[40, 50] = 0
    assert [tuple(place) for place in bad_pixels(total, 10, Corrections(gain=gain))] == [(152, 150)]
    assert len(bad_pixels(np.zeros((64, 64), np.float32), 3, Corrections())) == 0


def test_even_and_odd_frames_add_up_to_the_sum(rng):
    movie = make_movie(rng, frames=9, shape=(256, 256), contrast=0.2)

    def run(**settings):
        return align_movie(
            ArrayMovie(movie.frames), pixel_size_A=1.0, dose_per_frame_e_per_A2=2.0, gain=movie.gain, alignment=WHOLE,
            summation=SumSettings(**settings),
        )  # fmt: skip

    found = run(halves=True, unweighted=True, restore_noise_power=False, last_frame=7)
    assert set(found.other_sums) == {"even", "odd", "unweighted"}
    np.testing.assert_allclose(found.other_sums["even"] + found.other_sums["odd"], found.sum, atol=2e-3)
    plain = run(dose_filter=False, last_frame=7)
    np.testing.assert_allclose(found.other_sums["unweighted"], plain.sum, atol=2e-3)
    np.testing.assert_allclose(run(last_frame=7, restore_noise_power=False).sum, found.sum, atol=2e-3)
    restored = run(halves=True)
    powers = [float(np.var(image)) for image in (restored.sum, *restored.other_sums.values())]
    assert max(powers) / min(powers) < 1.5  # noise is that of one frame in each
    assert run(unweighted=True, dose_filter=False).other_sums == {}


def test_pixels_are_taken_out_of_decimated_frames_as_if_they_had_been_defects(rng):
    frame = rng.poisson(20.0, (130, 101)).astype(np.uint8)
    layout = plan_low_layout(frame.shape, 1.0, 0.1)
    assert layout.factor > 1 and layout.padded != layout.shape
    places = np.array([[0, 0], [129, 100], [129, 50], [64, 31], [65, 31]])
    decimator = FrameDecimator(layout, Corrections())
    small, mean, sd, _ = decimator.decimate(frame)
    decimator.take_off(frame, small, mean, sd, *decimator.padded_places(places))
    changed = frame.astype(np.float32)
    changed[tuple(places.T)] = mean
    expected, its_mean, _, _ = decimator.decimate(changed)
    np.testing.assert_allclose(small + layout.factor**2 * (mean - its_mean), expected, atol=2e-2)
