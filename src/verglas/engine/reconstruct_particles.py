"""Reconstruct from a particle table and its stacks: reading, FFT, CTF, shift and sums in one pass over the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.particle_stack import ParticleStack
from verglas.engine.reconstruction import IMAGES_AT_ONCE, Reconstruction
from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.geometry import euler_to_matrix
from verglas.microscopy import ctf, odd_aberration_factor, wavelength_A

BATCH = 4 * IMAGES_AT_ONCE
LEAST_FOR_TREND = 10
LARGEST_RELATIVE_SIGMA = 3.0
"""Noise levels beyond this many times the mean, or below its inverse, count as that: outliers do not take over."""


def particle_weights(table: ParticleTable, *, use_sigma: bool = False) -> NDArray[np.float64]:
    """Return the weight of each particle, (occupancy / mean) / (sigma / mean)^2; 0 where it is not active.

    Parameters
    ----------
    table
        Particles.
    use_sigma
        Weight by the table's noise levels, where it has them.

    Raises
    ------
    InputError
        If no particle is active with an occupancy above zero, or an occupancy is not a number from 0 up.
    """
    occupancy = np.where(table["active"] > 0, table["occupancy"], 0.0).astype(np.float64)
    if not (np.isfinite(occupancy).all() and (occupancy >= 0.0).all()):
        raise InputError("occupancies must be numbers from 0 to 100; look at the occupancy column.")
    used = occupancy > 0.0
    if not used.any():
        raise InputError("no particle is active with an occupancy above zero, so there is nothing to reconstruct.")
    weights = occupancy / occupancy[used].mean()
    if use_sigma and (table["sigma"][used] > 0.0).all():
        relative = table["sigma"] / table["sigma"][used].mean()
        weights = weights / np.clip(relative, 1.0 / LARGEST_RELATIVE_SIGMA, LARGEST_RELATIVE_SIGMA) ** 2
    return np.asarray(weights)


def adjusted_scores(table: ParticleTable) -> NDArray[np.float64]:
    """Return the scores without their linear trend over defocus: far from focus they are higher for the same pose.

    Parameters
    ----------
    table
        Particles; those not active do not count for the trend.
    """
    score: NDArray[np.float64] = table["score"].astype(np.float64)
    defocus = 0.5 * (table["defocus_u_A"].astype(np.float64) + table["defocus_v_A"])
    used = (table["active"] > 0) & (table["occupancy"] > 0)
    if used.sum() < LEAST_FOR_TREND or not np.ptp(defocus[used]) > 0.0:
        return score
    slope = np.polyfit(defocus[used], score[used], 1)[0]
    adjusted: NDArray[np.float64] = score - slope * (defocus - defocus[used].mean())
    return adjusted


def best_scores(table: ParticleTable, threshold: float) -> NDArray[np.bool_]:
    """Return which particles have scores good enough.

    Parameters
    ----------
    table
        Particles.
    threshold
        0: all; up to 1: the best-scoring part of the active ones; above 1: the least score itself.

    Raises
    ------
    InputError
        If it is negative, or no active particle scores as high.
    """
    score, active = table["score"].astype(np.float64), table["active"] > 0
    if not threshold >= 0.0:
        raise InputError(f"a score threshold of {threshold:g} makes no sense; give 0, a part up to 1, or a score.")
    if threshold == 0.0:
        return np.ones(len(table), bool)
    least = threshold
    if threshold <= 1.0 and active.any():
        count = max(1, round(threshold * np.count_nonzero(active)))
        least = np.sort(score[active])[-count]
    good: NDArray[np.bool_] = score >= least
    if not (good & active).any():
        raise InputError(f"no active particle has a score of {least:g} or more; lower the score threshold.")
    return good


def half_sets(table: ParticleTable) -> NDArray[np.int64]:
    """Return 0 or 1 for each particle: its half set, or alternately where none is assigned.

    Rows that show one image, as symmetric views do, take turns together: its noise must not come into both halves.

    Raises
    ------
    InputError
        If a half set is not 0, 1 or 2.
    """
    half: NDArray[np.int64] = table["half_set"].astype(np.int64)
    if not np.isin(half, (0, 1, 2)).all():
        raise InputError("half sets must be 1 or 2 (or 0 where none is assigned); look at the half_set column.")
    if (half > 0).all():
        return np.asarray(half - 1, np.int64)
    return np.asarray(np.where(half > 0, half - 1, table.image_numbers() % 2), np.int64)


def reconstruct_particles(
    table: ParticleTable,
    folder: str | os.PathLike[str],
    symmetry: str = "C1",
    *,
    oversampling: int = 2,
    threads: int = 1,
    memory_bytes: int | None = None,
    device: str = "cpu",
    use_ctf: bool = True,
    use_sigma: bool = False,
    score_b_factor_A2: float = 0.0,
    noise_power: NDArray[np.float64] | None = None,
    contrast_inverted: bool | None = None,
    ewald_sphere: int = 0,
    rows: NDArray[np.int64] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reconstruction:
    """Add all active particles of a table to a reconstruction.

    Parameters
    ----------
    table
        Particles with their stack (``image_name``, ``image_section``), pose, shift, CTF parameters, half set,
        occupancy and score.
    folder
        What relative names of stacks are relative to.
    symmetry, oversampling, threads, memory_bytes, device
        As in :class:`~verglas.engine.reconstruction.Reconstruction`.
    use_ctf
        False: the images have no CTF, or it was divided out.
    use_sigma
        Weight particles by their noise level.
    score_b_factor_A2
        Weight a particle by ``exp((score - mean score) B / 4 k^2)``, which trusts high scores at high resolution.
    noise_power
        Noise spectra, shape (shells,), or (groups, shells) in the order of the table's optics groups.
    contrast_inverted
        Whether protein is white; None: as the table's optics groups say.
    ewald_sphere
        1: correct for the curvature of the Ewald sphere, beam towards +z of the turned particle; -1: the same for the
        other hand; 0: do not.
    rows
        Only these particles, one part of a sum; mean weights and scores, and half sets, are the whole table's.
    progress
        Called with (particles done, particles in all).

    Returns
    -------
    Reconstruction
        Call its ``finish``.

    Raises
    ------
    InputError
        If the table does not say what is needed, or a stack has another box.
    FormatError
        If a stack is damaged.
    """
    if ewald_sphere not in (-1, 0, 1) or (ewald_sphere and not use_ctf):
        raise InputError("ewald_sphere is 1, -1 (other hand) or 0 (none), and needs the CTF.")
    weights = particle_weights(table, use_sigma=use_sigma)
    halves = half_sets(table)
    used = np.flatnonzero(weights > 0.0)
    scores = table["score"].astype(np.float64)
    decay = -(scores - np.average(scores[used], weights=weights[used])) * score_b_factor_A2
    with ParticleStack(table, folder, used, contrast_inverted=contrast_inverted) as stack:
        places = np.arange(used.size) if rows is None else np.flatnonzero(np.isin(used, rows))
        work = Reconstruction(
            stack.box, stack.pixel_size_A, symmetry, oversampling=oversampling, threads=threads,
            memory_bytes=memory_bytes, device=device,
        )  # fmt: skip
        for start in range(0, places.size, BATCH):
            batch = places[start : start + BATCH]
            images = stack.read(batch)
            for group, inside in stack.by_group(batch):
                _insert_group(
                    work, stack, batch[inside], images[inside], group, weights, halves, decay, noise_power,
                    use_ctf=use_ctf, ewald_sphere=ewald_sphere,
                )  # fmt: skip
            if progress is not None:
                progress(start + len(batch), int(places.size))
    return work


def _insert_group(
    work: Reconstruction, stack: ParticleStack, places: Any, images: Any, group: int, weights: Any, halves: Any,
    decay: Any, noise_power: Any, *, use_ctf: bool, ewald_sphere: int,
) -> None:  # fmt: skip
    """Add particles of one optics group."""
    table, rows = stack.table, stack.rows[places]
    transfer, quadrature, aberration, wavelength, magnification = None, None, None, 0.0, stack.magnification(group)
    if use_ctf:
        sign = -1.0 if stack.is_inverted(group) else 1.0
        optics, defocus = stack.optics(group), stack.defocus(places)

        def turned(by: float) -> NDArray[np.float32]:
            u, v, angle, phase = defocus.T
            values: NDArray[np.float32] = ctf(*work.frequencies_per_A, optics, u, v, angle, phase + by)
            values *= np.float32(sign)
            return values

        transfer = turned(0.0)
        if ewald_sphere:
            quadrature, wavelength = turned(0.5 * np.pi), ewald_sphere * wavelength_A(optics.voltage_kV)
        if optics.has_odd_aberrations:
            aberration = odd_aberration_factor(*work.frequencies_per_A, optics)
    work.insert(
        images,
        euler_to_matrix(*(np.deg2rad(table[name][rows]) for name in ("rot_deg", "tilt_deg", "psi_deg"))),
        np.stack([table["origin_x_A"][rows], table["origin_y_A"][rows]], axis=-1),
        halves[rows],
        ctf=transfer,
        weights=weights[rows],
        b_factors_A2=decay[rows],
        noise_power=noise_power,
        group=group if np.ndim(noise_power) == 2 else 0,
        aberration=aberration,
        ctf_quadrature=quadrature,
        ewald_wavelength_A=wavelength,
        magnification=magnification,
    )
