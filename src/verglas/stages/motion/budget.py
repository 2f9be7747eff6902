"""How much memory, disk and time the alignment of a movie takes, and how it keeps within a given memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verglas.errors import ResourceError
from verglas.stages.motion.frames import ROWS_AT_ONCE
from verglas.stages.motion.layout import Layout

INTERPRETER_BYTES = 280 * 2**20
SECONDS_PER_PIXEL = 17e-9
SECONDS_PER_OUTPUT_PIXEL = 60e-9
DEFAULT_MEMORY_SHARE = 0.6
FEWEST_FRAMES_AT_ONCE = 2


@dataclass(frozen=True)
class Estimate:
    """What an alignment will take.

    Attributes
    ----------
    memory_bytes
        Peak memory of the process.
    disk_bytes
        Size of the files written.
    cpu_seconds
        CPU time, roughly.
    frames_at_once
        How many transforms are held at a time; fewer than the movie has means that frames are read twice.
    passes
        How often each frame is decoded.
    """

    memory_bytes: int
    disk_bytes: int
    cpu_seconds: float
    frames_at_once: int
    passes: int


def plan_memory(
    layout: Layout,
    low: tuple[int, int],
    frames: int,
    bytes_per_pixel: int,
    references: int,
    threads: int,
    memory_bytes: int | None,
    *,
    half_output: bool = False,
) -> Estimate:
    """Decide how many frames' transforms to hold at a time.

    Parameters
    ----------
    layout
        Sizes.
    low
        Shape (ky, kx) of the low frequencies that the alignment works on.
    frames
        Number of frames.
    bytes_per_pixel
        Size of a decoded pixel.
    references
        Number of float32 detector references (gain, dark).
    threads
        Number of threads, each with its own buffers.
    memory_bytes
        What may be used; None takes all that holding every frame needs.
    half_output
        Whether the sum is written as float16.

    Raises
    ------
    ResourceError
        If not even two frames fit at a time.
    """
    frame_pixels = int(np.prod(layout.shape))
    ky, kx = low
    stored_elements = layout.stored[0] * (layout.stored[1] // 2 + 1)
    columns = max(layout.stored[1] // 2 + 1, kx)
    raw = frame_pixels * bytes_per_pixel
    per_thread = 2 * raw + 8 * layout.padded[0] * columns + 4 * 3 * ROWS_AT_ONCE * layout.padded[1]
    per_thread += 4 * 8 * ky * kx
    after = stored_elements * 8 * 2 + int(np.prod(layout.stored)) * 4 * 3
    fixed = INTERPRETER_BYTES + references * 4 * frame_pixels + frames * ky * kx * 8
    fixed += max(threads * per_thread + 8 * stored_elements, after)
    per_frame = 4 * stored_elements
    whole = fixed + frames * per_frame
    if memory_bytes is None or whole <= memory_bytes:
        at_once = frames
    else:
        at_once = int((memory_bytes - fixed) // per_frame)
        if at_once < min(FEWEST_FRAMES_AT_ONCE, frames):
            least = fixed + FEWEST_FRAMES_AT_ONCE * per_frame
            raise ResourceError(
                f"Aligning {frames} frames of {layout.shape[1]} x {layout.shape[0]} with {threads} threads needs at "
                f"least {least / 2**30:.1f} GiB of memory, {memory_bytes / 2**30:.1f} GiB are allowed. Allow more, "
                "use fewer threads, or ask for a larger output pixel size."
            )
    passes = 1 if at_once >= frames else 2
    output = int(np.prod(layout.output))
    disk = output * (2 if half_output else 4) + 2**20 + 4 * 1200 * 1200 + 2**19
    seconds = frames * frame_pixels * SECONDS_PER_PIXEL * passes + output * SECONDS_PER_OUTPUT_PIXEL
    return Estimate(int(fixed + at_once * per_frame), disk, float(seconds), at_once, passes)
