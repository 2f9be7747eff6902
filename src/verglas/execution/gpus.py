"""Which of a machine's GPUs a worker takes."""

from __future__ import annotations

import os
import platform
from pathlib import Path

VARIABLE = "CUDA_VISIBLE_DEVICES"
RANKS = ("SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID")
"""Where commands that start several workers tell each which of its machine's it is."""


def take_gpus(count: int, place: int) -> str:
    """Show this process only the GPUs that are its own; return what is wrong, or an empty text.

    Where a batch system (or the user) shows just as many as are wanted they are all taken. Where it shows more, or
    where the machine has more, the worker at place k takes the k-th so many, from the first again after the last.

    Parameters
    ----------
    count
        How many it takes; 0: all stays as it is.
    place
        How many workers of the same command come before it.
    """
    if not count:
        return ""
    given = os.environ.get(VARIABLE)
    there = _all_devices() if given is None else [one.strip() for one in given.split(",") if one.strip()]
    parts = len(there) // count
    if not parts:
        shown = f"{VARIABLE} shows {len(there)}" if given is not None else f"{len(there)} are there"
        return (
            f"a worker takes {count} GPU(s), but on {platform.node()} {shown}: ask the batch system for them "
            "(--gres=gpu:...), or make that number of the run profile smaller"
        )
    rank = next((int(os.environ[one]) for one in RANKS if os.environ.get(one, "").isdigit()), 0)
    first = (place + rank) % parts * count
    os.environ[VARIABLE] = ",".join(there[first : first + count])
    return ""


def _all_devices() -> list[str]:
    """Return the numbers of this machine's NVIDIA devices."""
    return sorted((path.name[6:] for path in Path("/dev").glob("nvidia[0-9]*")), key=int)
