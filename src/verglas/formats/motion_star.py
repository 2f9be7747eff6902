"""RELION's star file of a movie's motion: header items and the global shift of every frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.formats.star import Block, Loop, PathLike, find_loop, read_star
from verglas.formats.star_writer import write_star


@dataclass(frozen=True)
class FrameMotion:
    """The global motion of a movie.

    Attributes
    ----------
    shift_px
        float64, shape (frames, 2): the shift (x, y) that RELION applies to each frame, in unbinned pixels, zero at the
        first frame it sums.
    items
        The items of the ``general`` block (``rlnImageSizeX``, ``rlnMicrographOriginalPixelSize`` ...).
    first_frame
        Number of the first frame, from 1.
    """

    shift_px: NDArray[np.float64]
    items: dict[str, str] = field(default_factory=dict)
    first_frame: int = 1


def read_motion_star(path: PathLike) -> FrameMotion:
    """Read a motion star file.

    Raises
    ------
    FormatError
        The file is damaged or has no block ``global_shift``.
    """
    blocks = read_star(path)
    loop = find_loop(blocks, "global_shift")
    if loop is None or "rlnMicrographShiftX" not in loop or "rlnMicrographShiftY" not in loop or not len(loop):
        raise FormatError(path, "there are no global shifts in this star file.", "Choose a motion star file.")
    shift = [loop.floats(f"rlnMicrographShift{axis}", finite=True) for axis in "XY"]
    first = 1
    if "rlnMicrographFrameNumber" in loop:
        frames = loop.integers("rlnMicrographFrameNumber")
        first = int(frames[0])
        if not np.array_equal(frames, np.arange(first, first + len(frames))):
            raise FormatError(path, "its frames are not numbered one after the other.", "Run motion correction again.")
    items = next((block.items for block in blocks if block.name == "general"), {})
    return FrameMotion(np.stack(shift, axis=1), dict(items), first)


def write_motion_star(motion: FrameMotion, path: PathLike) -> None:
    """Write a motion star file."""
    shift = np.asarray(motion.shift_px, np.float64)
    if shift.ndim != 2 or shift.shape[1] != 2 or not np.isfinite(shift).all():
        raise InputError("The shifts of a movie must be finite, shape (frames, 2).")
    loop = Loop(
        {
            "rlnMicrographFrameNumber": np.arange(motion.first_frame, motion.first_frame + len(shift)),
            "rlnMicrographShiftX": shift[:, 0],
            "rlnMicrographShiftY": shift[:, 1],
        }
    )
    write_star(path, [Block("general", dict(motion.items)), Block("global_shift", loops=[loop])])
