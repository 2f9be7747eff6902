"""Independent half sets, by micrograph, so that no two halves see the same piece of ice."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FEW_PARTICLES = 500
FEW_MICROGRAPHS = 20
PARTS = 10


def assign_half_sets(micrographs: Array, images: Array | None = None) -> Array:
    """Return the half set, 1 or 2, of each particle, as cisTEM assigns it.

    Micrographs alternate; with fewer than 20 of them tenths of the list do, and below 500 particles the particles.

    Parameters
    ----------
    micrographs
        A number for the micrograph of each particle, shape (n,), particles of one micrograph after each other.
    images
        A number for the image of each particle, shape (n,): those that show one image, as symmetric views of a particle
        do, come into one half set. None: each has an image of its own.
    """
    if images is not None:
        _, first, of = np.unique(images, return_index=True, return_inverse=True)
        if len(first) < len(images):
            kept = np.sort(first)
            return assign_half_sets(micrographs[kept])[np.searchsorted(kept, first)[of]]
    count = len(micrographs)
    numbers, place = np.unique(micrographs, return_inverse=True)
    if count < FEW_PARTICLES:
        alternate = np.arange(count)
    elif len(numbers) < FEW_MICROGRAPHS:
        alternate = np.arange(count) * PARTS // count
    else:
        alternate = place
    return (alternate % 2 + 1).astype(np.int32)
