"""What tells classes apart, filtered at each place by how much of it the half sets share there.

Classes often differ in a small part of the particle alone. One curve for the whole mask is then wrong twice: it filters
that part too much, and lets the noise of all the rest decide about classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.engine.local_windows import FULL_WIDTH, block_of, enlarged, windowed
from verglas.engine.reference_masks import Map
from verglas.signal import apply_filter, curve, frequency_radius, rfft

WINDOW = 1.5
"""Full width of the window in units of the resolution at which most is known of what tells classes apart."""
CHANCE = 3.0
"""What is shared must be more than noise shares by chance, by so many deviations, and counts less them."""
LEVELS = tuple(2.0**power for power in range(-3, 6))
"""Strengths for which filters are made; those in between are interpolated."""
LEAST_NOISE = 1e-6
"""Shells with less than this part of the strongest one's noise are empty, and say nothing."""
LEAST_SEEN = 0.25
"""Where the mask fills less of the window, it is taken for so much."""


@dataclass(frozen=True)
class DifferenceFilter:
    """A Wiener filter for each place.

    Attributes
    ----------
    ratio
        Mean signal-to-noise ratio within the mask in each shell, of one half; shape (shells,).
    strength
        Signal at each voxel over the mean one, shape (n, n, n).
    pixel_size_A
        Of the maps.
    """

    ratio: NDArray[np.float64]
    strength: Map
    pixel_size_A: float

    def apply(self, volume: Map, threads: int = 1) -> Map:
        """Return a difference, filtered."""
        total = np.zeros_like(volume)
        shells = np.arange(len(self.ratio)) / (len(volume) * self.pixel_size_A)
        for level, part in zip(LEVELS, self._parts(), strict=True):
            if part.any():
                wiener = curve(shells, self._gain(level))
                total += part * apply_filter(volume, self.pixel_size_A, wiener, workers=threads)
        return total

    def passed(self, mask: Map) -> NDArray[np.float64]:
        """Return the mean gain within a mask in each shell: what is left of noise that is everywhere alike."""
        weight = float(mask.sum(dtype=np.float64))
        gains = [
            float((part * mask).sum(dtype=np.float64)) / weight * self._gain(level)
            for level, part in zip(LEVELS, self._parts(), strict=True)
        ]
        return np.asarray(np.sum(gains, axis=0), np.float64)

    def _gain(self, level: float) -> NDArray[np.float64]:
        return level * self.ratio / (1.0 + level * self.ratio)

    def _parts(self) -> list[Map]:
        """Return the weight of each level's filter at each voxel: two levels share what lies between them."""
        place = np.log2(np.clip(self.strength, LEVELS[0], LEVELS[-1]) / LEVELS[0])
        fainter = np.minimum(self.strength / LEVELS[0], 1.0)
        return [
            (fainter * np.clip(1.0 - np.abs(place - number), 0.0, 1.0)).astype(np.float32)
            for number in range(len(LEVELS))
        ]


def difference_filter(
    beyond: Sequence[Sequence[Map]], part: NDArray[np.float64], ratio: NDArray[np.float64], mask: Map,
    pixel_size_A: float, threads: int = 1,
) -> DifferenceFilter:  # fmt: skip
    """Find how strong at each place is what tells classes apart, by what the half sets share.

    The halves share the strengths, one number a window, but no voxels. Where no place shows more than chance, the
    strength is the mean one everywhere.

    Parameters
    ----------
    beyond
        What each class has beyond the map of all, of each half set: maps of shape (n, n, n).
    part
        Weight of each class, shape (classes,).
    ratio
        Mean signal-to-noise ratio of one half within the mask in each shell, shape (shells,).
    mask
        0 to 1, shape (n, n, n).
    pixel_size_A
        Of the maps.
    threads
        Threads.

    Notes
    -----
    Where the mean signal is R times the noise, a shell tells the strength as the derivative of the log-likelihood does:
    whitened and weighed by ``u = R / (1 + R)^2``. Of n_s components each, the product of two halves is then
    ``sum n_s u R`` times the strength, and that of noise has the variance ``sum n_s u^2``, over the number of windows
    that the map is wide.
    """
    shape = mask.shape
    even = DifferenceFilter(ratio, np.ones(shape, np.float32), pixel_size_A)
    if not (ratio > 0.0).any():
        return even
    width_A = len(mask) * pixel_size_A
    shell = np.rint(frequency_radius(shape, pixel_size_A) * width_A).astype(np.int64)
    inside = np.minimum(shell, len(ratio) - 1)
    # Of a real map's transform half is kept; the rest of its components are conjugates.
    kept = np.full(shell.shape, 2.0)
    kept[..., 0] = 1.0
    kept[shell >= len(ratio)] = 0.0
    count = np.bincount(inside.ravel(), kept.ravel(), len(ratio))
    shares = np.asarray(part, np.float64) / np.sum(part)
    noise = np.zeros(len(ratio))
    for share, (one, other) in zip(shares, beyond, strict=True):
        power = np.abs(rfft(one - other, workers=threads)) ** 2
        noise += 0.5 * share * np.bincount(inside.ravel(), (kept * power).ravel(), len(ratio)) / np.maximum(count, 1.0)
    noise /= mask.size
    measured = noise > LEAST_NOISE * noise.max()
    weight = np.where(measured, ratio / (1.0 + ratio) ** 2, 0.0)
    white = np.sqrt(weight / np.where(measured, noise, 1.0))
    shells = np.arange(len(ratio)) / width_A
    known = count * weight * ratio
    if not known.any():
        return even
    middle = np.sqrt((known * shells**2).sum() / known.sum())
    sigma_px = WINDOW / max(middle, 1.0 / width_A) / FULL_WIDTH / pixel_size_A
    block = block_of(sigma_px)
    common, left = np.zeros((len(mask) // block,) * 3), 0.0
    for share, pair in zip(shares, beyond, strict=True):
        one, other = (apply_filter(half, pixel_size_A, curve(shells, white), workers=threads) for half in pair)
        common += share * windowed(one * other * mask, block, sigma_px)
        left += 0.5 * share * float(np.average((one - other) ** 2, weights=mask))
    seen = np.maximum(windowed(mask, block, sigma_px), LEAST_SEEN)
    # Noise within the mask is not quite that of the whole box.
    inner = left / ((count * weight).sum() / mask.size)
    expected = inner * known.sum() / mask.size
    by_chance = inner * np.sqrt((count * weight**2).sum() / mask.size / (2.0 * np.sqrt(np.pi) * sigma_px) ** 3 / seen)
    strength = np.maximum(common / seen - CHANCE * by_chance, 0.0) / expected
    if not strength.any():
        return even
    return DifferenceFilter(ratio, enlarged(strength, shape, block).astype(np.float32), pixel_size_A)
