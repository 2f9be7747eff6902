"""How thick a specimen is, from the nodes that its depth leaves in the Thon rings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.microscopy import Optics
from verglas.stages.ctf_estimation.points import background_basis
from verglas.stages.ctf_estimation.quality import equal_phase_squared, ring_turns
from verglas.stages.ctf_estimation.search import CtfValues
from verglas.stages.ctf_estimation.spectrum import ThonSpectrum

Array = np.ndarray[Any, Any]
LARGEST_A = 5000.0
STEP_A = 25.0
DECAYS_A2 = (0.0, 4.0, 10.0, 20.0, 40.0, 80.0, 160.0)
LEAST_GAIN = 25.0
"""Fall of the sum of squares, in units of the noise's variance, from which on a thickness is believed."""


@dataclass(frozen=True)
class Thickness:
    """The thickness of a specimen.

    Attributes
    ----------
    thickness_A
        The most probable one.
    error_A
        Its standard error.
    gain
        By how much it explains the spectrum better than a thin specimen: fall of the sum of squares in units of the
        noise's variance.
    first_node_A, finest_A
        Resolution of the first node, and to where rings were looked at.
    """

    thickness_A: float
    error_A: float
    gain: float
    first_node_A: float
    finest_A: float

    @property
    def is_certain(self) -> bool:
        """Whether the spectrum tells the thickness: its first node lies in it, and explains it much better."""
        return self.gain >= LEAST_GAIN and self.first_node_A >= self.finest_A


def find_thickness(
    spectrum: ThonSpectrum, optics: Optics, values: CtfValues, coarsest_A: float, finest_A: float
) -> Thickness:
    """Find the thickness whose nodes fit a spectrum best, for a known transfer function.

    Parts of the specimen at different heights have rings of different defocus; together they are weakened by
    ``sinc(lambda k^2 t)``, and turned round beyond each node. Points of equal phase are averaged first; the height
    of the rings falls with frequency as a sum of Gaussians that are not negative, so that it cannot imitate a node.

    Parameters
    ----------
    spectrum, optics, values
        What was fitted, the microscope, the fit.
    coarsest_A, finest_A
        Resolutions between which rings are looked at.

    References
    ----------
    J. Elferich et al., "CTFFIND5 provides improved insight into quality, tilt, and thickness of TEM samples",
    eLife 13 (2024) RP97227.
    """
    frequency, curve, root_count = equal_phase_curve(spectrum, optics, values, coarsest_A, finest_A)
    squared = frequency**2
    orthogonal, _ = np.linalg.qr(background_basis(squared, frequency[0], frequency[-1]) * root_count[:, None])

    def without_background(columns: Array) -> Array:
        cleaned: Array = columns - orthogonal @ (orthogonal.T @ columns)
        return cleaned

    data = without_background(curve * root_count)
    rings = -np.cos(2 * np.pi * ring_turns(squared, values, optics))
    envelopes = np.exp(-np.outer(squared, DECAYS_A2)) * root_count[:, None]
    trials = np.arange(0.0, LARGEST_A + STEP_A, STEP_A)
    squares = np.array([_misfit(thickness, optics, squared, rings, envelopes, data, without_background)
                        for thickness in trials])  # fmt: skip
    best = int(squares.argmin())
    variance = float(squares[best]) / max(len(data) - orthogonal.shape[1] - len(DECAYS_A2), 1)
    found, error = float(trials[best]), math.inf
    if 0 < best < len(trials) - 1:
        before, here, after = squares[best - 1 : best + 2]
        bend = (before - 2 * here + after) / STEP_A**2
        if bend > 0:
            found += 0.5 * STEP_A * (before - after) / (before - 2 * here + after)
            error = math.sqrt(2.0 * variance / bend)
    node_A = math.sqrt(optics.wavelength_A * max(found, 0.0))
    return Thickness(float(found), error, float(squares[0] - squares[best]) / max(variance, 1e-300), node_A, finest_A)


def equal_phase_curve(
    spectrum: ThonSpectrum, optics: Optics, values: CtfValues, coarsest_A: float, finest_A: float
) -> tuple[Array, Array, Array]:
    """Return frequency, log power averaged over points of equal phase, and the root of their number, of each half ring.

    Half rings keep the narrow rings of a large defocus.
    """
    box, step = spectrum.box, spectrum.step_per_A
    y = np.fft.fftfreq(box, 1.0 / box)[:, None]
    x = np.arange(box // 2 + 1)[None]
    radius = np.hypot(x, y)
    low, high = 1.0 / coarsest_A / step, min(1.0 / finest_A / step, box // 2 - 1)
    used = (x > 1.5) & (abs(y) > 1.5) & (radius > low) & (radius < high)
    squared = (radius[used] * step) ** 2
    azimuth = np.arctan2(*np.broadcast_arrays(y, x))[used]
    defocus = values.mean_A + values.cosine_part_A * np.cos(2 * azimuth) + values.sine_part_A * np.sin(2 * azimuth)
    equal = np.sqrt(equal_phase_squared(squared, defocus, values.mean_A, optics))
    ring = np.rint(2.0 * equal / step).astype(np.int64)
    count = np.bincount(ring)
    there = np.flatnonzero(count >= 8)
    frequency = np.bincount(ring, equal)[there] / count[there]
    curve = np.bincount(ring, spectrum.log_power[used].astype(np.float64))[there] / count[there]
    return frequency, curve, np.sqrt(count[there])


def _misfit(
    thickness_A: float, optics: Optics, squared: Array, rings: Array, envelopes: Array, data: Array, clean: Any
) -> float:
    """Return the least sum of squares of a thickness."""
    from scipy.optimize import nnls

    modulated = rings * np.sinc(optics.wavelength_A * squared * thickness_A)
    _, distance = nnls(clean(envelopes * modulated[:, None]), data)
    return float(distance) ** 2
