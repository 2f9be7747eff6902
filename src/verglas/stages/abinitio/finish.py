"""The finish: all images on the maps of the best start, finer round by round, so that the answer is stable."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages, RefinementSettings, Templates, draw_poses
from verglas.engine.band_sums import BandSums, working_box
from verglas.engine.reference_masks import MaskSettings, apply_reference_mask, reference_mask
from verglas.signal import apply_filter, curve, fourier_shell_correlation
from verglas.stages.abinitio.constraints import densest
from verglas.stages.abinitio.rounds import put_centred, put_refined, references_of, resized, search_of, symmetry_now
from verglas.stages.abinitio.settings import AbInitioSettings
from verglas.stages.abinitio.state import AbInitioState

SEARCHES = 3
"""First rounds of the finish search all poses; later ones refine those that are there."""
COLD = 1e-3
"""Temperature at which the best pose is always drawn."""
STEPS = 8
ADDED = 0.05
AT_ONCE = 500
MARGIN = 1.05
"""Sums reach a little beyond the resolution of the poses."""


@dataclass(frozen=True)
class FinishedMaps:
    """Maps of all images.

    Attributes
    ----------
    volumes
        Of each class, not masked; shape (classes, box, box, box).
    pixel_size_A
        Of the maps.
    agreement_A
        Where halves of the images agree to 0.5, of each class; infinite where they never do. Both halves were aligned
        to one reference, so this is a filter and no resolution.
    share
        Part of the images in each class.
    """

    volumes: NDArray[np.float32]
    pixel_size_A: float
    agreement_A: NDArray[np.float64]
    share: NDArray[np.float64]


def finish_round(
    state: AbInitioState, images: ParticleImages, settings: AbInitioSettings, *, threads: int = 1
) -> FinishedMaps:
    """Do one round of the finish, in place, and return its maps.

    Parameters
    ----------
    state
        Of the start that goes on.
    images
        All images, prepared to the finish's resolution.
    settings
        Of the job.
    threads
        Threads.
    """
    limit_A = settings.finish_limit_A(state.finished)
    symmetry = symmetry_now(state, settings)
    width_A = images.band.box * images.band.pixel_size_A
    state.volumes = resized(state.volumes, working_box(width_A, limit_A), threads)
    references = references_of(state, images, limit_A, settings, threads)
    searched = state.finished < SEARCHES or settings.classes > 1
    search_A, spacing = settings.finish_search(limit_A)
    search = replace(search_of(search_A, settings, symmetry, shifts=False), spacing=spacing)
    library = Templates(references, images.band, search, threads=threads) if searched else None
    local = RefinementSettings(limit_A=limit_A, shift_sigma_A=settings.shift_sigma_A, most_steps=STEPS)
    halves = [[BandSums(images.band, limit_A / MARGIN, symmetry) for _ in range(2)] for _ in range(settings.classes)]
    gains = []
    for first in range(0, len(images), AT_ONCE):
        rows = np.arange(first, min(first + AT_ONCE, len(images)))
        some = images.select(rows)
        if library is not None:
            found = draw_poses(
                library, some, search, np.full((len(rows), 2), 0.5), temperature=COLD,
                centre_A=state.displacements_A[rows], threads=threads,
            )  # fmt: skip
            start = found.rotations, found.displacements_A, found.reference
        else:
            start = state.rotations[rows], state.displacements_A[rows], state.reference[rows]
        likelihood = put_refined(state, references, some, rows, *start, local, threads)
        power = (np.abs(some.data[:, : images.band.count_to(limit_A)]) ** 2).sum(axis=1, dtype=np.float64)
        gains.append(likelihood + power)
        for k, sums in enumerate(halves):
            for half, one in enumerate(sums):
                mine = np.flatnonzero((state.reference[rows] == k) & (rows % 2 == half))
                if mine.size:
                    at = rows[mine]
                    one.insert(some.select(mine), state.rotations[at], state.displacements_A[at], threads=threads)
    state.gain = np.append(state.gain, float(np.concatenate(gains).mean()))
    state.finished += 1
    return _maps(state, halves, settings, symmetry, threads)


def _maps(
    state: AbInitioState, halves: list[list[BandSums]], settings: AbInitioSettings, symmetry: str, threads: int
) -> FinishedMaps:
    """Make the maps of a round, and from them the next references."""
    pixel_A = halves[0][0].pixel_size_A
    whole, next_ones, agreement = [], [], []
    mask_settings = MaskSettings(automatic=settings.auto_mask)
    for sums in halves:
        first, second = (one.map(ADDED, threads=threads) for one in sums)
        mean = np.float32(0.5) * (first + second)
        mask = reference_mask(mean, pixel_A, settings.radius_A, mask_settings, threads)
        found = fourier_shell_correlation(first, second, pixel_A, mask=mask, workers=threads)
        fsc = np.clip(found.fsc, 0.0, 1.0)
        fsc[0] = 1.0
        filtered = apply_filter(
            mean, pixel_A, curve(found.frequency_per_A, np.sqrt(2.0 * fsc / (1.0 + fsc))), workers=threads
        )
        whole.append(np.asarray(filtered, np.float32))
        masked = apply_reference_mask(whole[-1], mask, pixel_A, mask_settings, threads)
        next_ones.append(densest(masked, pixel_A, settings.radius_A, settings.mass_kDa))
        below = np.flatnonzero(found.fsc[1:] < 0.5) + 1
        last = below[0] - 1 if below.size else len(fsc) - 1
        agreement.append(1.0 / found.frequency_per_A[last] if last > 0 else np.inf)
    put_centred(state, next_ones, pixel_A, symmetry, threads)
    share = np.bincount(state.reference, minlength=settings.classes) / len(state.reference)
    return FinishedMaps(np.stack(whole), pixel_A, np.array(agreement), share)
