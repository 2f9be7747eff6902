"""Peaks of a score map as candidates, each better than all that it keeps away, and which of them are chosen.

Candidates are taken from the best downwards and each keeps others at a distance. So those above a higher threshold are
exactly what picking with that threshold gives: a threshold can be moved afterwards without a new run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

Array = np.ndarray[Any, Any]

BACKGROUND_FACTOR = 2.0
SCORE_FACTOR = 2.0

CANDIDATES = np.dtype([
    ("x_A", "<f4"), ("y_A", "<f4"), ("peak_height", "<f4"), ("background", "<f4"), ("template", "<i4"), ("psi", "<f4"),
])  # fmt: skip
"""One candidate: place in A from the centre of the first pixel, score, unexplained background, template, its turn."""


def find_peaks(score: Array, allowed: Array, floor: float, distance_px: float) -> tuple[Array, Array, Array]:
    """Return peaks from the highest downwards, none nearer to a higher one than a distance.

    Parameters
    ----------
    score
        Score map.
    allowed
        Where peaks may lie.
    floor
        Least height.
    distance_px
        Least distance.

    Returns
    -------
    pixels : ndarray, shape (n, 2)
        The highest pixel, y and x.
    places : ndarray, shape (n, 2)
        The same to parts of a pixel.
    heights : ndarray, shape (n,)
    """
    local = (score == maximum_filter(score, 3, mode="nearest")) & allowed & (score >= floor)
    pixels = np.argwhere(local)
    pixels = pixels[np.argsort(-score[local], kind="stable")]
    if not len(pixels):
        return pixels, np.zeros((0, 2)), np.zeros(0)
    places = pixels + _summit(score, pixels)
    near = cKDTree(places)
    alive = np.ones(len(places), bool)
    for number, place in enumerate(places):
        if alive[number]:
            others = np.asarray(near.query_ball_point(place, distance_px))
            alive[others[others > number]] = False
    pixels, places = pixels[alive], places[alive]
    return pixels, places, score[pixels[:, 0], pixels[:, 1]]


def _summit(score: Array, pixels: Array) -> Array:
    """Return the offset of a parabola's summit along y and x, at most half a pixel."""
    padded = np.pad(score, 1, mode="edge").astype(np.float64)
    y, x = pixels[:, 0] + 1, pixels[:, 1] + 1
    offsets = []
    for before, after in ((padded[y - 1, x], padded[y + 1, x]), (padded[y, x - 1], padded[y, x + 1])):
        curvature = 2.0 * padded[y, x] - before - after
        offsets.append(np.where(curvature > 0, 0.5 * (after - before) / np.maximum(curvature, 1e-30), 0.0))
    return np.asarray(np.clip(np.stack(offsets, 1), -0.5, 0.5))


def chosen(
    candidates: Array, threshold: float, *, background_factor: float | None = BACKGROUND_FACTOR,
    max_background: float | None = None, score_factor: float | None = None, max_score: float | None = None,
    min_neighbour_A: float | None = None,
) -> Array:  # fmt: skip
    """Return which candidates are picks.

    Parameters
    ----------
    candidates
        Of type `CANDIDATES`.
    threshold
        Least score.
    background_factor
        Candidates whose unexplained background is more than so many times the median of those above the threshold are
        left out: they lie on ice, carbon or clumps. None: no such limit.
    max_background
        Candidates with more unexplained background than this are left out.
    score_factor
        Candidates whose score is more than so many times the median of the picks that remain are left out: dark blobs
        of ice and dirt of the particle's size. None: no such limit.
    max_score
        Candidates with higher scores are left out: they are stronger than any particle.
    min_neighbour_A
        Picks that have another nearer than this are left out, both.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    keep = candidates["peak_height"] >= threshold
    if background_factor is not None and keep.any():
        keep &= candidates["background"] <= background_factor * np.median(candidates["background"][keep])
    if max_background is not None:
        keep &= candidates["background"] <= max_background
    while score_factor is not None and keep.any():
        strong = keep & (candidates["peak_height"] > score_factor * np.median(candidates["peak_height"][keep]))
        if not strong.any():
            break
        keep &= ~strong  # blobs that were left out no longer raise the median
    if max_score is not None:
        keep &= candidates["peak_height"] <= max_score
    if min_neighbour_A is not None:
        keep &= neighbour_distances(candidates, keep) >= min_neighbour_A
    return np.asarray(keep)


def neighbour_distances(candidates: Array, keep: Array | None = None) -> Array:
    """Return the distance in A from each candidate to the nearest other one (among those to keep); inf if none."""
    places = np.stack([candidates["x_A"], candidates["y_A"]], 1).astype(np.float64)
    among = places if keep is None else places[keep]
    found = np.full(len(places), np.inf)
    if len(among) and len(places):
        distances = np.asarray(cKDTree(among).query(places, k=2)[0])
        itself = np.ones(len(places), bool) if keep is None else keep
        found = np.where(itself, distances[:, 1], distances[:, 0])
    return found
