"""Classes beside the truth: how pure they are, and to which resolution averages agree with noise-free projections."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import rotate

from tests.support.mixtures import Mixture
from verglas.signal import irfft, rfft, shift, sphere_mask
from verglas.signal.shells import shell_products


def purity(number: Any, label: Any) -> float:
    """Return the part of the particles that are of their class's commonest kind; all junk is one kind."""
    number, kind = np.asarray(number), np.maximum(np.asarray(label), -1)
    counted = sum(
        np.bincount(kind[number == one] + 1).max() for one in np.unique(number) if one >= 0 and (number == one).any()
    )
    return float(counted / np.sum(number >= 0))


def resolution_against_truth(averages: Any, number: Any, mixture: Mixture) -> dict[int, float | None]:
    """Return for each view the finest resolution, in A, to which a class of mostly that view agrees with it.

    Agreement is a correlation of 0.5 with the noise-free projection over three neighbouring rings, after the best turn
    and shift: projections have rings in which there is next to nothing to agree on, which are no limit. None where no
    class is mostly of the view.
    """
    number, best = np.asarray(number), {}
    pixel_A = mixture.optics.pixel_size_A
    for view in range(len(mixture.projections)):
        found = []
        for one in range(len(averages)):
            labels = mixture.label[number == one]
            if len(labels) >= 20 and np.mean(labels == view) > 0.5:
                found.append(_agreement(averages[one], mixture.projections[view], pixel_A))
        best[view] = min(found, default=None)
    return best


def _agreement(average: Any, truth: Any, pixel_A: float) -> float:
    box = len(average)
    mask = sphere_mask((box, box), 100.0, pixel_A, edge_A=15.0)
    target = rfft((average - average.mean()) * mask, 2)

    def score(angle: float) -> tuple[float, Any]:
        turned = rotate(truth, angle, reshape=False, order=3) * mask
        cross = irfft(target * np.conj(rfft(turned - turned.mean(), 2)), (box, box))
        peak = np.unravel_index(cross.argmax(), cross.shape)
        return float(cross.max() / np.linalg.norm(turned)), (turned, np.array(peak))

    coarse = max(np.arange(0.0, 360.0, 3.0), key=lambda angle: score(angle)[0])
    angle = max(coarse + np.arange(-3.0, 3.01, 0.5), key=lambda angle: score(angle)[0])
    turned, peak = score(angle)[1]
    whole = np.where(peak > box // 2, peak - box, peak)
    # Below a pixel: the shift of highest correlation on a grid of a fifth of one.
    steps = np.arange(-0.6, 0.61, 0.2)
    near = [shift(turned, whole + np.array([dy, dx])) * mask for dy in steps for dx in steps]
    moved = max(near, key=lambda one: float(np.sum(one * average) / np.linalg.norm(one)))
    sums = shell_products(target, rfft(moved - moved.mean(), 2), (box, box))
    cross, first, second = (
        np.convolve(one, np.ones(3), mode="same") for one in (sums.cross, sums.power_first, sums.power_second)
    )
    curve = cross / np.sqrt(np.maximum(first * second, 1e-30))
    below = np.flatnonzero(curve[2 : box // 2] < 0.5)
    last = int(below[0]) + 1 if below.size else box // 2
    return round(box * pixel_A / last, 2)
