"""Particles with a tilted beam whose table gives a defocus that is off by a plane a micrograph, and scatter."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.engine.particles import OPTICS, make_particles
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.formats import MrcStack, MrcStackWriter, ParticleTable
from verglas.microscopy import odd_aberration_factor
from verglas.microscopy.ctf import rfft_frequencies

BOX, PIXEL_A, RADIUS_A = 64, 1.5, 40.0
TILT_MRAD = (0.3, -0.2)
EXTENT_PX = 4000.0


@dataclass(frozen=True)
class Scene:
    """The table as given, what its defocus lacks (planes and in all), and half maps at the true poses."""

    given: ParticleTable
    planes_A: np.ndarray
    lacking_A: np.ndarray
    half_maps: tuple[np.ndarray, np.ndarray]


def make_scene(folder: Path, count: int, noise: float, *, scatter_A: float = 60.0, tilt: bool = True) -> Scene:
    """Write ``particles.mrcs`` and return what was made."""
    optics = replace(OPTICS, pixel_size_A=PIXEL_A)
    table, _ = make_particles(folder, count, BOX, PIXEL_A, symmetry="D2", noise=noise, seed=3, optics=optics)
    random = np.random.Generator(np.random.Philox(11))
    micrograph = np.arange(count) // 50
    table.set_names("micrograph", [f"m{number}.mrc" for number in micrograph])
    at = random.uniform(0.0, EXTENT_PX, (2, count))
    table["coordinate_x_px"], table["coordinate_y_px"] = at
    if tilt:
        tilted = replace(optics, beam_tilt_x_mrad=TILT_MRAD[0], beam_tilt_y_mrad=TILT_MRAD[1])
        factor = odd_aberration_factor(*rfft_frequencies((BOX, BOX), PIXEL_A), tilted)
        with (
            MrcStack(folder / "particles.mrcs") as stack,
            MrcStackWriter(folder / "tilted.mrcs", BOX, BOX, PIXEL_A) as writer,
        ):
            for number in range(count):
                transform = np.fft.rfft2(stack.section(number)) * factor
                writer.append(np.fft.irfft2(transform, (BOX, BOX)).astype(np.float32))
        os.replace(folder / "tilted.mrcs", folder / "particles.mrcs")
    number = micrograph.max() + 1
    offset, slope = 100.0 * random.standard_normal(number), 0.03 * random.standard_normal(number)
    planes = offset[micrograph] + slope[micrograph] * (at[0] - 0.5 * EXTENT_PX) * PIXEL_A
    lacking = planes + scatter_A * random.standard_normal(count)
    given = table.copy()
    for name in ("defocus_u_A", "defocus_v_A"):
        given[name] = table[name] - lacking
    work = reconstruct_particles(given, folder, "D2")
    return Scene(given, planes, lacking, (work.half_map(0)[0], work.half_map(1)[0]))
