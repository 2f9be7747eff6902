"""How far the Thon rings of a spectrum follow a fitted transfer function, and how icy the micrograph is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.microscopy import Optics
from verglas.stages.ctf_estimation.points import solve
from verglas.stages.ctf_estimation.search import CtfValues
from verglas.stages.ctf_estimation.spectrum import ThonSpectrum

Array = np.ndarray[Any, Any]
GOOD_QUALITY = 0.5
LOST_PIXELS = 9  # the narrowest window
ICE_BAND_A = (3.9, 3.5)
ICE_NEIGHBOURS_A = (4.2, 3.3)
THON_BAND_A = (30.0, 6.0)


@dataclass(frozen=True)
class FitQuality:
    """Curves of frequency, shape (samples,), and the numbers drawn from them.

    Attributes
    ----------
    frequency_per_A
        Spatial frequency.
    average
        Rotational average of the log power.
    equiphase_average
        Average over points of equal phase, at the frequency where the mean defocus has that phase.
    background
        The slow part of the equi-phase average.
    fit
        |CTF| at the mean defocus, of a specimen of the given thickness.
    quality
        Correlation of the equi-phase average with CTF^2 in a moving window of one and a half rings or more.
    noise
        Two standard deviations of that correlation if there were no rings.
    fit_resolution_A
        To where the rings follow the fit; infinite if they nowhere do.
    aliasing_resolution_A
        From where a ring is narrower than two pixels of the spectrum; 0 where none is.
    iciness
        Height of the ice ring at 3.7 A over that of the Thon rings between 30 and 6 A, both in log power; NaN where
        the spectrum ends before it.
    """

    frequency_per_A: Array
    average: Array
    equiphase_average: Array
    background: Array
    fit: Array
    quality: Array
    noise: Array
    fit_resolution_A: float
    aliasing_resolution_A: float
    iciness: float


def assess(
    spectrum: ThonSpectrum, optics: Optics, values: CtfValues, coarsest_A: float, thickness_A: float = 0.0
) -> FitQuality:
    """Measure the quality of a fit from the coarsest resolution to the spectrum's edge.

    The rings of a specimen of some thickness are weakened towards each node and turned round beyond it.

    References
    ----------
    A. Rohou, N. Grigorieff, J. Struct. Biol. 192 (2015) 216. K. Zhang, J. Struct. Biol. 193 (2016) 1, for equi-phase
    averages.
    """
    box, step = spectrum.box, spectrum.step_per_A
    y = np.fft.fftfreq(box, 1.0 / box)[:, None]
    x = np.arange(box // 2 + 1)[None]
    used = (x > 1.5) & (abs(y) > 1.5) & (np.hypot(x, y) < box // 2)
    squared = ((x**2 + y**2) * step**2)[used]
    azimuth = np.arctan2(*np.broadcast_arrays(y, x))[used]
    log_power = spectrum.log_power[used].astype(np.float64)
    rings = np.arange(box // 2)
    defocus = values.mean_A + values.cosine_part_A * np.cos(2 * azimuth) + values.sine_part_A * np.sin(2 * azimuth)
    average = _profile(np.sqrt(squared) / step, log_power, len(rings))
    equal = _profile(
        np.sqrt(equal_phase_squared(squared, defocus, values.mean_A, optics)) / step, log_power, len(rings)
    )
    frequency = rings * step
    turns = ring_turns(frequency**2, values, optics)
    period = 1.0 / np.maximum(abs(np.gradient(turns, step)), 1e-9) / step  # of CTF^2, in pixels
    first = max(3, math.ceil(1.0 / coarsest_A / step))
    nodes = np.sinc(optics.wavelength_A * frequency**2 * thickness_A)
    ctf_squared = 0.5 - 0.5 * nodes * np.cos(2 * np.pi * turns)
    half = np.clip(np.ceil(0.75 * period), 4, len(rings) // 4).astype(int)
    background = _slow_part(equal, half, first)
    quality, noise = _moving_correlation(equal - background, ctf_squared, half, first)
    narrow = np.flatnonzero((period < 2.0) & (rings >= first))
    aliasing = 1.0 / frequency[narrow[0]] if narrow.size else 0.0
    return FitQuality(
        frequency, average, equal, background, np.sqrt(ctf_squared), quality, noise,
        _fit_resolution(frequency, quality, first), aliasing,
        _iciness(frequency, equal, ctf_squared, first),
    )  # fmt: skip


def ring_turns(squared: Array, values: CtfValues, optics: Optics) -> Array:
    """Return the phase of the Thon rings in turns at the mean defocus."""
    wavelength = optics.wavelength_A
    sphere = 0.5 * optics.spherical_aberration_mm * 1e7 * wavelength**3
    constant = (optics.amplitude_phase + values.phase_shift) / math.pi
    turns: Array = wavelength * values.mean_A * squared - sphere * squared**2 + constant
    return turns


def equal_phase_squared(squared: Array, defocus: Array, mean_A: float, optics: Optics) -> Array:
    """Return the squared frequency at which the mean defocus has the phase that each point has.

    Solves ``lambda m q - s q^2 = lambda d k^2 - s k^4`` for q, on the branch that joins k^2 where d = m; points past
    the extremum of the phase stay where they are.
    """
    wavelength = optics.wavelength_A
    sphere = 0.5 * optics.spherical_aberration_mm * 1e7 * wavelength**3
    phase = wavelength * defocus * squared - sphere * squared**2
    b = wavelength * mean_A
    root = b * b - 4.0 * sphere * phase
    rising = (root > 0) & (b > 2.0 * sphere * squared)
    solved = 2.0 * phase / (b + np.sqrt(np.where(rising, root, 1.0)))
    return np.where(rising & (solved > 0), solved, squared)


def _profile(radius: Array, value: Array, rings: int) -> Array:
    """Average values over rings, each value shared between the two nearest."""
    low = np.floor(radius).astype(np.int64)
    part = radius - low
    total, count = np.zeros(rings + 2), np.zeros(rings + 2)
    for ring, weight in ((low, 1.0 - part), (low + 1, part)):
        inside = np.minimum(ring, rings + 1)
        total += np.bincount(inside, weight * value, rings + 2)
        count += np.bincount(inside, weight, rings + 2)
    average = total / np.maximum(count, 1e-9)
    known = np.flatnonzero(count > 0.5)
    return np.interp(np.arange(rings), known, average[known])


def _slow_part(curve: Array, half: Array, first: int) -> Array:
    """Return the curve's local straight-line trend over a window of one and a half rings on each side."""
    background = curve.copy()
    for i in range(first, len(curve)):
        low, high = max(first, i - 2 * half[i]), min(len(curve), i + 2 * half[i] + 1)
        place = np.arange(low, high) - i
        columns = np.stack([np.ones(high - low), place], axis=-1)
        background[i] = solve(columns, curve[low:high])[0]
    return background


def _moving_correlation(curve: Array, rings: Array, half: Array, first: int) -> tuple[Array, Array]:
    quality, noise = np.zeros(len(curve)), np.ones(len(curve))
    for i in range(first, len(curve)):
        low, high = max(first, i - half[i]), min(len(curve), i + half[i] + 1)
        a, b = curve[low:high] - curve[low:high].mean(), rings[low:high] - rings[low:high].mean()
        norm = math.sqrt(float(a @ a) * float(b @ b))
        quality[i] = float(a @ b) / norm if norm > 0 else 0.0
        noise[i] = min(1.0, 2.0 / math.sqrt(max(high - low - 1, 1)))
    return quality, noise


def _fit_resolution(frequency: Array, quality: Array, first: int) -> float:
    """Return the last resolution of good quality before it is lost over several pixels in a row."""
    last, lost = -1, 0
    for i in range(first, len(quality)):
        if quality[i] >= GOOD_QUALITY:
            last, lost = i, 0
        else:
            lost += 1
        if lost == LOST_PIXELS and last >= 0:
            break
    return 1.0 / float(frequency[last]) if last >= 0 else math.inf


def _iciness(frequency: Array, curve: Array, ctf_squared: Array, first: int) -> float:
    outer_low, outer_high = 1.0 / ICE_NEIGHBOURS_A[0], 1.0 / ICE_NEIGHBOURS_A[1]
    if frequency[-1] < outer_high:
        return math.nan
    ice = (frequency >= 1.0 / ICE_BAND_A[0]) & (frequency <= 1.0 / ICE_BAND_A[1])
    beside = (frequency >= outer_low) & (frequency <= outer_high) & ~ice
    line = np.polyfit(frequency[beside], curve[beside], 1)
    excess = max(0.0, float((curve[ice] - np.polyval(line, frequency[ice])).mean()))
    thon = (frequency >= 1.0 / THON_BAND_A[0]) & (frequency <= 1.0 / THON_BAND_A[1])
    thon[:first] = False
    k = frequency[thon]
    columns = np.stack([np.ones_like(k), k, k**2, np.log(k), ctf_squared[thon]], axis=-1)
    height = float(solve(columns, curve[thon])[-1])
    return excess / height if height > 0 else math.inf
