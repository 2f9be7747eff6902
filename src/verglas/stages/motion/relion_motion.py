"""An aligned movie's motion as RELION writes it: whole-frame shifts and coefficients of the local model."""

from __future__ import annotations

import numpy as np

from verglas.formats.motion_star import FrameMotion
from verglas.stages.motion.local_alignment import LocalAlignment
from verglas.stages.motion.local_model import LocalModel, time_basis
from verglas.stages.motion.movie_alignment import AlignedMovie

# RELION's 1, x, x^2, y, y^2, x y (-0.5 to 0.5) in each of our 1, x, y, x^2 - 1/3, x y, y^2 - 1/3 (-1 to 1)
SPACE = np.array(
    [
        [1.0, 0.0, 0.0, -1.0 / 3.0, 0.0, -1.0 / 3.0],
        [0.0, 2.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 4.0, 0.0, 0.0],
        [0.0, 0.0, 2.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 4.0],
        [0.0, 0.0, 0.0, 0.0, 4.0, 0.0],
    ]
)


def relion_motion(movie: AlignedMovie) -> FrameMotion:
    """Return a movie's motion in RELION's terms: in pixels of the frames, zero at the first frame.

    Parameters
    ----------
    movie
        What `align_movie` returned.
    """
    pixel_A, (rows, columns) = movie.frame_pixel_size_A, movie.frame_shape
    shifts = (movie.shifts_A - movie.shifts_A[0]) / pixel_A
    items = {
        "rlnImageSizeX": str(columns),
        "rlnImageSizeY": str(rows),
        "rlnImageSizeZ": str(len(shifts)),
        "rlnMicrographBinning": f"{movie.pixel_size_A / pixel_A:.6f}",
        "rlnMicrographOriginalPixelSize": f"{pixel_A:.6f}",
        "rlnMotionModelVersion": "0" if movie.local is None else "1",
    }
    if movie.local is None:
        return FrameMotion(shifts, items)
    return FrameMotion(shifts, items, 1, relion_coefficients(movie.local.model) / pixel_A, _patch_rows(movie))


def relion_coefficients(model: LocalModel) -> np.ndarray:
    """Return RELION's coefficients of a local model in A, shape (2, 6, 3); its constant in time is left out."""
    frame = np.arange(model.frames, dtype=np.float64)
    time = time_basis(model.frames)
    powers = np.linalg.lstsq(frame[:, None] ** np.arange(4), time, rcond=None)[0][1:]
    return np.asarray(np.einsum("ki,aij,lj->akl", SPACE, model.coefficients_A, powers))


def _patch_rows(movie: AlignedMovie) -> np.ndarray:
    """Return frame, place and shift of each patch, shape (patches * frames, 5)."""
    local, (rows, columns) = movie.local, movie.frame_shape
    assert isinstance(local, LocalAlignment)
    patches, frames = local.patch_shifts_A.shape[:2]
    shifts = (local.patch_shifts_A - local.patch_shifts_A[:, :1]) / movie.frame_pixel_size_A
    places = np.stack([(local.x + 1) / 2 * columns, (local.y + 1) / 2 * rows], axis=1)
    return np.column_stack(
        [np.tile(np.arange(1, frames + 1), patches), np.repeat(places, frames, axis=0), shifts.reshape(-1, 2)]
    )
