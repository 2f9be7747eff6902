"""Rounds of a start: images are summed over all poses by their probabilities, and fading sums make the map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from verglas.engine import (
    ParticleImages,
    Reference,
    RefinementSettings,
    SearchSettings,
    Templates,
    align_symmetry,
    draw_poses,
    prepare_reference,
    refine_poses,
)
from verglas.engine.band_sums import BandSums
from verglas.engine.displacement_draw import draw_displacements
from verglas.engine.pose_sums import PoseGrid
from verglas.geometry import rotvec_to_matrix
from verglas.signal import resize
from verglas.stages.abinitio.constraints import centred, densest
from verglas.stages.abinitio.first_maps import begin_from_sphere
from verglas.stages.abinitio.settings import AbInitioSettings
from verglas.stages.abinitio.state import AbInitioState

ADDED = 0.01
"""Sums are divided by their weight plus this part of their shell's mean: more would make maps fainter every round."""
MOMENTUM, MOMENTUM_A = 0.5, 22.0
"""Maps go on by this part of their last change while they are coarser; fine ones are too noisy for that."""
MOVED_FROM = 6.0
"""Displacements are drawn from a resolution of so many of their deviations on; a coarser one does not tell them."""
STEPS_A = 4.0
"""Resolution over the step of displacements."""
FIRST_BATCHES = 2
REFERENCE_PART = 0.97
REFERENCE_EDGE_A = 10.0
AXES_AT = 0.75
"""Part of a start's rounds after which the axes of a symmetry are looked for, where it is not imposed before."""


def symmetry_now(state: AbInitioState, settings: AbInitioSettings) -> str:
    """Return the symmetry that is imposed in the next round."""
    return settings.symmetry if state.axes_found else "C1"


def references_of(
    state: AbInitioState, images: ParticleImages, limit_A: float, settings: AbInitioSettings, threads: int = 1
) -> list[Reference]:
    """Return a state's maps, prepared to a resolution."""
    width_A = images.band.box * images.band.pixel_size_A
    pixel_A = width_A / state.volumes.shape[1]
    return [
        prepare_reference(
            volume, pixel_A, limit_A=REFERENCE_PART * limit_A, radius_A=settings.radius_A, edge_A=REFERENCE_EDGE_A,
            threads=threads,
        )
        for volume in state.volumes
    ]  # fmt: skip


def search_of(limit_A: float, settings: AbInitioSettings, symmetry: str, *, shifts: bool) -> SearchSettings:
    """Return how poses are searched at a resolution, about each image's displacement or also around it."""
    return SearchSettings(
        limit_A=limit_A, spacing=settings.spacing(limit_A), shift_step_A=limit_A / 3.0,
        shift_range_A=2.0 * settings.shift_sigma_A if shifts else 0.0, shift_sigma_A=settings.shift_sigma_A,
        symmetry=symmetry,
    )  # fmt: skip


def start_round(
    state: AbInitioState,
    images: ParticleImages,
    learned: NDArray[np.int64],
    settings: AbInitioSettings,
    start: int,
    *,
    threads: int = 1,
) -> None:
    """Do one round of a start, in place.

    Parameters
    ----------
    state
        Of the start.
    images
        All prepared images.
    learned
        Which of them the start learns from, shape (m,).
    settings
        Of the job.
    start
        Number of the start, from 0.
    threads
        Threads; they change nothing but the last bits of sums.
    """
    number = state.number
    if number == 0 and settings.from_sphere:
        begin_from_sphere(state, images, learned, settings, start, threads=threads)
        return
    limit_A = settings.start_limit_A(number)
    symmetry = symmetry_now(state, settings)
    sums = [BandSums(images.band, settings.middle_A, symmetry) for _ in range(settings.classes)]
    if state.sums_volume.shape[1]:
        for k, one in enumerate(sums):
            one.put({"volume": state.sums_volume[k], "core": state.sums_core[k]})
            one.fade(settings.fade(len(learned), number))
    if number == 0:
        several = [settings.taken(len(learned), start, n) for n in range(FIRST_BATCHES)]
        rows = learned[np.unique(np.concatenate(several))]
        some = images.select(rows)
        for k, one in enumerate(sums):
            mine = np.flatnonzero(state.reference[rows] == k)
            if mine.size:
                at = rows[mine]
                one.insert(some.select(mine), state.rotations[at], state.displacements_A[at], threads=threads)
    else:
        rows = learned[settings.taken(len(learned), start, number)]
        _expect(state, sums, images.select(rows), rows, limit_A, settings, start, symmetry, threads)
    kept = sums if settings.fade(len(learned), number + 1) > 0.0 else []
    empty = np.zeros((settings.classes, 0))
    state.sums_volume = np.stack([one.arrays()["volume"] for one in kept]) if kept else empty.astype(np.float32)
    state.sums_core = np.stack([one.arrays()["core"] for one in kept]) if kept else empty
    pixel_A = sums[0].pixel_size_A
    made = np.stack([
        densest(one.map(ADDED, threads=threads), pixel_A, settings.radius_A, settings.mass_kDa) for one in sums
    ])  # fmt: skip
    state.volumes = made
    if state.steady.shape == made.shape and (settings.from_sphere or limit_A > MOMENTUM_A):
        state.volumes = made + np.float32(MOMENTUM) * (made - state.steady)
    state.steady = made
    state.number += 1
    if not state.axes_found and state.number >= AXES_AT * settings.rounds:
        find_axes(state, images, settings, threads)


def _expect(
    state: AbInitioState, sums: Sequence[BandSums], some: ParticleImages, rows: NDArray[np.int64], limit_A: float,
    settings: AbInitioSettings, start: int, symmetry: str, threads: int,
) -> None:  # fmt: skip
    """Add the images of a round to the sums at all poses by their probabilities, and draw a pose of each."""
    references = references_of(state, some, limit_A, settings, threads)
    random = np.random.Generator(np.random.Philox([settings.seed, 4 + 1000 * start, state.number]))
    uniform = random.uniform(size=(len(rows), 3))
    spacing = settings.spacing(limit_A)
    # Turned anew every round, by no more than its step: slices in the same directions would leave gaps between them.
    turn = rotvec_to_matrix(spacing * random.uniform(-0.5, 0.5, 3))
    grid = PoseGrid(some.band, limit_A, settings.radius_A, spacing, symmetry, turn)
    found = grid.sums(
        references, some, uniform[:, :2], centre_A=state.displacements_A[rows], threads=threads
    )  # fmt: skip
    for k, one in enumerate(sums):
        one.insert_slices(found.value[k], found.weight[k], grid.rotations, threads=threads)
    state.gain = np.append(state.gain, float(found.gain.mean()))
    state.rotations[rows], state.reference[rows] = found.rotations, found.reference
    if limit_A <= MOVED_FROM * settings.shift_sigma_A:
        state.displacements_A[rows] = draw_displacements(
            references, some, found.rotations, found.reference, uniform[:, 2], limit_A=limit_A,
            step_A=limit_A / STEPS_A, sigma_A=settings.shift_sigma_A, threads=threads,
        )  # fmt: skip


def put_refined(
    state: AbInitioState, references: Sequence[Reference], some: ParticleImages, rows: NDArray[np.int64],
    rotations: NDArray[np.float64], displacements_A: NDArray[np.float64], which: NDArray[np.int64],
    settings: RefinementSettings, threads: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Refine poses against their own maps and keep them; return their log-likelihoods."""
    likelihood = np.empty(len(rows))
    for k, reference in enumerate(references):
        mine = np.flatnonzero(which == k)
        if mine.size:
            found = refine_poses(
                reference, some, rotations[mine], displacements_A[mine], settings, image=mine, threads=threads
            )
            state.rotations[rows[mine]], state.displacements_A[rows[mine]] = found.rotations, found.displacements_A
            likelihood[mine] = found.log_likelihood
    state.reference[rows] = which
    return likelihood


def put_centred(
    state: AbInitioState, volumes: Sequence[NDArray[np.float32]], pixel_A: float, symmetry: str, threads: int = 1
) -> None:
    """Keep maps, moved to the middle, and the displacements of their images that follow from that."""
    kept = []
    for k, volume in enumerate(volumes):
        middle, moved = centred(volume, symmetry, threads)
        kept.append(middle)
        # What lay at p lies at p + moved now: images show the same where they are displaced by as much less.
        mine = state.reference == k
        state.displacements_A[mine] -= pixel_A * (state.rotations[mine] @ moved)[:, :2]
    state.volumes = np.stack(kept)


def find_axes(state: AbInitioState, images: ParticleImages, settings: AbInitioSettings, threads: int = 1) -> None:
    """Bring the maps to the standard setting of the symmetry, which is imposed from then on."""
    pixel_A = images.band.box * images.band.pixel_size_A / state.volumes.shape[1]
    turned = []
    for k, volume in enumerate(state.volumes):
        found = align_symmetry(volume, settings.symmetry, pixel_A, threads=threads)
        turned.append(found.map)
        mine = state.reference == k
        # A feature at p comes to Q p + s, so that R p = (R Q^T) (Q p + s) - R Q^T s.
        state.rotations[mine] = state.rotations[mine] @ found.rotation.T
        state.displacements_A[mine] -= (state.rotations[mine] @ found.shift_A)[:, :2]
    state.volumes = np.stack(turned).astype(np.float32)
    state.steady = state.volumes
    state.sums_volume, state.sums_core = state.sums_volume[:, :0], state.sums_core[:, :0]
    state.axes_found = True


def judge(
    state: AbInitioState, images: ParticleImages, judged: NDArray[np.int64], settings: AbInitioSettings, *,
    threads: int = 1,
) -> float:  # fmt: skip
    """Return how much a state's maps add to the log-likelihood of images that they have not seen, on average."""
    limit_A = settings.start_limit_A(max(0, state.number - 1))
    search = search_of(limit_A, settings, symmetry_now(state, settings), shifts=True)
    references = references_of(state, images, limit_A, settings, threads)
    library = Templates(references, images.band, search, threads=threads)
    some = images.select(judged)
    found = draw_poses(library, some, search, np.zeros((len(judged), 2)), threads=threads)
    return float(found.gain.mean())


def resized(volumes: NDArray[np.float32], box: int, threads: int = 1) -> NDArray[np.float32]:
    """Return maps in another box over the same field of view, of the same scale in projection."""
    old = volumes.shape[1]
    if old == box:
        return volumes
    factor = np.float32((old / box) ** 3)
    return np.stack([resize(one, (box,) * 3, workers=threads) * factor for one in volumes]).astype(np.float32)
