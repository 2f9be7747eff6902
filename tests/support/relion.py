"""Reconstructions and refined poses by Debian's RELION, from the same table and stack as ours."""

from __future__ import annotations

import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.oracles import program
from verglas.formats import ParticleTable, read_particles, write_particles
from verglas.formats.mrc import read_mrc_volume, write_mrc
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


@dataclass(frozen=True)
class RelionPoses:
    """Poses that RELION assigned, and the CPU seconds it took."""

    table: ParticleTable
    cpu_s: float


def relion_refine_locally(
    table: ParticleTable,
    folder: Path,
    reference: np.ndarray,
    pixel_size_A: float,
    *,
    limit_A: float,
    diameter_A: float,
    sigma_deg: float,
    healpix_order: int = 5,
    offset_range_px: float = 4.0,
    threads: int = 2,
    timeout_s: float = 3600.0,
) -> RelionPoses:
    """Return the most likely poses of one pass of ``relion_refine`` about those of a table, searched finely.

    Two levels of oversampling, so that order 5 has steps of 0.47 degrees in the end, and shifts a quarter of a pixel;
    a Gaussian prior of ``sigma_deg`` about the poses of the table. The reference is on the images' grey scale, protein
    positive where images are dark.
    """
    (folder / "relion_refine").mkdir(exist_ok=True)
    write_particles(table, folder / "relion_start.star")
    write_mrc(folder / "relion_reference.mrc", (-reference).astype(np.float32), pixel_size_A)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [
            program("relion_refine", "relion"), "--i", "relion_start.star", "--o", "relion_refine/run",
            "--ref", "relion_reference.mrc", "--ctf", "--ctf_corrected_ref", "--iter", "1", "--K", "1",
            "--tau2_fudge", "4", "--particle_diameter", f"{diameter_A:g}", "--zero_mask",
            "--strict_highres_exp", f"{limit_A:g}", "--ini_high", f"{0.85 * limit_A:g}", "--oversampling", "2",
            "--healpix_order", f"{healpix_order}", "--sigma_ang", f"{sigma_deg:g}",
            "--offset_range", f"{offset_range_px:g}", "--offset_step", "1", "--sym", "C1", "--norm", "--scale",
            "--pad", "2", "--dont_combine_weights_via_disc", "--j", f"{threads}", "--random_seed", "1",
        ],
        cwd=folder, check=True, capture_output=True, timeout=timeout_s,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return RelionPoses(read_particles(folder / "relion_refine" / "run_it001_data.star"), seconds)
