"""What Auto Refine and Manual Refine share: maps and masks in a package's box, chunks, what is kept of each round."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from verglas.execution.context import JobContext
    from verglas.execution.resources import Estimate
    from verglas.stages.refinement import PoseRows, RefinementState

LEAST_CHUNK = 1000
MOST_CHUNKS = 16
"""Particles are summed in chunks of a size that depends on their number alone, so that answers do not on workers."""
PIXEL_TOLERANCE = 0.01
HAND_WORDS = (
    "The hand of this map is undetermined: it is that of the initial volume, and images of untilted particles show "
    "none. A model, a tilt pair or the curvature of the Ewald sphere can decide it (see Validate 3D)."
)
INTERPRETER_BYTES = 300 * 2**20
SECONDS_A_PIXEL = 8e-7
"""Of one particle, round and class, for each pixel of its image."""
SECONDS_A_VOXEL = 1e-5


def fitting(found: tuple[np.ndarray, float], package: dict[str, Any]) -> np.ndarray:
    """Return a map at a package's box and pixel size.

    Raises
    ------
    InputError
        It is not a cube.
    """
    import numpy as np

    from verglas.signal import fit_to_shape, resample

    volume, pixel_size_A = found
    if len(set(volume.shape)) != 1:
        raise InputError(f"a volume of {volume.shape} voxels is not a cube; pad or crop it first.")
    box = package["box_px"]
    if abs(pixel_size_A / package["pixel_size_A"] - 1.0) > PIXEL_TOLERANCE:
        volume = resample(volume, pixel_size_A, package["pixel_size_A"])
    if len(volume) != box:
        edge = np.concatenate([volume[0].ravel(), volume[-1].ravel()])
        volume = fit_to_shape(volume, (box,) * 3, float(edge.mean()))
    return np.asarray(volume, np.float32)


def fitting_radius_A(radius_A: float, package: dict[str, Any]) -> float:
    """Return the radius of a mask.

    Raises
    ------
    InputError
        It does not fit into a package's box.
    """
    width_A = package["box_px"] * package["pixel_size_A"]
    if radius_A > 0.5 * width_A:
        raise InputError(
            f"a mask of radius {radius_A:g} A does not fit into a box of {width_A:g} A; give --mask-radius."
        )
    return radius_A


def chunk_size(particles: int) -> int:
    """Return how many particles are summed at a time."""
    return max(LEAST_CHUNK, math.ceil(particles / MOST_CHUNKS))


def estimate_rounds(
    package: dict[str, Any], classes: int, oversampling: int, *, most_rounds: int, usual_rounds: int,
    references: int, more_bytes: int = 0,
) -> Estimate:  # fmt: skip
    """Return what rounds of refinement will take, from the record of a package.

    Parameters
    ----------
    package
        Its record.
    classes, oversampling
        Of the refinement.
    most_rounds, usual_rounds
        As many as have room on the disk, and as many as are usually run.
    references
        Maps of each class that a worker holds, padded.
    more_bytes
        Of memory, for what one action does alone.
    """
    from verglas.engine.reconstruction import memory_needed
    from verglas.execution.resources import Estimate

    box, particles = package["box_px"], package["count"]
    sums, chunks = memory_needed(box, oversampling), -(-particles // chunk_size(particles))
    padded = (12 + 4 * references * classes) * (2 * box) ** 3
    seconds = particles * classes * box**2 * SECONDS_A_PIXEL + (8 * classes + chunks) * box**3 * SECONDS_A_VOXEL
    return Estimate(
        memory_bytes=INTERPRETER_BYTES + 3 * classes * sums + padded + 256 * 60 * box**2 + more_bytes,
        disk_bytes=(chunks + 2) * classes * sums + most_rounds * classes * (12 * box**3 + 250 * particles),
        core_seconds=usual_rounds * seconds,
        tasks=chunks,
    )


def round_name(number: int) -> str:
    """Return what a round's arrays and result are kept under; round 0 is the start."""
    return f"round-{number:03d}"


def state_of(kept: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a round's state among those that were kept."""
    return {name.removeprefix("state_"): array for name, array in kept.items() if name.startswith("state_")}


def kept_arrays(state: RefinementState, rows: PoseRows) -> dict[str, np.ndarray]:
    """Return what is kept of a round."""
    return {**{f"state_{name}": array for name, array in state.arrays().items()}, **rows.arrays()}


def last_whole_round(context: JobContext) -> int:
    """Return the last round whose arrays are kept and which is recorded; 0 is the start."""
    numbers = sorted(int(path.stem[-3:]) for path in context.scratch.glob("round-[0-9][0-9][0-9].npz"))
    last = numbers[-1]
    return last - 1 if last and context.pending([round_name(last)], key=str) else last


def forget(scratch: Path, number: int) -> None:
    """Remove what a recorded round has left in Scratch, but for the arrays that the next one starts from."""
    name = round_name(number)
    for folder in scratch.glob(f"{name}-*sums"):
        shutil.rmtree(folder, ignore_errors=True)
    for path in (*scratch.glob(f"{name}-*.npz"), scratch / f"{round_name(number - 1)}.npz"):
        path.unlink(missing_ok=True)
