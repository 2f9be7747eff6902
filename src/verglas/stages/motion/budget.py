"""How much memory, disk and time the alignment of a movie takes, and how it keeps within a given memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verglas.errors import ResourceError
from verglas.stages.motion.layout import Layout, LowLayout

INTERPRETER_BYTES = 280 * 2**20
SECONDS_PER_PIXEL = 14e-9
SECONDS_PER_OUTPUT_PIXEL = 80e-9
SUMS = 6
BAD_PIXEL_BYTES = 16
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
        How many frames are held at a time; fewer than the movie has means that frames are decoded twice.
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
    low_layout: LowLayout,
    low: tuple[int, int],
    frames: int,
    bytes_per_pixel: int,
    references: int,
    threads: int,
    memory_bytes: int | None,
    *,
    patch_bytes: int = 0,
    sums: int = SUMS,
    images: int = 1,
    half_output: bool = False,
) -> Estimate:
    """Decide how many frames to hold at a time.

    Parameters
    ----------
    layout
        Sizes.
    low_layout
        Sizes of the decimated frames.
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
    patch_bytes
        Memory of the patches' low frequencies; 0 where whole frames are aligned only.
    sums
        Number of images that are summed in real space.
    images
        Number of images that come out.
    half_output
        Whether the sum is written as float16.

    Raises
    ------
    ResourceError
        If not even two frames fit at a time.
    """
    frame_pixels = int(np.prod(layout.shape))
    padded_pixels, small_pixels = int(np.prod(layout.padded)), int(np.prod(low_layout.decimated))
    ky, kx = low
    stored_bytes = 8 * layout.stored[0] * (layout.stored[1] // 2 + 1)
    per_frame = frame_pixels * bytes_per_pixel
    # a movie without gain gets one where it has bad pixels, and the former one stays with its owner
    fixed = INTERPRETER_BYTES + (references + 1) * 4 * frame_pixels
    aligning = frames * ky * kx * 8 + threads * (24 * small_pixels + 32 * ky * kx + per_frame)
    aligning = max(aligning, patch_bytes, BAD_PIXEL_BYTES * frame_pixels) + frames * 4 * small_pixels
    summing = sums * 4 * frame_pixels
    finishing = max(
        summing + 12 * padded_pixels + images * stored_bytes,
        (images + 1) * stored_bytes + (4 + 4 * images) * int(np.prod(layout.stored)),
    )  # the frames have been freed by then

    def needed(held: int) -> int:
        return fixed + max(max(aligning, summing) + held * per_frame, finishing)

    at_once = frames
    if memory_bytes is not None:
        at_once = next((held for held in range(frames, 0, -1) if needed(held) <= memory_bytes), 0)
        if at_once < min(FEWEST_FRAMES_AT_ONCE, frames):
            least = needed(min(FEWEST_FRAMES_AT_ONCE, frames))
            raise ResourceError(
                f"Aligning {frames} frames of {layout.shape[1]} x {layout.shape[0]} with {threads} threads needs at "
                f"least {least / 2**30:.1f} GiB of memory, {memory_bytes / 2**30:.1f} GiB are allowed. Allow more "
                "or use fewer threads."
            )
    passes = 1 if at_once >= frames else 2
    output = int(np.prod(layout.output))
    disk = images * output * (2 if half_output else 4) + 2**20 + 4 * 1200 * 1200 + 2**19
    seconds = frames * frame_pixels * SECONDS_PER_PIXEL * passes + output * SECONDS_PER_OUTPUT_PIXEL
    return Estimate(int(needed(at_once)), disk, float(seconds), at_once, passes)
