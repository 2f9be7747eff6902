"""Global search of poses by matrix products over polar Fourier grids, from coarse to fine, as sparse posteriors."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import Band, ParticleImages
from verglas.engine.polar_grid import (
    PolarGrid,
    angular_orders,
    hexagonal_shifts,
    polar_grid,
    quarter_angles,
    quarter_turn,
    to_polar,
)
from verglas.engine.polar_images import polar_samples, ring_power, shift_penalty, shift_ramps
from verglas.engine.reference import Reference
from verglas.engine.refinement import RefinementSettings, refine_poses
from verglas.engine.threads import Workspace, single_blas_thread
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix, mirror_pose, sphere_directions


@dataclass(frozen=True)
class SearchSettings:
    """How a global search is done.

    Attributes
    ----------
    limit_A
        Resolution of the search over all poses.
    spacing
        Angle between directions, radians.
    shift_step_A, shift_range_A
        Step of the hexagonal grid of displacements, and its radius.
    keep
        How many directions of each image go on to refinement; more for weaker signals.
    middle_limit_A, middle_steps
        Resolution at which those are refined and weighed, and the most passes over the image that takes.
    final_limit_A
        Resolution at which the best one is refined to the end; 0: the images' own.
    shift_sigma_A
        Standard deviation of the prior on each displacement about the centre, in search and refinement; 0: none.
    symmetry
        Name of the point group of all references.
    tile_bytes
        Memory of one tile of products, best about the size of a core's cache.
    """

    limit_A: float = 20.0
    spacing: float = float(np.deg2rad(10.0))
    shift_step_A: float = 6.5
    shift_range_A: float = 16.0
    keep: int = 8
    middle_limit_A: float = 12.0
    middle_steps: int = 5
    final_limit_A: float = 8.0
    shift_sigma_A: float = 0.0
    symmetry: str = "C1"
    tile_bytes: int = 3_000_000


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


class Templates:
    """Angular orders of slices of references in all directions, laid out in tiles for the products.

    Parameters
    ----------
    references
        Prepared maps.
    band
        Components of the images.
    settings
        Of the search.
    allowed
        Directions that count: a function of unit vectors (n, 3) that returns bool (n,); all when None. A direction
        and its antipode are searched together if either counts.
    log_prior
        Logarithm of the prior of directions, such as one of tilts: a function of unit vectors (n, 3) that returns
        (n,); none when None.
    log_share
        Logarithm of each reference's share of the particles, shape () or (references,).
    templates_per_tile
        Templates of one tile.
    threads
        Threads.
    """

    def __init__(
        self,
        references: Sequence[Reference],
        band: Band,
        settings: SearchSettings,
        *,
        allowed: Any | None = None,
        log_prior: Any | None = None,
        log_share: Any = 0.0,
        templates_per_tile: int = 64,
        threads: int = 1,
    ) -> None:
        if not references:
            raise InputError("a search needs at least one reference.")
        width_A = band.box * band.pixel_size_A
        self.grid: PolarGrid = polar_grid(width_A, settings.limit_A, max(r.radius_A for r in references))
        # Made once: it takes as long as the search of some images.
        self.to_polar = to_polar(self.grid, band.up_to(settings.limit_A))
        directions = sphere_directions(settings.spacing, settings.symmetry, mirror=True)
        if allowed is not None:
            directions = directions[np.asarray(allowed(directions)) | np.asarray(allowed(-directions))]
            if not len(directions):
                raise InputError("the prior on directions leaves nothing to search; widen it.")
        phi, theta = np.arctan2(directions[:, 1], directions[:, 0]), np.arccos(np.clip(directions[:, 2], -1, 1))
        poses = euler_to_matrix(phi, theta, np.zeros_like(phi))
        self.poses = np.concatenate([poses] * len(references))
        self.reference = np.repeat(np.arange(len(references)), len(poses))
        self.direction_prior = log_prior
        self.log_share = np.broadcast_to(np.asarray(log_share, np.float64), (len(references),))
        # Of all templates (0) and of their mirror images (1).
        self.log_prior = np.stack([self.prior(pose, self.reference) for pose in (self.poses, mirror_pose(self.poses))])
        kx, ky = self.grid.k_per_A
        slices = np.concatenate([r.slices(poses, kx, ky, threads=threads) for r in references])
        orders = angular_orders(self.grid, np.ascontiguousarray(slices.real), np.ascontiguousarray(slices.imag))
        # Sum over the half-plane: pi r d_r for each ring, and orders m and -m together.
        twice = np.where(self.grid.orders == 0, 1.0, 2.0)
        weight = np.pi * twice[:, None] * self.grid.radii
        power = np.einsum("pmtr,mr->rt", orders.astype(np.float64) ** 2, weight)
        self.power = power.astype(np.float32)
        self.orders = orders * weight[:, None, :].astype(np.float32)
        self.tiles = [
            np.ascontiguousarray(self.orders[:, :, first : first + templates_per_tile].swapaxes(2, 3))
            for first in range(0, len(self.poses), templates_per_tile)
        ]
        self.templates_per_tile = templates_per_tile

    def prior(self, rotations: NDArray[np.float64], reference: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the logarithm of the prior of poses with references, shapes (..., 3, 3) and (...)."""
        share: NDArray[np.float64] = self.log_share[reference]
        if self.direction_prior is None:
            return share
        directions = rotations[..., 2, :].reshape(-1, 3)
        return share + np.asarray(self.direction_prior(directions), np.float64).reshape(share.shape)

    def __len__(self) -> int:
        return len(self.poses)


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


@dataclass(frozen=True)
class Candidates:
    """Best directions of each image on the coarse grid: shapes (n, K, ...), from best to worst."""

    rotations: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    reference: NDArray[np.int64]
    gain: NDArray[np.float64]


def coarse_search(
    library: Templates,
    images: ParticleImages,
    settings: SearchSettings,
    *,
    centre_A: NDArray[np.float64] | None = None,
    threads: int = 1,
) -> Candidates:
    """Return the best poses of each image on the grid, one for each of its ``keep`` best directions.

    The gain of a pose is what it adds to the log-likelihood at its best scale: ``products^2 / power`` where the
    products are positive.

    Parameters
    ----------
    library
        Templates.
    images
        Prepared images of the band that the templates were made for.
    settings
        How.
    centre_A
        Displacements around which to search, shape (n, 2).
    threads
        Threads.

    Returns
    -------
    Candidates
    """
    grid, band = library.grid, images.band
    part = band.up_to(settings.limit_A)
    shifts = hexagonal_shifts(settings.shift_step_A, settings.shift_range_A)
    ramps = shift_ramps(grid, shifts)
    norms = ring_power(images, part, grid) @ library.power
    penalty = shift_penalty(shifts, settings.shift_sigma_A)
    centre = np.zeros((len(images), 2)) if centre_A is None else centre_A
    per_image = 16 * grid.orders.size * len(shifts) * library.templates_per_tile
    at_once = int(max(1, settings.tile_bytes // per_image))

    def chunk(first: int) -> Candidates:
        some = slice(first, first + at_once)
        samples = polar_samples(images.select(some), part, centre[some], library.to_polar)
        return _search_chunk(library, samples, norms[some], ramps, shifts, penalty, settings.keep)

    starts = range(0, len(images), at_once)
    if threads < 1:
        raise InputError(f"{threads} threads make no sense; give 1 or more.")
    with single_blas_thread(), ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(chunk, starts))
    return Candidates(
        rotations=np.concatenate([p.rotations for p in parts]),
        displacements_A=np.concatenate([p.displacements_A for p in parts]) + centre[:, None],
        reference=np.concatenate([p.reference for p in parts]),
        gain=np.concatenate([p.gain for p in parts]),
    )


def _search_chunk(
    library: Templates,
    polar: NDArray[np.float32],
    norms: NDArray[np.float32],
    ramps: NDArray[np.float32],
    shifts: NDArray[np.float64],
    penalty: NDArray[np.float32],
    keep: int,
) -> Candidates:
    """Search a few images; see :func:`coarse_search`."""
    from verglas.kernels.polar import fold_maximum, shift_samples

    grid, count, steps = library.grid, polar.shape[1], len(shifts)
    space = Workspace()
    samples = space.array("samples", (2, count, steps, polar.shape[2]))
    for n in range(count):
        shift_samples(polar[:, n], ramps, samples[:, n])
    rows = count * steps
    orders = angular_orders(grid, samples[0].reshape(rows, -1), samples[1].reshape(rows, -1))
    cosines, sines = quarter_turn(grid)
    quarter, even = cosines.shape[0], grid.even
    scores = np.empty((count, 2, len(library)), np.float32)
    codes = np.empty((count, 2, len(library)), np.int32)
    first = 0
    for tile in library.tiles:
        width = tile.shape[3]
        terms = space.array("terms", (2, grid.orders.size, 2, rows, width))
        cosine_terms, sine_terms = terms
        for m, ring in enumerate(grid.first_ring):
            for part in range(2):
                np.matmul(orders[part, m, :, ring:], tile[part, m, ring:], out=cosine_terms[m, part])
                np.matmul(orders[1 - part, m, :, ring:], tile[part, m, ring:], out=sine_terms[m, part])
        flat = terms.reshape(2, grid.orders.size, -1)
        sums = space.array("sums", (4, quarter, 2, rows, width))
        for n, values in enumerate(sums.reshape(4, quarter, -1)):
            which = slice(even, None) if n % 2 else slice(0, even)
            np.matmul((sines if n // 2 else cosines)[:, which], flat[n // 2, which], out=values)
        best = np.empty((count, 2, width), np.float32)
        code = np.empty((count, 2, width), np.int32)
        some = np.ascontiguousarray(norms[:, first : first + width])
        fold_maximum(sums[0], sums[1], sums[2], sums[3], some, penalty, best, code)
        scores[:, :, first : first + width] = best
        codes[:, :, first : first + width] = code
        first += width
    gains = scores.astype(np.float64) + library.log_prior
    return _resolve(library, orders, gains.reshape(count, -1), codes.reshape(count, -1), shifts, quarter, keep)


def _resolve(
    library: Templates,
    orders: NDArray[np.float32],
    gains: NDArray[np.float64],
    codes: NDArray[np.int32],
    shifts: NDArray[np.float64],
    quarter: int,
    keep: int,
) -> Candidates:
    """Turn the best entries into poses, deciding the sign of psi that folding left open."""
    from verglas.kernels.polar import order_products, score_at

    grid, count, templates = library.grid, len(gains), len(library)
    kept = min(keep, gains.shape[1])
    chosen = np.argpartition(-gains, kept - 1, axis=1)[:, :kept]
    order = np.argsort(-np.take_along_axis(gains, chosen, axis=1), axis=1, kind="stable")
    chosen = np.take_along_axis(chosen, order, axis=1)
    angles = quarter_angles(grid)
    products = np.empty((2, grid.orders.size))
    psi, shift = np.empty((count, kept)), np.empty((count, kept), np.int64)
    for n in range(count):
        for k, entry in enumerate(chosen[n]):
            mirrored, template = bool(entry >= templates), int(entry % templates)
            place = int(codes[n, entry])
            shift[n, k], angle = divmod(place, quarter)
            row = n * len(shifts) + shift[n, k]
            order_products(library.orders[:, :, template], orders[:, :, row], mirrored, grid.orders, products)
            near = [angles[angle], -angles[angle], np.pi + angles[angle], np.pi - angles[angle]]
            psi[n, k] = max(near, key=lambda value: score_at(products, grid.orders, value))
    poses = library.poses[chosen % templates]
    gain: NDArray[np.float64] = np.take_along_axis(gains, chosen, axis=1)
    poses = np.where((chosen >= templates)[..., None, None], mirror_pose(poses), poses)
    return Candidates(
        rotations=euler_to_matrix(0.0, 0.0, psi) @ poses,
        displacements_A=shifts[shift],
        reference=library.reference[chosen % templates],
        gain=gain,
    )


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
