"""In-plane poses of images, drawn from the posterior over many reference images, and refined where they were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.image_search import (
    Drawing,
    ImagePosterior,
    ImageSearchSettings,
    ImageTemplates,
    refine_candidates,
    search_grid,
)
from verglas.engine.images import ParticleImages
from verglas.engine.polar_grid import hexagonal_shifts, quarter_turn
from verglas.engine.reference import Reference

NEAR_STEPS = 1.6
"""Poses drawn so many steps of the grid from one another, in angle and displacement, are refined as one."""


@dataclass(frozen=True)
class ImageSample:
    """Poses drawn from the posterior of each image over references, angles and displacements.

    Attributes
    ----------
    reference
        Number of the reference; shape (n, draws).
    psi
        In-plane angle in radians; shape (n, draws).
    displacements_A
        Minus the origin of the particle table; shape (n, draws, 2).
    count
        How often each pose was drawn: 0 where an image has fewer distinct ones; shape (n, draws).
    evidence
        Logarithm of the probability of each reference, summed over all its poses, but for a constant of the grid;
        shape (n, references).
    gain
        What the best pose of each reference adds to the log-likelihood, without its share; shape (n, references).
    best_psi, best_displacements_A
        That pose; shapes (n, references) and (n, references, 2).
    """

    reference: NDArray[np.int64]
    psi: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    count: NDArray[np.int64]
    evidence: NDArray[np.float64]
    gain: NDArray[np.float64]
    best_psi: NDArray[np.float64]
    best_displacements_A: NDArray[np.float64]


def draw_images(
    references: ImageTemplates | Sequence[Reference],
    images: ParticleImages,
    settings: ImageSearchSettings,
    drawing: Drawing,
    *,
    log_prior: Any = 0.0,
    threads: int = 1,
) -> ImageSample:
    """Draw poses from the posterior of every image over all references, in-plane angles and displacements of the grid.

    Sums over draws are, in the mean, sums over the whole posterior: the step of expectation of the maximum-likelihood
    method, at the cost of a few poses an image.

    Parameters
    ----------
    references
        Prepared reference images, taken at their own scale, or templates.
    images
        Prepared particle images.
    settings
        How poses are searched; none is refined.
    drawing
        How many are drawn, and how.
    log_prior
        Logarithm of each reference's share of the particles, shape () or (references,).
    threads
        Threads.
    """
    library = (
        references if isinstance(references, ImageTemplates) else ImageTemplates(references, images.band, settings)
    )
    shape, width = (len(images), drawing.draws), len(library)
    prior = np.broadcast_to(np.asarray(log_prior, np.float32), (width,)).copy()
    evidence = np.zeros((len(images), width))
    reference, codes, count = (np.zeros(shape, np.int32) for _ in range(3))
    sample = (prior, drawing, evidence, reference, codes, count)
    gain, psi, moved = search_grid(library, images, settings, np.zeros((len(images), 2)), threads, sample)
    turn = 4 * (quarter_turn(library.grid)[0].shape[0] - 1)
    shift, angle = np.divmod(codes, turn)
    shifts = hexagonal_shifts(settings.shift_step_A, settings.shift_range_A)
    return ImageSample(
        reference.astype(np.int64), 2.0 * np.pi / turn * angle, shifts[shift], count.astype(np.int64),
        evidence, gain,
        psi, moved,
    )  # fmt: skip


def refine_draws(
    library: ImageTemplates, images: ParticleImages, settings: ImageSearchSettings, drawn: ImageSample, *,
    log_prior: Any = 0.0, factor: float = 1.0, threads: int = 1,
) -> ImagePosterior:  # fmt: skip
    """Refine the poses drawn for each image, those near one another as one, and weigh them by what is finer.

    A clear image has one pose, an unclear one up to ``settings.keep``, which may be of one reference.

    Parameters
    ----------
    library
        Templates that were drawn from, prepared to the finest limit used.
    images
        Prepared particle images.
    settings
        As for :func:`draw_images`; they say how poses are refined.
    drawn
        What was drawn.
    log_prior
        Logarithm of each reference's share of the particles, shape () or (references,).
    factor
        Of the log-likelihood.
    threads
        Threads.
    """
    from verglas.kernels.polar import merge_draws

    count, width = len(images), len(library)
    prior = np.broadcast_to(np.asarray(log_prior, np.float64), (width,))
    step = 2.0 * np.pi / (4 * (quarter_turn(library.grid)[0].shape[0] - 1))
    leader = np.empty((count, settings.keep), np.int64)
    share = np.empty((count, settings.keep))
    merge_draws(
        drawn.reference, drawn.psi, drawn.displacements_A, drawn.count, np.cos(NEAR_STEPS * step),
        NEAR_STEPS * settings.shift_step_A, leader, share,
    )  # fmt: skip
    alive = leader >= 0
    rows = np.arange(count)[:, None]
    chosen, psi = drawn.reference[rows, leader], drawn.psi[rows, leader]
    displacements, scale = drawn.displacements_A[rows, leader], np.ones(leader.shape)
    coarse, fine = np.zeros(leader.shape), np.full(leader.shape, -np.inf)
    nowhere = np.zeros((count, 2))
    for how, gained in ((replace(settings, final_limit_A=settings.limit_A), coarse), (settings, fine)):
        refine_candidates(library, images, how, chosen, alive, psi, displacements, scale, gained, nowhere, threads)
    # Draws came as often as the grid's resolution says: what is finer tells them apart further.
    odds = np.log(np.maximum(share, 1.0)) + factor * (fine - coarse)
    gain = np.where(alive, fine + prior[chosen], -np.inf)
    order = np.argsort(-np.where(alive, odds, -np.inf), axis=1, kind="stable")
    odds = np.where(alive, odds, -np.inf)[rows, order]
    chosen, gain = chosen[rows, order], gain[rows, order]
    weights = np.exp(odds - odds[:, :1])
    weights /= weights.sum(axis=1, keepdims=True)
    return ImagePosterior(chosen, psi[rows, order], displacements[rows, order], scale, gain, weights)
