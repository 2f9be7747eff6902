"""How much memory, disk and time the CTF of a micrograph takes, from its size alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from verglas.stages.ctf_estimation.spectrum import tile_size

INTERPRETER_BYTES = 220 * 2**20
TILES_BYTES_PER_PIXEL = 4 * 22
"""Of a tile's pixels: two tiles at a time with their transforms and powers, for each thread, and the sums of all."""
FIT_BYTES_PER_PIXEL = 600
"""Of half the spectrum: columns of the least squares."""
TILT_BYTES_PER_BOX_PIXEL = 100
PICTURE_BYTES = 900 * 2**10
SECONDS_PER_PIXEL = 2e-8
SECONDS_PER_TILT_PIXEL = 6e-8
SECONDS_PER_BOX_PIXEL = 2.5e-6


@dataclass(frozen=True)
class Budget:
    """What one micrograph takes.

    Attributes
    ----------
    memory_bytes
        Peak memory of the process.
    disk_bytes
        Size of the files written.
    cpu_seconds
        CPU time, roughly.
    """

    memory_bytes: int
    disk_bytes: int
    cpu_seconds: float


def plan_estimate(
    shape: tuple[int, int],
    pixel_size_A: float,
    box: int,
    finest_pixel_A: float | None,
    threads: int,
    *,
    search_phase: bool = False,
    find_tilt: bool = False,
) -> Budget:
    """Say what `estimate_ctf` and its files take.

    Parameters
    ----------
    shape
        Of the micrograph.
    pixel_size_A
        Its pixel size.
    box, finest_pixel_A
        As `estimate_ctf` takes them.
    threads
        Number of threads.
    search_phase
        Whether a phase shift is searched.
    find_tilt
        Whether the power of every tile is kept to find a tilt.
    """
    pixels = math.prod(shape)
    tile = min(tile_size(box, pixel_size_A, finest_pixel_A), max(2, min(shape)))
    memory = INTERPRETER_BYTES + 3 * 4 * pixels
    memory += max(threads * TILES_BYTES_PER_PIXEL * tile**2, FIT_BYTES_PER_PIXEL * box**2 // 2)
    if find_tilt:
        # tiles overlap by half, and the profiles of all are held beside the powers
        tiles = math.prod(math.ceil(2 * n / tile) for n in shape)
        memory += 4 * tiles * (box**2 // 2 + box) + TILT_BYTES_PER_BOX_PIXEL * box**2
    disk = 4 * box**2 + PICTURE_BYTES
    seconds = pixels * SECONDS_PER_PIXEL + box**2 * SECONDS_PER_BOX_PIXEL * (2.0 if search_phase else 1.0)
    if find_tilt:
        seconds += tiles * box**2 * SECONDS_PER_TILT_PIXEL
    return Budget(memory, disk, seconds)
