"""Do the particles keep to the symmetry that was imposed? Left to choose among equivalent poses, halves may disagree.

Against a symmetric reference all equivalent poses are equally likely, whatever the molecule is, so that neither the
map nor the poses show a wrong symmetry. Here each particle begins with one of its equivalent poses by chance and takes
the likeliest one against a map without symmetry, again and again: what breaks the symmetry grows, as classes do. A
particle is never compared with a map that it is in (a quarter of the particles chooses by another quarter of the same
half set), so that its own noise holds it nowhere, and the half sets know nothing of each other: what departs from the
symmetry in both of them alike is there.

Few particles see only some directions of a map without symmetry. Where they leave it empty, images fit it badly, and
particles would gather in one corner of all equivalent poses, alike in both half sets, whatever the molecule is. So each
map without symmetry is mixed half and half with the symmetric one, which fills what was not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import (
    ParticleImages,
    ParticleStack,
    RefinementSettings,
    background_radius_A,
    normalise,
    prepare_images,
    prepare_reference,
    refine_poses,
)
from verglas.engine.reconstruct_particles import half_sets
from verglas.engine.reconstruction import Reconstruction
from verglas.engine.threads import kernel_threads
from verglas.geometry import point_group
from verglas.microscopy import Optics, ctf
from verglas.signal import apply_filter, cosine_lowpass, resize, sphere_mask
from verglas.stages.refinement.rows import PoseRows
from verglas.stages.refinement.settings import AutoRefineSettings

LIMIT_A = 12.0
CHOICES = 6
"""Times that all particles choose among their equivalent poses."""
EVALUATIONS = 8000
MOST, LEAST = 1500, 200
"""Particles of each half set: so many that EVALUATIONS equivalent poses are weighed, within these numbers."""
BROKEN = 0.25
"""Correlation of the half sets' departures from the symmetry above which it is called broken."""


@dataclass(frozen=True)
class SymmetryEvidence:
    """What the particles say of a symmetry.

    Attributes
    ----------
    correlation
        Of the departures from the symmetry in one half set and in the other, at their best relative turn by an element
        of the group; near 0 where there is nothing but noise.
    part
        Amplitude of the departure that both halves hold over that of the symmetric map, at least.
    limit_A
        Resolution to which maps were compared.
    particles
        In each half set.
    """

    correlation: float
    part: float
    limit_A: float
    particles: tuple[int, int]

    @property
    def is_broken(self) -> bool:
        """Whether the particles depart from the symmetry."""
        return self.correlation > BROKEN


@dataclass(frozen=True)
class _Half:
    """Particles of one half set and optics group, ready to be weighed and to be inserted."""

    images: ParticleImages
    pixels: NDArray[np.float32]
    transfer: NDArray[np.float32]
    noise: NDArray[np.float64]
    rotations: NDArray[np.float64]
    displacements_A: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rotations)


def symmetry_evidence(
    stack: ParticleStack, rows: PoseRows, noise: NDArray[np.float64], settings: AutoRefineSettings,
    resolution_A: float, *, threads: int = 1, check: Callable[[], None] | None = None,
) -> SymmetryEvidence | None:  # fmt: skip
    """Let particles choose among equivalent poses and compare what breaks the symmetry in the two half sets.

    Parameters
    ----------
    stack
        The particles.
    rows
        Their poses, refined with the symmetry; each particle's best class counts, and the largest class alone is asked.
    noise
        Spectra of the noise of each optics group at the stack's box, as of the refinement's state.
    settings
        Of the refinement.
    resolution_A
        Of the map: nothing finer is compared.
    threads
        Threads.
    check
        Called now and then; raises where the job was asked to stop.

    Returns
    -------
    SymmetryEvidence or None
        None for C1, or where there are too few particles to ask.
    """
    group = point_group(settings.symmetry)
    if group.order == 1:
        return None
    limit_A = max(LIMIT_A, resolution_A, settings.finest_limit_A(stack.pixel_size_A))
    if not limit_A < settings.start_A:
        return None
    best = rows.occupancy.argmax(axis=0)
    largest = int(np.bincount(best, minlength=rows.classes).argmax())
    most = int(np.clip(EVALUATIONS // group.order, LEAST, MOST))
    halves = half_sets(stack.table)[stack.rows]
    box = settings.working_box(stack.box, stack.pixel_size_A, limit_A)
    random = np.random.Generator(np.random.Philox([settings.seed, 3]))
    maps, counts = [], []
    for half in (0, 1):
        places = np.flatnonzero((halves == half) & (best == largest))
        places = places[np.unique(np.linspace(0, len(places) - 1, min(len(places), most)).astype(np.int64))]
        if len(places) < LEAST // 2:
            return None
        parts = _prepare(stack, rows, largest, places, noise, settings, box, limit_A, threads)
        mix = _symmetric_sums(parts, settings, box, stack, threads)
        chosen = _choose(parts, mix, settings, box, stack, random, limit_A, threads, check)
        maps.append(_turned_maps(parts, mix, chosen, settings, box, stack, limit_A, every=half == 1, threads=threads))
        counts.append(len(places))
    pixel_A = stack.pixel_size_A * stack.box / box
    mask = sphere_mask((box,) * 3, settings.mask_radius_A, pixel_A)
    (symmetric, first), (other, turned) = maps
    departure = ((first[0] - symmetric) * mask).astype(np.float64)
    correlation, covariance = 0.0, 0.0
    for one in turned:
        away = ((one - other) * mask).astype(np.float64)
        product = float((departure * away).sum())
        found = product / max(float(np.sqrt((departure**2).sum() * (away**2).sum())), 1e-30)
        if found > correlation:
            correlation, covariance = found, product
    common = float((symmetric * other * mask).sum(dtype=np.float64))
    # Departures were halved by the mixing.
    part = 2.0 * float(np.sqrt(covariance / common)) if common > 0.0 else 0.0
    return SymmetryEvidence(correlation, part, limit_A, (counts[0], counts[1]))


def _prepare(
    stack: ParticleStack, rows: PoseRows, number: int, places: NDArray[np.int64], noise: NDArray[np.float64],
    settings: AutoRefineSettings, box: int, limit_A: float, threads: int,
) -> list[_Half]:  # fmt: skip
    """Return some particles of a half set, one entry for each optics group."""
    radius = background_radius_A(settings.mask_radius_A, stack.box, stack.pixel_size_A)
    pixel_A = stack.pixel_size_A * stack.box / box
    spectra = noise[:, : box // 2 + 1] * (box / stack.box) ** 2
    layout = Reconstruction(box, pixel_A, "C1", oversampling=settings.oversampling)
    parts = []
    for optics_group, inside in stack.by_group(places):
        at = places[inside]
        pixels = normalise(stack.read(at), radius, stack.pixel_size_A)
        if box != stack.box:
            pixels = np.asarray(resize(pixels, (box, box), workers=threads), np.float32)
        optics: Optics = replace(stack.optics(optics_group), pixel_size_A=pixel_A)
        white, defocus = stack.is_inverted(optics_group), stack.defocus(at)
        images = prepare_images(
            pixels, optics, defocus, spectra[optics_group], limit_A, low_A=settings.low_A, contrast_inverted=white,
            threads=threads,
        )  # fmt: skip
        with kernel_threads(threads):
            transfer = ctf(*layout.frequencies_per_A, optics, *defocus.T)
        parts.append(
            _Half(
                images,
                pixels,
                -transfer if white else transfer,
                spectra[optics_group],
                rows.rotations[number, at],
                rows.displacements_A[number, at],
            )
        )
    return parts


def _symmetric_sums(
    parts: list[_Half], settings: AutoRefineSettings, box: int, stack: ParticleStack, threads: int
) -> dict[str, NDArray[Any]]:
    """Return the sums of the two quarters at all equivalent poses, each with its part of a particle's weight."""
    operators = point_group(settings.symmetry).operators
    pixel_A = stack.pixel_size_A * stack.box / box
    sums = Reconstruction(box, pixel_A, "C1", oversampling=settings.oversampling, threads=threads)
    for part in parts:
        for operator in operators:
            sums.insert(
                part.pixels, part.rotations @ operator, -part.displacements_A, np.arange(len(part)) % 2,
                ctf=part.transfer, noise_power=part.noise, weights=1.0 / len(operators),
            )  # fmt: skip
    return sums.arrays()


def _mixed_maps(
    parts: list[_Half], mix: dict[str, NDArray[Any]], rotations: list[NDArray[np.float64]],
    settings: AutoRefineSettings, box: int, stack: ParticleStack, threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Return the maps of the two quarters (every other particle) at given rotations, mixed with the symmetric ones."""
    pixel_A = stack.pixel_size_A * stack.box / box
    sums = Reconstruction(box, pixel_A, "C1", oversampling=settings.oversampling, threads=threads)
    sums.add(mix)
    for part, turned in zip(parts, rotations, strict=True):
        sums.insert(
            part.pixels, turned, -part.displacements_A, np.arange(len(part)) % 2, ctf=part.transfer,
            noise_power=part.noise,
        )  # fmt: skip
    return sums.half_map(0)[0], sums.half_map(1)[0]


def _choose(
    parts: list[_Half], mix: dict[str, NDArray[Any]], settings: AutoRefineSettings, box: int, stack: ParticleStack,
    random: np.random.Generator, limit_A: float, threads: int, check: Callable[[], None] | None,
) -> list[NDArray[np.float64]]:  # fmt: skip
    """Return the rotations that particles of a half set end with, quarters choosing by each other's maps."""
    operators = point_group(settings.symmetry).operators
    rotations = [part.rotations @ operators[random.integers(len(operators), size=len(part))] for part in parts]
    pixel_A = stack.pixel_size_A * stack.box / box
    held = RefinementSettings(phi=False, theta=False, psi=False, x=False, y=False)
    for turn in range(2 * CHOICES):
        if check is not None:
            check()
        # One quarter after the other: both at once could for ever take each other's place.
        quarter = turn % 2
        maps = _mixed_maps(parts, mix, rotations, settings, box, stack, threads)
        reference = prepare_reference(
            maps[1 - quarter], pixel_A, limit_A=0.98 * limit_A, radius_A=settings.mask_radius_A,
            edge_A=settings.mask.edge_A, threads=threads,
        )  # fmt: skip
        for part, turned in zip(parts, rotations, strict=True):
            some = np.arange(quarter, len(part), 2)
            equivalent = turned[some, None] @ operators
            found = refine_poses(
                reference, part.images, equivalent.reshape(-1, 3, 3),
                np.repeat(part.displacements_A[some], len(operators), axis=0), held,
                image=np.repeat(some, len(operators)), threads=threads,
            )  # fmt: skip
            likeliest = found.log_likelihood.reshape(len(some), -1).argmax(axis=1)
            turned[some] = equivalent[np.arange(len(some)), likeliest]
    return rotations


def _turned_maps(
    parts: list[_Half], mix: dict[str, NDArray[Any]], rotations: list[NDArray[np.float64]],
    settings: AutoRefineSettings, box: int, stack: ParticleStack, limit_A: float, *, every: bool, threads: int,
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:  # fmt: skip
    """Return the symmetric map of a half set, and the map without symmetry; with ``every`` turned by each element."""
    pixel_A = stack.pixel_size_A * stack.box / box
    lowpass = cosine_lowpass(limit_A, 2.0 / (box * pixel_A))

    def smooth(both: tuple[NDArray[np.float32], NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.asarray(apply_filter(0.5 * (both[0] + both[1]), pixel_A, lowpass, workers=threads), np.float32)

    operators = point_group(settings.symmetry).operators if every else np.eye(3)[None]
    whole = Reconstruction(box, pixel_A, "C1", oversampling=settings.oversampling, threads=threads)
    whole.add(mix)
    symmetric = smooth((whole.half_map(0)[0], whole.half_map(1)[0]))
    return symmetric, [
        smooth(_mixed_maps(parts, mix, [one @ g for one in rotations], settings, box, stack, threads))
        for g in operators
    ]
