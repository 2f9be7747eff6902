"""Fourier cropping, padding and shifting against scipy, closed forms and pycistem."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.oracles import ask_oracle
from verglas import signal
from verglas.errors import InputError

sizes = st.lists(st.integers(3, 17), min_size=1, max_size=3)


def noise(shape: tuple[int, ...] | list[int], seed: int = 1) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape).astype(np.float32)


def smooth_object(n: int, field: float, ndim: int = 2) -> np.ndarray:
    """Return an off-centre Gaussian sampled on n pixels over a field, at positions relative to origin n // 2."""
    along = (np.arange(n) - n // 2) * field / n
    centre = [0.07 * field, -0.04 * field, 0.1 * field][:ndim]
    width = 0.055 * field
    factors = np.meshgrid(*[np.exp(-0.5 * ((along - c) / width) ** 2) for c in centre], indexing="ij")
    return np.prod(factors, axis=0).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(shape=sizes, grow=st.lists(st.integers(0, 7), min_size=3, max_size=3))
def test_cropping_undoes_padding(shape, grow):
    image = noise(shape)
    larger = [n + g for n, g in zip(shape, grow, strict=False)]
    back = signal.resize(signal.resize(image, larger), shape)
    np.testing.assert_allclose(back, image, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(shape=sizes, change=st.lists(st.integers(-8, 8), min_size=3, max_size=3))
def test_each_axis_agrees_with_scipys_resampling(shape, change):
    new_shape = [max(2, n + c) for n, c in zip(shape, change, strict=False)]
    image = noise(shape).astype(np.float64)
    expected = image
    for axis, m in enumerate(new_shape):
        expected = scipy.signal.resample(expected, m, axis=axis)
    # scipy keeps element 0 in place.
    transform = signal.resize_transform(signal.rfft(image), shape, new_shape)
    np.testing.assert_allclose(signal.irfft(transform, new_shape), expected, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(shape=sizes, change=st.lists(st.integers(-8, 8), min_size=3, max_size=3))
def test_a_resized_transform_is_that_of_a_real_image(shape, change):
    new_shape = [max(2, n + c) for n, c in zip(shape, change, strict=False)]
    transform = signal.resize_transform(signal.rfft(noise(shape).astype(np.float64)), shape, new_shape)
    again = signal.rfft(signal.irfft(transform, new_shape))
    np.testing.assert_allclose(again, transform, atol=1e-10)


@pytest.mark.parametrize(("old", "new"), list(itertools.product((48, 49), (40, 41, 63, 64))))
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_resizing_keeps_origin_and_grey_values(old, new, ndim):
    resized = signal.resize(smooth_object(old, 100.0, ndim), [new] * ndim)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, smooth_object(new, 100.0, ndim), atol=2e-5)


def test_batches_are_transformed_image_by_image():
    images = noise((3, 12, 15))
    together = signal.resize(images, (10, 20))
    for image, result in zip(images, together, strict=True):
        np.testing.assert_allclose(signal.resize(image, (10, 20)), result, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(shape=sizes, by=st.lists(st.integers(-9, 9), min_size=3, max_size=3))
def test_whole_shifts_equal_roll(shape, by):
    image = noise(shape)
    by = by[: len(shape)]
    np.testing.assert_allclose(signal.shift(image, by), np.roll(image, by, range(len(shape))), atol=1e-5)


@pytest.mark.parametrize("n", [48, 49])
def test_fractional_shift_moves_a_gaussian(n):
    along = np.arange(n) - n // 2
    y, x = np.meshgrid(along, along, indexing="ij")
    at = lambda dy, dx: np.exp(-((y - dy) ** 2 + (x - dx) ** 2) / 18).astype(np.float32)  # noqa: E731
    np.testing.assert_allclose(signal.shift(at(0, 0), (1.3, -2.6)), at(1.3, -2.6), atol=1e-5)


def test_shifts_of_a_batch():
    images, shifts = noise((3, 8, 10)), np.array([[0.5, 1], [2, -1.25], [0, 0]])
    moved = signal.shift(images, shifts)
    for image, by, result in zip(images, shifts, moved, strict=True):
        np.testing.assert_allclose(signal.shift(image, by), result, atol=1e-6)
    np.testing.assert_allclose(moved[2], images[2], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(shape=sizes)
def test_parseval_with_hermitian_weights(shape):
    image = noise(shape)
    power = (np.abs(signal.rfft(image)) ** 2 * signal.hermitian_weight(shape)).sum()
    assert power == pytest.approx(image.size * (image.astype(np.float64) ** 2).sum(), rel=1e-5)


def test_centred_transform_of_a_centred_gaussian_is_real_and_positive():
    for n in (32, 33):
        along = np.arange(n) - n // 2
        image = np.exp(-(along[:, None] ** 2 + along**2) / 8).astype(np.float32)
        transform = signal.centred_rfft(image)
        radius = signal.frequency_radius(image.shape, 1.0)
        expected = 8 * np.pi * np.exp(-8 * np.pi**2 * radius**2)
        np.testing.assert_allclose(transform, expected, atol=2e-3)
        np.testing.assert_allclose(signal.centred_irfft(transform, image.shape), image, atol=1e-6)


def test_frequencies():
    fy, fx = signal.frequency_axes((4, 6), 2.0)
    np.testing.assert_allclose(fy.ravel(), [0, 0.125, -0.25, -0.125])
    np.testing.assert_allclose(fx.ravel(), [0, 1 / 12, 1 / 6, 0.25])
    radius = signal.frequency_radius((5, 4, 6), 2.0)
    np.testing.assert_array_equal(radius[2:4], signal.frequency_radius((5, 4, 6), 2.0, rows=slice(2, 4)))
    assert radius.dtype == np.float32
    assert radius.shape == signal.rfft_shape((5, 4, 6))


@given(n=st.integers(1, 5000))
def test_smooth_sizes(n):
    size = signal.smooth_size(n)
    assert size >= n
    assert size % 2 == 0
    assert size <= 1.1 * n + 2
    rest = size
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1


def test_single_precision_and_integers():
    assert signal.rfft(noise((8, 8))).dtype == np.complex64
    assert signal.rfft(np.ones((8, 8), np.uint8)).dtype == np.complex64
    assert signal.rfft(np.ones((8, 8), np.float16)).dtype == np.complex64
    assert signal.rfft(np.ones((8, 8))).dtype == np.complex128
    assert signal.shift_transform(signal.rfft(noise((8, 8))), (8, 8), (0.5, 0.5)).dtype == np.complex64


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="axes differ"):
        signal.resize_transform(signal.rfft(noise((8, 8))), (8, 8), (8,))
    with pytest.raises(InputError, match="at least 1"):
        signal.resize(noise((8, 8)), (0, 8))
    with pytest.raises(InputError, match="needs 2 numbers"):
        signal.shift_transform(signal.rfft(noise((8, 8))), (8, 8), (1, 2, 3))


def test_agrees_with_cistems_shift_and_crop(tmp_path):
    # Nothing at the Nyquist frequency, where conventions differ.
    image = signal.apply_filter(noise((40, 40)), 1.0, signal.cosine_lowpass(3.0, 0.0))
    answer = ask_oracle(
        """
        import pycistem.core as c
        def make(array):
            i = c.Image()
            i.Allocate(array.shape[1], array.shape[0], 1, True, True)
            i.real_values[...] = array
            return i
        i = make(image)
        i.ForwardFFT(True)
        i.PhaseShift(1.3, -2.6, 0.0)
        i.BackwardFFT()
        answer['shifted'] = np.array(i.real_values)
        i = make(image)
        i.ForwardFFT(True)
        i.Resize(28, 28, 1, 0.0)
        i.BackwardFFT()
        answer['cropped'] = np.array(i.real_values)
        """,
        tmp_path,
        image=image,
    )
    shifted = answer["shifted"].reshape(40, -1)[:, :40]
    assert np.corrcoef(shifted.ravel(), signal.shift(image, (-2.6, 1.3)).ravel())[0, 1] > 0.9999
    cropped = answer["cropped"].reshape(28, -1)[:, :28]
    assert np.corrcoef(cropped.ravel(), signal.resize(image, (28, 28)).ravel())[0, 1] > 0.9999
