"""Averages over a Gaussian window at the middles of blocks of voxels, and back to every voxel."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FULL_WIDTH = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half height of a Gaussian, in standard deviations."""
TRUNCATE = 2.5
"""Where the window ends, in standard deviations: strong density beyond it must not speak here."""


def block_of(sigma_px: float) -> int:
    """Return how many voxels a side one value stands for, so that the window is still well sampled."""
    return max(1, int(sigma_px / 2.5))


def windowed(values: NDArray[np.float32], block: int, sigma_px: float) -> NDArray[np.float64]:
    """Return averages over a Gaussian window, at the middles of blocks of voxels.

    Parameters
    ----------
    values
        Shape (n, n, n).
    block
        Voxels a side that one value stands for.
    sigma_px
        Standard deviation of the window.

    Returns
    -------
    ndarray
        Shape (n // block,) * 3.
    """
    from scipy.ndimage import gaussian_filter

    n = len(values) // block
    cut = values[: n * block, : n * block, : n * block].reshape(n, block, n, block, n, block)
    means = cut.mean(axis=(1, 3, 5), dtype=np.float64)
    # A block is a window of its own, of variance (block^2 - 1) / 12.
    sigma = math.sqrt(max(sigma_px**2 - (block**2 - 1) / 12.0, 0.0)) / block
    smooth: NDArray[np.float64] = gaussian_filter(means, sigma, mode="constant", truncate=TRUNCATE)
    return smooth


def enlarged(values: NDArray[np.float64], shape: tuple[int, ...], block: int) -> NDArray[np.float64]:
    """Return values given at the middles of blocks at every voxel of a shape, by linear interpolation."""
    from scipy.ndimage import map_coordinates

    result = np.empty(shape)
    along = [(np.arange(n) - 0.5 * (block - 1)) / block for n in shape]
    for z in range(shape[0]):
        points = np.meshgrid(along[0][z : z + 1], along[1], along[2], indexing="ij")
        result[z] = map_coordinates(values, points, order=1, mode="nearest")[0]
    return result
