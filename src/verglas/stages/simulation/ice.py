"""What vitreous ice does to an image: structure noise with its 3.7 A ring, moving water, uneven thickness."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
import scipy.ndimage
from numpy.typing import NDArray

from verglas.stages.simulation.parameters import IceParameters, MovieParameters
from verglas.stages.simulation.random import generator
from verglas.stages.simulation.scattering import WATER_PER_A3, interaction_per_VA, water_factor

# Peaks of the structure factor of low-density amorphous ice: position (1/A), height, width (1/A).
PEAKS = ((0.2706, 1.25, 0.022), (0.487, 0.32, 0.05), (0.80, 0.12, 0.08))
COMPRESSIBILITY = 0.06


def structure_factor(k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the static structure factor of low-density amorphous ice at spatial frequency ``k`` (1/A).

    A smooth curve with the published features: little power at low frequency, first peak at 1.70/A (3.7 A), second
    at 3.05/A (2.06 A), 1 far out.

    References
    ----------
    Bowron et al., J. Chem. Phys. 125, 194502 (2006).
    """
    total = COMPRESSIBILITY + (1 - COMPRESSIBILITY) * -np.expm1(-((k / 0.27) ** 4))
    for position, height, width in PEAKS:
        total = total + height * np.exp(-(((k - position) / width) ** 2) / 2)
    return np.asarray(total)


def ice_contrast_density(k: NDArray[np.float64], parameters: IceParameters) -> NDArray[np.float64]:
    """Return the power spectral density (A^2) of the ice's relative contrast where the CTF is one."""
    if parameters.ice_thickness_A == 0:
        return np.zeros_like(k)
    one = 2 * interaction_per_VA(parameters.voltage_kV) * water_factor(k)
    density = parameters.ice_strength**2 * WATER_PER_A3 * parameters.ice_thickness_A * one**2 * structure_factor(k)
    return np.asarray(density)


def water_memory(
    k: NDArray[np.float64], parameters: IceParameters, dose_e_A2: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how a Fourier coefficient of the ice resembles itself after a dose, and its damping within that exposure.

    Water molecules take a random walk under the beam; a coefficient's correlation falls as exp(-2 pi^2 k^2 s^2) with
    the mean square displacement s^2 along one axis.

    References
    ----------
    McMullan, Vinothkumar & Henderson, Ultramicroscopy 158, 26 (2015).
    """
    x = 2 * math.pi**2 * k**2 * parameters.water_diffusion_A2 / 3 * dose_e_A2
    x = np.maximum(x, 1e-6)
    return np.exp(-x), np.sqrt(2 * (x + np.expm1(-x)) / x**2)


def smooth_field(shape: tuple[int, int], corner_px: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Return a random field of unit variance and zero mean whose power falls off beyond a corner wavelength."""
    step = max(1, int(corner_px / 12))
    small = tuple(scipy.fft.next_fast_len(math.ceil(n / step) + 4, real=True) for n in shape)
    k = np.hypot(scipy.fft.fftfreq(small[0])[:, None], scipy.fft.rfftfreq(small[1])[None, :])
    spectrum = scipy.fft.rfft2(random.standard_normal(small)) / (1 + (k * corner_px / step) ** 2)
    field = scipy.fft.irfft2(spectrum, small)
    field = (field - field.mean()) / max(field.std(), 1e-12)
    large = (
        scipy.ndimage.zoom(field, step, order=1)[: shape[0], : shape[1]] if step > 1 else field[: shape[0], : shape[1]]
    )
    return np.asarray(large, dtype=np.float32)


def thickness_map(parameters: MovieParameters, movie: int) -> NDArray[np.float32]:
    """Return the ice thickness (A) over the image, (height, width)."""
    shape = (parameters.height, parameters.width)
    if parameters.thickness_variation == 0:
        return np.full(shape, parameters.ice_thickness_A, np.float32)
    field = smooth_field(shape, 1500 / parameters.pixel_size_A, generator(parameters.seed, "thickness", movie))
    return np.asarray(
        parameters.ice_thickness_A * np.clip(1 + parameters.thickness_variation * field, 0.1, None), np.float32
    )
