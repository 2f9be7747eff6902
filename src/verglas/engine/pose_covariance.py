"""What refined poses are known to: the covariance that follows from the normal matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Information left, at the least, when the noise that a model has fitted is taken off.
LEAST_SHARE = 0.2


def pose_covariance(
    normal: NDArray[np.float64],
    active: NDArray[np.bool_],
    scale: NDArray[np.float64],
    variance: NDArray[np.float64],
    slope_excess: float,
) -> NDArray[np.float64]:
    """Return the inverse of the information on the refined parameters.

    The information is twice the normal matrix over the noise variance, less two things that would make it look larger
    than it is: slopes of an interpolated reference are steeper than true ones, and a fitted model has also fitted
    noise, which adds half a unit of likelihood for each parameter to the signal's.
    """
    from verglas.kernels.levenberg_marquardt import SCALE

    covariance = np.zeros_like(normal)
    chosen = np.flatnonzero(active)
    if chosen.size and len(normal):
        full = 2.0 * normal
        full[:, :3, :3] /= slope_excess
        if active[SCALE]:
            gain = np.maximum(scale**2 * normal[:, SCALE, SCALE], 1e-300)
            share = np.maximum(1.0 - 0.5 * chosen.size * variance / gain, LEAST_SHARE)
            others = np.where(np.arange(active.size) == SCALE, 1.0, np.sqrt(share)[:, None])
            full *= others[:, :, None] * others[:, None, :]
        part = full[:, chosen[:, None], chosen]
        # Radians and A differ by orders of magnitude: bring the diagonal to 1 first.
        size = np.sqrt(np.maximum(np.diagonal(part, axis1=1, axis2=2), 1e-300))
        scaled = part / (size[:, :, None] * size[:, None, :])
        good = np.linalg.cond(scaled) < 1e10
        inverse = np.full_like(scaled, np.nan)
        inverse[good] = np.linalg.inv(scaled[good])
        inverse /= size[:, :, None] * size[:, None, :]
        covariance[:, chosen[:, None], chosen] = inverse * variance[:, None, None]
    return covariance
