"""The noise that is left when the model has been taken away, ring by ring, and images weighed by it anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import ParticleImages
from verglas.engine.reference import Reference
from verglas.errors import InputError

AT_ONCE = 256


def noise_ratio(
    reference: Reference,
    images: ParticleImages,
    rotations: Any,
    displacements_A: Any,
    scale: Any = 1.0,
    *,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Return the measured over the assumed power of the noise of each group on each ring; 1 where they agree.

    Parameters
    ----------
    reference
        Prepared to the images' limit or finer.
    images
        Prepared images, best a hundred or more of each group.
    rotations, displacements_A, scale
        Their poses: shapes (n, 3, 3), (n, 2), and () or (n,).
    threads
        Threads of slicing.

    Returns
    -------
    ndarray, shape (groups, rings)
        By ring number, in steps of 1 / width of the box; 1 on rings outside the band and for groups without images.

    Raises
    ------
    InputError
        If there are no images.
    """
    count = len(images)
    if not count:
        raise InputError("the noise cannot be measured without images.")
    band = images.band
    u, v = images.true_k_per_A
    R, moved = np.asarray(rotations), np.asarray(displacements_A, np.float64)
    factor = np.broadcast_to(np.asarray(scale, np.float64), (count,))
    groups = len(images.whitening)
    total = np.zeros((groups, len(band)))
    for first in range(0, count, AT_ONCE):
        some = slice(first, first + AT_ONCE)
        model = images.transfer[some] * reference.slices(R[some], u, v, threads=threads)
        phase = moved[some, :1] * band.kx_per_A + moved[some, 1:] * band.ky_per_A
        model *= (factor[some, None] * np.exp(-2j * np.pi * phase)).astype(np.complex64)
        np.add.at(total, images.group[some], np.abs(images.data[some] - model) ** 2)
    rings = band.rings
    size = rings.max() + 1
    measured = np.bincount(images.group, minlength=groups)[:, None] * np.bincount(rings, minlength=size)
    sums = np.stack([np.bincount(rings, values, size) for values in total])
    ratio: NDArray[np.float64] = np.where(measured > 0, sums / np.maximum(measured, 1), 1.0)
    return ratio


def reweigh(images: ParticleImages, ratio: Any) -> ParticleImages:
    """Return images whitened by another spectrum of the noise.

    Parameters
    ----------
    images
        Prepared images.
    ratio
        Power of the noise over what the images were whitened by, as of :func:`noise_ratio`; shape (groups, rings), or
        (rings,) for all groups.

    Raises
    ------
    InputError
        If a ring of the band has no power.
    """
    values, rings = np.atleast_2d(np.asarray(ratio, np.float64)), images.band.rings
    if values.ndim != 2 or values.shape[1] <= rings.max() or not np.all(values[:, rings] > 0):
        raise InputError("the noise needs power on every ring of the band; measure it on more images.")
    if len(values) not in {1, len(images.whitening)}:
        raise InputError(f"{len(values)} spectra do not fit {len(images.whitening)} groups of images.")
    whitening = images.whitening * (1.0 / np.sqrt(values[:, rings])).astype(np.float32)
    factor = (whitening / images.whitening)[images.group]
    return replace(images, data=images.data * factor, transfer=images.transfer * factor, whitening=whitening)
