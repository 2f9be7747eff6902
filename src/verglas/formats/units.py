"""Exact changes of unit: a value that came from radians goes back to the same radians."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def to_degrees(angle_rad: Floats) -> Floats:
    """Return degrees; never wrapped."""
    return np.asarray(angle_rad, np.float64) * (180.0 / np.pi)


def to_radians(angle_deg: Floats) -> Floats:
    """Return radians; where a short decimal number gives exactly these degrees, that number."""
    return shortest(np.asarray(angle_deg, np.float64) / (180.0 / np.pi), to_degrees, angle_deg)


def scaled(values: Floats, factor: Floats) -> Floats:
    """Return ``values * factor``; where a short decimal number divided by ``factor`` gives ``values``, that number."""
    factor = np.asarray(factor, np.float64)
    return shortest(values * factor, lambda product: product / factor, values)


def shortest(values: Floats, back: object, wanted: Floats) -> Floats:
    """Return ``values``, rounded to 9 decimals where ``back`` of that is exactly ``wanted``."""
    rounded = np.round(values, 9)
    with np.errstate(all="ignore"):
        same = back(rounded) == wanted  # type: ignore[operator]
    return np.where(same, rounded, values)
