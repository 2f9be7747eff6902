"""Likelihood blurring: a particle goes into its map at several in-plane angles, by how probable each is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages, Reference, RefinementSettings, refine_poses
from verglas.geometry import rotvec_to_matrix

STEPS = 4
"""Angles on either side."""
STEP = 0.25
"""Between angles, times resolution over the particle's radius."""
LEAST_WEIGHT = 0.01


def blurred_poses(
    reference: Reference, images: ParticleImages, rotations: NDArray[np.float64], displacements_A: NDArray[np.float64],
    limit_A: float, smoothing: float, *, threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Return poses turned in the plane of the image, and how probable each is.

    Parameters
    ----------
    reference
        Of the images' half set.
    images
        Prepared.
    rotations, displacements_A
        Their poses, shapes (n, 3, 3) and (n, 2).
    limit_A
        Finest resolution.
    smoothing
        Factor of the log-likelihood, 0 to 1: less makes all angles alike.
    threads
        Threads.

    Returns
    -------
    rotations : ndarray, shape (angles, n, 3, 3)
    weights : ndarray, shape (angles, n)
        They add up to 1 for each image; those below 0.01 are 0.
    """
    count = len(images)
    angle = np.arange(-STEPS, STEPS + 1) * STEP * limit_A / reference.radius_A
    turns = rotvec_to_matrix(np.stack([np.zeros_like(angle), np.zeros_like(angle), angle], axis=-1))
    # Turned about the middle of the particle, not of the image: displacements stay.
    turned = turns[:, None] @ rotations[None]
    held = RefinementSettings(phi=False, theta=False, psi=False, x=False, y=False, limit_A=limit_A)
    found = refine_poses(
        reference, images, turned.reshape(-1, 3, 3), np.tile(displacements_A, (angle.size, 1)), held,
        image=np.tile(np.arange(count), angle.size), threads=threads,
    )  # fmt: skip
    likelihood = smoothing * found.log_likelihood.reshape(angle.size, count)
    weights = np.exp(likelihood - likelihood.max(axis=0))
    weights /= weights.sum(axis=0)
    weights[weights < LEAST_WEIGHT] = 0.0
    return turned, np.asarray(weights / weights.sum(axis=0), np.float64)
