"""Local refinement of poses by batched Levenberg-Marquardt, with the uncertainty of each."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import ParticleImages
from verglas.engine.reference import Reference
from verglas.errors import InputError
from verglas.geometry import matrix_to_euler
from verglas.kernels.arrays import array_namespace, kernel_for
from verglas.microscopy import even_aberration_phase

PARAMETER_NAMES = (
    "turn_x", "turn_y", "turn_z", "x_A", "y_A", "scale", "defocus_A", "astigmatism_cos_A", "astigmatism_sin_A",
)  # fmt: skip
# Information left, at the least, when the noise that a model has fitted is taken off.
LEAST_SHARE = 0.2


@dataclass(frozen=True)
class RefinementSettings:
    """What is refined, and how far.

    Attributes
    ----------
    phi, theta, psi
        Refine this Euler angle. With all three, turns are about the image's own axes and no direction is special;
        with fewer, about the axes of those angles at the start.
    x, y
        Refine the displacement along this axis.
    scale
        Fit the scale of each image; else keep the given one.
    defocus, astigmatism
        Refine the mean defocus, and both parts of astigmatism.
    limit_A
        Resolution to use, coarser than the images' own; 0: theirs.
    stages_A
        Resolutions to which poses are refined first, one after the other. At high resolution the likelihood has many
        maxima: a start 3 degrees off needs 10 and 6 A on the way to 4.5 A.
    shift_sigma_A
        Standard deviation of the prior on each displacement about ``centre_A``; 0: none.
    defocus_sigma_A
        Standard deviation of the prior on each part of the defocus about its start; 0: none.
    most_steps
        Most passes over the image.
    stop_gain
        Stop where the next step promises to raise the log-likelihood by less.
    """

    phi: bool = True
    theta: bool = True
    psi: bool = True
    x: bool = True
    y: bool = True
    scale: bool = True
    defocus: bool = False
    astigmatism: bool = False
    limit_A: float = 0.0
    stages_A: tuple[float, ...] = ()
    shift_sigma_A: float = 0.0
    defocus_sigma_A: float = 0.0
    most_steps: int = 25
    stop_gain: float = 0.1


@dataclass(frozen=True)
class RefinedPoses:
    """Poses with their uncertainty.

    Attributes
    ----------
    rotations
        Rotation matrices, float64, shape (n, 3, 3).
    displacements_A
        Displacement of the particle along x and y, minus the origin of the particle table; shape (n, 2).
    scale
        Factor of the reference in the image; shape (n,).
    defocus
        u and v in A, angle of u and phase shift in radians; shape (n, 4).
    log_likelihood
        Up to a constant of the image and band; shape (n,).
    noise_variance
        Mean squared residual of a component: 1 where the noise model holds; shape (n,).
    covariance
        Of the parameters ``PARAMETER_NAMES`` (radians, A), scaled by the noise variance; 0 in rows of parameters that
        were not refined, NaN where the image does not determine them; shape (n, 9, 9). Turns are about the axes in
        ``axes``.
    axes
        Axes of the three turns in the image's frame, shape (n, 3, 3); a turn v takes R to exp([v]x) R.
    evaluations
        Passes over the image; shape (n,).
    """

    rotations: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    scale: NDArray[np.float64]
    defocus: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    noise_variance: NDArray[np.float64]
    covariance: NDArray[np.float64]
    axes: NDArray[np.float64]
    evaluations: NDArray[np.int64]


def refine_poses(
    reference: Reference,
    images: ParticleImages,
    rotations: Any,
    displacements_A: Any,
    settings: RefinementSettings | None = None,
    *,
    image: Any | None = None,
    scale: Any = 1.0,
    centre_A: Any = 0.0,
    threads: int = 1,
) -> RefinedPoses:
    """Refine poses to the nearest maximum of the likelihood.

    Parameters
    ----------
    reference
        Prepared to the images' limit or finer.
    images
        Prepared images.
    rotations
        Start, rotation matrices, shape (n, 3, 3).
    displacements_A
        Start, shape (n, 2).
    settings
        What is refined.
    image
        Image of each pose, shape (n,), where several poses of one image are tried; one pose an image when None.
    scale
        Scale where it is not refined, shape () or (n,).
    centre_A
        Centre of the prior on displacements, shape () or (n, 2).
    threads
        Threads; the result does not depend on them.

    Returns
    -------
    RefinedPoses

    Raises
    ------
    InputError
        If shapes do not fit, or arrays lie on a GPU.

    References
    ----------
    L. Kaufman, "A variable projection method", BIT 15 (1975) 49, for the scale; the rest is J. J. More, "The
    Levenberg-Marquardt algorithm", Lect. Notes Math. 630 (1978) 105.
    """
    from verglas.kernels.pose_refinement import PARAMETERS

    refine = kernel_for(array_namespace(reference.values, images.data), "pose_refinement", "refine")
    options = settings or RefinementSettings()
    R = np.array(rotations, np.float64)
    count = len(R)
    which = np.arange(len(images)) if image is None else np.asarray(image, np.int64)
    if R.shape != (count, 3, 3) or which.shape != (count,):
        raise InputError(f"{count} poses need matrices of shape (n, 3, 3) and one image each, not {R.shape}.")
    if count and not (which.min() >= 0 and which.max() < len(images)):
        raise InputError(f"poses name images {which.min()} to {which.max()}, but there are {len(images)}.")
    for stage, limit_A in enumerate(options.stages_A):
        if stage and limit_A >= options.stages_A[stage - 1]:
            raise InputError(f"stages of refinement must go from coarse to fine, not {options.stages_A}.")
    for limit_A in options.stages_A:
        coarse = refine_poses(
            reference, images, R, displacements_A, replace(options, limit_A=limit_A, stages_A=()), image=which,
            scale=scale, centre_A=centre_A, threads=threads,
        )  # fmt: skip
        R, displacements_A = coarse.rotations, coarse.displacements_A
    optics = images.optics

    band = images.band
    points = len(band) if options.limit_A <= 0 else band.count_to(options.limit_A)
    qx, qy = (k[:points] for k in images.true_k_per_A)
    u, v = reference.coordinates(qx, qy)
    higher = even_aberration_phase(band.kx_per_A[:points], band.ky_per_A[:points], optics).astype(np.float32)
    wavelength = optics.wavelength_A
    spherical = 0.5 * math.pi * optics.spherical_aberration_mm * 1e7 * wavelength**3
    constants = np.array([math.pi * wavelength, spherical, 2.0 * math.pi / (band.box * band.pixel_size_A)])

    du, dv, angle, shift = images.defocus[which].T
    state = np.empty((count, 7))
    state[:, :2] = displacements_A
    state[:, 2] = scale
    state[:, 3], state[:, 6] = 0.5 * (du + dv), shift + optics.amplitude_phase
    state[:, 4], state[:, 5] = 0.5 * (du - dv) * np.cos(2.0 * angle), 0.5 * (du - dv) * np.sin(2.0 * angle)
    active, axes = _turns(options, R)
    active[3:] = (options.x, options.y, options.scale, options.defocus, options.astigmatism, options.astigmatism)
    prior, prior_centre = np.zeros(PARAMETERS), np.zeros((count, PARAMETERS))
    if options.shift_sigma_A > 0:
        prior[3:5] = 0.5 / options.shift_sigma_A**2
        prior_centre[:, 3:5] = centre_A
    if options.defocus_sigma_A > 0:
        prior[6:] = 0.5 / options.defocus_sigma_A**2
        prior_centre[:, 6:] = state[:, 3:6]

    cost, residual = np.empty(count), np.empty(count)
    normal, evaluations = np.empty((count, PARAMETERS, PARAMETERS)), np.empty(count, np.int64)

    def part(first: int, last: int) -> None:
        refine(
            first, last, reference.values, reference.centre, reference.depth, u, v, band.column[:points],
            band.row[:points], qx.astype(np.float32), qy.astype(np.float32), higher, images.data,
            images.transfer, images.whitening, images.group, constants, which, active, axes, prior, prior_centre,
            options.most_steps, options.stop_gain, R, state, cost, normal, residual, evaluations,
        )  # fmt: skip

    if threads < 1:
        raise InputError(f"{threads} threads make no sense; give 1 or more.")
    # The kernel releases the interpreter's lock, and each pose is its own: threads take a part each.
    edges = np.linspace(0, count, min(threads, max(count, 1)) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, edges[:-1], edges[1:]))

    half = np.hypot(state[:, 4], state[:, 5])
    refined_defocus = np.stack(
        [state[:, 3] + half, state[:, 3] - half, 0.5 * np.arctan2(state[:, 5], state[:, 4]), shift], axis=-1
    )
    return RefinedPoses(
        rotations=R,
        displacements_A=state[:, :2].copy(),
        scale=state[:, 2].copy(),
        defocus=refined_defocus,
        log_likelihood=-cost,
        noise_variance=residual,
        covariance=_covariance(normal, active, state[:, 2], residual, reference.slope_excess),
        axes=axes,
        evaluations=evaluations,
    )


def _turns(options: RefinementSettings, R: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which parameters are refined (the three turns so far), and the axes of the turns."""
    from verglas.kernels.pose_refinement import PARAMETERS

    active = np.zeros(PARAMETERS, np.bool_)
    axes = np.broadcast_to(np.eye(3), (len(R), 3, 3)).copy()
    active[:3] = (options.phi, options.theta, options.psi)
    if not active[:3].all():
        # A rise of an Euler angle turns by minus that about the map's z, the line of nodes and the beam.
        psi = matrix_to_euler(R)[2]
        axes[:, 0] = -R[:, :, 2]
        axes[:, 1] = np.stack([-np.sin(psi), -np.cos(psi), np.zeros_like(psi)], axis=-1)
        axes[:, 2] = (0.0, 0.0, -1.0)
    return active, axes


def _covariance(
    normal: NDArray[np.float64],
    active: NDArray[np.bool_],
    scale: NDArray[np.float64],
    variance: NDArray[np.float64],
    slope_excess: float,
) -> NDArray[np.float64]:
    """Return the inverse of the information on the refined parameters.

    The information is twice the normal matrix over the noise variance, less two things that would make it look larger
    than it is: slopes of an interpolated reference are steeper than true ones, and a fitted model has also fitted
    noise, which adds half a unit of likelihood for each parameter to the signal's.
    """
    from verglas.kernels.pose_refinement import SCALE

    covariance = np.zeros_like(normal)
    chosen = np.flatnonzero(active)
    if chosen.size and len(normal):
        full = 2.0 * normal
        full[:, :3, :3] /= slope_excess
        if active[SCALE]:
            gain = np.maximum(scale**2 * normal[:, SCALE, SCALE], 1e-300)
            share = np.maximum(1.0 - 0.5 * chosen.size * variance / gain, LEAST_SHARE)
            others = np.where(np.arange(active.size) == SCALE, 1.0, np.sqrt(share)[:, None])
            full *= others[:, :, None] * others[:, None, :]
        part = full[:, chosen[:, None], chosen]
        # Radians and A differ by orders of magnitude: bring the diagonal to 1 first.
        size = np.sqrt(np.maximum(np.diagonal(part, axis1=1, axis2=2), 1e-300))
        scaled = part / (size[:, :, None] * size[:, None, :])
        good = np.linalg.cond(scaled) < 1e10
        inverse = np.full_like(scaled, np.nan)
        inverse[good] = np.linalg.inv(scaled[good])
        inverse /= size[:, :, None] * size[:, None, :]
        covariance[:, chosen[:, None], chosen] = inverse * variance[:, None, None]
    return covariance
