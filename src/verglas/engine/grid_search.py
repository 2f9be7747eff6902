"""Search of all poses on a grid by matrix products over polar Fourier grids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, TypeVar

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
from verglas.engine.polar_images import polar_matrices, polar_samples, ring_power, shift_penalty, shift_ramps
from verglas.engine.reference import Reference
from verglas.engine.threads import Workspace, single_blas_thread
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix, mirror_pose, sphere_directions
from verglas.kernels.arrays import array_namespace, kernel_for, to_numpy

Found = TypeVar("Found")


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
    shift_range_y_A
        Its half axis along y where that is another: the grid fills an ellipse; None: a circle.
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
    _: KW_ONLY
    shift_range_y_A: float | None = None
    keep: int = 8
    middle_limit_A: float = 12.0
    middle_steps: int = 5
    final_limit_A: float = 8.0
    shift_sigma_A: float = 0.0
    symmetry: str = "C1"
    tile_bytes: int = 3_000_000


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
        slices = np.concatenate([to_numpy(r.slices(poses, kx, ky, threads=threads)) for r in references])
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
        self._device_tiles: list[NDArray[np.float32]] | None = None

    def tiles_on(self, xp: Any) -> list[NDArray[np.float32]]:
        """Return the tiles as arrays of a library, brought to its device once."""
        if xp is np:
            return self.tiles
        if self._device_tiles is None:
            self._device_tiles = [xp.asarray(tile) for tile in self.tiles]
        return self._device_tiles

    def prior(self, rotations: NDArray[np.float64], reference: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the logarithm of the prior of poses with references, shapes (..., 3, 3) and (...)."""
        share: NDArray[np.float64] = self.log_share[reference]
        if self.direction_prior is None:
            return share
        directions = rotations[..., 2, :].reshape(-1, 3)
        return share + np.asarray(self.direction_prior(directions), np.float64).reshape(share.shape)

    def __len__(self) -> int:
        return len(self.poses)


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
    parts = each_chunk(library, images, settings, centre_A, threads, partial(_best, keep=settings.keep))
    centre = 0.0 if centre_A is None else centre_A[:, None]
    return Candidates(
        rotations=np.concatenate([p.rotations for p in parts]),
        displacements_A=np.concatenate([p.displacements_A for p in parts]) + centre,
        reference=np.concatenate([p.reference for p in parts]),
        gain=np.concatenate([p.gain for p in parts]),
    )


def each_chunk(
    library: Templates,
    images: ParticleImages,
    settings: SearchSettings,
    centre_A: NDArray[np.float64] | None,
    threads: int,
    take: Callable[[Chunk], Found],
) -> list[Found]:
    """Return what is taken of the gains of all poses, chunk after chunk of the images."""
    if threads < 1:
        raise InputError(f"{threads} threads make no sense; give 1 or more.")
    grid, part = library.grid, images.band.up_to(settings.limit_A)
    shifts = _shifts(settings)
    xp = array_namespace(images.data)
    ramps = xp.asarray(shift_ramps(grid, shifts, images.optics.magnification))
    first, second = (xp.asarray(matrix) for matrix in polar_matrices(grid, part, images, library.to_polar))
    matrices = first, second
    norms = ring_power(images, part, grid) @ xp.asarray(library.power)
    penalty = xp.asarray(shift_penalty(shifts, settings.shift_sigma_A))
    centre = np.zeros((len(images), 2)) if centre_A is None else centre_A
    per_image = 16 * grid.orders.size * len(shifts) * library.templates_per_tile
    at_once = int(max(1, settings.tile_bytes // per_image))

    def chunk(first: int) -> Found:
        some = slice(first, min(first + at_once, len(images)))
        samples = polar_samples(images.select(some), part, centre[some], matrices)
        return take(Chunk(library, some, samples, norms[some], ramps, shifts, penalty))

    with single_blas_thread(), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(chunk, range(0, len(images), at_once)))


def _shifts(settings: SearchSettings) -> NDArray[np.float64]:
    """Return the displacements to try, from near to far, shape (n, 2)."""
    along_x = settings.shift_range_A
    along_y = along_x if settings.shift_range_y_A is None else settings.shift_range_y_A
    shifts = hexagonal_shifts(settings.shift_step_A, max(along_x, along_y))
    if along_x == along_y:
        return shifts
    far = np.hypot(*(shifts / np.maximum([along_x, along_y], 1e-6)).T)
    inside: NDArray[np.float64] = shifts[far <= 1.0 + 1e-9]
    return inside


class Chunk:
    """A few images at all displacements, and the scores that they have with the templates.

    Attributes
    ----------
    library
        The templates.
    images
        Which images.
    norms
        Power of each template in each image, shape (n, templates).
    shifts, penalty
        Displacements, shape (shifts, 2), and minus the logarithm of their prior.
    orders
        Angular orders of the images at all displacements, row after row; shape (2, orders, n shifts, rings).
    """

    def __init__(
        self, library: Templates, images: slice, polar: NDArray[np.float32], norms: NDArray[np.float32],
        ramps: NDArray[np.float32], shifts: NDArray[np.float64], penalty: NDArray[np.float32],
    ) -> None:  # fmt: skip
        self.xp = xp = array_namespace(polar)
        shift_samples = kernel_for(xp, "polar", "shift_samples")
        self.library, self.images, self.norms, self.shifts, self.penalty = library, images, norms, shifts, penalty
        self.space = Workspace(xp)
        count, steps = polar.shape[1], len(shifts)
        samples = self.space.array("samples", (2, count, steps, polar.shape[2]))
        for n in range(count):
            # CUDA kernels are given whole arrays, the CPU's write where the samples belong.
            moved = samples[:, n] if xp is np else self.space.array("moved", (2, steps, polar.shape[2]))
            shift_samples(polar[:, n] if xp is np else xp.ascontiguousarray(polar[:, n]), ramps, moved)
            if xp is not np:
                samples[:, n] = moved
        rows = count * steps
        self.on_device = angular_orders(library.grid, samples[0].reshape(rows, -1), samples[1].reshape(rows, -1))
        self.orders: NDArray[np.float32] = to_numpy(self.on_device)
        self.count, self.rows = count, rows

    def each_tile(self) -> Iterator[tuple[slice, NDArray[np.float32], NDArray[np.float32]]]:
        """Yield a tile's templates, its sums over orders at the angles of a quarter turn, and its norms."""
        library, grid, space, rows, xp = self.library, self.library.grid, self.space, self.rows, self.xp
        orders = self.on_device
        cosines, sines = (xp.asarray(matrix) for matrix in quarter_turn(grid))
        quarter, even, first = cosines.shape[0], grid.even, 0
        for tile in library.tiles_on(xp):
            width = tile.shape[3]
            terms = space.array("terms", (2, grid.orders.size, 2, rows, width))
            cosine_terms, sine_terms = terms
            for m, ring in enumerate(grid.first_ring):
                for part in range(2):
                    xp.matmul(orders[part, m, :, ring:], tile[part, m, ring:], out=cosine_terms[m, part])
                    xp.matmul(orders[1 - part, m, :, ring:], tile[part, m, ring:], out=sine_terms[m, part])
            flat = terms.reshape(2, grid.orders.size, -1)
            sums = space.array("sums", (4, quarter, 2, rows, width))
            for n, values in enumerate(sums.reshape(4, quarter, -1)):
                which = slice(even, None) if n % 2 else slice(0, even)
                xp.matmul((sines if n // 2 else cosines)[:, which], flat[n // 2, which], out=values)
            some = slice(first, first + width)
            yield some, sums, xp.ascontiguousarray(self.norms[:, some])
            first += width

    def products(self, n: int, shift: int, entry: int) -> NDArray[np.float64]:
        """Return the products of one image, at a displacement, with one entry, order by order; shape (2, orders)."""
        from verglas.kernels.polar import order_products

        library, orders = self.library, self.library.grid.orders
        mirrored, template = bool(entry >= len(library)), int(entry % len(library))
        found = np.empty((2, orders.size))
        row = n * len(self.shifts) + shift
        order_products(library.orders[:, :, template], self.orders[:, :, row], mirrored, orders, found)
        return found

    def poses(self, entry: NDArray[np.int64], psi: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rotations of entries, templates first and then their mirror images, at in-plane angles."""
        templates = len(self.library)
        poses = self.library.poses[entry % templates]
        poses = np.where((entry >= templates)[..., None, None], mirror_pose(poses), poses)
        turned: NDArray[np.float64] = euler_to_matrix(0.0, 0.0, psi) @ poses
        return turned


def _best(chunk: Chunk, keep: int) -> Candidates:
    """Return the best poses of each image, deciding the sign of psi that folding left open."""
    from verglas.kernels.polar import score_at

    library, grid, count, xp = chunk.library, chunk.library.grid, chunk.count, chunk.xp
    fold_maximum = kernel_for(xp, "polar", "fold_maximum")
    gains = np.empty((count, 2, len(library)), np.float32)
    codes = np.empty((count, 2, len(library)), np.int32)
    for some, sums, norms in chunk.each_tile():
        best, code = (xp.empty((count, 2, norms.shape[1]), kind) for kind in (xp.float32, xp.int32))
        fold_maximum(sums[0], sums[1], sums[2], sums[3], norms, chunk.penalty, best, code)
        gains[:, :, some], codes[:, :, some] = to_numpy(best), to_numpy(code)
    total = (gains.astype(np.float64) + library.log_prior).reshape(count, -1)
    kept = min(keep, total.shape[1])
    chosen = np.argpartition(-total, kept - 1, axis=1)[:, :kept]
    order = np.argsort(-np.take_along_axis(total, chosen, axis=1), axis=1, kind="stable")
    chosen = np.take_along_axis(chosen, order, axis=1)
    angles = quarter_angles(grid)
    shift, angle = np.divmod(np.take_along_axis(codes.reshape(count, -1), chosen, axis=1), angles.size)
    psi = np.empty((count, kept))
    for n in range(count):
        for k, entry in enumerate(chosen[n]):
            products = chunk.products(n, int(shift[n, k]), int(entry))
            at = angles[angle[n, k]]
            psi[n, k] = max((at, -at, np.pi + at, np.pi - at), key=lambda a: score_at(products, grid.orders, a))
    return Candidates(
        rotations=chunk.poses(chosen, psi),
        displacements_A=chunk.shifts[shift],
        reference=library.reference[chosen % len(library)],
        gain=np.take_along_axis(total, chosen, axis=1),
    )
