"""References and images on a GPU or back in host memory: what is computed with them is computed there."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

from verglas.engine.images import ParticleImages
from verglas.engine.reference import Reference
from verglas.kernels.arrays import array_library, to_numpy

Thing = TypeVar("Thing", Reference, ParticleImages)

LARGE = frozenset({"values", "data", "transfer"})
"""Arrays that are moved; small ones, which decide what is done, stay in host memory."""


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
    On a GPU: slices, :func:`verglas.engine.log_likelihoods`, :func:`verglas.engine.coarse_search` and
    :class:`verglas.engine.reconstruction.Reconstruction`. Refinement refuses arrays of a GPU.
    """
    xp = array_library(device)
    moved = {
        field.name: xp.asarray(to_numpy(getattr(thing, field.name))) for field in fields(thing) if field.name in LARGE
    }
    return replace(thing, **moved)
