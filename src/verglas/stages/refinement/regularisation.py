"""References filtered at each place by what the other half set confirms there, instead of by one curve for all.

One FSC curve is a mean over the mask: too strong a filter for a rigid core, too weak a one for what is flexible or
disordered. Here a bank of filters is laid over the one that the curve gives. Each is the Wiener filter of a part with
so many times the mean signal, which falls off with a B-factor of its own. At each place the one is taken under which
one half, filtered, predicts the other, unfiltered, best (cross-validation): the mean over a Gaussian window of the
squared error, in units of the noise. It must predict better than the curve's own filter by more than chance does.
Each band of frequency takes the filter that the other, distant bands choose (cross-fitting): one that had a say itself
would keep noise where it happens to be alike, and the shared choice would make halves agree.

Only the numbers of the filters at each place are the same for both halves; voxels do not pass between them. No filter
lets pass what the one curve stops: beyond the last shell that correlates there is nothing to choose from.

References
----------
A. Punjani, H. Zhang, D. J. Fleet, "Non-uniform refinement: adaptive regularization improves single-particle cryo-EM
reconstruction", Nat. Methods 17 (2020) 1214.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from verglas.engine.bands import Bands
from verglas.engine.local_windows import FULL_WIDTH, enlarged, windowed
from verglas.engine.reference_masks import Map
from verglas.signal import frequency_radius, irfft, rfft

WINDOW = 5.0
"""Full width of the window in units of the resolution."""
SAMPLED = 1.25
"""Filters are chosen once in so much of the window's deviation."""
COARSEST, FINEST = 4.0, 0.9
"""Range in which filters differ, in units of the resolution; the finest reaches as far as the curve does."""
SIGNALS = (1.0, 4.0, 0.25, 0.0625)
"""Signal of a part in units of the mean; the first filter of the bank is the curve's own."""
FALLS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Exponents by which a part's signal falls off up to the resolution."""
PRICE = 16.0
"""Twice the log-likelihood that another filter must gain, four deviations: chance agreement of noise does not."""
OVERLAP = 2.25
"""Sum over bands of the squared weight that each frequency has when bands are looked at three steps wide."""
NEAR = 3
"""So many bands on each side of one have no say in its filter: bands are looked at three steps wide."""
INSIDE = 0.5


@dataclass(frozen=True)
class FilterChoice:
    """The bank of filters, and which one is taken where.

    Attributes
    ----------
    bands
        Of frequency.
    gains
        Of each filter over the curve's own in each band, shape (filters, bands).
    chosen
        Number of the filter that each band takes at the middles of blocks of voxels, shape (bands, n, n, n); 0: the
        curve's own.
    block
        Voxels a side of a block.
    """

    bands: Bands
    gains: NDArray[np.float64]
    chosen: NDArray[np.int64]
    block: int

    def apply(self, volume: Map, pixel_size_A: float, threads: int = 1) -> Map:
        """Return a map, filtered by the one curve, under the filter of each place."""
        if not self.chosen.any():
            return volume
        transform, total = rfft(volume, workers=threads), np.zeros(volume.shape, np.float32)
        for number in range(len(self.bands)):
            gain = enlarged(self.gains[self.chosen[number], number], volume.shape, self.block).astype(np.float32)
            part = partial(self.bands.share, number)
            total += gain * self.bands.limited(part, transform, volume.shape, pixel_size_A, threads)
        return total


def filter_bank(ratio: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gains of all filters over the curve's own, shape (filters, bands); the first filter's are 1.

    Parameters
    ----------
    ratio
        Signal-to-noise ratio of a half in each band, on average over the mask.
    place
        Frequency of each band in units of that of the resolution.
    """
    gains = []
    for signal in SIGNALS:
        for fall in FALLS:
            factor = signal * np.exp(-fall * place**2)
            gains.append(factor * (1.0 + ratio) / (1.0 + factor * ratio))
    bank = np.array(gains)
    # The lowest band is wider than what a window can tell apart: it stays as it is.
    bank[:, 0] = 1.0
    return bank


def choose_filters(
    filtered: Sequence[Map], halves: Sequence[Map], ratio: NDArray[np.float64], mask: Map, pixel_size_A: float,
    resolution_A: float, threads: int = 1,
) -> FilterChoice:  # fmt: skip
    """Find by cross-validation between halves which filter serves best at each place.

    Parameters
    ----------
    filtered
        Both halves, Wiener-filtered by the one curve; shape (n, n, n) each.
    halves
        The same, not filtered.
    ratio
        Signal-to-noise ratio of a half in each shell, 0 from the first that does not correlate; shape (n // 2 + 1,).
    mask
        Around the particle, 0 to 1: nothing outside counts.
    pixel_size_A
        Pixel size.
    resolution_A
        At which the halves agree to 0.143.
    threads
        Threads.
    """
    shape, width_A = halves[0].shape, len(halves[0]) * pixel_size_A
    last = int(np.flatnonzero(ratio > 0.0)[-1])
    window_A = WINDOW * resolution_A
    bands = Bands.spanning(COARSEST * resolution_A, min(width_A / last, FINEST * resolution_A), window_A)
    frequency = np.arange(len(ratio)) / width_A
    of_band = np.interp(bands.centres_per_A, frequency, ratio)
    gains = filter_bank(of_band, bands.centres_per_A * resolution_A)
    sigma_px = window_A / FULL_WIDTH / pixel_size_A
    block = max(1, int(sigma_px / SAMPLED))
    transforms = [rfft(one, workers=threads) for one in (*filtered, *halves)]
    inside = mask > INSIDE
    power, cross = (np.zeros((len(bands), *(len(mask) // block,) * 3), np.float32) for _ in range(2))
    for number in range(1, len(bands)):
        view = partial(bands.view, number)
        one, other, first, second = (
            bands.limited(view, transform, shape, pixel_size_A, threads) for transform in transforms
        )
        noise = 0.5 * float(np.mean((first - second)[inside] ** 2, dtype=np.float64))
        if not noise > 0.0:
            continue
        weight = _part_of(bands, number, shape, pixel_size_A, threads) / (OVERLAP * noise)
        power[number] = weight * windowed((one * one + other * other) * mask, block, sigma_px)
        cross[number] = weight * windowed((one * second + other * first) * mask, block, sigma_px)
    # A Gaussian window holds as many voxels as a box of (2 sqrt(pi) sigma)^3; both halves were predicted.
    components = 0.5 * (2.0 * math.sqrt(math.pi) * sigma_px) ** 3
    chosen = np.empty(power.shape, np.int64)
    for number in range(len(bands)):
        distant = np.abs(np.arange(len(bands)) - number) > NEAR
        by = components * gains[:, distant]
        error = np.tensordot(by * gains[:, distant], power[distant], 1) - 2.0 * np.tensordot(by, cross[distant], 1)
        error[1:] += PRICE
        chosen[number] = error.argmin(axis=0)
    return FilterChoice(bands, gains, chosen, block)


def _part_of(bands: Bands, number: int, shape: tuple[int, int, int], pixel_size_A: float, threads: int) -> float:
    """Return which part of the independent components of a map a band holds, as it is looked at."""
    weight = bands.view(number, frequency_radius(shape, pixel_size_A)).astype(np.complex64)
    # The impulse response at the origin is the mean of a transfer function over all components.
    return float(irfft(weight * weight, shape, workers=threads, overwrite=True)[0, 0, 0])
