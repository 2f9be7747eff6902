"""Search of in-plane poses against many reference images, such as 2D classes, as sparse posteriors."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import Band, ParticleImages
from verglas.engine.polar_grid import PolarGrid, angular_orders, hexagonal_shifts, polar_grid, quarter_turn, to_polar
from verglas.engine.polar_images import polar_matrices, polar_samples, ring_power, shift_penalty, shift_ramps
from verglas.engine.reference import Reference
from verglas.engine.refinement import RefinementSettings, refine_poses
from verglas.engine.threads import Workspace, single_blas_thread
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix, matrix_to_euler

# Images brought to the polar grid in one product.
SAMPLED_AT_ONCE = 64


@dataclass(frozen=True)
class ImageSearchSettings:
    """How reference images are searched.

    Attributes
    ----------
    limit_A, low_A
        Finest and coarsest resolution of the search over the grid.
    shift_step_A, shift_range_A
        Step of the hexagonal grid of displacements, and its radius.
    shift_sigma_A
        Standard deviation of the prior on displacements about the centre; 0: none.
    keep
        How many references of each image go on to refinement.
    margin
        A reference goes on only if its log-likelihood on the grid is within this of the best one's, plus a third of
        what the best one gained (a grid misses that much of a peak at the worst).
    final_limit_A
        Resolution of the refinement; 0: the images' own.
    steps
        The most passes over the image that a refinement takes; 0: none, poses stay on the grid.
    fit_scale
        Fit the scale of each reference in each image; else references are taken at their own scale.
    tile_bytes
        Memory of one tile of products, best about the size of a core's cache.
    """

    limit_A: float = 20.0
    low_A: float = np.inf
    shift_step_A: float = 6.5
    shift_range_A: float = 20.0
    shift_sigma_A: float = 0.0
    keep: int = 4
    margin: float = 12.0
    final_limit_A: float = 0.0
    steps: int = 8
    fit_scale: bool = True
    tile_bytes: int = 8_000_000


@dataclass(frozen=True)
class Drawing:
    """How poses are drawn: how many, keyed random numbers (one an image), and the factor of the log-likelihood."""

    draws: int
    uniform: NDArray[np.float64]
    factor: float = 1.0


@dataclass(frozen=True)
class ImagePosterior:
    """The best references of each image, each at its best pose, from best to worst.

    Attributes
    ----------
    reference
        Number of the reference; shape (n, K).
    psi
        In-plane angle in radians, the third Euler angle; shape (n, K).
    displacements_A
        Minus the origin of the particle table; shape (n, K, 2).
    scale
        Factor of the reference in the image; shape (n, K).
    log_likelihood
        What the reference adds to the image's log-likelihood, priors included; shape (n, K); minus infinity where it
        was given up on the grid.
    weights
        Share of each reference; those of one image add up to 1; shape (n, K).
    """

    reference: NDArray[np.int64]
    psi: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    scale: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    weights: NDArray[np.float64]


class ImageTemplates:
    """Angular orders of reference images, laid out for the products.

    Parameters
    ----------
    references
        Prepared images, of :func:`verglas.engine.prepare_image_reference`.
    band
        Components of the particle images.
    settings
        Of the search.
    """

    def __init__(self, references: Sequence[Reference], band: Band, settings: ImageSearchSettings) -> None:
        if not references:
            raise InputError("a search needs at least one reference image.")
        if not all(reference.flat for reference in references):
            raise InputError("maps are searched by search_poses; prepare images with prepare_image_reference.")
        radius_A = max(reference.radius_A for reference in references)
        self.references = list(references)
        self.grid: PolarGrid = polar_grid(band.box * band.pixel_size_A, settings.limit_A, radius_A, settings.low_A)
        self.to_polar = to_polar(self.grid, band.up_to(settings.limit_A))
        kx, ky = self.grid.k_per_A
        slices = np.concatenate([reference.slices(np.eye(3)[None], kx, ky) for reference in references])
        self.orders = angular_orders(self.grid, np.ascontiguousarray(slices.real), np.ascontiguousarray(slices.imag))
        # Sum over the half-plane: pi r d_r for each ring, and orders m and -m together.
        weight = np.pi * np.where(self.grid.orders == 0, 1.0, 2.0)[:, None] * self.grid.radii
        self.power = np.einsum("pmtr,mr->rt", self.orders.astype(np.float64) ** 2, weight).astype(np.float32)
        real, imaginary = (self.orders * weight[:, None, :].astype(np.float32)).swapaxes(2, 3)
        # Real and imaginary part of conj(template) * image from (real, imaginary) of the image in one product each.
        self.real = [self._stacked(real, imaginary, m) for m in range(self.grid.orders.size)]
        self.imaginary = [self._stacked(-imaginary, real, m) for m in range(self.grid.orders.size)]

    def _stacked(self, first: NDArray[np.float32], second: NDArray[np.float32], m: int) -> NDArray[np.float32]:
        ring = self.grid.first_ring[m]
        return np.ascontiguousarray(np.concatenate([first[m, ring:], second[m, ring:]]))

    def __len__(self) -> int:
        return len(self.references)


def search_images(
    references: ImageTemplates | Sequence[Reference],
    images: ParticleImages,
    settings: ImageSearchSettings | None = None,
    *,
    centre_A: Any = 0.0,
    log_prior: Any = 0.0,
    threads: int = 1,
) -> ImagePosterior:
    """Search all reference images, in-plane angles and displacements for every particle image.

    Parameters
    ----------
    references
        Prepared reference images to the finest limit used, or templates made from them before, for many chunks.
    images
        Prepared particle images.
    settings
        How.
    centre_A
        Displacement around which to search, shape () or (n, 2).
    log_prior
        Logarithm of each reference's share of the particles, shape () or (references,).
    threads
        Threads.

    Returns
    -------
    ImagePosterior

    Raises
    ------
    InputError
        If settings make no sense.

    Notes
    -----
    Products on the polar grid find the best angle and displacement of every reference; the best ``keep`` references
    are refined by :func:`verglas.engine.refine_poses` and weighed by their likelihood there.
    """
    options = settings or ImageSearchSettings()
    if options.keep < 1:
        raise InputError(f"keep must be 1 or more, not {options.keep}.")
    if threads < 1:
        raise InputError(f"{threads} threads make no sense; give 1 or more.")
    library = references if isinstance(references, ImageTemplates) else ImageTemplates(references, images.band, options)
    count = len(images)
    centre = np.broadcast_to(np.asarray(centre_A, np.float64), (count, 2))
    prior = np.broadcast_to(np.asarray(log_prior, np.float64), (len(library),))
    gains, psi, moved = search_grid(library, images, options, centre, threads)
    gains += prior
    kept = min(options.keep, len(library))
    chosen = np.argsort(-gains, axis=1, kind="stable")[:, :kept]
    gain, angle = (np.take_along_axis(values, chosen, axis=1) for values in (gains, psi))
    displacements = np.take_along_axis(moved, chosen[..., None], axis=1) + centre[:, None]
    scale = np.ones((count, kept))
    best = gain[:, :1]
    alive = gain >= best - options.margin - np.maximum(best, 0.0) / 3.0
    gain = np.where(alive, gain, -np.inf)
    if options.steps:
        refine_candidates(library, images, options, chosen, alive, angle, displacements, scale, gain, centre, threads)
        gain = np.where(alive, gain + prior[chosen], -np.inf)
    order = np.argsort(-gain, axis=1, kind="stable")
    chosen, gain = np.take_along_axis(chosen, order, axis=1), np.take_along_axis(gain, order, axis=1)
    weights = np.exp(gain - gain[:, :1])
    weights /= weights.sum(axis=1, keepdims=True)
    return ImagePosterior(
        reference=chosen,
        psi=np.take_along_axis(angle, order, axis=1),
        displacements_A=np.take_along_axis(displacements, order[..., None], axis=1),
        scale=np.take_along_axis(scale, order, axis=1),
        log_likelihood=gain,
        weights=weights,
    )


SPAN = 15.0
"""Poses that are less probable than the best one by this factor's exponential count for nothing in a sample."""


Sample = tuple[
    NDArray[np.float32], Drawing, NDArray[np.float64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]
]
"""Prior of references, how to draw, and what is filled: evidence, references, codes and counts."""


def search_grid(
    library: ImageTemplates,
    images: ParticleImages,
    options: ImageSearchSettings,
    centre: NDArray[np.float64],
    threads: int,
    sample: Sample | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the gain, angle and displacement from the centre of each image's best pose with each reference."""
    grid = library.grid
    part = images.band.up_to(options.limit_A)
    shifts = hexagonal_shifts(options.shift_step_A, options.shift_range_A)
    ramps = shift_ramps(grid, shifts, images.optics.magnification)
    matrices = polar_matrices(grid, part, images, library.to_polar)
    norms = ring_power(images, part, grid) @ library.power
    penalty = shift_penalty(shifts, options.shift_sigma_A)
    turn = quarter_turn(grid)
    per_image = 24 * grid.orders.size * len(shifts) * len(library)
    at_once = int(max(1, options.tile_bytes // per_image))
    batch = at_once * max(1, SAMPLED_AT_ONCE // at_once)
    gains = np.empty((len(images), len(library)), np.float32)
    codes = np.empty((len(images), len(library)), np.int32)

    def chunk(first: int) -> None:
        some = slice(first, first + batch)
        samples = polar_samples(images.select(some), part, centre[some], matrices)
        space = Workspace()
        for start in range(0, samples.shape[1], at_once):
            few = slice(first + start, min(first + start + at_once, first + samples.shape[1]))
            _products(
                library, samples[:, start : start + at_once], ramps, norms[few], penalty, turn, options.fit_scale,
                gains[few], codes[few], space, None if sample is None else (few, sample),
            )  # fmt: skip

    with single_blas_thread(), ThreadPoolExecutor(threads) as pool:
        list(pool.map(chunk, range(0, len(images), batch)))
    angles = 4 * (turn[0].shape[0] - 1)
    shift, angle = np.divmod(codes, angles)
    return gains.astype(np.float64), 2.0 * np.pi / angles * angle, shifts[shift]


def _products(
    library: ImageTemplates,
    samples: NDArray[np.float32],
    ramps: NDArray[np.float32],
    norms: NDArray[np.float32],
    penalty: NDArray[np.float32],
    turn: tuple[NDArray[np.float32], NDArray[np.float32]],
    fit_scale: bool,
    gains: NDArray[np.float32],
    codes: NDArray[np.int32],
    space: Workspace,
    sample: tuple[slice, Sample] | None = None,
) -> None:
    """Fill gains and codes (displacement and angle) of a few images with all references."""
    from verglas.kernels.polar import fold_images, sample_images, shift_samples

    grid, count, steps = library.grid, samples.shape[1], len(ramps)
    moved = space.array("moved", (2, count, steps, samples.shape[2]))
    for n in range(count):
        shift_samples(samples[:, n], ramps, moved[:, n])
    rows, width = count * steps, len(library)
    orders = angular_orders(grid, moved[0].reshape(rows, -1), moved[1].reshape(rows, -1))
    terms = space.array("terms", (2, grid.orders.size, rows, width))
    for m, ring in enumerate(grid.first_ring):
        both = np.concatenate([orders[0, m, :, ring:], orders[1, m, :, ring:]], axis=1)
        np.matmul(both, library.real[m], out=terms[0, m])
        np.matmul(both, library.imaginary[m], out=terms[1, m])
    even, flat = grid.even, terms.reshape(2, grid.orders.size, -1)
    sums = space.array("sums", (4, turn[0].shape[0], rows, width))
    for n, values in enumerate(sums.reshape(4, turn[0].shape[0], -1)):
        which = slice(even, None) if n % 2 else slice(0, even)
        np.matmul(turn[n // 2][:, which], flat[n // 2, which], out=values)
    fold_images(
        sums[0], sums[1], sums[2], sums[3],
        norms, penalty, fit_scale, gains, codes,
    )  # fmt: skip
    if sample is not None:
        few, (prior, drawing, evidence, reference, code, count) = sample
        sample_images(
            sums[0], sums[1], sums[2], sums[3], norms, penalty, prior, gains, drawing.factor, SPAN / drawing.factor,
            drawing.uniform[few], evidence[few], reference[few], code[few], count[few],
        )  # fmt: skip


def refine_candidates(
    library: ImageTemplates,
    images: ParticleImages,
    options: ImageSearchSettings,
    chosen: NDArray[np.int64],
    alive: NDArray[np.bool_],
    psi: NDArray[np.float64],
    displacements: NDArray[np.float64],
    scale: NDArray[np.float64],
    gain: NDArray[np.float64],
    centre: NDArray[np.float64],
    threads: int,
) -> None:
    """Refine the candidates that are alive, in place."""
    how = RefinementSettings(
        phi=False, theta=False, scale=options.fit_scale, limit_A=options.final_limit_A,
        shift_sigma_A=options.shift_sigma_A, most_steps=options.steps,
    )  # fmt: skip
    points = len(images.band) if options.final_limit_A <= 0 else images.band.count_to(options.final_limit_A)
    power = (np.abs(images.data[:, :points]) ** 2).sum(axis=1, dtype=np.float64)
    for number, reference in enumerate(library.references):
        image, place = np.nonzero(alive & (chosen == number))
        if not image.size:
            continue
        found = refine_poses(
            reference, images, euler_to_matrix(0.0, 0.0, psi[image, place]), displacements[image, place], how,
            image=image, centre_A=centre[image], threads=threads,
        )  # fmt: skip
        psi[image, place] = matrix_to_euler(found.rotations)[2]
        displacements[image, place] = found.displacements_A
        scale[image, place] = found.scale
        gain[image, place] = found.log_likelihood + power[image]
