"""How far the pose of an image is spread: centre and covariance of its posterior, from poses drawn about the maximum.

Where errors reach a degree or more the likelihood is no parabola, and the inverse of the normal matrix, which knows it
at one point only, states errors too small. Here the likelihood itself is looked at, as far out as it matters.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri, gammaincinv, ndtri
from scipy.stats import qmc

from verglas.engine.images import ParticleImages
from verglas.engine.likelihood import log_likelihoods
from verglas.engine.reference import Reference
from verglas.engine.refinement import RefinedPoses, RefinementSettings
from verglas.errors import InputError
from verglas.geometry import rotvec_to_matrix

# Tails of the proposal: Student's t, wider than the covariance that it starts from.
FREEDOM = 6.0
WIDER = 1.2
# Curvatures of the fitted parabola lie between these, in units of the proposal's.
LEAST_CURVATURE, MOST_CURVATURE = 0.15, 50.0
# Regions are ellipsoids of a Student's t of the same covariance: where signals are weak, posteriors have such tails.
REGION_FREEDOM = 40.0
# Weight of draws without likelihood, and what keeps a fit to fewer draws than it has coefficients from failing.
LEAST_WEIGHT, RIDGE = 1e-9, 1e-7
IMAGES_AT_ONCE = 64


@dataclass(frozen=True)
class PoseSpread:
    """Centre and covariance of the posterior of each pose near its maximum.

    Attributes
    ----------
    rotations
        Pose at the centre, shape (n, 3, 3).
    displacements_A
        Displacement at the centre, shape (n, 2).
    covariance
        Of the three turns about the axes of the refined poses (radians) and the displacements (A) about that centre;
        0 in rows of parameters that were not refined, NaN where the image does not determine them; shape (n, 5, 5).
    effective_draws
        How many draws from the posterior itself those are worth, ``1 / sum of squared weights``; shape (n,).
    parameters
        How many of the five were refined.
    """

    rotations: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    covariance: NDArray[np.float64]
    effective_draws: NDArray[np.float64]
    parameters: int

    def squared_radius(self, level: float) -> float:
        """Return the size of the ellipsoids that hold the true pose with a given probability.

        A pose e away from the centre lies inside where ``e' covariance^-1 e`` is no more than this.

        Parameters
        ----------
        level
            Probability, 0 to 1.

        Raises
        ------
        InputError
            If it is not one.

        Notes
        -----
        The square of a Student's t of so many dimensions follows an F distribution. With 40 degrees of freedom the
        ellipsoids are 3 % smaller than a normal distribution's at 50 % and 11 % larger at 99 %.
        """
        if not 0.0 < level < 1.0:
            raise InputError(f"a region of probability {level:g} makes no sense; give a number between 0 and 1.")
        shrink = (REGION_FREEDOM - 2.0) / REGION_FREEDOM
        return float(self.parameters * shrink * fdtri(self.parameters, REGION_FREEDOM, level))


def pose_spread(
    reference: Reference,
    images: ParticleImages,
    refined: RefinedPoses,
    settings: RefinementSettings | None = None,
    *,
    draws: int = 64,
    centre_A: Any = 0.0,
    threads: int = 1,
) -> PoseSpread:
    """Return centre and covariance of the posterior about refined poses, one for each image.

    Parameters
    ----------
    reference, images
        As they were for :func:`verglas.engine.refine_poses`.
    refined
        Its result.
    settings
        Its settings: which parameters, resolution, prior on displacements.
    draws
        Poses to look at for each image, a power of 2 for the best spread of them.
    centre_A
        Centre of the prior on displacements, shape () or (n, 2).
    threads
        Threads; the result does not depend on them.

    Returns
    -------
    PoseSpread

    Raises
    ------
    InputError
        If shapes do not fit, or the poses were refined together with the defocus.

    Notes
    -----
    Draws are the same for all images but for their spread: a Sobol sequence, turned into a Student's t with the
    covariance of the refined pose. A parabola is fitted to the log-posterior at the draws, each weighed by its
    posterior over the density of draws; mean and covariance of the same weights would do too, but need several times
    as many draws. The scale takes its best value in each draw. Likelihoods are divided by the noise variance of the
    image, as covariances of refined poses are, so that a noise model that is off in strength does no harm.

    References
    ----------
    T. Kloek, H. K. van Dijk, "Bayesian estimates of equation system parameters: an application of integration by Monte
    Carlo", Econometrica 46 (1978) 1, for the weights.
    """
    options = settings or RefinementSettings()
    count = len(images)
    if refined.rotations.shape != (count, 3, 3):
        raise InputError(f"{count} images need a refined pose each, not {refined.rotations.shape}.")
    if options.defocus or options.astigmatism:
        raise InputError("the spread is that of poses; prepare images with the refined defocus and refine poses alone.")
    if draws < 32:
        raise InputError(f"a spread needs 32 draws or more, not {draws}.")
    chosen = np.flatnonzero([options.phi, options.theta, options.psi, options.x, options.y])
    size = chosen.size
    if not size:
        raise InputError("nothing was refined that could be spread; switch on an angle or a displacement.")
    standard, log_density = _draws(draws, size)
    width = refined.covariance[:, chosen[:, None], chosen]
    known = np.asarray(np.isfinite(width).all(axis=(1, 2)))
    width = np.asarray(np.linalg.cholesky(np.where(known[:, None, None], width, 1e-12 * np.eye(size))), np.float64)
    steps = np.zeros((count, draws, 5))
    steps[:, :, chosen] = np.einsum("nij,mj->nmi", width, standard)
    mean, covariance = np.zeros((count, 5)), np.zeros((count, 5, 5))
    effective = np.zeros(count)
    centre = np.broadcast_to(np.asarray(centre_A, np.float64), (count, 2))

    def part(first: int) -> None:
        some = slice(first, min(first + IMAGES_AT_ONCE, count))
        gain = _log_posterior(reference, images, refined, options, some, steps[some], centre[some])
        middle, inside, effective[some] = _parabola(standard, gain, log_density)
        mean[some, chosen] = np.einsum("nij,nj->ni", width[some], middle)
        covariance[some, chosen[:, None], chosen] = width[some] @ inside @ width[some].swapaxes(1, 2)

    if threads < 1:
        raise InputError(f"{threads} threads make no sense; give 1 or more.")
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, range(0, count, IMAGES_AT_ONCE)))
    mean[~known], effective[~known] = 0.0, 0.0
    covariance[np.ix_(~known, chosen, chosen)] = np.nan
    turns = np.einsum("ni,nij->nj", mean[:, :3], refined.axes)
    return PoseSpread(
        rotations=rotvec_to_matrix(turns) @ refined.rotations,
        displacements_A=refined.displacements_A + mean[:, 3:],
        covariance=covariance,
        effective_draws=effective,
        parameters=size,
    )


def _draws(count: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return draws from a widened Student's t, shape (draws, size), and the logarithm of their density."""
    sequence = qmc.Sobol(size + 1, scramble=False).random_base2(math.ceil(math.log2(count)))[:count]
    # Its first point is the corner of the unit cube: every point is moved by half their distance.
    uniform = np.mod(sequence + 0.5 / count, 1.0)
    shrink = 2.0 * gammaincinv(0.5 * FREEDOM, uniform[:, size]) / FREEDOM
    points = ndtri(uniform[:, :size]) / np.sqrt(shrink)[:, None]
    density = -0.5 * (FREEDOM + size) * np.log1p((points**2).sum(axis=1) / FREEDOM)
    return WIDER * points, density


def _parabola(
    points: NDArray[np.float64], values: NDArray[np.float64], log_density: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit a parabola to log-posteriors, where the posterior is.

    Parameters
    ----------
    points
        Shape (draws, size).
    values
        Log-posterior of each image, shape (n, draws).
    log_density
        Of the draws, shape (draws,).

    Returns
    -------
    centre : ndarray, shape (n, size)
    covariance : ndarray, shape (n, size, size)
    effective_draws : ndarray, shape (n,)
    """
    size = points.shape[1]
    values = values - values.max(axis=1, keepdims=True)
    weight = values - log_density
    weight = np.exp(weight - weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    effective = 1.0 / (weight**2).sum(axis=1)
    weight += LEAST_WEIGHT
    i, j = np.triu_indices(size)
    terms = np.concatenate([np.ones((len(points), 1)), points, points[:, i] * points[:, j]], axis=1)
    weighted = weight[:, :, None] * terms
    normal = weighted.swapaxes(1, 2) @ terms + RIDGE * np.eye(terms.shape[1])
    fitted = np.linalg.solve(normal, np.einsum("nmi,nm->ni", weighted, values)[:, :, None])[:, :, 0]
    curvature = np.zeros((len(values), size, size))
    curvature[:, i, j] = -fitted[:, 1 + size :]
    curvature += curvature.swapaxes(1, 2)
    found, axes = np.linalg.eigh(curvature)
    inverse = 1.0 / np.clip(found, LEAST_CURVATURE / WIDER**2, MOST_CURVATURE / WIDER**2)
    covariance = np.einsum("nij,nj,nkj->nik", axes, inverse, axes)
    # No further than the draws reach.
    centre = np.einsum("nij,nj->ni", covariance, fitted[:, 1 : 1 + size])
    return np.clip(centre, -2.0 * WIDER, 2.0 * WIDER), covariance, effective


def _log_posterior(
    reference: Reference,
    images: ParticleImages,
    refined: RefinedPoses,
    options: RefinementSettings,
    some: slice,
    steps: NDArray[np.float64],
    centre_A: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the log-posterior of some images at steps from their poses, up to a constant of each; shape (n, draws)."""
    turns = np.einsum("nmi,nij->nmj", steps[:, :, :3], refined.axes[some])
    rotations = rotvec_to_matrix(turns) @ refined.rotations[some][:, None]
    moved = refined.displacements_A[some][:, None] + steps[:, :, 3:]
    gain = log_likelihoods(
        reference, images, rotations, moved, image=np.arange(some.start, some.stop),
        scale=None if options.scale else refined.scale[some, None], limit_A=options.limit_A,
    )  # fmt: skip
    gain = gain / refined.noise_variance[some, None]
    if options.shift_sigma_A > 0:
        gain -= 0.5 * ((moved - centre_A[:, None]) ** 2).sum(axis=2) / options.shift_sigma_A**2
    return gain
