"""First maps of cubic groups: a sphere that the images were centred on, with smooth swellings by chance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages
from verglas.engine.band_sums import working_box
from verglas.geometry import point_group
from verglas.signal import resize
from verglas.stages.abinitio.constraints import densest
from verglas.stages.abinitio.settings import AbInitioSettings
from verglas.stages.abinitio.sphere import centred_on_sphere, spherical
from verglas.stages.abinitio.state import AbInitioState

WAVELENGTHS = 4.5, 3.0
"""Shortest wavelength of swellings, over the radius and the inverse root of the group's order, of one start and of the
next: only the smoothest patterns of the symmetry are as smooth as the first, some four as the second."""
WAVES = 40
SWELLING = 0.17
"""Standard deviation of the swellings, as a part of the density that swells."""


def begin_from_sphere(
    state: AbInitioState, images: ParticleImages, learned: NDArray[np.int64], settings: AbInitioSettings, start: int, *,
    threads: int = 1,
) -> None:  # fmt: skip
    """Do the first round of a start in a cubic group, in place: centre the images, and make maps of their sphere.

    What it takes is what :func:`verglas.stages.abinitio.start_round` does.

    Notes
    -----
    From random poses a map begins with noise at all resolutions, which the images' poses then cling to. Smooth patterns
    of a cubic group are few, so that one of some starts is near the particle's, from which its finer ones follow.
    """
    state.displacements_A, sphere = centred_on_sphere(
        images, settings.start_limit_A(0), settings.radius_A, settings.shift_sigma_A, learned, threads=threads
    )  # fmt: skip
    width_A = images.band.box * images.band.pixel_size_A
    box = working_box(width_A, settings.middle_A)
    ball = densest(sphere.volume(box, width_A / box), width_A / box, settings.radius_A, settings.mass_kDa)
    random = np.random.Generator(np.random.Philox([settings.seed, 5, start]))
    state.volumes = np.stack([
        swollen(ball, width_A / box, settings.radius_A, settings.symmetry, start, random, threads=threads)
        for _ in range(settings.classes)
    ])  # fmt: skip
    state.steady = state.volumes
    state.number = 1


def swollen(
    volume: NDArray[np.float32], pixel_size_A: float, radius_A: float, symmetry: str, start: int,
    random: np.random.Generator, *, threads: int = 1,
) -> NDArray[np.float32]:  # fmt: skip
    """Return a map whose density swells and shrinks smoothly by chance, with a symmetry.

    Parameters
    ----------
    volume
        The map.
    pixel_size_A
        Its pixel size.
    radius_A
        Of the particle.
    symmetry
        Point group, in its standard setting.
    start
        Number of the start, from 0.
    random
        Where chance comes from.
    threads
        Threads.
    """
    operators = np.asarray(point_group(symmetry).operators, np.float64)
    shortest_A = WAVELENGTHS[start % len(WAVELENGTHS)] * radius_A / math.sqrt(len(operators))
    directions = random.normal(size=(WAVES, 3))
    length = np.cbrt(random.uniform(size=WAVES)) / shortest_A / np.linalg.norm(directions, axis=1)
    phase = random.uniform(0.0, 2.0 * np.pi, WAVES)
    width_A = len(volume) * pixel_size_A
    box = min(len(volume), working_box(width_A, shortest_A))
    axis = (np.arange(box) - box // 2) * (width_A / box)
    field = np.zeros((box,) * 3)
    for operator in operators:
        for k, first in zip(2.0 * np.pi * (directions * length[:, None]) @ operator, phase, strict=True):
            z, y, x = (np.exp(1j * one * axis) for one in k[::-1])
            field += (z[:, None, None] * (y[:, None] * (x * np.exp(1j * first)))).real
    whole = resize(field.astype(np.float32), (len(volume),) * 3, workers=threads)
    pattern = whole - spherical(np.asarray(whole, np.float32))
    part = volume * pattern
    whole_power, part_power = (float((one**2).sum(dtype=np.float64)) for one in (volume, part))
    strength = SWELLING * math.sqrt(whole_power / max(part_power, 1e-30))
    return np.asarray(volume + np.float32(strength) * part, np.float32)
