"""Fourier transforms of real images and maps: frequency grids, cropping, padding, shifting and resampling.

Transforms are those of ``rfftn``: the last axis holds frequencies 0 ... n//2, the others all n, and phases are
relative to element 0 unless a function says *centred*, which means relative to the origin of verglas, n // 2.

An even size has one Nyquist component that stands for +n/2 and -n/2 together. Padding shares it out equally, cropping
folds the two together, and a shift multiplies it by a cosine: so cropping undoes padding exactly, and every operation
is that on the real trigonometric polynomial through the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace

Array: TypeAlias = Any
"""A numpy or CuPy array; shapes and types are stated in the docstrings."""

LARGEST_PRIME_FACTOR = 7


def _fft_module(xp: Any) -> Any:
    if xp is np:
        import scipy.fft

        return scipy.fft
    return import_module("cupyx.scipy.fft")


def _workers(xp: Any, workers: int) -> dict[str, int]:
    return {"workers": workers} if xp is np else {}


def rfft(image: Array, ndim: int | None = None, *, workers: int = 1) -> Array:
    """Transform real images or maps over their last ``ndim`` axes; phases are relative to element 0.

    Parameters
    ----------
    image
        Real array, shape (..., [nz,] ny, nx). float32 stays in single precision, integers become float32.
    ndim
        How many trailing axes to transform; all of them when None.
    workers
        Threads.

    Returns
    -------
    array
        complex64 (complex128 for float64), shape (..., [nz,] ny, nx // 2 + 1), unnormalised.
    """
    xp = array_namespace(image)
    if image.dtype.kind != "f" or image.dtype.itemsize < 4:
        image = image.astype(xp.float32)
    axes = tuple(range(-(ndim or image.ndim), 0))
    return _fft_module(xp).rfftn(image, axes=axes, **_workers(xp, workers))


def irfft(transform: Array, shape: Sequence[int], *, workers: int = 1, overwrite: bool = False) -> Array:
    """Transform back to real images or maps of the given shape, the inverse of :func:`rfft`.

    Parameters
    ----------
    transform
        Complex array, shape (..., [nz,] ny, nx // 2 + 1).
    shape
        Shape of the transformed axes in real space, ([nz,] ny, nx).
    workers
        Threads.
    overwrite
        Allow the transform to be destroyed, which saves one copy of it.
    """
    xp = array_namespace(transform)
    axes = tuple(range(-len(shape), 0))
    return _fft_module(xp).irfftn(transform, s=tuple(shape), axes=axes, overwrite_x=overwrite, **_workers(xp, workers))


def centred_rfft(image: Array, ndim: int | None = None, *, workers: int = 1) -> Array:
    """Transform like :func:`rfft`, with phases relative to the origin n // 2 of each axis."""
    xp = array_namespace(image)
    axes = tuple(range(-(ndim or image.ndim), 0))
    return rfft(xp.fft.ifftshift(image, axes=axes), ndim, workers=workers)


def centred_irfft(transform: Array, shape: Sequence[int], *, workers: int = 1) -> Array:
    """Transform back to real space, the inverse of :func:`centred_rfft`."""
    xp = array_namespace(transform)
    axes = tuple(range(-len(shape), 0))
    return xp.fft.fftshift(irfft(transform, shape, workers=workers), axes=axes)


def rfft_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of the transform of a real array of the given shape."""
    return (*shape[:-1], shape[-1] // 2 + 1)


def smooth_size(n: int, *, even: bool = True) -> int:
    """Return the smallest size >= n whose prime factors are all at most 7, so that its FFT is fast.

    Parameters
    ----------
    n
        Size wanted, at least 1.
    even
        Allow even sizes only.
    """
    if n < 1:
        raise InputError(f"A size must be at least 1, not {n}.")
    size = n + (n % 2 if even else 0)
    while not _is_smooth(size):
        size += 2 if even else 1
    return size


def _is_smooth(n: int) -> bool:
    for factor in (2, 3, 5, LARGEST_PRIME_FACTOR):
        while n % factor == 0:
            n //= factor
    return n == 1


def frequency_axes(shape: Sequence[int], pixel_size_A: float = 1.0, *, xp: Any = np) -> tuple[Array, ...]:
    """Return the frequencies along each axis of a transform, ready to broadcast against it.

    Parameters
    ----------
    shape
        Real-space shape ([nz,] ny, nx).
    pixel_size_A
        Pixel size in A; 1 gives cycles per pixel.
    xp
        Array library of the result.

    Returns
    -------
    tuple of arrays
        float64 frequencies in 1/A, one array an axis, e.g. of shapes (ny, 1) and (1, nx // 2 + 1). On an even axis
        other than the last the Nyquist frequency is negative.
    """
    axes = []
    for axis, n in enumerate(shape):
        last = axis == len(shape) - 1
        values = (np.fft.rfftfreq if last else np.fft.fftfreq)(n, pixel_size_A)
        axes.append(xp.asarray(values.reshape([-1 if other == axis else 1 for other in range(len(shape))])))
    return tuple(axes)


def frequency_radius(
    shape: Sequence[int], pixel_size_A: float = 1.0, *, xp: Any = np, rows: slice = slice(None)
) -> Array:
    """Return the modulus of the frequency at every element of a transform.

    Parameters
    ----------
    shape
        Real-space shape ([nz,] ny, nx).
    pixel_size_A
        Pixel size in A; 1 gives cycles per pixel.
    xp
        Array library of the result.
    rows
        Range of the first axis, to work slab by slab.

    Returns
    -------
    array
        float32, shape of the transform (or of its slab), in 1/A.
    """
    axes = list(frequency_axes(shape, pixel_size_A, xp=xp))
    if len(axes) > 1:
        axes[0] = axes[0][rows]
    squared = sum(axis.astype(xp.float32) ** 2 for axis in axes[1:]) if len(axes) > 1 else xp.float32(0)
    return xp.sqrt(axes[0].astype(xp.float32) ** 2 + squared)


def hermitian_weight(shape: Sequence[int], *, xp: Any = np) -> Array:
    """Return how many components of the full transform each column of the half transform stands for.

    Parameters
    ----------
    shape
        Real-space shape; only the last size matters.
    xp
        Array library of the result.

    Returns
    -------
    array
        float64, shape (nx // 2 + 1,): 1 for column 0 and for the Nyquist column of an even size, else 2.
    """
    n = shape[-1]
    weight = xp.full(n // 2 + 1, 2.0)
    weight[0] = 1.0
    if n % 2 == 0:
        weight[-1] = 1.0
    return weight


def resize_transform(transform: Array, shape: Sequence[int], new_shape: Sequence[int]) -> Array:
    """Crop or pad a transform so that it is that of the same function on more or fewer pixels.

    Amplitudes are scaled so that the inverse transform keeps the grey values. Phases stay relative to element 0.

    Parameters
    ----------
    transform
        Transform of real arrays, shape (..., [nz,] ny, nx // 2 + 1).
    shape
        Real-space shape it came from.
    new_shape
        Real-space shape wanted; each axis may grow or shrink.

    Returns
    -------
    array
        New transform; memory is that of the result alone.
    """
    if len(shape) != len(new_shape):
        raise InputError(f"Cannot resize {tuple(shape)} to {tuple(new_shape)}: the numbers of axes differ.")
    if min(new_shape) < 1:
        raise InputError(f"Cannot resize to {tuple(new_shape)}: every size must be at least 1.")
    xp = array_namespace(transform)
    ndim = len(shape)
    # The axis that shrinks most first, so that later axes have less to copy.
    order = sorted(range(ndim), key=lambda axis: new_shape[axis] / shape[axis])
    for axis in order:
        if new_shape[axis] == shape[axis]:
            continue
        if axis == ndim - 1:
            transform = _resize_half_axis(xp, transform, shape[axis], new_shape[axis], ndim)
        else:
            transform = _resize_full_axis(xp, transform, axis - ndim, shape[axis], new_shape[axis])
    scale = math.prod(new_shape) / math.prod(shape)
    return transform * transform.real.dtype.type(scale)


def _resize_full_axis(xp: Any, transform: Array, axis: int, n: int, m: int) -> Array:
    source = xp.moveaxis(transform, axis, 0)
    result = xp.zeros((m, *source.shape[1:]), dtype=transform.dtype)
    kept = min(n, m)
    positive = (kept + 1) // 2  # frequencies 0 ... positive - 1, and as many negative ones less the zero
    negative = positive - 1
    result[:positive] = source[:positive]
    if negative:
        result[-negative:] = source[-negative:]
    if kept % 2 == 0:
        nyquist = kept // 2
        if m < n:
            result[nyquist] = source[nyquist] + source[-nyquist]
        else:
            result[nyquist] = source[nyquist] * 0.5
            result[-nyquist] = source[nyquist] * 0.5
    return xp.moveaxis(result, 0, axis)


def _resize_half_axis(xp: Any, transform: Array, n: int, m: int, ndim: int) -> Array:
    kept = min(n, m) // 2 + 1
    result = xp.zeros((*transform.shape[:-1], m // 2 + 1), dtype=transform.dtype)
    result[..., :kept] = transform[..., :kept]
    if min(n, m) % 2 == 0:
        plane = result[..., kept - 1]
        if m < n:
            # The components at -m/2 are the conjugates of those at +m/2 with the other frequencies reversed.
            mirrored = plane
            for axis in range(-(ndim - 1), 0):
                mirrored = xp.roll(xp.flip(mirrored, axis), 1, axis)
            result[..., kept - 1] = plane + xp.conj(mirrored)
        else:
            result[..., kept - 1] = plane * 0.5
    return result


def resize(image: Array, new_shape: Sequence[int], *, workers: int = 1) -> Array:
    """Fourier-crop or pad real images or maps to another number of pixels over the same field of view.

    The origin n // 2 of the input falls on the origin of the output, and grey values are kept.

    Parameters
    ----------
    image
        Real array, shape (..., [nz,] ny, nx); leading axes are a batch.
    new_shape
        Shape wanted of the last axes; the pixel size along each grows by old / new size.
    workers
        Threads.

    Returns
    -------
    array
        Shape (..., *new_shape). Memory: the input, its transform, and the output with its transform.
    """
    xp = array_namespace(image)
    ndim = len(new_shape)
    shape = image.shape[-ndim:]
    if tuple(shape) == tuple(new_shape):
        return image.astype(xp.float32) if image.dtype.kind != "f" else image.copy()
    # Only where a size is odd does origin // size change, and the pixels must be rolled there and back.
    rolled = [
        axis for axis in range(-ndim, 0) if shape[axis] // 2 * new_shape[axis] != new_shape[axis] // 2 * shape[axis]
    ]
    if rolled:
        image = xp.fft.ifftshift(image, axes=rolled)
    transform = resize_transform(rfft(image, ndim, workers=workers), shape, new_shape)
    result = irfft(transform, new_shape, workers=workers, overwrite=True)
    return xp.fft.fftshift(result, axes=rolled) if rolled else result


def shift_factors(shape: Sequence[int], shift_pixels: Array, *, xp: Any = np) -> tuple[Array, ...]:
    """Return per-axis factors whose product moves an image by the given shift.

    Parameters
    ----------
    shape
        Real-space shape ([nz,] ny, nx).
    shift_pixels
        Shape (..., ndim), in pixels and in the order of the axes; leading axes are a batch.
    xp
        Array library of the result.

    Returns
    -------
    tuple of arrays
        complex64, one an axis, each ready to broadcast against the (batched) transform.
    """
    shifts = xp.asarray(shift_pixels, dtype=xp.float64)
    ndim = len(shape)
    if shifts.shape[-1:] != (ndim,):
        raise InputError(f"A shift of {ndim} axes needs {ndim} numbers, but the last axis of shift_pixels differs.")
    batch = shifts.shape[:-1]
    factors = []
    for axis, (n, frequency) in enumerate(zip(shape, frequency_axes(shape, xp=xp), strict=True)):
        along = shifts[..., axis].reshape(*batch, *[1] * ndim)
        angle = -2.0 * math.pi * frequency * along
        factor = xp.cos(angle) + 1j * xp.sin(angle)
        if n % 2 == 0:
            # The Nyquist component stands for both signs of the frequency.
            nyquist = [slice(None)] * factor.ndim
            nyquist[factor.ndim - ndim + axis] = slice(n // 2, n // 2 + 1)
            factor[tuple(nyquist)] = factor[tuple(nyquist)].real
        factors.append(factor.astype(xp.complex64))
    return tuple(factors)


def shift_transform(transform: Array, shape: Sequence[int], shift_pixels: Array) -> Array:
    """Move images by multiplying their transforms with phases.

    Parameters
    ----------
    transform
        Transform of real arrays, shape (..., [nz,] ny, nx // 2 + 1).
    shape
        Real-space shape.
    shift_pixels
        Shape (ndim,) or (..., ndim) for a batch: an object at x moves to x + shift.

    Returns
    -------
    array
        New transform of the same type.
    """
    first, *others = shift_factors(shape, shift_pixels, xp=array_namespace(transform))
    result = transform * first
    for factor in others:
        result *= factor
    return result


def shift(image: Array, shift_pixels: Array, *, workers: int = 1) -> Array:
    """Move real images or maps by fractions of a pixel, periodically.

    Parameters
    ----------
    image
        Real array, shape (..., [nz,] ny, nx).
    shift_pixels
        Shape (ndim,) or (..., ndim) for a batch, in the order of the axes: an object at x moves to x + shift.
    workers
        Threads.

    Returns
    -------
    array
        Moved images, same shape; integer shifts equal ``roll`` to rounding.
    """
    xp = array_namespace(image)
    shape = image.shape[-int(xp.asarray(shift_pixels).shape[-1]) :]
    transform = shift_transform(rfft(image, len(shape), workers=workers), shape, shift_pixels)
    return irfft(transform, shape, workers=workers, overwrite=True)
