"""RELION's star file of a movie's motion: header items, the shift of every frame, and the local motion's model."""

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
    local_model_px
        Coefficients of the local motion, float64, shape (2, 6, 3), or None: for x and y, of the products of 1, x, x^2,
        y, y^2, x y (in parts of the image's edges, from -0.5 to 0.5) and z, z^2, z^3 (frames after the first one). What
        comes of them is added to the frames' shifts.
    local_shifts
        What patches were found to ask for beyond the frames' shifts: frame number, x and y of the patch in pixels,
        shift x and y in pixels; float64, shape (n, 5), or None.
    """

    shift_px: NDArray[np.float64]
    items: dict[str, str] = field(default_factory=dict)
    first_frame: int = 1
    local_model_px: NDArray[np.float64] | None = None
    local_shifts: NDArray[np.float64] | None = None

    def shifts_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the shifts in pixels of places in the image, those of whole frames and local ones together.

        Parameters
        ----------
        x, y
            Places in parts of the image's edges, from -0.5 to 0.5, shape (n,).

        Returns
        -------
        ndarray, float64, shape (frames, 2, n)
        """
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        shifts = np.repeat(self.shift_px[:, :, None], len(x), axis=2)
        if self.local_model_px is not None:
            z = np.arange(len(shifts), dtype=np.float64)[:, None] ** np.array([1, 2, 3])
            space = np.stack([np.ones_like(x), x, x * x, y, y * y, x * y], axis=-1)
            shifts += np.einsum("fj,aij,ni->fan", z, self.local_model_px, space)
        return shifts


LOCAL_COLUMNS = (
    "rlnMicrographFrameNumber", "rlnCoordinateX", "rlnCoordinateY", "rlnMicrographShiftX", "rlnMicrographShiftY",
)  # fmt: skip
COEFFICIENTS = (2, 6, 3)


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
    return FrameMotion(np.stack(shift, axis=1), dict(items), first, *_read_local(path, blocks))


def _read_local(path: PathLike, blocks: list[Block]) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    model, shifts = find_loop(blocks, "local_motion_model"), find_loop(blocks, "local_shift")
    coefficients = rows = None
    if model is not None and len(model):
        values = model.floats("rlnMotionModelCoeff", finite=True)
        if len(values) != np.prod(COEFFICIENTS):
            raise FormatError(path, f"its local motion has {len(values)} coefficients, not 36.", "Use RELION 3.0 to 5.")
        coefficients = values.reshape(COEFFICIENTS)
    if shifts is not None and len(shifts):
        rows = np.stack([shifts.floats(name, finite=True) for name in LOCAL_COLUMNS], axis=1)
    return coefficients, rows


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
    blocks = [Block("general", dict(motion.items)), Block("global_shift", loops=[loop])]
    if motion.local_model_px is not None:
        values = np.asarray(motion.local_model_px, np.float64).reshape(-1)
        model = Loop({"rlnMotionModelCoeffsIdx": np.arange(len(values)), "rlnMotionModelCoeff": values})
        blocks.append(Block("local_motion_model", loops=[model]))
    if motion.local_shifts is not None:
        rows = np.asarray(motion.local_shifts, np.float64)
        columns = {name: rows[:, i] for i, name in enumerate(LOCAL_COLUMNS)}
        blocks.append(Block("local_shift", loops=[Loop(columns | {LOCAL_COLUMNS[0]: rows[:, 0].astype(np.int64)})]))
    write_star(path, blocks)
