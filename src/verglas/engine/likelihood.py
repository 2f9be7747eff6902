"""The log-likelihood of given poses, nothing refined: what each explains of its image."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.devices import shared_library
from verglas.engine.images import ParticleImages
from verglas.engine.reference import Reference
from verglas.errors import InputError
from verglas.kernels.arrays import kernel_for, to_numpy

POSES_AT_ONCE = 4096


def log_likelihoods(
    reference: Reference,
    images: ParticleImages,
    rotations: Any,
    displacements_A: Any,
    *,
    image: Any | None = None,
    scale: Any | None = None,
    limit_A: float = 0.0,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Return the log-likelihoods of poses, up to a constant of each image: 0 is an image of noise alone.

    Parameters
    ----------
    reference
        Prepared to the images' limit or finer.
    images
        Prepared images; on a GPU if the reference is, and it is done there.
    rotations
        Rotation matrices, shape (n, ..., 3, 3).
    displacements_A
        Shape (n, ..., 2).
    image
        Image of each of the n, shape (n,); one each when None.
    scale
        Scale of the model, shape () or one that goes with (n, ...); each pose's best when None.
    limit_A
        Resolution to use, coarser than the images' own; 0: theirs.
    threads
        Threads; the result does not depend on them.

    Returns
    -------
    ndarray, shape (n, ...)

    Raises
    ------
    InputError
        If shapes do not fit.
    """
    xp = shared_library(reference, images)
    match_poses = kernel_for(xp, "pose_likelihood", "match_poses")
    R, moved = np.asarray(rotations), np.asarray(displacements_A, np.float64)
    shape = R.shape[:-2]
    which = np.arange(len(images)) if image is None else np.asarray(image, np.int64)
    if R.shape[-2:] != (3, 3) or moved.shape != (*shape, 2) or not shape or which.shape != shape[:1]:
        raise InputError(
            f"rotations {R.shape}, displacements {moved.shape} and {which.size} images do not fit: they must have "
            "shapes (n, ..., 3, 3), (n, ..., 2) and (n,)."
        )
    if which.size and not (which.min() >= 0 and which.max() < len(images)):
        raise InputError(f"poses name images {which.min()} to {which.max()}, but there are {len(images)}.")
    if threads < 1:
        raise InputError(f"{threads} threads make no sense; give 1 or more.")
    band = images.band
    points = len(band) if limit_A <= 0 else band.count_to(limit_A)
    u, v = (xp.asarray(k) for k in reference.coordinates(*(k[:points] for k in images.true_k_per_A)))
    column, row = xp.asarray(band.column[:points]), xp.asarray(band.row[:points])
    flat = xp.asarray(np.ascontiguousarray(R.reshape(-1, 3, 3), np.float32))
    steps = xp.asarray(np.ascontiguousarray(moved.reshape(-1, 2)))
    of = xp.asarray(np.repeat(which, math.prod(shape[1:])))
    on_device = xp.empty((len(flat), 2))

    def part(first: int) -> None:
        match_poses(
            first, min(first + POSES_AT_ONCE, len(flat)), reference.values, reference.centre, reference.depth, u, v,
            column, row, images.data, images.transfer, 2.0 * math.pi / (band.box * band.pixel_size_A), of, flat, steps,
            on_device,
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, range(0, len(flat), POSES_AT_ONCE)))
    sums = to_numpy(on_device)
    power, product = sums[:, 0].reshape(shape), sums[:, 1].reshape(shape)
    if scale is None:
        return np.asarray(np.maximum(product, 0.0) ** 2 / np.maximum(power, 1e-30))
    factor = np.asarray(scale, np.float64)
    return np.asarray(factor * (2.0 * product - factor * power))
