"""How the specimen moves under the beam: a global drift and a smooth local motion, polynomials in space and time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.stages.simulation.parameters import MovieParameters
from verglas.stages.simulation.random import generator

SPATIAL_TERMS = ("x", "y", "x^2", "x y", "y^2")


@dataclass(frozen=True)
class Motion:
    """Where the specimen is in each frame, relative to the reference frame.

    Attributes
    ----------
    global_A
        (frames, 2): displacement (y, x) of the image's middle.
    local_A
        (frames, 2, 5): what is added for (y, x) by each of :data:`SPATIAL_TERMS`, of coordinates that run from -1 to 1
        over the image.
    blur_A
        (frames, 2): movement (y, x) from the beginning to the end of the frame.
    """

    global_A: NDArray[np.float64]
    local_A: NDArray[np.float64]
    blur_A: NDArray[np.float64]

    def displacement_A(self, frame: int, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (..., 2) displacements (y, x) of points whose coordinates run from -1 to 1 over the image."""
        terms = np.stack([x, y, x * x, x * y, y * y], axis=-1)
        return np.asarray(self.global_A[frame] + terms @ self.local_A[frame].T)


def draw_motion(parameters: MovieParameters, movie: int) -> Motion:
    """Return the motion of one movie: cubic in time and fastest at its beginning, quadratic in space."""
    random = generator(parameters.seed, "motion", movie)
    frames = parameters.frames
    edges, centres = np.arange(frames + 1) / frames, (np.arange(frames) + 0.5) / frames
    direction = random.normal(0, 1, 2)
    direction /= np.linalg.norm(direction)
    bend = random.normal(0, 0.3, 2)
    size = parameters.drift_A * float(random.uniform(0.5, 1.5))

    def path(time: NDArray[np.float64]) -> NDArray[np.float64]:
        settle = 0.6 * (1 - (1 - time) ** 3) + 0.4 * time
        return size * (settle[:, None] * direction + (4 * time * (1 - time))[:, None] * bend)

    shape = random.normal(0, 1, (2, 5))
    late = random.normal(0, 0.3, (2, 5))
    grid = np.linspace(-1, 1, 9)
    y, x = np.meshgrid(grid, grid, indexing="ij")
    terms = np.stack([x, y, x * x, x * y, y * y], axis=-1)
    rms = np.sqrt(np.mean(np.sum((terms @ shape.T) ** 2, axis=-1)))
    shape, late = shape * parameters.local_motion_A / rms, late * parameters.local_motion_A / rms
    local = (1 - (1 - centres) ** 3)[:, None, None] * shape + (centres * (1 - centres))[:, None, None] * late
    reference = 0 if parameters.reference_frame == "first" else frames // 2
    at = path(centres)
    return Motion(at - at[reference], local - local[reference], np.diff(path(edges), axis=0))
