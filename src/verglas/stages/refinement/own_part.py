"""What particles have put into their own references, and by how much that flatters their own class.

A map made of few particles holds a part of each one's noise. A particle then finds its noise in the map of the class
that it was in, and stays there, whatever its class. What that adds to the log-likelihood follows from how many
particles share each component of the map, and is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages
from verglas.geometry import point_group
from verglas.signal import sphere_mask

if TYPE_CHECKING:
    from verglas.stages.refinement.maps import ClassMaps
    from verglas.stages.refinement.round_settings import RoundSettings
    from verglas.stages.refinement.rows import PoseRows

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


def filled_part(reference: Any, radius_voxels: float, edge_voxels: float) -> float:
    """Return the part of a box that images see of a masked map, its soft edge counted by half as of a sphere.

    Parameters
    ----------
    reference
        The map, 0 outside its own mask, shape (n, n, n).
    radius_voxels, edge_voxels
        Of the sphere that it is masked by once more when images are compared with it, and width of all edges.
    """
    seen = sphere_mask(np.shape(reference), radius_voxels, 1.0, edge_A=edge_voxels) > 0.0
    filled = np.count_nonzero(np.asarray(reference)[seen])
    radius = max((3.0 * filled / (4.0 * np.pi)) ** (1.0 / 3.0) - 0.5 * edge_voxels, 0.0)
    return float(4.0 / 3.0 * np.pi * radius**3 / np.size(reference))


def own_parts(
    maps: Sequence[ClassMaps], rows: PoseRows, halves: NDArray[np.int64], settings: RoundSettings, pixel_size_A: float,
    ratio: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """Return what one particle has put into each reference, shape (2, classes, shells): see :func:`own_part`.

    Parameters
    ----------
    maps
        Of each class.
    rows
        The particles in them.
    halves
        Half set of each, 0 or 1.
    settings
        Of the refinement.
    pixel_size_A
        Of the maps.
    ratio
        Signal-to-noise ratio by which what tells classes apart was filtered, shape (shells,); None: that of each half
        map.
    """
    found = []
    for half in (0, 1):
        shared = rows.used & (halves == half if settings.independent_halves else True)
        for k, one in enumerate(maps):
            assert one.found.ssnr is not None
            own = 0.5 * one.found.ssnr if settings.independent_halves else one.found.ssnr
            filled = filled_part(
                one.references[half], settings.mask_radius_A / pixel_size_A, settings.mask.edge_A / pixel_size_A
            )
            share = float(rows.occupancy[k, shared].sum())
            found.append(own_part(own if ratio is None else ratio, filled, settings.symmetry, share))
    return np.stack(found).reshape(2, len(maps), -1)


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
    Where h is an image's own part of a component (the leverage of least squares), its squared residual is expected to
    be 1 - h in units of the noise, and 1 + h beside a map of as many others: a difference of 2 h.
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
    added: NDArray[np.float64] = 2.0 * leverage.sum(axis=1)
    return added
