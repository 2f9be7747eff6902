"""Resolution at each place of a map: where the halves stop to correlate within a window around it, band by band.

Both halves are whitened and limited to a band; their product and their squares, within the mask, are averaged over a
Gaussian window; the ratio is the correlation of that band at that place. Since the halves are limited before they are
masked, the mask makes no correlation, and what it leaves out does not dilute.

References
----------
Cardone, Heymann & Steven (2013), J. Struct. Biol. 184, 226 (local FSC).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from verglas.engine.bands import Bands
from verglas.engine.local_windows import FULL_WIDTH, block_of, enlarged, windowed
from verglas.errors import InputError
from verglas.signal import (
    curve,
    filter_transform,
    power,
    rfft,
    shell_frequencies,
    shell_means,
    whitening_filter,
)

THRESHOLD = 0.143
WINDOW_A = 20.0
COARSEST_A = 40.0
INSIDE = 0.5
EMPTY = 1e-3
"""Windows that hold less than this part of the mask tell nothing."""


@dataclass(frozen=True)
class LocalResolution:
    """What :func:`local_resolution` returns.

    Attributes
    ----------
    resolution_A
        At each voxel, float32, shape (n, n, n); the coarsest resolution where the mask is 0.
    inside
        bool, the voxels in the mask.
    coarsest_A, finest_A, window_A, threshold
        What was asked for.
    """

    resolution_A: NDArray[np.float32]
    inside: NDArray[np.bool_]
    coarsest_A: float
    finest_A: float
    window_A: float
    threshold: float


def local_resolution(
    first: NDArray[np.float32], second: NDArray[np.float32], mask: NDArray[np.float32], pixel_size_A: float, *,
    window_A: float = WINDOW_A, threshold: float = THRESHOLD, coarsest_A: float = COARSEST_A,
    finest_A: float | None = None, threads: int = 1, step: Callable[[int, int], None] | None = None,
) -> LocalResolution:  # fmt: skip
    """Estimate the resolution at every voxel within a mask.

    Parameters
    ----------
    first, second
        Half maps, not filtered, one cubic shape [z, y, x].
    mask
        Around the particle, 0 to 1, same shape.
    pixel_size_A
        Pixel size in A.
    window_A
        Full width at half height of the Gaussian window: larger ones are surer, smaller ones more local.
    threshold
        Correlation at which the resolution is read.
    coarsest_A, finest_A
        Range that is looked at; the finest is 1.02 of the Nyquist limit when None.
    threads
        Threads of the transforms.
    step
        Called with (bands done, bands) after each.

    Returns
    -------
    LocalResolution
        Memory besides the inputs: three transforms and three maps.

    Raises
    ------
    InputError
        If shapes differ, the mask is empty, or the window tells too few resolutions.
    """
    shape = first.shape
    if second.shape != shape or mask.shape != shape or len(set(shape)) != 1:
        raise InputError(f"half maps {shape}, {second.shape} and mask {mask.shape} must be cubes of one size.")
    inside = mask > INSIDE
    if not inside.any():
        raise InputError("the mask is empty: give one that holds the particle.")
    finest_A = max(finest_A or 0.0, 2.04 * pixel_size_A)
    bands = Bands.spanning(coarsest_A, finest_A, window_A)
    transforms = [rfft(half, workers=threads) for half in (first, second)]
    spectrum = sum(shell_means(power, transform, shape) for transform in transforms)
    white = curve(shell_frequencies(shape, pixel_size_A), whitening_filter(spectrum))
    for transform in transforms:
        filter_transform(transform, shape, pixel_size_A, white)
    sigma_px = window_A / FULL_WIDTH / pixel_size_A
    block = block_of(sigma_px)
    weight = windowed(mask, block, sigma_px)
    known = weight > EMPTY * weight.max()
    correlations = np.zeros((len(bands), *weight.shape), np.float32)
    for number in range(len(bands)):
        a, b = (
            bands.limited(partial(bands.view, number), transform, shape, pixel_size_A, threads)
            for transform in transforms
        )
        cross, power_a, power_b = (windowed(u * v * mask, block, sigma_px) for u, v in ((a, b), (a, a), (b, b)))
        norm = np.sqrt(np.maximum(power_a * power_b, 0.0))
        np.divide(cross, norm, out=correlations[number], where=known & (norm > 0.0))
        if step is not None:
            step(number + 1, len(bands))
    frequency = _crossing(bands.centres_per_A, correlations, threshold)
    frequency[~known] = bands.centres_per_A[0]
    dense = enlarged(frequency, shape, block)
    resolution = np.where(mask > 0.0, 1.0 / dense, coarsest_A).astype(np.float32)
    return LocalResolution(resolution, inside, coarsest_A, finest_A, window_A, threshold)


def local_filter(
    volume: NDArray[np.float32], found: LocalResolution, pixel_size_A: float, *, b_factor_A2: float = 0.0,
    threads: int = 1,
) -> NDArray[np.float32]:  # fmt: skip
    """Low-pass a map at each voxel at the resolution that is found there.

    Parameters
    ----------
    volume
        Mean of the half maps, shape (n, n, n).
    found
        Its local resolution.
    pixel_size_A
        Pixel size in A.
    b_factor_A2
        The map is sharpened with ``exp(-B k^2 / 4)``, B negative, first.
    threads
        Threads.

    Returns
    -------
    ndarray
        float32, shape (n, n, n). At each place, bands count in full up to one step below its resolution, by a half
        at it, and not beyond the next.
    """
    shape = volume.shape
    if found.resolution_A.shape != shape:
        raise InputError(f"a local resolution of shape {found.resolution_A.shape} is not that of a map of {shape}.")
    bands = Bands.spanning(found.coarsest_A, found.finest_A, found.window_A)
    transform = rfft(volume, workers=threads)
    if b_factor_A2:
        filter_transform(transform, shape, pixel_size_A, lambda k: np.exp(-0.25 * b_factor_A2 * k * k))
    limit = 1.0 / found.resolution_A
    total = np.zeros(shape, np.float32)
    for number, centre in enumerate(bands.centres_per_A):
        passed = np.clip(0.5 + 0.5 * (limit - centre) / bands.step_per_A, 0.0, 1.0).astype(np.float32)
        if number == 0:
            passed[:] = 1.0
        total += passed * bands.limited(partial(bands.share, number), transform, shape, pixel_size_A, threads)
    return total


def _crossing(centres: NDArray[np.float64], correlations: NDArray[np.float32], threshold: float) -> NDArray[np.float64]:
    """Return the frequency where correlations (bands first) first fall below a threshold, within the bands' range."""
    padded = np.concatenate([np.ones((1, *correlations.shape[1:]), np.float32), correlations])
    frequency = np.full(correlations.shape[1:], centres[-1])
    step = centres[1] - centres[0]
    open_still = np.ones(frequency.shape, bool)
    for number, centre in enumerate(centres):
        before, after = padded[number], padded[number + 1]
        falls = open_still & (after < threshold)
        part = (before[falls] - threshold) / np.maximum(before[falls] - after[falls], 1e-9)
        frequency[falls] = centre - step * (1.0 - part)
        open_still &= ~falls
    clipped: NDArray[np.float64] = np.clip(frequency, centres[0], centres[-1])
    return clipped
