"""How much particles count in the maps of a manual refinement: by score, by noise, and whether an edge is blank."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleStack
from verglas.engine.reconstruct_particles import LARGEST_RELATIVE_SIGMA, adjusted_scores, best_scores
from verglas.stages.refinement.manual_settings import ManualSettings
from verglas.stages.refinement.rounds import RoundWork
from verglas.stages.refinement.rows import PoseRows, table_of_rows

BLANK_PART = 0.1
"""An image is blank where so much of its rim repeats the pixel beside it."""


def insertion_weights(
    work: RoundWork[ManualSettings], used: NDArray[np.int64], found: PoseRows, blank: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much each particle counts in the map of each class beside its occupancy, and its B-factor.

    Parameters
    ----------
    work
        Of the round.
    used
        Places of the particles that it used.
    found
        Their rows.
    blank
        Which of them have a blank edge and are left out, shape (n,).

    Returns
    -------
    weights : ndarray, shape (classes, n)
    b_factors_A2 : ndarray, shape (classes, n)

    References
    ----------
    T. Grant, A. Rohou, N. Grigorieff, "cisTEM", eLife 7 (2018) e35383, equations 12 and 14.
    """
    settings, stack = work.settings, work.stack
    weights, decay = np.zeros(found.occupancy.shape), np.zeros(found.occupancy.shape)
    some = stack.table.select(stack.rows[used])
    for k in range(found.classes):
        table = table_of_rows(some, np.arange(len(used)), found, k)
        table["active"] = ~blank & (found.occupancy[k] > 0.0)
        active = table["active"] > 0
        if not active.any():
            continue
        if settings.adjust_scores:
            table["score"] = adjusted_scores(table)
        weights[k] = active & best_scores(table, settings.score_threshold)
        share = np.where(active, found.occupancy[k], 0.0)
        if settings.use_sigma and (found.sigma[k, active] > 0.0).all():
            relative = found.sigma[k] / np.average(found.sigma[k], weights=share)
            weights[k] /= np.clip(relative, 1.0 / LARGEST_RELATIVE_SIGMA, LARGEST_RELATIVE_SIGMA) ** 2
        score = table["score"].astype(np.float64)
        decay[k] = -(score - np.average(score, weights=share)) * settings.score_b_factor_A2
    return weights, decay


def blank_edges(stack: ParticleStack, places: Any) -> NDArray[np.bool_]:
    """Return which images have an edge without anything on it, as where a box reaches over a micrograph's edge."""
    wanted, blank = np.asarray(places, np.int64), []
    for n in range(0, len(wanted), 256):
        images = stack.read(wanted[n : n + 256])
        sides = (images[:, :2], images[:, -2:], images[:, :, :2].swapaxes(1, 2), images[:, :, -2:].swapaxes(1, 2))
        same = [(np.diff(side, axis=2) == 0.0).mean(axis=(1, 2)) for side in sides]
        blank.append(np.max(same, axis=0) > BLANK_PART)
    return np.concatenate(blank)
