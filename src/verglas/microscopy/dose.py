"""Radiation damage: how fast signal of each spatial frequency fades, and the filters that weight frames by it.

The critical dose of 300 kV was measured on rotavirus by Grant and Grigorieff (2015); other voltages scale it.

References
----------
T. Grant, N. Grigorieff, "Measuring the optimal exposure for single particle cryo-EM using a 2.6 A reconstruction of
rotavirus VP6", eLife 4 (2015) e06980.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace

AMPLITUDE = 0.24499
EXPONENT = -1.6649
FLOOR_E_PER_A2 = 2.8141
VOLTAGE_FACTORS = {300.0: 1.0, 200.0: 0.8, 100.0: 0.532}
OPTIMAL_OVER_CRITICAL = 2.51284
REST_ENERGY_KEV = 510.99895


def _squared_speed(voltage_kV: float) -> float:
    """Return the square of the electron's speed over that of light."""
    return 1.0 - (1.0 + voltage_kV / REST_ENERGY_KEV) ** -2


def voltage_factor(voltage_kV: float) -> float:
    """Return the factor that turns critical doses at 300 kV into those at another voltage.

    1 at 300 kV, 0.8 at 200 kV and 0.532 at 100 kV (as cisTEM); between them linear in the squared speed of the
    electron, the scale on which the inelastic cross-section falls.

    Parameters
    ----------
    voltage_kV
        Acceleration voltage in kV, 100 to 300 (2 kV of slack at either end).

    Raises
    ------
    InputError
        If the voltage lies outside the range in which critical doses were measured.
    """
    known = sorted(VOLTAGE_FACTORS)
    if not known[0] - 2.0 <= voltage_kV <= known[-1] + 2.0:
        raise InputError(
            f"no critical dose is known for {voltage_kV:g} kV; dose filters work between {known[0]:g} and "
            f"{known[-1]:g} kV. Correct the voltage or switch the dose filter off."
        )
    for voltage in known:
        if abs(voltage_kV - voltage) <= 2.0:
            return VOLTAGE_FACTORS[voltage]
    speeds = [_squared_speed(voltage) for voltage in known]
    return float(np.interp(_squared_speed(voltage_kV), speeds, [VOLTAGE_FACTORS[voltage] for voltage in known]))


def critical_dose(frequency_per_A: Any, voltage_kV: float = 300.0) -> Any:
    """Return the dose at which the signal's amplitude has fallen to exp(-1/2).

    ``Ne(k) = (0.24499 k^-1.6649 + 2.8141)``, times the factor of the voltage.

    Parameters
    ----------
    frequency_per_A
        Spatial frequencies in 1/A, any shape; their sign is ignored.
    voltage_kV
        Acceleration voltage in kV.

    Returns
    -------
    array
        Critical dose in e/A^2, float64, same shape; infinite at frequency zero.

    Raises
    ------
    InputError
        If no critical dose is known for the voltage.
    """
    xp = array_namespace(frequency_per_A)
    frequency = xp.abs(xp.asarray(frequency_per_A, dtype=xp.float64))
    factor = voltage_factor(voltage_kV)
    origin = frequency == 0.0
    curve = factor * (AMPLITUDE * xp.where(origin, 1.0, frequency) ** EXPONENT + FLOOR_E_PER_A2)
    return xp.where(origin, xp.inf, curve)


def optimal_dose(frequency_per_A: Any, voltage_kV: float = 300.0) -> Any:
    """Return the total dose in e/A^2 at which the signal-to-noise ratio of an unweighted sum is highest.

    It is the dose N that maximises ``(1 - exp(-N / (2 Ne)))^2 / N``: 2.51284 times the critical dose.

    Parameters
    ----------
    frequency_per_A
        Spatial frequencies in 1/A, any shape.
    voltage_kV
        Acceleration voltage in kV.
    """
    return OPTIMAL_OVER_CRITICAL * critical_dose(frequency_per_A, voltage_kV)


def frame_doses(dose_per_frame_e_per_A2: float, frames: int, pre_exposure_e_per_A2: float = 0.0) -> np.ndarray:
    """Return the accumulated dose before the first frame and after each frame.

    Parameters
    ----------
    dose_per_frame_e_per_A2
        Dose of one frame.
    frames
        Number of frames.
    pre_exposure_e_per_A2
        Dose that the specimen had received before the first frame.

    Returns
    -------
    ndarray, shape (frames + 1,)
        Doses in e/A^2; frame ``i`` lies between entries ``i`` and ``i + 1``.

    Raises
    ------
    InputError
        If a dose is negative or there are no frames.
    """
    if dose_per_frame_e_per_A2 < 0.0 or pre_exposure_e_per_A2 < 0.0 or frames < 1:
        raise InputError(
            f"{frames} frames of {dose_per_frame_e_per_A2:g} e/A^2 after {pre_exposure_e_per_A2:g} e/A^2 make no "
            "exposure; give at least one frame and doses of zero or more."
        )
    return pre_exposure_e_per_A2 + dose_per_frame_e_per_A2 * np.arange(frames + 1, dtype=np.float64)


def dose_filters(
    frequency_per_A: Any,
    doses_e_per_A2: Any,
    voltage_kV: float = 300.0,
    *,
    average_within_frame: bool = False,
    restore_noise_power: bool = False,
) -> Any:
    """Return the weight of each frame at each spatial frequency.

    A frame's filter is the amplitude of the signal that is left, ``exp(-N / (2 Ne))``, at the end of the frame (as
    Grant and Grigorieff, and cisTEM) or averaged over the frame.

    Parameters
    ----------
    frequency_per_A
        Spatial frequencies in 1/A, any shape ``[...]``.
    doses_e_per_A2
        Accumulated dose before the first frame and after every frame, shape ``(frames + 1,)``, as
        :func:`frame_doses` gives it.
    voltage_kV
        Acceleration voltage in kV.
    average_within_frame
        Average the fading over each frame instead of taking its end.
    restore_noise_power
        Divide by the root of the sum over frames of the squared filters, so that white noise of equal power in all
        frames has after weighting and summing the power of one frame at every frequency. Use it for all
        frames together: the weights of a subset are those of the whole.

    Returns
    -------
    array, shape (frames, ...)
        Weights, float64.

    Raises
    ------
    InputError
        If doses are negative or fall, or no critical dose is known for the voltage.
    """
    xp = array_namespace(frequency_per_A)
    doses = np.asarray(doses_e_per_A2, dtype=np.float64)
    if doses.ndim != 1 or doses.size < 2 or doses[0] < 0.0 or not np.all(np.diff(doses) >= 0.0):
        raise InputError(
            "accumulated doses must be one list that starts at the pre-exposure and never falls, with one more entry "
            f"than there are frames; got shape {doses.shape}. See frame_doses()."
        )
    rate = 0.5 / critical_dose(frequency_per_A, voltage_kV)
    column = (-1, *([1] * rate.ndim))
    end = xp.asarray(doses[1:]).reshape(column)
    if average_within_frame:
        start = xp.asarray(doses[:-1]).reshape(column)
        duration = rate * (end - start)
        small = duration < 1e-9
        safe = xp.where(small, 1.0, duration)
        filters = xp.exp(-rate * start) * xp.where(small, 1.0 - 0.5 * duration, -xp.expm1(-safe) / safe)
    else:
        filters = xp.exp(-rate * end)
    if restore_noise_power:
        filters = filters / _root_of_summed_squares(xp, filters)
    return filters


def _root_of_summed_squares(xp: Any, filters: Any) -> Any:
    """Return sqrt(sum over frames of q^2), scaled against underflow where all frames have faded."""
    largest = xp.max(filters, axis=0)
    floor = float(np.finfo(np.float64).tiny)
    largest = xp.maximum(largest, floor)
    return xp.maximum(largest * xp.sqrt(xp.sum((filters / largest) ** 2, axis=0)), floor)
