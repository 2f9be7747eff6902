"""Reconstructions by Debian's RELION, from the same table and stack as ours."""

from __future__ import annotations

import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.oracles import program
from verglas.formats import ParticleTable, write_particles
from verglas.formats.mrc import read_mrc_volume
from verglas.geometry import name_for_relion


@dataclass(frozen=True)
class RelionMap:
    """A map of RELION's with density as ours (protein positive where images are dark), and the CPU seconds it took."""

    map: np.ndarray
    pixel_size_A: float
    cpu_s: float


def relion_reconstruct(
    table: ParticleTable, folder: Path, symmetry: str = "C1", *options: str, timeout_s: float = 110.0
) -> RelionMap:
    """Return the map that ``relion_reconstruct --ctf --pad 2`` makes of a table whose stacks lie in ``folder``."""
    write_particles(table, folder / "relion_in.star")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [
            program("relion_reconstruct", "relion"), "--i", "relion_in.star", "--o", "relion_out.mrc", "--ctf",
            "--pad", "2", "--sym", name_for_relion(symmetry), *options,
        ],
        cwd=folder, check=True, capture_output=True, timeout=timeout_s,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    volume, pixel_size_A = read_mrc_volume(folder / "relion_out.mrc")
    return RelionMap(-volume, pixel_size_A, seconds)
