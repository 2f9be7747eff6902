"""Global search of poses, from coarse to fine: the grid, then the best poses refined, as sparse posteriors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.grid_search import Candidates, SearchSettings, Templates, coarse_search
from verglas.engine.images import ParticleImages
from verglas.engine.reference import Reference
from verglas.engine.refinement import RefinementSettings, refine_poses
from verglas.errors import InputError


@dataclass(frozen=True)
class Posterior:
    """The best poses of each image, from best to worst.

    Attributes
    ----------
    rotations, displacements_A, reference, log_likelihood, weights
        Shapes (n, K, 3, 3), (n, K, 2), (n, K), (n, K) and (n, K), of the poses at the middle resolution, with their
        priors; the weights of one image add up to 1.
    best_rotations, best_displacements_A, best_log_likelihood
        The first pose of each image, against its reference, after the last refinement: shapes (n, 3, 3), (n, 2), (n,).
    """

    rotations: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    reference: NDArray[np.int64]
    log_likelihood: NDArray[np.float64]
    weights: NDArray[np.float64]
    best_rotations: NDArray[np.float64]
    best_displacements_A: NDArray[np.float64]
    best_log_likelihood: NDArray[np.float64]


def search_poses(
    references: Reference | Sequence[Reference],
    images: ParticleImages,
    settings: SearchSettings | None = None,
    *,
    templates: Templates | None = None,
    centre_A: Any = 0.0,
    allowed: Any | None = None,
    log_prior: Any | None = None,
    log_share: Any = 0.0,
    threads: int = 1,
) -> Posterior:
    """Search all directions, in-plane angles, displacements and references for the pose of every image.

    Parameters
    ----------
    references
        One prepared map or several, all to the finest limit used.
    images
        Prepared images.
    settings
        How.
    templates
        Templates made before with the same references, band and settings, to be used for many chunks of images.
    centre_A
        Displacement around which to search, shape () or (n, 2).
    allowed, log_prior, log_share
        Priors on directions and references, see :class:`Templates`; those of ``templates`` count where they are given.
    threads
        Threads.

    Returns
    -------
    Posterior

    Raises
    ------
    InputError
        If settings make no sense.

    References
    ----------
    Polar products: L. Joyeux, P. A. Penczek, "Efficiency of 2D alignment methods", Ultramicroscopy 92 (2002) 33.
    """
    options = settings or SearchSettings()
    maps = [references] if isinstance(references, Reference) else list(references)
    if options.keep < 1:
        raise InputError(f"keep must be 1 or more, not {options.keep}.")
    library = templates or Templates(
        maps, images.band, options, allowed=allowed, log_prior=log_prior, log_share=log_share, threads=threads
    )
    centre = np.broadcast_to(np.asarray(centre_A, np.float64), (len(images), 2))
    candidates = coarse_search(library, images, options, centre_A=centre, threads=threads)
    return _finish(library, maps, images, options, candidates, centre, threads)


def _finish(
    library: Templates,
    references: list[Reference],
    images: ParticleImages,
    settings: SearchSettings,
    candidates: Candidates,
    centre: NDArray[np.float64],
    threads: int,
) -> Posterior:
    """Refine all candidates at the middle resolution, weigh them, and refine the best one to the end."""
    count, kept = candidates.gain.shape
    middle = RefinementSettings(
        limit_A=settings.middle_limit_A, most_steps=settings.middle_steps, shift_sigma_A=settings.shift_sigma_A
    )
    image = np.repeat(np.arange(count), kept)
    rotations, displacements, gains = _refine_each(
        references, images, candidates.reference.ravel(), candidates.rotations.reshape(-1, 3, 3),
        candidates.displacements_A.reshape(-1, 2), image, middle, centre, threads,
    )  # fmt: skip
    gains = gains.reshape(count, kept) + library.prior(rotations.reshape(count, kept, 3, 3), candidates.reference)
    order = np.argsort(-gains, axis=1, kind="stable")
    sorted_gains = np.take_along_axis(gains, order, axis=1)
    weights = np.exp(sorted_gains - sorted_gains[:, :1])
    weights /= weights.sum(axis=1, keepdims=True)
    rotations = np.take_along_axis(rotations.reshape(count, kept, 3, 3), order[..., None, None], axis=1)
    displacements = np.take_along_axis(displacements.reshape(count, kept, 2), order[..., None], axis=1)
    which = np.take_along_axis(candidates.reference, order, axis=1)
    final = replace(middle, limit_A=settings.final_limit_A, most_steps=25)
    best = _refine_each(
        references, images, which[:, 0], rotations[:, 0], displacements[:, 0], np.arange(count), final, centre, threads
    )
    return Posterior(rotations, displacements, which, sorted_gains, weights, *best)


def _refine_each(
    references: list[Reference],
    images: ParticleImages,
    which: NDArray[np.int64],
    rotations: NDArray[np.float64],
    displacements: NDArray[np.float64],
    image: NDArray[np.int64],
    settings: RefinementSettings,
    centre: NDArray[np.float64],
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Refine poses against each one's own reference; return rotations, displacements and log-likelihoods."""
    R, moved, gains = rotations.copy(), displacements.copy(), np.empty(len(which))
    for number, reference in enumerate(references):
        rows = np.flatnonzero(which == number)
        if rows.size:
            found = refine_poses(
                reference, images, rotations[rows], displacements[rows], settings, image=image[rows],
                centre_A=centre[image[rows]], threads=threads,
            )  # fmt: skip
            R[rows], moved[rows], gains[rows] = found.rotations, found.displacements_A, found.log_likelihood
    return R, moved, gains
