"""The power of the noise around particles, measured in the quietest boxes of a micrograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

Array = np.ndarray[Any, Any]
LEAST_BOX = 16
QUIET_PART = 0.25  # of the places, at most, that count as quiet
RINGS = 24


@dataclass(frozen=True)
class NoisePower:
    """Power |F|^2 / pixels of the noise over frequency (cycles per pixel)."""

    frequency: Array
    power: Array
    boxes: Array

    def at(self, frequency: Array) -> Array:
        """Return the power at frequencies, linear in between, constant beyond the ends."""
        return np.asarray(np.exp(np.interp(frequency, self.frequency, np.log(self.power))))


def quiet_boxes(deviation: Array, allowed: Array, box: int, count: int) -> Array:
    """Return the centres (y, x) of the quietest places, at most a quarter of all, not overlapping by more than half.

    Parameters
    ----------
    deviation
        Local standard deviation.
    allowed
        Where boxes may have their centres.
    box
        Edge of the boxes in pixels.
    count
        How many are wanted.
    """
    half, step = box // 2, max(1, box // 4)
    rows = np.arange(half, deviation.shape[0] - half, step)
    columns = np.arange(half, deviation.shape[1] - half, step)
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    good = places[allowed[places[:, 0], places[:, 1]]]
    places = good if len(good) >= 4 else places
    values = deviation[places[:, 0], places[:, 1]]
    order = np.argsort(values, kind="stable")[: max(4, int(QUIET_PART * len(places)))]
    taken: list[Array] = []
    for place in places[order]:
        if all(np.max(np.abs(place - other)) >= half for other in taken):
            taken.append(place)
            if len(taken) == count:
                break
    return np.array(taken)


def measure_noise(flat: Array, boxes: Array, box: int) -> NoisePower:
    """Return the mean power of boxes under a Hann window, averaged in rings.

    Parameters
    ----------
    flat
        The small micrograph without its slow variations.
    boxes
        Centres (y, x).
    box
        Edge in pixels.
    """
    half = box // 2
    along = np.hanning(box + 1)[:box]
    window = (along[:, None] * along[None]).astype(np.float32)
    cut = np.stack([flat[y - half : y - half + box, x - half : x - half + box] for y, x in boxes])
    cut = (cut - np.sum(cut * window, axis=(1, 2), keepdims=True) / window.sum()) * window
    power = np.mean(np.abs(scipy.fft.rfft2(cut)) ** 2, axis=0) / np.sum(window.astype(np.float64) ** 2)
    radius = np.hypot(scipy.fft.fftfreq(box)[:, None], scipy.fft.rfftfreq(box)[None])
    rings = min(RINGS, box // 2)
    index = np.minimum((radius * 2 * rings).astype(int), rings)
    keep = radius > 0.9 / box  # the window spreads the removed mean no further
    total = np.bincount(index[keep], minlength=rings + 1)
    sums = np.bincount(index[keep], power[keep], minlength=rings + 1)
    place = np.bincount(index[keep], radius[keep], minlength=rings + 1)
    filled = total > 0
    values = sums[filled] / total[filled]
    return NoisePower(place[filled] / total[filled], np.maximum(values, 1e-6 * values.max()), boxes)
