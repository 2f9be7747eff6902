"""Which class of one half set is which of the other: halves that know nothing of each other number theirs by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from verglas.engine.reconstruction import Reconstruction
from verglas.signal import apply_filter, cosine_lowpass, sphere_mask
from verglas.stages.refinement.maps import HalfMap


@dataclass(frozen=True)
class ClassMatch:
    """How the classes of two half sets belong together.

    Attributes
    ----------
    order
        Class of the second half set for each class of the first; shape (classes,).
    agreement
        Mean correlation of matched classes' departures from the mean of all classes, -1 to 1: near 0 where each half
        set has found something else that tells its particles apart.
    """

    order: NDArray[np.int64]
    agreement: float


def match_classes(
    halves: Sequence[tuple[HalfMap, HalfMap]], pixel_size_A: float, radius_A: float, limit_A: float, *,
    mask: NDArray[np.float32] | None = None, threads: int = 1,
) -> ClassMatch:  # fmt: skip
    """Match the classes of two half sets by what each has beyond the mean of all of its half set.

    Nothing but the order of the classes passes between the halves.

    Parameters
    ----------
    halves
        Half maps of each class.
    pixel_size_A
        Of the maps.
    radius_A
        Radius of the particle.
    limit_A
        Resolution to which classes are told apart.
    mask
        Where they are told apart, 0 to 1; None: within the particle's radius.
    threads
        Threads.
    """
    box = len(halves[0][0][0])
    within = sphere_mask((box,) * 3, radius_A, pixel_size_A) if mask is None else mask
    lowpass = cosine_lowpass(limit_A, 2.0 / (box * pixel_size_A))
    apart = []
    for number in (0, 1):
        maps = np.stack([apply_filter(pair[number][0], pixel_size_A, lowpass, workers=threads) for pair in halves])
        maps = (maps - maps.mean(axis=0)) * within
        flat = maps.reshape(len(maps), -1).astype(np.float64)
        apart.append(flat / np.maximum(np.sqrt((flat**2).sum(axis=1, keepdims=True)), 1e-30))
    correlation = np.einsum("iv,jv->ij", apart[0], apart[1])
    first, order = linear_sum_assignment(correlation, maximize=True)
    return ClassMatch(np.asarray(order, np.int64), float(correlation[first, order].mean()))


def exchange_classes(sums: Sequence[Reconstruction], order: NDArray[np.int64]) -> None:
    """Give the second half of each class the sums that class ``order[k]`` has there, in place."""
    second = [(sums[k].halves[1], int(sums[k].images[1])) for k in order]
    for one, (half, images) in zip(sums, second, strict=True):
        one.halves = (one.halves[0], half)
        one.images[1] = images
