"""What particles have put into their own references, and by how much that flatters their own class.

A map made of few particles holds a part of each one's noise. A particle then finds its noise in the map of the class
that it was in, and stays there, whatever its class. What that adds to the log-likelihood follows from how many
particles share each component of the map, and is taken off.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages
from verglas.geometry import point_group

MOST = 0.9
"""Nobody owns more of a component than this."""


def own_part(ssnr: Any, filled: float, symmetry: str, particles: float) -> NDArray[np.float64]:
    """Return the part of a half map's component, in each shell, that comes from one average particle that shows it.

    Parameters
    ----------
    ssnr
        Signal-to-noise ratio of the half map, by which it was filtered, shape (shells,).
    filled
        Part of the box that is left of the map by its mask.
    symmetry
        Its point group: each particle is seen so many times.
    particles
        Sum of the occupancies of the half set in the class.

    Returns
    -------
    ndarray, shape (shells,)

    Notes
    -----
    A shell of radius r holds ``2 pi r^2`` pairs of conjugate components, an image ``pi r`` of the same pairs; what a
    mask leaves of the box is what it leaves of the independent components.
    """
    ratio = np.asarray(ssnr, np.float64)
    radius = np.arange(ratio.size)
    # Of the 2 pi r^2 pairs of the shell each particle shows pi r: one pair is shared by particles / (2 r) of them.
    sharing = max(particles, 1e-6) * point_group(symmetry).order / np.maximum(2.0 * radius, 1.0)
    return np.asarray(np.minimum(filled * ratio / (1.0 + ratio) / sharing, MOST), np.float64)


def filled_part(reference: Any, edge_voxels: float) -> float:
    """Return the part of a box that a masked map fills, its soft edge counted by half as of a sphere of that volume."""
    filled = np.count_nonzero(reference)
    radius = max((3.0 * filled / (4.0 * np.pi)) ** (1.0 / 3.0) - 0.5 * edge_voxels, 0.0)
    return float(4.0 / 3.0 * np.pi * radius**3 / np.size(reference))


def flattery(
    images: ParticleImages, own: NDArray[np.float64], weight: NDArray[np.float64], limit_A: float
) -> NDArray[np.float64]:
    """Return what images' own noise in the reference has added to their log-likelihoods, shape (n,).

    Parameters
    ----------
    images
        Prepared.
    own
        Of :func:`own_part`, shape (shells,).
    weight
        With what weight each image went into the reference, shape (n,); 0: not at all.
    limit_A
        Finest resolution of the likelihoods.

    Notes
    -----
    A residual is smaller by the factor 1 - h than it would be without the own image, where h is its part of the
    component (the leverage of least squares), so that the sum of squares lacks ``(1 - h)^-2 - 1`` a component.
    """
    points = images.band.count_to(limit_A)
    rings = images.band.rings[:points]
    if not weight.any():
        return np.zeros(len(images))
    power = images.transfer[:, :points].astype(np.float64) ** 2
    mean = np.bincount(rings, power.mean(axis=0)) / np.maximum(np.bincount(rings), 1)
    part = np.zeros(rings.max() + 1)
    part[: own.size] = own[: part.size]
    relative = power / np.maximum(mean, 1e-30)[rings]
    leverage = np.minimum(weight[:, None] * part[rings] * relative, MOST)
    added: NDArray[np.float64] = (1.0 / (1.0 - leverage) ** 2 - 1.0).sum(axis=1)
    return added
