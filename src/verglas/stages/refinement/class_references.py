"""References of several classes: one map of all particles, and beside it what each class has beyond that.

A map that holds its signal a little better than the others explains every particle better, draws particles to its class
and gets better still, until the others are empty. So all classes share the map of all particles of their half set, and
one filter: what each class has beyond it is filtered by what the half sets agree on of just that. As long as they agree
on little, classes differ little, and particles are shared among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verglas.engine.reconstructed_map import signal_to_noise
from verglas.engine.reconstruction import Reconstruction
from verglas.engine.reference_masks import Map, reference_mask
from verglas.signal import fourier_shell_correlation
from verglas.stages.refinement.difference_filter import difference_filter
from verglas.stages.refinement.maps import HalfMap, judge
from verglas.stages.refinement.round_settings import RoundSettings

SMOOTHED = 2
"""Shells on each side over which the correlation of differences is averaged."""
MOST_CORRELATED = 0.99


@dataclass(frozen=True)
class ClassReferences:
    """What references are made of.

    Attributes
    ----------
    sources
        Filtered maps of each class and half set, not masked.
    masks
        Of each half set, the same for all classes.
    ratio
        Signal-to-noise ratio, in each shell, of what classes have beyond the map of all; shape (shells,).
    """

    sources: list[list[Map]]
    masks: list[Map]
    ratio: NDArray[np.float64]


def class_references(
    sums: Sequence[Reconstruction], halves: Sequence[tuple[HalfMap, HalfMap]], settings: RoundSettings, threads: int = 1
) -> ClassReferences:
    """Make what the references of several classes are made of: for each half set, or the same for both.

    Parameters
    ----------
    sums
        Of each class; classes of the half sets are matched.
    halves
        The half maps made of them.
    settings
        Of the refinement.
    threads
        Threads.
    """
    first = sums[0]
    together = Reconstruction(
        first.box, first.pixel_size_A, settings.symmetry, oversampling=settings.oversampling, threads=threads
    )
    for one in sums:
        together.add(one.arrays())
    pixel_A = first.pixel_size_A
    means = (together.half_map(0)[0], together.half_map(1)[0])
    mask = reference_mask(0.5 * (means[0] + means[1]), pixel_A, settings.mask_radius_A, settings.mask, threads)
    corrected = judge(*means, mask, pixel_A, settings.seed, threads).corrected
    beyond = [[one[0] - means[0], other[0] - means[1]] for one, other in halves]
    part = np.array([float(one.images.sum()) for one in sums])
    agreed = np.average(
        [fourier_shell_correlation(*pair, pixel_A, mask=mask, workers=threads).fsc for pair in beyond],
        axis=0, weights=part,
    )  # fmt: skip
    ratio = difference_to_noise(agreed)
    local = difference_filter(beyond, part, ratio, mask, pixel_A, threads)
    if settings.independent_halves:
        of_half = signal_to_noise(corrected, of_average=False)
        common = [together.filtered_map(of_half, number) for number in (0, 1)]
        reach_A = max(settings.mask_radius_A, settings.search_radius_A)
        masks = [
            np.maximum.reduce([
                reference_mask(volume, pixel_A, reach_A, settings.mask, threads)
                for volume in (means[number], *(pair[number][0] for pair in halves))
            ])
            for number in (0, 1)
        ]  # fmt: skip
    else:
        ratio = 2.0 * ratio
        common = [together.filtered_map(signal_to_noise(corrected))] * 2
        beyond = [[np.float32(0.5) * (one + other)] * 2 for one, other in beyond]
        masks = [mask, mask]
    own_filter = replace(local, ratio=ratio)
    sources = [
        [whole + own_filter.apply(own, threads) for whole, own in zip(common, pair, strict=True)] for pair in beyond
    ]
    passed = own_filter.passed(mask)
    return ClassReferences(sources, masks, passed / (1.0 - passed))


def difference_to_noise(fsc: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the signal-to-noise ratio of one half from the correlation of differences, smoothed over shells.

    Unlike that of maps, the correlation of differences may rise from nothing: coarse shells hold what is common.
    """
    weight = np.maximum(np.arange(len(fsc)), 1.0) ** 2
    window = np.ones(2 * SMOOTHED + 1)
    smooth = np.convolve(fsc * weight, window, "same") / np.convolve(weight, window, "same")
    correlated = np.clip(smooth, 0.0, MOST_CORRELATED)
    ratio: NDArray[np.float64] = correlated / (1.0 - correlated)
    return ratio
