"""References and images on a GPU or back in host memory: what is computed with them is computed there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np

from verglas.engine.images import ParticleImages
from verglas.engine.reference import Reference
from verglas.errors import InputError, ResourceError
from verglas.kernels.arrays import array_library, array_namespace, to_numpy

Thing = TypeVar("Thing", Reference, ParticleImages)

LARGE = frozenset({"values", "data", "transfer", "whitening"})
"""Arrays that are moved; small ones, which decide what is done, stay in host memory."""
COMPONENT_BYTES, POSE_BYTES = 12, 1024


def to_device(thing: Thing, device: str) -> Thing:
    """Return a reference or images with their arrays on a device.

    Parameters
    ----------
    thing
        A reference, or prepared images.
    device
        ``cpu`` or ``cuda``.

    Raises
    ------
    InputError
        There is no such device, or CuPy is not installed.

    Notes
    -----
    On a GPU: slices, :func:`verglas.engine.log_likelihoods`, :func:`verglas.engine.search_poses`,
    :func:`verglas.engine.refine_poses` and :class:`verglas.engine.reconstruction.Reconstruction`.
    """
    xp = array_library(device)
    moved = {
        # Each image's components together, as threads beside each other read them.
        field.name: xp.asarray(np.ascontiguousarray(to_numpy(getattr(thing, field.name))))
        for field in fields(thing)
        if field.name in LARGE
    }
    return replace(thing, **moved)


def shared_library(reference: Reference, images: ParticleImages) -> Any:
    """Return the array library of a reference and images.

    Raises
    ------
    InputError
        They lie on different devices.
    """
    xp = array_namespace(images.data)
    if array_namespace(reference.values) is not xp:
        raise InputError("reference and images lie on different devices; bring both to one with to_device.")
    return xp


def batches(images: ParticleImages, poses: int, memory_bytes: int | None = None) -> Iterator[slice]:
    """Return which images are brought to a GPU at a time, one slice after the other; at least one.

    Parameters
    ----------
    images
        In host memory.
    poses
        Poses of all of them together.
    memory_bytes
        What a batch may take; half of what is free on the GPU when None.

    Raises
    ------
    ResourceError
        It is not enough for one image.
    """
    if memory_bytes is None:
        cupy = array_library("cuda")
        # CuPy keeps what it has freed, to hand it out again.
        free, _ = cupy.cuda.runtime.memGetInfo()
        memory_bytes = (free + cupy.get_default_memory_pool().free_bytes()) // 2
    one = COMPONENT_BYTES * len(images.band) + POSE_BYTES * -(-poses // max(len(images), 1))
    at_once = (memory_bytes - images.whitening.nbytes) // one
    if at_once < 1:
        raise ResourceError(
            f"an image with its noise spectra takes {(one + images.whitening.nbytes) / 1e6:.1f} MB on the GPU, and may "
            f"take {memory_bytes / 1e6:.1f} MB; free memory there, or use a coarser resolution or fewer groups."
        )
    for first in range(0, max(len(images), 1), at_once):
        yield slice(first, min(first + at_once, len(images)))
