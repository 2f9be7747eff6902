"""A counting detector: response, uneven pixels, hot pixels, dead columns, and its imperfect gain reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.kernels.simulation_frame import WARP_TAPS
from verglas.stages.simulation.parameters import MovieParameters
from verglas.stages.simulation.random import generator

PHASES = 1024


@dataclass(frozen=True)
class Detector:
    """One camera, the same for all movies of a set.

    Attributes
    ----------
    sensitivity
        (ny, nx) counts per electron, relative; 0 in dead columns.
    background
        (ny, nx) counts per frame without beam: hot pixels.
    gain
        (ny, nx) reference to multiply frames by; 0 in dead columns. It knows nothing of hot pixels.
    hot
        (n, 2) rows and columns of hot pixels.
    dead
        Columns that count nothing.
    """

    sensitivity: NDArray[np.float32]
    background: NDArray[np.float32]
    gain: NDArray[np.float32]
    hot: NDArray[np.int64]
    dead: NDArray[np.int64]


def make_detector(parameters: MovieParameters) -> Detector:
    """Return the camera that belongs to a seed."""
    shape = (parameters.height, parameters.width)
    random = generator(parameters.seed, "detector")
    pixels = random.standard_normal(shape, dtype=np.float32)
    sensitivity = np.clip(1 + np.float32(parameters.gain_variation) * pixels, 0.2, None)
    error = random.standard_normal(shape, dtype=np.float32)
    gain = (1 + np.float32(parameters.gain_reference_noise) * error) / sensitivity
    dead = np.sort(random.choice(shape[1], size=min(parameters.dead_columns, shape[1]), replace=False))
    sensitivity[:, dead] = 0
    gain[:, dead] = 0
    background = np.zeros(shape, np.float32)
    where = np.sort(random.choice(shape[0] * shape[1], size=min(parameters.hot_pixels, pixels.size), replace=False))
    hot = np.stack(np.unravel_index(where, shape), axis=-1)
    background[hot[:, 0], hot[:, 1]] = random.uniform(5, 100, len(hot))
    background[:, dead] = 0
    return Detector(sensitivity, background, gain, hot, dead)


def response(k: NDArray[np.float64], parameters: MovieParameters) -> NDArray[np.float64]:
    """Return the MTF at spatial frequency ``k`` (1/A): a Gaussian through the stated value at Nyquist.

    Each electron is counted once, a little off where it fell: the signal is multiplied by the MTF and the noise stays
    white, so that the detective quantum efficiency is the quantum efficiency x MTF^2.
    """
    return np.asarray(np.exp(math.log(parameters.mtf_at_nyquist) * (2 * parameters.pixel_size_A * k) ** 2))


def interpolation_taps() -> NDArray[np.float32]:
    """Return (PHASES + 1, WARP_TAPS) weights of a sinc under a Kaiser window, each row of sum one."""
    position = np.arange(WARP_TAPS) - (WARP_TAPS // 2 - 1)
    offset = np.arange(PHASES + 1)[:, None] / PHASES
    distance = position[None, :] - offset
    window = np.i0(6.0 * np.sqrt(np.clip(1 - (distance / (WARP_TAPS / 2)) ** 2, 0, None))) / np.i0(6.0)
    taps = np.sinc(distance) * window
    return np.asarray(taps / taps.sum(axis=1, keepdims=True), dtype=np.float32)
