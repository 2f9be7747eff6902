"""The map that the images of a stack are projections of, on their own scale."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.stages.simulation.atoms import read_atoms
from verglas.stages.simulation.optics import critical_dose_e_A2
from verglas.stages.simulation.parameters import Conformation, StackParameters
from verglas.stages.simulation.projection import make_density
from verglas.stages.simulation.scattering import interaction_per_VA


def projected_map(parameters: StackParameters, conformation: Conformation, signal_scale: float) -> NDArray[np.float32]:
    """Return the map whose projections, times the CTF, are the noise-free images of a stack.

    Parameters
    ----------
    parameters
        Of the stack.
    conformation
        Which shape.
    signal_scale
        Of the stack's report: from contrast to the values that were written.

    Returns
    -------
    ndarray
        float32, shape (box, box, box), protein positive where the stack is dark on white; the envelope, and what damage
        leaves, are in it.
    """
    box, pixel_A = parameters.box, parameters.pixel_size_A
    density = make_density(
        read_atoms(parameters, conformation), box, pixel_A, solvent_density=parameters.solvent_density,
        smoothing_A=parameters.solvent_smoothing_A,
    )  # fmt: skip
    k, k_half = scipy.fft.fftfreq(box, pixel_A), scipy.fft.rfftfreq(box, pixel_A)
    squared = k[:, None, None] ** 2 + k[:, None] ** 2 + k_half**2
    contrast = 2.0 * interaction_per_VA(parameters.voltage_kV) * pixel_A * abs(signal_scale)
    factor = contrast * np.exp(-0.25 * parameters.envelope_b_A2 * squared)
    if parameters.dose_e_A2 is not None:
        factor *= fading(np.sqrt(squared), parameters.dose_e_A2, parameters.voltage_kV)
    found = scipy.fft.irfftn(scipy.fft.rfftn(density) * factor, density.shape)
    return np.asarray(found, np.float32)


def fading(frequency_per_A: NDArray[np.float64], dose_e_A2: float, voltage_kV: float) -> NDArray[np.float64]:
    """Return what radiation damage leaves of the signal, at unit noise, where frames are summed at their best weights.

    A frame after the dose N has the amplitude q = exp(-N / 2 Nc). Frames weighted by q, in units of the sum's noise,
    have the amplitude sqrt(mean of q^2), and the mean over a dose D is (1 - exp(-D / Nc)) Nc / D.

    Parameters
    ----------
    frequency_per_A
        1/A, any shape.
    dose_e_A2
        Of the whole exposure.
    voltage_kV
        Which the critical dose Nc depends on.
    """
    critical = critical_dose_e_A2(frequency_per_A, voltage_kV)
    return np.asarray(np.sqrt(-np.expm1(-dose_e_A2 / critical) * critical / dose_e_A2))
