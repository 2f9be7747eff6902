"""The pixels of a spectrum that take part in a fit, with their background taken off and outliers bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.microscopy import Optics
from verglas.stages.ctf_estimation.spectrum import ThonSpectrum

Array = np.ndarray[Any, Any]
OUTLIER_SIGMAS = 5.0
FEWEST_POINTS = 200


@dataclass(frozen=True)
class Points:
    """Pixels of a spectrum as float64 arrays of shape (points,), and their rings.

    Attributes
    ----------
    squared
        Squared frequency in 1/A^2.
    cosine, sine
        Of twice the azimuth.
    value
        Log power without its background.
    ring
        Radius in whole pixels.
    per_A, constant
        Turns of the Thon rings for an A of defocus, and those of spherical aberration and amplitude contrast.
    """

    squared: Array
    cosine: Array
    sine: Array
    value: Array
    ring: Array
    per_A: Array
    constant: Array

    def within(self, finest_A: float) -> Points:
        """Return the points up to a resolution."""
        keep = self.squared <= 1.0 / finest_A**2
        return Points(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def turns(self, mean_A: float, cosine_part_A: float, sine_part_A: float, phase_shift: float) -> Array:
        """Return the phase of the Thon rings in turns; CTF^2 is ``(1 - cos 2 pi turns) / 2``."""
        defocus = mean_A + cosine_part_A * self.cosine + sine_part_A * self.sine
        turns: Array = defocus * self.per_A + self.constant + phase_shift / math.pi
        return turns


def background_basis(squared: Array, lowest: float, highest: float) -> Array:
    """Return smooth curves of frequency that a background is made of, shape (points, 7)."""
    k = np.sqrt(squared)
    x = 2.0 * (k - lowest) / (highest - lowest) - 1.0
    curves: Array = np.stack([np.log(k), *np.polynomial.chebyshev.chebvander(x, 5).T], axis=-1)
    return curves


def fit_points(spectrum: ThonSpectrum, optics: Optics, coarsest_A: float, finest_A: float) -> Points:
    """Choose the pixels between two resolutions, off the axes, and take off a smooth background.

    The background is a smooth curve of frequency plus one of each of cos 2 az and sin 2 az, so that a spectrum damped
    in one direction (drift) does not pass for astigmatism.

    Raises
    ------
    InputError
        If there are too few pixels.
    """
    box, step = spectrum.box, spectrum.step_per_A
    y = np.fft.fftfreq(box, 1.0 / box)[:, None]
    x = np.arange(box // 2 + 1)[None]
    squared = (x**2 + y**2) * step**2
    low, high = 1.0 / coarsest_A, min(1.0 / finest_A, (box // 2 - 1) * step)
    chosen = (squared >= low**2) & (squared <= high**2) & (x > 1.5) & (abs(y) > 1.5)
    if chosen.sum() < FEWEST_POINTS:
        raise InputError(
            f"Only {int(chosen.sum())} pixels of the spectrum lie between {coarsest_A:g} and {finest_A:g} A (its edge "
            f"is at {2 * spectrum.pixel_size_A:.2f} A): widen the range or use a larger box."
        )
    azimuth = np.arctan2(*np.broadcast_arrays(y, x))[chosen]
    squared = squared[chosen]
    cosine, sine = np.cos(2 * azimuth), np.sin(2 * azimuth)
    ring = np.rint(np.sqrt(squared) / step).astype(np.int64)
    value = spectrum.log_power[chosen].astype(np.float64)
    curves = background_basis(squared, low, high)
    slow = np.stack([np.ones_like(squared), np.sqrt(squared), squared], axis=-1)
    basis = np.concatenate([curves, slow * cosine[:, None], slow * sine[:, None]], axis=1)
    value = bounded(value, ring)
    value -= basis @ solve(basis, value)
    wavelength, sphere = optics.wavelength_A, 0.5 * optics.spherical_aberration_mm * 1e7 * optics.wavelength_A**3
    per_A = wavelength * squared
    constant = optics.amplitude_phase / math.pi - sphere * squared**2
    return Points(squared, cosine, sine, value, ring, per_A, constant)


def bounded(value: Array, ring: Array) -> Array:
    """Return values no further from their ring's mean than 5 standard deviations (of its middle part)."""
    count = np.maximum(np.bincount(ring), 1)
    mean = np.bincount(ring, value) / count
    off = value - mean[ring]
    spread = np.sqrt(np.bincount(ring, np.minimum(off**2, np.median(off**2) * 20.0)) / count)
    limit = OUTLIER_SIGMAS * spread[ring]
    result: Array = mean[ring] + np.clip(off, -limit, limit)
    return result


def solve(columns: Array, value: Array) -> Array:
    """Return the least squares solution through the normal equations of scaled columns."""
    scale = np.sqrt((columns**2).sum(axis=0))
    scaled = columns / np.maximum(scale, 1e-300)
    normal = scaled.T @ scaled + 1e-10 * np.eye(scaled.shape[1])
    solution: Array = np.linalg.solve(normal, scaled.T @ value) / np.maximum(scale, 1e-300)
    return solution
