"""Where not to pick: ice, carbon, aggregates, empty or abnormal areas, and the edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, uniform_filter

Array = np.ndarray[Any, Any]
SHORTEST_PART = 0.4  # of the values: the interval that shows where most of them lie
FWHM_OF_SHORTEST_PART = 2.3548 / 1.0488  # of a normal distribution, in widths of that interval
LARGE_RADII = 1.5  # of the particle: bad areas that hold no disc so large are particles themselves


@dataclass(frozen=True)
class AreaSettings:
    """Which areas are avoided; limits in widths (FWHM) of the distribution over the micrograph, none: not avoided.

    Mean and high variance rule out areas larger than a particle only, so that strong particles in empty ice remain.

    Attributes
    ----------
    low_variance
        Avoid areas whose local standard deviation lies this far below the commonest: empty ones.
    high_variance
        Avoid areas whose local standard deviation lies this far above it: carbon, crystals, aggregates. Crowds of
        strong particles beside empty ice look the same, so this is off unless asked for.
    abnormal_mean
        Avoid areas whose local mean lies this far from the commonest, to both sides: thick ice, carbon, blobs.
    edge_distance_A
        Least distance of picks from the edges.
    """

    low_variance: float | None = None
    high_variance: float | None = None
    abnormal_mean: float | None = 3.0
    edge_distance_A: float = 100.0


@dataclass(frozen=True)
class Areas:
    """What is known of a micrograph's areas; all maps have the shape of the small image.

    Attributes
    ----------
    allowed
        Where picks may lie.
    mean, deviation
        Local mean and local standard deviation.
    bad
        What was ruled out by mean or deviation.
    avoided
        Part of the micrograph that is bad.
    """

    allowed: Array
    mean: Array
    deviation: Array
    bad: Array
    avoided: float


def find_areas(
    image: Array, flat: Array, radius_px: float, edge_px: tuple[float, float], settings: AreaSettings
) -> Areas:
    """Decide where picks may lie.

    Parameters
    ----------
    image
        The small micrograph.
    flat
        The same without its slow variations.
    radius_px
        The particle's largest radius in its pixels.
    edge_px
        Least distance from the edges along y and x.
    settings
        What to avoid.
    """
    window = max(3, 2 * round(radius_px) + 1)
    mean = gaussian_filter(image, radius_px, mode="nearest")
    local = uniform_filter(flat, window, mode="nearest")
    squares = uniform_filter(flat * flat, window, mode="nearest")
    deviation = np.sqrt(np.maximum(squares - local * local, 0.0))
    bad = np.zeros(image.shape, bool)
    if settings.abnormal_mean is not None:
        mode, width = mode_and_width(mean)
        bad |= np.abs(mean - mode) > settings.abnormal_mean * width
    mode, width = mode_and_width(deviation)
    if settings.high_variance is not None:
        bad |= deviation > mode + settings.high_variance * width
    bad = _without_small(bad, LARGE_RADII * radius_px, 0.5 * radius_px)
    if settings.low_variance is not None:
        bad |= deviation < mode - settings.low_variance * width
    allowed = ~bad
    edge_y, edge_x = (int(np.ceil(edge)) for edge in edge_px)
    inside = np.zeros_like(allowed)
    inside[edge_y : max(edge_y, len(inside) - edge_y), edge_x : max(edge_x, allowed[0].size - edge_x)] = True
    return Areas(allowed & inside, mean, deviation, bad, float(bad.mean()))


def _without_small(bad: Array, radius_px: float, grow_px: float) -> Array:
    """Return the parts of bad areas that hold a disc of a radius (it may reach over the edge), and a rim around."""
    if not bad.any() or bad.all():
        return bad
    core = distance_transform_edt(bad) > radius_px
    if not core.any():
        return core
    return np.asarray(distance_transform_edt(~core) <= radius_px + grow_px)


def mode_and_width(values: Array) -> tuple[float, float]:
    """Return the commonest value and the full width at half maximum of a distribution with a foreign part.

    Both come from the shortest interval that holds 40 % of the values, so that up to half of them may be foreign.

    Parameters
    ----------
    values
        Any shape.
    """
    ordered = np.sort(np.asarray(values, np.float64).ravel())
    part = max(1, round(SHORTEST_PART * len(ordered)))
    spans = ordered[part:] - ordered[: len(ordered) - part]
    if not len(spans):
        return float(ordered[0]), 0.0
    start = int(np.argmin(spans))
    return float(ordered[start : start + part].mean()), float(spans[start] * FWHM_OF_SHORTEST_PART)
