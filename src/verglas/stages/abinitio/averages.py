"""Averages of a few particles of one 2D class each, which ab-initio takes as its images: strong in signal, and few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verglas.engine import Assignments, ClassSums, ParticleImages, ParticleStack
from verglas.engine.background import background_noise
from verglas.engine.summed_images import summed_images
from verglas.errors import InputError
from verglas.stages.abinitio.settings import AbInitioSettings
from verglas.stages.abinitio.working import prepared

AT_ONCE = 64
"""Averages whose sums are held at a time."""


@dataclass(frozen=True)
class Members:
    """Particles of 2D classes, with the average that each goes into.

    Attributes
    ----------
    places
        In the stack, shape (n,).
    average
        Number of the average, from 0, ascending; shape (n,).
    psi, displacements_A
        Pose in its class, radians and A; shapes (n,) and (n, 2).
    """

    places: NDArray[np.int64]
    average: NDArray[np.int64]
    psi: NDArray[np.float64]
    displacements_A: NDArray[np.float64]


def members_of_classes(
    stack: ParticleStack, places: NDArray[np.int64], classes: Sequence[int], size: int, seed: int
) -> Members:
    """Return the particles of some classes, those of each class split by chance into averages of about one size.

    Parameters
    ----------
    stack
        Of the table that the classification wrote.
    places
        Particles that may be taken.
    classes
        Numbers of the classes, from 1.
    size
        Particles of an average; a class with fewer makes one.
    seed
        Key of the random numbers.

    Raises
    ------
    InputError
        No particle is in these classes.
    """
    rows = stack.rows[places]
    number = np.asarray(stack.table["class_number"])[rows]
    parts: list[NDArray[np.int64]] = []
    for one in sorted({int(each) for each in classes}):
        inside = np.flatnonzero(number == one)
        if inside.size:
            random = np.random.Generator(np.random.Philox([seed, 5, one]))
            parts += np.array_split(random.permutation(inside), max(1, round(inside.size / size)))
    if not parts:
        raise InputError("no particle is in the selected classes; select others, or use a round with all particles.")
    order = np.concatenate(parts)
    average = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    table, at = stack.table, rows[order]
    displacements_A = -np.stack([table["origin_x_A"][at], table["origin_y_A"][at]], axis=1)
    return Members(
        places[order], average, np.deg2rad(table["psi_deg"][at].astype(np.float64)), displacements_A.astype(np.float64)
    )


def averaged(
    stack: ParticleStack, members: Members, settings: AbInitioSettings, limit_A: float, *, threads: int = 1
) -> ParticleImages:
    """Return one prepared image for each average: its particles turned and moved onto their class, and added up.

    An average has the root of the sum of its particles' squared transfers for its transfer function, so that it counts
    for as much as they say, and no phases are to be flipped.

    Parameters
    ----------
    stack
        The particles.
    members
        Of the averages, from :func:`members_of_classes`.
    settings
        Radius and coarsest resolution.
    limit_A
        Finest resolution.
    threads
        Threads.
    """
    count = int(members.average[-1]) + 1
    noise = background_noise(stack, settings.radius_A, threads=threads)
    parts: list[ParticleImages] = []
    for first in range(0, count, AT_ONCE):
        rows = slice(*np.searchsorted(members.average, [first, first + AT_ONCE]))
        images = prepared(stack, members.places[rows], settings, limit_A, noise=noise, threads=threads)
        sums = ClassSums(
            images.band.box, images.band.pixel_size_A, min(AT_ONCE, count - first), threads=threads
        )  # fmt: skip
        poses = Assignments(
            np.arange(len(images)), members.average[rows] - first, members.psi[rows], members.displacements_A[rows],
            np.ones(len(images)),
        )  # fmt: skip
        sums.insert(images, 0, poses)
        parts.append(summed_images(sums, images.band, images.optics))
    return replace(
        parts[0],
        data=np.concatenate([one.data for one in parts]),
        transfer=np.concatenate([one.transfer for one in parts]),
        group=np.concatenate([one.group for one in parts]),
        defocus=np.concatenate([one.defocus for one in parts]),
    )
