"""Bring images and maps to a wanted pixel size, whatever the ratio to the one they have."""

from __future__ import annotations

import math
from collections.abc import Sequence

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace
from verglas.signal.fourier import LARGEST_PRIME_FACTOR, Array, resize


def resampled_shape(shape: Sequence[int], pixel_size_A: float, new_pixel_size_A: float) -> tuple[int, ...]:
    """Return the shape that covers the same field of view at a new pixel size, to the nearest even size.

    Parameters
    ----------
    shape
        Shape now.
    pixel_size_A
        Pixel size now.
    new_pixel_size_A
        Pixel size wanted.

    Returns
    -------
    tuple of int
        Even sizes. The pixel size reached by :func:`verglas.signal.resize` is exactly ``pixel_size_A * old / new``
        along each axis, which the caller has to record.
    """
    _check(pixel_size_A, new_pixel_size_A)
    return tuple(max(2, 2 * round(n * pixel_size_A / new_pixel_size_A / 2)) for n in shape)


def resample(
    image: Array,
    pixel_size_A: float,
    new_pixel_size_A: float,
    new_shape: Sequence[int] | None = None,
    *,
    ndim: int | None = None,
    tolerance: float = 1e-4,
    workers: int = 1,
) -> Array:
    """Resample images or maps to a wanted pixel size by Fourier cropping or padding.

    The image is first padded (with the mean of its border) to a size whose multiple by the ratio of pixel sizes is
    nearly a whole number, so that any ratio is reached within the tolerance; the origin n // 2 stays where it is.

    Parameters
    ----------
    image
        Real array, shape (..., [nz,] ny, nx); leading axes are a batch.
    pixel_size_A
        Pixel size now.
    new_pixel_size_A
        Pixel size wanted.
    new_shape
        Shape of the result; the same field of view to the nearest even size when None. What lies outside the input
        is filled with the mean of its border.
    ndim
        How many trailing axes are space: all when None.
    tolerance
        Largest relative error of the pixel size. 1e-4 moves the edge of a 500-pixel box by 0.025 pixel.
    workers
        Threads.

    Returns
    -------
    array
        float32 (float64 for float64), shape (..., *new_shape).

    Raises
    ------
    InputError
        If a pixel size is not positive, or no padding below four times the size meets the tolerance.
    """
    _check(pixel_size_A, new_pixel_size_A)
    xp = array_namespace(image)
    ndim = ndim or image.ndim
    shape = tuple(image.shape[-ndim:])
    ratio = pixel_size_A / new_pixel_size_A
    if new_shape is None:
        new_shape = resampled_shape(shape, pixel_size_A, new_pixel_size_A)
    if image.dtype.kind != "f" or image.dtype.itemsize < 4:
        image = image.astype(xp.float32)
    sizes = [_padded_size(n, m, ratio, tolerance) for n, m in zip(shape, new_shape, strict=True)]
    border = _border_mean(image, ndim)
    padded = fit_to_shape(image, [size for size, _ in sizes], border)
    smaller = resize(padded, [size for _, size in sizes], workers=workers)
    return fit_to_shape(smaller, new_shape, border)


def fit_to_shape(image: Array, new_shape: Sequence[int], fill: Array | float = 0.0) -> Array:
    """Cut or pad in real space around the origin n // 2.

    Parameters
    ----------
    image
        Shape (..., [nz,] ny, nx).
    new_shape
        Shape wanted of the last axes.
    fill
        Value outside the input: a number, or an array of the batch's shape.

    Returns
    -------
    array
        New array of shape (..., *new_shape), same type.
    """
    xp = array_namespace(image)
    ndim = len(new_shape)
    batch = image.shape[:-ndim]
    result = xp.empty((*batch, *new_shape), dtype=image.dtype)
    result[...] = xp.asarray(fill, dtype=image.dtype).reshape(*xp.asarray(fill).shape, *[1] * ndim)
    taken, placed = [], []
    for n, m in zip(image.shape[-ndim:], new_shape, strict=True):
        start = m // 2 - n // 2  # where element 0 of the input falls in the output
        first, last = max(0, start), min(m, start + n)
        placed.append(slice(first, last))
        taken.append(slice(first - start, last - start))
    result[(..., *placed)] = image[(..., *taken)]
    return result


def _check(pixel_size_A: float, new_pixel_size_A: float) -> None:
    for value in (pixel_size_A, new_pixel_size_A):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"A pixel size must be a positive number of A, not {value}.")


def _padded_size(n: int, m: int, ratio: float, tolerance: float) -> tuple[int, int]:
    """Return the least costly pair of even sizes (old, new) >= those needed whose quotient is the ratio."""
    needed = max(n, min(math.ceil(m / ratio), n + math.ceil(2 / ratio)))
    for size in range(needed + needed % 2, 4 * needed + 64, 2):
        new = 2 * round(size * ratio / 2)
        if new >= 2 and abs(new / (size * ratio) - 1) <= tolerance and _cheap(size) and _cheap(new):
            return size, new
    raise InputError(
        f"Cannot reach a pixel-size ratio of {1 / ratio:.6g} within {tolerance:g} from {n} pixels; "
        "allow a larger tolerance."
    )


def _cheap(size: int) -> bool:
    """Tell whether scipy's FFT has kernels for every factor of the size."""
    for factor in (2, 3, 5, LARGEST_PRIME_FACTOR, 11, 13):
        while size % factor == 0:
            size //= factor
    return size == 1


def _border_mean(image: Array, ndim: int) -> Array:
    """Return the mean over the outermost pixels of each image, shape of the batch."""
    total: Array = 0.0
    count = 0
    axes = tuple(range(-(ndim - 1), 0))
    for axis in range(-ndim, 0):
        for index in (0, -1):
            face = image[(..., index, *[slice(None)] * (-axis - 1))]
            total = total + face.sum(axis=axes, dtype="float64") if axes else total + face.astype("float64")
            count += math.prod(face.shape[face.ndim - ndim + 1 :])
    return total / count
