"""Bring images and maps to a wanted pixel size, whatever the ratio to the one they have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace
from verglas.signal.fourier import Array


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
) -> Array:
    """Resample images or maps to exactly the wanted pixel size, keeping the origin n // 2 where it is.

    The trigonometric polynomial through the pixels, cut off at the Nyquist frequency of the new pixels, is evaluated
    at the new positions: one matrix product an axis, exact for any ratio. Threads are those of the BLAS library. Use
    :func:`verglas.signal.resize` where a whole number of new pixels over the same field of view will do: it costs
    two FFTs.

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

    Returns
    -------
    array
        float32 (float64 for float64), shape (..., *new_shape).

    Raises
    ------
    InputError
        If a pixel size is not positive.
    """
    _check(pixel_size_A, new_pixel_size_A)
    xp = array_namespace(image)
    ndim = ndim or image.ndim
    shape = tuple(image.shape[-ndim:])
    if new_shape is None:
        new_shape = resampled_shape(shape, pixel_size_A, new_pixel_size_A)
    if image.dtype.kind != "f" or image.dtype.itemsize < 4:
        image = image.astype(xp.float32)
    border = _border_mean(image, ndim).astype(image.dtype)
    border = border.reshape(*border.shape, *[1] * ndim)
    result = image - border
    for axis, (n, m) in enumerate(zip(shape, new_shape, strict=True)):
        matrix = xp.asarray(_interpolation_matrix(n, m, new_pixel_size_A / pixel_size_A), dtype=image.dtype)
        result = xp.moveaxis(xp.matmul(xp.moveaxis(result, axis - ndim, -1), matrix.T), -1, axis - ndim)
    return xp.ascontiguousarray(result + border)


def _interpolation_matrix(n: int, m: int, step: float) -> Any:
    """Return the (m, n) matrix from pixel values to values at positions n // 2 + (i - m // 2) * step."""
    position = n // 2 + (np.arange(m) - m // 2) * step
    highest = int(min(n / 2, n / (2 * step)) + 1e-9)
    angle = 2.0 * np.pi / n * (position[:, None] - np.arange(n))
    nyquist = 2 * highest == n
    terms = 2 * (highest - 1 if nyquist else highest) + 1
    sine = np.sin(angle / 2)
    at_pixel = np.abs(sine) < 1e-12
    matrix = np.where(at_pixel, terms, np.sin(terms * angle / 2) / np.where(at_pixel, 1.0, sine))
    if nyquist:
        matrix = matrix + np.cos(highest * angle)
    outside = (position < -0.5) | (position > n - 0.5)
    matrix[outside] = 0.0
    return matrix / n


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
    fill = xp.asarray(fill, dtype=image.dtype)
    result[...] = fill.reshape(*fill.shape, *[1] * ndim)
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


def _border_mean(image: Array, ndim: int) -> Array:
    """Return the mean over the outermost pixels of each image, shape of the batch."""
    faces = [image[(..., index, *[slice(None)] * (-axis - 1))] for axis in range(-ndim, 0) for index in (0, -1)]
    axes = tuple(range(-(ndim - 1), 0))
    totals = [face.sum(axis=axes, dtype="float64") if axes else face.astype("float64") for face in faces]
    count = sum(math.prod(face.shape[face.ndim - ndim + 1 :]) for face in faces)
    return sum(totals) / count
