"""The noise around the particles of a stack, before anything is known of what they show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import normalise
from verglas.engine.particle_stack import ParticleStack
from verglas.signal import noise_power, sphere_mask

NOISE_IMAGES = 2000
AT_ONCE = 200
NOISE_EDGE_A = 15.0


def background_radius_A(radius_A: float, box: int, pixel_size_A: float) -> float:
    """Return the radius beyond which images hold no particle: the mask's, or what leaves a rim of background."""
    return float(min(radius_A, 0.46 * box * pixel_size_A))


def background_noise(stack: ParticleStack, radius_A: float, *, threads: int = 1) -> NDArray[np.float64]:
    """Return the spectrum of the noise around the particles of each optics group, from at most 2,000 images in all.

    Returns
    -------
    ndarray, shape (groups, box // 2 + 1)
        One row for each optics group of the table; groups without particles have the mean of the others.
    """
    box, pixel_size_A = stack.box, stack.pixel_size_A
    inner = background_radius_A(radius_A, box, pixel_size_A)
    mask = sphere_mask(
        (box, box), inner - min(NOISE_EDGE_A, 0.2 * inner), pixel_size_A, edge_A=min(NOISE_EDGE_A, 0.2 * inner)
    )
    groups = len(stack.table.optics)
    power, count = np.zeros((groups, box // 2 + 1)), np.zeros(groups)
    for group, places in stack.by_group(np.arange(len(stack))):
        least = max(AT_ONCE, NOISE_IMAGES * len(places) // len(stack))
        chosen = places[np.unique(np.linspace(0, len(places) - 1, min(len(places), least)).astype(np.int64))]
        for first in range(0, len(chosen), AT_ONCE):
            some = chosen[first : first + AT_ONCE]
            _, found = noise_power(normalise(stack.read(some), inner, pixel_size_A), mask, workers=threads)
            power[group] += found[0][: box // 2 + 1] * len(some)
            count[group] += len(some)
    known = count > 0
    power[known] /= count[known, None]
    power[~known] = power[known].mean(axis=0)
    power[:, 0] = power[:, 1]
    return power
