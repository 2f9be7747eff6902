"""Classes as points in the space of the components by which particles vary most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STARTS = 20
STEPS = 60
LEAST_PART = 0.05
"""No class has a smaller part of the particles, over the number of classes."""


def mixed_in_components(
    product: NDArray[np.float64], power: NDArray[np.float64], classes: int, seed: list[int]
) -> NDArray[np.float64]:
    """Return occupancies of classes that are points in the space of the components, shape (classes, n).

    Expectation maximisation from several starts, each from coefficients of particles drawn by chance far from each
    other; the most likely one is taken.

    Parameters
    ----------
    product, power
        Shapes (n, components) and (n, components, components): see :class:`~verglas.stages.refinement.Variation`.
    classes
        How many.
    seed
        Key of the starts.
    """
    count, size = product.shape
    random = np.random.Generator(np.random.Philox(seed))
    own = np.linalg.solve(power + np.eye(size), product[..., None])[..., 0]
    best, chosen = -np.inf, np.full((classes, count), 1.0 / classes)
    for _ in range(STARTS):
        centres = own[random.integers(count)][None]
        while len(centres) < classes:
            away = ((own[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
            centres = np.concatenate([centres, own[random.choice(count, p=away / away.sum())][None]])
        share = np.full(classes, 1.0 / classes)
        for _step in range(STEPS):
            spread = np.einsum("kc,ncd,kd->kn", centres, power, centres)
            likelihood = centres @ product.T - 0.5 * spread + np.log(share)[:, None]
            total = np.logaddexp.reduce(likelihood, axis=0)
            occupancy = np.exp(likelihood - total)
            share = np.maximum(occupancy.mean(axis=1), LEAST_PART / classes)
            share /= share.sum()
            normal = np.einsum("kn,ncd->kcd", occupancy, power) + 1e-9 * np.eye(size)
            centres = np.linalg.solve(normal, (occupancy @ product)[..., None])[..., 0]
        if total.sum() > best:
            best, chosen = float(total.sum()), occupancy
    return chosen
