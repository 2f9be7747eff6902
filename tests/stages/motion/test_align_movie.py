"""Movies with known motion: found within a fraction of an Angstrom and summed with the right weights."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from tests.support.movies import make_movie, rms_error_A
from verglas.errors import FormatError, InputError, ResourceError
from verglas.microscopy.dose import dose_filters, frame_doses
from verglas.stages.motion import AlignmentSettings, ArrayMovie, SumSettings, align_movie, estimate


def align(movie, pixel_size_A=1.0, dose=1.0, **options):
    return align_movie(
        ArrayMovie(movie.frames), pixel_size_A=pixel_size_A, dose_per_frame_e_per_A2=dose, gain=movie.gain, **options
    )


@pytest.mark.parametrize(
    "case",
    [
        {"contrast": 0.15},
        {"contrast": 0.15, "total_A": 40.0, "frames": 40},
        {"contrast": 0.15, "jitter_A": 0.5},
        {"contrast": 0.25, "dose": 0.25, "frames": 40},
        {"contrast": 0.15, "shape": (620, 500)},
        {"contrast": 0.15, "pixel_size_A": 0.5, "shape": (1024, 1024)},
        {"contrast": 0.15, "total_A": 2.0, "fixed_pattern": 0.1},
        {"contrast": 0.15, "total_A": 0.0},
    ],
    ids=lambda case: ",".join(f"{key}={value}" for key, value in case.items() if key != "contrast"),
)
def test_motion_is_found(case, rng):
    movie = make_movie(rng, **case)
    found = align(movie, case.get("pixel_size_A", 1.0), case.get("dose", 1.0), threads=2)
    assert rms_error_A(found.shifts_A, movie.shifts_A) < 0.3
    assert found.alignment.found_signal
    assert (found.shifts_A[len(movie.frames) // 2] == 0).all()
    assert found.sum.shape == movie.frames.shape[1:]


def test_the_sum_looks_like_the_specimen(rng):
    movie = make_movie(rng, contrast=0.2, total_A=25.0)
    found = align(movie, summation=SumSettings(dose_filter=False))
    middle = found.sum[40:-40, 40:-40].ravel()
    shift = movie.shifts_A[len(movie.frames) // 2]
    moved = np.roll(movie.image, (0, 0), (0, 1)) if not shift.any() else movie.image
    motion_at_middle = -movie.shifts_A  # relative to the middle frame, so the sum lies where that frame does
    assert motion_at_middle[len(movie.frames) // 2].tolist() == [0, 0]
    best = 0.0
    transform = scipy.fft.fft2(moved) * np.conj(scipy.fft.fft2(found.sum))
    peak = np.unravel_index(np.argmax(scipy.fft.ifft2(transform).real), moved.shape)
    aligned = np.roll(moved, (-peak[0], -peak[1]), (0, 1))
    best = np.corrcoef(aligned[40:-40, 40:-40].ravel(), middle)[0, 1]
    still = movie.frames.astype(float) * movie.gain
    still[:, 7, 11] = still.mean()
    plain = np.corrcoef(aligned[40:-40, 40:-40].ravel(), still.sum(axis=0)[40:-40, 40:-40].ravel())[0, 1]
    assert best > 0.4
    assert best > plain + 0.1


def test_threads_and_memory_do_not_change_the_answer(rng):
    movie = make_movie(rng, contrast=0.2, frames=8, shape=(360, 300), dtype=np.float32)
    one = align(movie, threads=1)
    two = align(movie, threads=2)
    assert (one.shifts_A == two.shifts_A).all()
    assert (one.sum == two.sum).all()
    whole = one.estimate
    assert whole.passes == 1
    little = align(movie, threads=1, memory_bytes=whole.memory_bytes - 2 * 360 * 300 * 4)
    assert little.estimate.passes == 2
    assert (little.shifts_A == one.shifts_A).all()
    assert (little.sum == one.sum).all()
    with pytest.raises(ResourceError, match="needs at least"):
        align(movie, memory_bytes=100_000_000)


def test_estimate_needs_no_frame(rng):
    movie = make_movie(rng, frames=4, shape=(128, 128))
    source = ArrayMovie(movie.frames)
    source.read_frame = None  # type: ignore[assignment,method-assign]
    said = estimate(source, pixel_size_A=1.0, threads=2)
    assert said.frames_at_once == 4
    assert said.memory_bytes > 0
    assert said.disk_bytes > 128 * 128 * 4


def test_dose_weights_and_restored_noise_power(rng):
    """Frames of white noise, no motion to find: each ring of the sum has the power that the closed form says."""
    noise = rng.normal(100, 10, (6, 256, 256)).astype(np.float32)
    settings = SumSettings(pre_exposure_e_per_A2=3.0, restore_noise_power=False)
    found = align_movie(ArrayMovie(noise), pixel_size_A=1.2, dose_per_frame_e_per_A2=4.0, summation=settings)
    assert not found.alignment.found_signal
    assert (found.shifts_A == 0).all()
    frequency = np.hypot(np.fft.fftfreq(256, 1.2)[:, None], np.fft.rfftfreq(256, 1.2)[None])
    filters = dose_filters(frequency, frame_doses(4.0, 6, 3.0), 300.0)
    clean = noise - noise.mean(axis=(1, 2), keepdims=True)
    expected = scipy.fft.irfft2(np.sum(scipy.fft.rfft2(clean) * filters, axis=0), (256, 256))
    assert np.corrcoef(found.sum.ravel(), expected.ravel())[0, 1] > 0.999999
    np.testing.assert_allclose(found.sum, expected, atol=0.02)
    restored = align_movie(ArrayMovie(noise), pixel_size_A=1.2, dose_per_frame_e_per_A2=4.0)
    power = abs(scipy.fft.rfft2(restored.sum)) ** 2 / 256**2 / 100
    for low in np.arange(0.05, 0.4, 0.05):
        ring = (frequency > low) & (frequency < low + 0.05)
        assert power[ring].mean() == pytest.approx(1.0, abs=0.06)


def test_output_pixel_size_keeps_grey_values_and_content(rng):
    movie = make_movie(rng, contrast=0.2, shape=(400, 480), pixel_size_A=0.5, defocus_A=8000)
    fine = align(movie, 0.5)
    coarse = align(movie, 0.5, summation=SumSettings(output_pixel_size_A=1.0))
    assert coarse.sum.shape == (200, 240)
    assert coarse.pixel_size_A == pytest.approx(1.0)
    np.testing.assert_allclose(coarse.shifts_A, fine.shifts_A, atol=0.15)
    cropped = scipy.fft.rfft2(fine.sum)[np.r_[0:60, -60:0]][:, :60]
    ours = scipy.fft.rfft2(coarse.sum)[np.r_[0:60, -60:0]][:, :60]
    correlation = abs(np.vdot(cropped, ours)) / np.linalg.norm(cropped) / np.linalg.norm(ours)
    assert correlation > 0.99
    assert np.linalg.norm(ours) / np.linalg.norm(cropped) == pytest.approx(0.25, rel=0.02)


def test_bad_frames_are_left_out(rng):
    movie = make_movie(rng, contrast=0.2, frames=14)
    movie.frames[2] = 0
    movie.frames[9] = 1
    found = align(movie, threads=1)
    assert found.summed.sum() >= 12
    assert not found.summed[2]
    good = np.delete(np.arange(14), [2, 9])
    assert rms_error_A(found.shifts_A[good], movie.shifts_A[good]) < 0.3
    assert np.abs(found.shifts_A[2] - movie.shifts_A[2]).max() < 2.0
    with pytest.raises(FormatError, match="no frame holds an image"):
        align_movie(ArrayMovie(np.zeros((3, 64, 64), np.uint8)), pixel_size_A=1.0, dose_per_frame_e_per_A2=1.0)


def test_noise_alone_moves_nothing(rng):
    noise = rng.poisson(1.0, (20, 512, 512)).astype(np.uint8)
    found = align_movie(ArrayMovie(noise), pixel_size_A=1.0, dose_per_frame_e_per_A2=1.0, threads=2)
    assert not found.alignment.found_signal
    assert (found.shifts_A == 0).all()


def test_one_frame_and_two_frames(rng):
    movie = make_movie(rng, contrast=0.3, frames=2, total_A=6.0)
    two = align(movie, alignment=AlignmentSettings(min_shift_A=0.0))
    assert rms_error_A(two.shifts_A, movie.shifts_A) < 0.5
    movie.frames = movie.frames[:1]
    assert (align(movie).shifts_A == 0).all()


def test_frames_to_sum(rng):
    noise = rng.normal(5, 1, (4, 64, 64)).astype(np.float32)
    part = align_movie(
        ArrayMovie(noise), pixel_size_A=1.0, summation=SumSettings(dose_filter=False, first_frame=2, last_frame=3)
    )
    expected = noise[1:3].sum(axis=0) - noise[1:3].mean(axis=(1, 2)).sum()
    np.testing.assert_allclose(part.sum, expected, atol=5e-3)
    assert part.summed.tolist() == [False, True, True, False]
    with pytest.raises(InputError, match="the movie has 4"):
        align_movie(ArrayMovie(noise), pixel_size_A=1.0, summation=SumSettings(dose_filter=False, last_frame=5))


def test_wrong_wishes_are_refused_with_a_remedy(rng):
    source = ArrayMovie(rng.poisson(1.0, (3, 64, 64)).astype(np.uint8))
    with pytest.raises(InputError, match="gain reference"):
        align_movie(source, pixel_size_A=1.0, dose_per_frame_e_per_A2=1.0, gain=np.ones((63, 64), np.float32))
    with pytest.raises(InputError, match="dose"):
        align_movie(source, pixel_size_A=1.0)
    with pytest.raises(InputError, match="odd"):
        align_movie(source, pixel_size_A=1.0, alignment=AlignmentSettings(running_average=2))
    with pytest.raises(InputError, match="least shift"):
        align_movie(source, pixel_size_A=1.0, alignment=AlignmentSettings(min_shift_A=50.0))


def test_no_border_shows_where_frames_were_padded(rng):
    movie = make_movie(rng, contrast=0.1, shape=(498, 502), total_A=10.0)
    found = align(movie)
    inner = found.sum[100:-100, 100:-100].std()
    for strip in (found.sum[:3], found.sum[-3:], found.sum[:, :3], found.sum[:, -3:]):
        assert strip.std() == pytest.approx(inner, rel=0.15)
        assert abs(strip.mean()) < 0.15 * inner


def test_running_average_helps_nothing_but_works(rng):
    movie = make_movie(rng, contrast=0.25, dose=0.3, frames=24)
    found = align(movie, dose=0.3, alignment=AlignmentSettings(running_average=3), threads=2)
    assert rms_error_A(found.shifts_A, movie.shifts_A) < 0.3
