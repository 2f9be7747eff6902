"""The matched filter: how many standard deviations of the noise the best template stands out, at every place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter

from verglas.signal import frequency_radius, hermitian_weight, smooth_size
from verglas.stages.picking.noise import NoisePower
from verglas.stages.picking.templates import TemplateImages

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scores:
    """Maps of the shape of the small image.

    Attributes
    ----------
    score
        Best template's match in standard deviations of the noise.
    template
        Index of that template, int32.
    background
        Standard deviation around each place that the template leaves unexplained, 1 for noise like the quiet areas'.
    """

    score: Array
    template: Array
    background: Array


def flatten(image: Array, sigma_px: float, bad: Array | None = None) -> Array:
    """Return an image without what is broader than a Gaussian; bad areas have no say in that and become zero."""
    if bad is None or not bad.any():
        return np.asarray(image - gaussian_filter(image, sigma_px, mode="nearest"), np.float32)
    good = (~bad).astype(np.float32)
    broad = gaussian_filter(image * good, sigma_px, mode="nearest")
    share = gaussian_filter(good, sigma_px, mode="nearest")
    return np.asarray((image - broad / np.maximum(share, 1e-3)) * good, np.float32)


def match(
    flat: Array, templates: TemplateImages, noise: NoisePower, *, radius_px: float, flatten_px: float,
    finest: float, transfer: Callable[[tuple[int, int]], Array] | None, sign: float, threads: int = 1,
    progress: Callable[[], None] | None = None,
) -> Scores:  # fmt: skip
    """Match templates with a small micrograph.

    Parameters
    ----------
    flat
        The flattened small micrograph.
    templates
        What to look for, in its pixels.
    noise
        Power of its noise.
    radius_px
        Radius around a place in which the background is measured.
    flatten_px
        Sigma by which it was flattened; templates lose the same.
    finest
        Highest frequency used, in cycles per pixel.
    transfer
        Gives the CTF on the half plane of a shape; none: no CTF.
    sign
        Of protein in the micrograph, before any CTF: -1 dark (with templates that take no CTF), 1 bright.
    threads
        Threads.
    progress
        Called before every template.

    References
    ----------
    F. J. Sigworth, "Classical detection theory and the cryo-EM particle selection problem", J. Struct. Biol. 145
    (2004) 111.
    """
    pad = int(np.ceil(2 * radius_px)) + templates.images.shape[-1] // 2
    shape = (smooth_size(flat.shape[0] + pad), smooth_size(flat.shape[1] + pad))
    padded = np.zeros(shape, np.float32)
    padded[: flat.shape[0], : flat.shape[1]] = flat
    frequency = frequency_radius(shape)
    weight = 1.0 / np.sqrt(noise.at(frequency))
    weight *= np.clip((1.05 * finest - frequency) / (0.1 * finest), 0.0, 1.0)
    weight[0, 0] = 0.0
    weight = weight.astype(np.float32)
    ends = hermitian_weight(shape)
    with scipy.fft.set_workers(threads):
        whitened = scipy.fft.rfft2(padded)
        whitened *= weight
        seen = weight * (1.0 - np.exp(-2.0 * (np.pi * flatten_px * frequency) ** 2)).astype(np.float32)
        if templates.uses_ctf and transfer is not None:
            seen *= transfer(shape)
        elif sign < 0:
            seen = -seen
        best, which = np.full(flat.shape, -np.inf, np.float32), np.zeros(flat.shape, np.int32)
        for number, image in enumerate(templates.images):
            if progress is not None:
                progress()
            template = scipy.fft.rfft2(_at_origin(image, shape)) * seen
            power = float(np.sum(ends * np.sum(np.abs(template) ** 2, axis=0, dtype=np.float64))) / np.prod(shape)
            template = np.conj(template) * np.float32(1.0 / np.sqrt(max(power, 1e-30)))
            score = scipy.fft.irfft2(whitened * template, shape)[: flat.shape[0], : flat.shape[1]]
            if number == 0:
                best = np.ascontiguousarray(score)
            else:
                better = score > best
                best[better], which[better] = score[better], number
        background = _background(whitened, weight, noise, frequency, shape, radius_px, ends)
    unexplained = background[: flat.shape[0], : flat.shape[1]]
    degrees = np.pi * radius_px**2 * _band_part(weight, noise, frequency, ends, shape)
    left = np.maximum(unexplained - np.maximum(best, 0.0) ** 2 / max(degrees, 1.0), 0.0)
    return Scores(best, which, np.sqrt(left).astype(np.float32))


def _at_origin(image: Array, shape: tuple[int, int]) -> Array:
    """Return a template in an image of a shape, its centre at pixel (0, 0)."""
    box_y, box_x = image.shape
    whole = np.zeros(shape, np.float32)
    whole[:box_y, :box_x] = image
    return np.roll(whole, (-(box_y // 2), -(box_x // 2)), (0, 1))


def _band_part(weight: Array, noise: NoisePower, frequency: Array, ends: Array, shape: tuple[int, int]) -> float:
    """Return the variance of whitened noise: the part of all frequencies that is used."""
    return float(np.sum(ends * np.sum(weight.astype(np.float64) ** 2 * noise.at(frequency), axis=0)) / np.prod(shape))


def _background(
    whitened: Array, weight: Array, noise: NoisePower, frequency: Array, shape: tuple[int, int], radius_px: float,
    ends: Array,
) -> Array:  # fmt: skip
    """Return the mean square of the whitened image within a radius, 1 for noise."""
    squares = scipy.fft.irfft2(whitened, shape) ** 2 / _band_part(weight, noise, frequency, ends, shape)
    reach = int(np.ceil(radius_px))
    along = np.arange(-reach, reach + 1)
    disc = (np.hypot(along[:, None], along[None]) <= radius_px).astype(np.float32)
    kernel = scipy.fft.rfft2(_at_origin(disc / disc.sum(), shape))
    return np.asarray(scipy.fft.irfft2(scipy.fft.rfft2(squares.astype(np.float32)) * kernel, shape))
