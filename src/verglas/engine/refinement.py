"""Local refinement of poses by batched Levenberg-Marquardt, with the uncertainty of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.devices import batches, shared_library, to_device
from verglas.engine.images import ParticleImages
from verglas.engine.pose_covariance import pose_covariance
from verglas.engine.reference import Reference
from verglas.errors import InputError
from verglas.geometry import matrix_to_euler
from verglas.kernels.arrays import array_namespace, kernel_for, to_numpy
from verglas.microscopy import even_aberration_phase

PARAMETER_NAMES = (
    "turn_x", "turn_y", "turn_z", "x_A", "y_A", "scale", "defocus_A", "astigmatism_cos_A", "astigmatism_sin_A",
)  # fmt: skip


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
    memory_bytes: int | None = None,
) -> RefinedPoses:
    """Refine poses to the nearest maximum of the likelihood.

    Parameters
    ----------
    reference
        Prepared to the images' limit or finer; on a GPU (:func:`verglas.engine.to_device`), poses are refined there.
    images
        Prepared images; in host memory, or where the reference is. From host memory they come to a GPU in batches.
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
        Threads of a CPU; the result does not depend on them.
    memory_bytes
        Memory of a GPU that a batch of images and their poses may take; half of what is free when None.

    Returns
    -------
    RefinedPoses

    Raises
    ------
    InputError
        If shapes do not fit, or images lie on a GPU and the reference does not.
    ResourceError
        If the GPU's memory is too small for an image.

    References
    ----------
    L. Kaufman, "A variable projection method", BIT 15 (1975) 49, for the scale; the rest is J. J. More, "The
    Levenberg-Marquardt algorithm", Lect. Notes Math. 630 (1978) 105.
    """
    from verglas.kernels.levenberg_marquardt import PARAMETERS

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
    if array_namespace(images.data) is np and array_namespace(reference.values) is not np:
        moved, centre = (
            np.broadcast_to(np.asarray(one, np.float64), (count, 2)) for one in (displacements_A, centre_A)
        )
        scales = np.broadcast_to(np.asarray(scale, np.float64), count)
        return _in_batches(
            images, which, memory_bytes, lambda some, rows, image: refine_poses(
                reference, some, R[rows], moved[rows], options, image=image, scale=scales[rows], centre_A=centre[rows]
            )
        )  # fmt: skip
    xp = shared_library(reference, images)
    refine = kernel_for(xp, "pose_refinement", "refine")
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
    components = [
        xp.asarray(one) for one in (u, v, band.column[:points], band.row[:points], qx.astype(np.float32),
                                    qy.astype(np.float32), higher)
    ]  # fmt: skip
    noise = [xp.asarray(one) for one in (images.whitening, images.group, constants)]
    given = [xp.asarray(one) for one in (which, active, axes, prior, prior_centre)]
    found = [xp.asarray(one) for one in (R, state, cost, normal, residual, evaluations)]

    def part(first: int, last: int) -> None:
        refine(
            first, last, reference.values, reference.centre, reference.depth, *components, images.data,
            images.transfer, *noise, *given, options.most_steps, options.stop_gain, *found,
        )  # fmt: skip

    if threads < 1:
        raise InputError(f"{threads} threads make no sense; give 1 or more.")
    # The kernel releases the interpreter's lock, and each pose is its own: threads take a part each, a GPU takes all.
    edges = np.linspace(0, count, min(threads if xp is np else 1, max(count, 1)) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, edges[:-1], edges[1:]))
    R, state, cost, normal, residual, evaluations = (to_numpy(one) for one in found)

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
        covariance=pose_covariance(normal, active, state[:, 2], residual, reference.slope_excess),
        axes=axes,
        evaluations=evaluations,
    )


def _in_batches(
    images: ParticleImages,
    which: NDArray[np.int64],
    memory_bytes: int | None,
    refined: Callable[[ParticleImages, NDArray[np.int64], NDArray[np.int64]], RefinedPoses],
) -> RefinedPoses:
    """Bring images to the GPU batch by batch and return all poses in their order.

    ``refined`` is given images on the device, the poses that are theirs, and the image of each in the batch.
    """
    parts, order = [], []
    for some in batches(images, len(which), memory_bytes):
        rows = np.flatnonzero((which >= some.start) & (which < some.stop))
        parts.append(refined(to_device(images.select(some), "cuda"), rows, which[rows] - some.start))
        order.append(rows)
    places = np.argsort(np.concatenate(order))
    names = [field.name for field in fields(RefinedPoses)]
    return RefinedPoses(**{name: np.concatenate([getattr(part, name) for part in parts])[places] for name in names})


def _turns(options: RefinementSettings, R: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which parameters are refined (the three turns so far), and the axes of the turns."""
    from verglas.kernels.levenberg_marquardt import PARAMETERS

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
