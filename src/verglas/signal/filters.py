"""Filters as functions of spatial frequency, and how they are applied to images and maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace
from verglas.signal.fourier import Array, frequency_radius, irfft, rfft
from verglas.signal.shells import slabs

Transfer = Callable[[Array], Array]
"""From frequencies in 1/A to factors."""


def cosine_lowpass(resolution_A: float, edge_per_A: float) -> Transfer:
    """Return a low-pass filter whose edge falls as a raised cosine.

    Parameters
    ----------
    resolution_A
        Resolution where the filter is 1/2.
    edge_per_A
        Full width of the edge in 1/A, centred on 1 / resolution_A; 0 cuts sharply (at the limit still passing).
    """
    _positive(resolution_A=resolution_A)
    return lambda frequency: _cosine_fall(frequency, 1.0 / resolution_A, edge_per_A)


def cosine_highpass(resolution_A: float, edge_per_A: float) -> Transfer:
    """Return a high-pass filter, one minus :func:`cosine_lowpass`."""
    lowpass = cosine_lowpass(resolution_A, edge_per_A)
    return lambda frequency: 1 - lowpass(frequency)


def cosine_bandpass(low_resolution_A: float, high_resolution_A: float, edge_per_A: float) -> Transfer:
    """Return the product of a high-pass at the low resolution and a low-pass at the high resolution."""
    if low_resolution_A <= high_resolution_A:
        raise InputError(
            f"A band from {low_resolution_A} to {high_resolution_A} A is empty: give the lower resolution "
            "(the larger number) first."
        )
    low, high = cosine_highpass(low_resolution_A, edge_per_A), cosine_lowpass(high_resolution_A, edge_per_A)
    return lambda frequency: low(frequency) * high(frequency)


def gaussian_lowpass(resolution_A: float) -> Transfer:
    """Return exp(-(k d)^2 ln 2 / 2): a Gaussian whose amplitude is 1 / sqrt(2), half the power, at the resolution d."""
    _positive(resolution_A=resolution_A)
    factor = -0.34657359027997264 * resolution_A**2
    return lambda frequency: _exp(factor * frequency**2)


def gaussian_highpass(resolution_A: float) -> Transfer:
    """Return one minus :func:`gaussian_lowpass`."""
    lowpass = gaussian_lowpass(resolution_A)
    return lambda frequency: 1 - lowpass(frequency)


def butterworth_lowpass(resolution_A: float, order: int = 4) -> Transfer:
    """Return 1 / sqrt(1 + (k d)^(2 order)): half the power at the resolution d.

    References
    ----------
    Butterworth (1930), Experimental Wireless 7, 536.
    """
    _positive(resolution_A=resolution_A, order=order)
    return lambda frequency: 1 / (1 + (frequency * resolution_A) ** (2 * order)) ** 0.5


def b_factor(b_factor_A2: float) -> Transfer:
    """Return exp(-B k^2 / 4): a positive B damps high frequencies, a negative one sharpens."""
    return lambda frequency: _exp(-0.25 * b_factor_A2 * frequency**2)


def curve(frequency_per_A: Any, values: Any) -> Transfer:
    """Return linear interpolation in a table; beyond its ends the last value holds.

    Parameters
    ----------
    frequency_per_A
        Rising frequencies, shape (n,).
    values
        Factors there, shape (n,).
    """

    def interpolate(frequency: Array) -> Array:
        xp = array_namespace(frequency)
        return xp.interp(frequency, xp.asarray(frequency_per_A), xp.asarray(values))

    return interpolate


def apply_filter(
    image: Array, pixel_size_A: float, transfer: Transfer, *, ndim: int | None = None, workers: int = 1
) -> Array:
    """Multiply the transform of images or maps by a function of the frequency.

    Parameters
    ----------
    image
        Real array, shape (..., [nz,] ny, nx).
    pixel_size_A
        Pixel size in A.
    transfer
        Function from frequencies (1/A) to factors; multiply several for a chain.
    ndim
        How many trailing axes are space: all when None.
    workers
        Threads.

    Returns
    -------
    array
        Filtered, float32 (float64 for float64). Memory: the input, its transform and the output; factors are
        computed slab by slab.
    """
    ndim = ndim or image.ndim
    shape = image.shape[-ndim:]
    transform = rfft(image, ndim, workers=workers)
    filter_transform(transform, shape, pixel_size_A, transfer)
    return irfft(transform, shape, workers=workers, overwrite=True)


def filter_transform(transform: Array, shape: tuple[int, ...], pixel_size_A: float, transfer: Transfer) -> None:
    """Multiply a transform, shape (..., [nz,] ny, nx // 2 + 1), in place by a function of the frequency (1/A)."""
    xp = array_namespace(transform)
    spare = (slice(None),) * (len(shape) - 1)
    for rows in slabs(shape):
        factor = transfer(frequency_radius(shape, pixel_size_A, xp=xp, rows=rows))
        transform[(..., rows, *spare)] *= factor.astype(transform.real.dtype)


def _cosine_fall(frequency: Array, middle: float, width: float) -> Array:
    xp = array_namespace(frequency)
    if width <= 0:
        return (frequency <= middle).astype(frequency.dtype)
    along = xp.clip((frequency - middle) / width + 0.5, 0.0, 1.0)
    return 0.5 + 0.5 * xp.cos(xp.pi * along)


def _exp(exponent: Array) -> Array:
    return array_namespace(exponent).exp(exponent)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InputError(f"{name} must be positive, not {value}.")
