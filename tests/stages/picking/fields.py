"""Small micrographs with particles at known places, seen through a CTF, and scoring picks against the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.spatial import cKDTree

from verglas.microscopy import Optics, ctf_2d

PIXEL_A = 2.5
OPTICS = Optics(300.0, 2.7, 0.07, PIXEL_A)
DEFOCUS = (16000.0, 15500.0, 0.4, 0.0)


@dataclass
class Field:
    """A micrograph and the places (x, y) in A of its particles."""

    image: np.ndarray
    places_A: np.ndarray


def projected_shell(distance: np.ndarray, radius_A: float, inner_A: float) -> np.ndarray:
    """Return a hollow sphere's projection, in A of matter."""
    chord = 2 * np.sqrt(np.maximum(radius_A**2 - distance**2, 0))
    return chord - 2 * np.sqrt(np.maximum(inner_A**2 - distance**2, 0))


def make_field(
    seed: int, *, shape=(720, 800), count=30, radius_A=65.0, inner_A=0.0, contrast=0.02, white=False, apart_A=180.0
) -> Field:  # fmt: skip
    """Make dark (or white) balls or shells in white noise of variance one."""
    random = np.random.Generator(np.random.Philox(seed))
    places: list[np.ndarray] = []
    size = np.array([shape[1], shape[0]]) * PIXEL_A
    while len(places) < count:
        place = random.uniform(1.2 * radius_A, size - 1.2 * radius_A)
        if all(np.hypot(*(place - other)) > apart_A for other in places):
            places.append(place)
    y, x = np.indices(shape) * PIXEL_A
    density = np.zeros(shape)
    for place in places:
        density += projected_shell(np.hypot(x - place[0], y - place[1]), radius_A, inner_A)
    seen = scipy.fft.irfft2(scipy.fft.rfft2(density) * ctf_2d(shape, OPTICS, *DEFOCUS), shape)
    image = (-1 if white else 1) * contrast * seen + random.standard_normal(shape)
    return Field(image.astype(np.float32), np.array(places).reshape(-1, 2))


def found_and_true(picks_A: np.ndarray, places_A: np.ndarray, tolerance_A: float) -> tuple[float, float]:
    """Return precision and recall: each place is found once."""
    if not len(picks_A):
        return 0.0, 0.0
    distance, nearest = cKDTree(places_A).query(picks_A)
    hits = len(set(nearest[distance <= tolerance_A].tolist()))
    return hits / len(picks_A), hits / len(places_A)
