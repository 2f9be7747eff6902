"""Power spectra of images and micrographs, their rotational averages, and whitening."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace, to_numpy
from verglas.signal.fourier import Array, rfft, rfft_shape
from verglas.signal.shells import number_of_shells, shell_frequencies, shell_means

TILES_AT_ONCE = 2  # what a processor's cache holds
TILES_AT_ONCE_ON_GPU = 16


class RadialProfile(NamedTuple):
    """An average over rings or shells; float64, shape (rings,) each."""

    radius: Any
    mean: Any
    count: Any


def power(transform: Array) -> Array:
    """Return |F|^2 of a transform, real, same shape."""
    squared: Array = transform.real**2
    squared += transform.imag**2
    return squared


def power_spectrum(image: Array, pixel_size_A: float, *, workers: int = 1) -> tuple[Any, Any]:
    """Return the power of an image or map averaged over shells.

    Parameters
    ----------
    image
        Real array, 1 to 3 axes.
    pixel_size_A
        Pixel size in A.
    workers
        Threads.

    Returns
    -------
    frequency_per_A, power
        float64, shape (shells,). Power is |F|^2 / pixels: white noise has its variance in every shell.
    """
    spectrum = shell_means(power, rfft(image, workers=workers), image.shape) / image.size
    return shell_frequencies(image.shape, pixel_size_A), spectrum


def radial_average(
    image: Array,
    *,
    centre: Sequence[float] | None = None,
    axis_ratio: float = 1.0,
    angle_rad: float = 0.0,
    step: float = 1.0,
) -> RadialProfile:
    """Average an image over circles or ellipses, or a map over spheres, around a centre.

    Parameters
    ----------
    image
        Real array, shape (ny, nx) or (nz, ny, nx).
    centre
        In pixels, in the order of the axes; the origin n // 2 when None.
    axis_ratio
        Images only: short over long half axis of the ellipses, > 0; the radius is the geometric mean of both.
    angle_rad
        Of the long axis, from +x towards +y.
    step
        Width of a ring in pixels; ring i holds the pixels whose radius rounds to i steps.

    Returns
    -------
    RadialProfile
        Rings up to the farthest corner.
    """
    xp = array_namespace(image)
    if axis_ratio <= 0 or step <= 0:
        raise InputError(f"axis_ratio ({axis_ratio}) and step ({step}) must be positive.")
    if axis_ratio != 1.0 and image.ndim != 2:
        raise InputError("Elliptical averages are for images: a map has no one long axis in the plane.")
    centre = [n // 2 for n in image.shape] if centre is None else centre
    axes = xp.meshgrid(
        *[xp.arange(n, dtype=xp.float64) - c for n, c in zip(image.shape, centre, strict=True)],
        indexing="ij",
        sparse=True,
    )
    if axis_ratio == 1.0:
        squared = sum(axis**2 for axis in axes)
    else:
        y, x = axes
        along = x * np.cos(angle_rad) + y * np.sin(angle_rad)
        across = y * np.cos(angle_rad) - x * np.sin(angle_rad)
        squared = along**2 * axis_ratio + across**2 / axis_ratio
    index = (xp.sqrt(squared) / step + 0.5).astype(xp.int32).ravel()
    count = to_numpy(xp.bincount(index)).astype(np.float64)
    total = to_numpy(xp.bincount(index, image.ravel().astype(xp.float64)))
    mean = np.divide(total, count, out=np.zeros_like(count), where=count > 0)
    return RadialProfile(np.arange(len(count)) * step, mean, count)


def tiled_spectrum(micrograph: Array, tile: int = 512, *, overlap: float = 0.5, workers: int = 1) -> Array:
    """Average the power spectra of overlapping square tiles of a micrograph (a periodogram).

    Tiles lie evenly from edge to edge. Each has its mean removed; none is tapered, as programs that fit the CTF
    expect.

    Parameters
    ----------
    micrograph
        Real array, shape (ny, nx), both at least the tile.
    tile
        Edge of a tile in pixels.
    overlap
        Least part of a tile that its neighbour shares, 0 to below 1.
    workers
        Threads.

    Returns
    -------
    array
        Half spectrum, shape (tile, tile // 2 + 1), |F|^2 / pixels, of the micrograph's type; see
        :func:`full_spectrum` for one to look at. Memory: two tiles with their transforms for each
        worker (16 on a GPU).

    References
    ----------
    Welch (1967), IEEE Trans. Audio Electroacoust. 15, 70.
    """
    xp = array_namespace(micrograph)
    if min(micrograph.shape) < tile:
        raise InputError(
            f"A micrograph of {micrograph.shape} pixels is smaller than a tile of {tile}; use a smaller one."
        )
    if not 0 <= overlap < 1:
        raise InputError(f"The overlap of tiles must be at least 0 and below 1, not {overlap}.")
    starts = [tile_starts(n, tile, overlap) for n in micrograph.shape]
    corners = [(y, x) for y in starts[0] for x in starts[1]]

    def spectrum_of(group: Sequence[tuple[int, int]]) -> Array:
        tiles = xp.stack([micrograph[y : y + tile, x : x + tile] for y, x in group]).astype(xp.float32, copy=False)
        tiles -= tiles.mean(axis=(1, 2), dtype=xp.float64, keepdims=True).astype(xp.float32)
        return power(rfft(tiles, 2)).sum(axis=0, dtype=xp.float64)

    at_once = TILES_AT_ONCE if xp is np else TILES_AT_ONCE_ON_GPU
    groups = [corners[i : i + at_once] for i in range(0, len(corners), at_once)]
    total = xp.zeros(rfft_shape((tile, tile)))
    if workers > 1 and xp is np:
        with ThreadPoolExecutor(workers) as pool:
            for part in pool.map(spectrum_of, groups):
                total += part
    else:
        for group in groups:
            total += spectrum_of(group)
    return (total / (len(corners) * tile**2)).astype(xp.float32)


def full_spectrum(half: Array, shape: Sequence[int]) -> Array:
    """Return both halves of a real spectrum with frequency 0 at the origin n // 2, ready to show or to average.

    Parameters
    ----------
    half
        Real values at the components of a transform, shape ([nz,] ny, nx // 2 + 1), even under inversion.
    shape
        Real-space shape.
    """
    xp = array_namespace(half)
    mirrored = half
    for axis in range(half.ndim - 1):
        mirrored = xp.roll(xp.flip(mirrored, axis), 1, axis)
    count = (shape[-1] - 1) // 2  # columns with a mate that is not stored
    both = xp.concatenate([half, xp.flip(mirrored[..., 1 : 1 + count], -1)], axis=-1)
    return xp.fft.fftshift(both)


def noise_power(images: Array, mask: Array, groups: Any | None = None, *, workers: int = 1) -> tuple[Any, Any]:
    """Return the power spectrum of the noise around the particles, one for each optics group.

    The mean outside the mask is removed, the particle is masked away, and the power of what remains is divided by
    the mean square of the weights: white noise of variance v gives v in every shell.

    Parameters
    ----------
    images
        Shape (images, ny, nx).
    mask
        1 on the particle, 0 outside, with a soft edge: shape (ny, nx).
    groups
        Optics group of each image, whole numbers from 0, shape (images,); one group when None.
    workers
        Threads.

    Returns
    -------
    frequency, power
        In cycles per pixel, float64, shape (shells,), and float64, shape (groups, shells).
    """
    xp = array_namespace(images)
    shape = images.shape[1:]
    outside = 1 - mask
    norm = float((outside.astype(xp.float64) ** 2).mean())
    if norm < 1e-3:
        raise InputError("The mask covers the whole image, so nothing is left to measure noise in: use a smaller one.")
    weight_sum = float(outside.sum(dtype=xp.float64))
    groups = np.zeros(len(images), dtype=np.int64) if groups is None else np.asarray(groups)
    powers = np.zeros((int(groups.max()) + 1, number_of_shells(shape)))
    for group in range(len(powers)):
        members = np.flatnonzero(groups == group)
        if not members.size:
            raise InputError(f"Optics group {group} has no image to measure noise in.")
        total = xp.zeros(rfft_shape(shape))
        for start in range(0, len(members), 64):
            batch = images[members[start : start + 64]].astype(xp.float32)
            means = (batch * outside).sum(axis=(1, 2), dtype=xp.float64) / weight_sum
            batch = (batch - means[:, None, None].astype(xp.float32)) * outside
            total += power(rfft(batch, 2, workers=workers)).sum(axis=0, dtype=xp.float64)
        powers[group] = shell_means(xp.asarray, total, shape) / (len(members) * norm * shape[0] * shape[1])
    return shell_frequencies(shape), powers


def whitening_filter(power_spectrum: Any) -> Any:
    """Return the factors 1 / sqrt(power) that make noise white with variance 1, shape as given.

    Shell 0, which holds no noise once the mean is removed, takes the value of shell 1; shells without power get 0.
    """
    values = np.array(power_spectrum, dtype=np.float64)
    values[..., 0] = values[..., 1]
    return np.divide(1.0, np.sqrt(values), out=np.zeros_like(values), where=values > 0)


def tile_starts(n: int, tile: int, overlap: float) -> list[int]:
    """Return where tiles begin that lie evenly from edge to edge and share at least a part of each with the next."""
    count = 1 + int(np.ceil((n - tile) / (tile * (1 - overlap)) - 1e-9))
    return [round(start) for start in np.linspace(0, n - tile, count)] if count > 1 else [(n - tile) // 2]
