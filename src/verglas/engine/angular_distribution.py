"""From which directions particles were seen, and how evenly that samples the transform of their map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.map_views import SMALL, TINY
from verglas.engine.reconstruct_particles import particle_weights
from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.geometry import point_group, view_direction
from verglas.signal import fibonacci_hemisphere

THETA_BINS, PHI_BINS = 18, 72
"""Bins of cisTEM's plot: 5 degrees of the upper hemisphere by 5 of the circle."""
PLANE_WIDTH_DEGREES = 2.0
VIEWS_AT_ONCE = 4096
MOST_VIEWS = 30_000
"""More views than these are gathered in cells of a degree first."""
UNSAMPLED = 0.02
"""Directions sampled less than this part of the mean count as not sampled."""


def all_views(rot_deg: Any, tilt_deg: Any, symmetry: str = "C1") -> NDArray[np.float64]:
    """Return the directions that a map was seen from, with their equivalents, on the upper hemisphere.

    Parameters
    ----------
    rot_deg, tilt_deg
        First two Euler angles of each particle, degrees, shape (n,).
    symmetry
        Point group.

    Returns
    -------
    ndarray, shape (n x order, 3)
        Unit vectors (x, y, z); a direction and its antipode show the same, so z >= 0.
    """
    views = view_direction(np.deg2rad(rot_deg), np.deg2rad(tilt_deg))
    turned = np.einsum("oij,nj->noi", point_group(symmetry).operators, views).reshape(-1, 3)
    result: NDArray[np.float64] = np.where(turned[:, 2:] < 0.0, -turned, turned)
    return result


def views_of(table: ParticleTable, symmetry: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions that a map of a table's particles was seen from, as :func:`all_views`, and their weights.

    Parameters
    ----------
    table
        Particles with poses and occupancies.
    symmetry
        Point group.
    """
    weights = np.repeat(particle_weights(table), point_group(symmetry).order)
    return all_views(table["rot_deg"], table["tilt_deg"], symmetry), weights


def view_histogram(views: NDArray[np.float64], weights: Any | None = None) -> NDArray[np.float64]:
    """Return how much weight lies in each bin of the upper hemisphere over the mean by solid angle.

    Parameters
    ----------
    views
        Unit vectors with z >= 0, shape (n, 3).
    weights
        Shape (n,); 1 each when None.

    Returns
    -------
    ndarray, shape (18, 72)
        By tilt from 0 to 90 degrees and rot from -180 to 180; 1 everywhere for even views.
    """
    theta = np.arccos(np.clip(views[:, 2], -1.0, 1.0))
    phi = np.arctan2(views[:, 1], views[:, 0])
    counts, edges, _ = np.histogram2d(
        theta, phi, bins=(THETA_BINS, PHI_BINS), range=((0.0, 0.5 * math.pi), (-math.pi, math.pi)), weights=weights
    )
    area = (np.cos(edges[:-1]) - np.cos(edges[1:])) / PHI_BINS
    total = counts.sum()
    density: NDArray[np.float64] = counts / (total if total > 0 else 1.0) / area[:, None]
    return density


def sampling_compensation(views: NDArray[np.float64], weights: Any | None = None, *, directions: int = 1000) -> float:
    """Return how efficient a distribution of views is: 1 for even views, 8 / pi^2 = 0.81 for even side views.

    A view samples the plane of directions across it. Against a map from as many even views, the signal-to-noise ratio
    falls to the harmonic mean of the sampling over directions. Directions that are hardly sampled at all count for 0.

    Parameters
    ----------
    views
        Unit vectors, shape (n, 3).
    weights
        Shape (n,); 1 each when None.
    directions
        Directions of the transform that are looked at.

    Raises
    ------
    InputError
        If there are no views.

    References
    ----------
    Baldwin & Lyumkis (2020), Prog. Biophys. Mol. Biol. 150, 160.
    """
    sampling = sampled_directions(views, weights, fibonacci_hemisphere(directions))
    seen = sampling > UNSAMPLED
    part = float(seen.mean())
    return part * part / float(np.sum(1.0 / sampling[seen]) / len(sampling)) if part > 0.0 else 0.0


def sampled_directions(views: NDArray[np.float64], weights: Any | None, directions: Any) -> NDArray[np.float64]:
    """Return how often the transform is sampled along directions, over the mean: 1 everywhere for even views."""
    if not len(views):
        raise InputError("there are no views: no particle is used.")
    weight = np.ones(len(views)) if weights is None else np.asarray(weights, np.float64)
    if len(views) > MOST_VIEWS:
        views, weight = _gathered(views, weight)
    width = math.sin(math.radians(PLANE_WIDTH_DEGREES))
    total = np.zeros(len(directions))
    for start in range(0, len(views), VIEWS_AT_ONCE):
        some = slice(start, start + VIEWS_AT_ONCE)
        height = (directions @ views[some].T).astype(np.float32)
        total += np.exp(-0.5 * (height / width) ** 2) @ weight[some]
    result: NDArray[np.float64] = total / total.mean()
    return result


def _gathered(
    views: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted mean directions of the views in cells of about a degree, and the weights of the cells."""
    theta = np.arccos(np.clip(views[:, 2], -1.0, 1.0))
    row = np.minimum(np.rad2deg(theta).astype(np.int64), 90)
    column = np.rint(np.rad2deg(np.arctan2(views[:, 1], views[:, 0])) * np.sin(theta)).astype(np.int64) + 180
    cell = row * 361 + column
    total: NDArray[np.float64] = np.bincount(cell, weight).astype(np.float64)
    used = np.flatnonzero(total > 0.0)
    means = np.stack([np.bincount(cell, weight * views[:, axis])[used] for axis in range(3)], axis=1)
    return means / np.linalg.norm(means, axis=1, keepdims=True), total[used]


def show_views_seen(axes: Any, views: NDArray[np.float64], weights: Any | None = None) -> None:
    """Draw the heat map of views over rot and tilt, 1 being even."""
    density = view_histogram(views, weights)
    top = max(2.0, float(np.percentile(density, 99.5)))
    image = axes.imshow(
        density, extent=(-180, 180, 0, 90), origin="lower", aspect="auto", cmap="viridis", vmin=0.0, vmax=top
    )
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.03)
    bar.ax.tick_params(labelsize=TINY)
    axes.set_xlabel("rot (degrees)", fontsize=SMALL)
    axes.set_ylabel("tilt (degrees)", fontsize=SMALL)
    axes.set_xticks(range(-180, 181, 60))
    axes.set_yticks(range(0, 91, 30))
    axes.tick_params(labelsize=TINY)
    efficiency = sampling_compensation(views, weights)
    axes.set_title(f"views over even ones; efficiency {efficiency:.2f}", fontsize=SMALL)
