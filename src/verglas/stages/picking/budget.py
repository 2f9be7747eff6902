"""How much memory, disk and time picking in a micrograph takes, from its size alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from verglas.stages.picking.coarse import SAMPLING

INTERPRETER_BYTES = 230 * 2**20
BYTES_PER_PIXEL = 20
"""Of the micrograph: as read, as float32, and its rows' transforms."""
BYTES_PER_SMALL_PIXEL = 120
SECONDS_PER_PIXEL = 2.5e-8
SECONDS_PER_SMALL_PIXEL = 1.5e-6
SECONDS_PER_TEMPLATE_PIXEL = 1.5e-7
PICTURE_SECONDS = 0.8
RESULT_BYTES = 500 * 2**10


@dataclass(frozen=True)
class Budget:
    """What one micrograph takes: peak memory of the process, files, and roughly the CPU time."""

    memory_bytes: int
    disk_bytes: int
    cpu_seconds: float


def plan_picking(
    shape: tuple[int, int], pixel_size_A: float, finest_A: float, templates: int, *, picture: bool
) -> Budget:
    """Say what `pick_particles` and its files take.

    Parameters
    ----------
    shape
        Of the micrograph.
    pixel_size_A
        Its pixel size.
    finest_A
        Highest resolution used.
    templates
        Number of templates, rotations included.
    picture
        Whether a picture is made.
    """
    pixels = math.prod(shape)
    small = min(pixels, pixels * (pixel_size_A * SAMPLING / finest_A) ** 2)
    seconds = pixels * SECONDS_PER_PIXEL + small * (SECONDS_PER_SMALL_PIXEL + templates * SECONDS_PER_TEMPLATE_PIXEL)
    memory = INTERPRETER_BYTES + BYTES_PER_PIXEL * pixels + round(BYTES_PER_SMALL_PIXEL * small)
    return Budget(memory, RESULT_BYTES, seconds + (PICTURE_SECONDS if picture else 0.0))
