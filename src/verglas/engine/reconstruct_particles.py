"""Reconstruct from a particle table and its stacks: reading, FFT, CTF, shift and sums in one pass over the disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.reconstruction import IMAGES_AT_ONCE, Reconstruction
from verglas.errors import InputError
from verglas.formats import MrcStack, ParticleTable
from verglas.geometry import euler_to_matrix
from verglas.microscopy import Optics, ctf, odd_aberration_factor, wavelength_A

BATCH = 4 * IMAGES_AT_ONCE
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

    Raises
    ------
    InputError
        If a half set is not 0, 1 or 2.
    """
    half = table["half_set"].astype(np.int64)
    if not np.isin(half, (0, 1, 2)).all():
        raise InputError("half sets must be 1 or 2 (or 0 where none is assigned); look at the half_set column.")
    return np.where(half > 0, half - 1, np.arange(len(half)) % 2)


def reconstruct_particles(
    table: ParticleTable,
    folder: str | os.PathLike[str],
    symmetry: str = "C1",
    *,
    oversampling: int = 2,
    threads: int = 1,
    memory_bytes: int | None = None,
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
    symmetry, oversampling, threads, memory_bytes
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
    pixel_size_A = _pixel_size(table, used)
    some = used[:1]
    if rows is not None:
        used = rows[weights[rows] > 0.0]
    names = table.names_of("image_name")
    if not all(names[i] and table["image_section"][i] > 0 for i in used):
        raise InputError("some particles name no stack or no section of it, so their images cannot be read.")
    groups = {group.number: row for row, group in enumerate(table.optics)}
    with ExitStack() as open_files:
        stacks = {
            name: open_files.enter_context(MrcStack(Path(folder) / name))
            for name in dict.fromkeys(names[i] for i in (*some, *used))
        }
        shapes = {stack.shape[1:] for stack in stacks.values()}
        box = next(iter(shapes))[0]
        if shapes != {(box, box)}:
            raise InputError(f"particle images must be squares of one size, but there are {sorted(shapes)}.")
        work = Reconstruction(
            box, pixel_size_A, symmetry, oversampling=oversampling, threads=threads, memory_bytes=memory_bytes
        )
        images = np.empty((BATCH, box, box), np.float32)
        for start in range(0, used.size, BATCH):
            batch = used[start : start + BATCH]
            for place, i in enumerate(batch):
                images[place] = stacks[names[i]].section(int(table["image_section"][i]) - 1)
            for number in np.unique(table["optics_group"][batch]):
                inside = table["optics_group"][batch] == number
                _insert_group(
                    work, table, batch[inside], images[: len(batch)][inside], groups.get(int(number), -1), weights,
                    halves, decay, noise_power, contrast_inverted, use_ctf=use_ctf, ewald_sphere=ewald_sphere,
                )  # fmt: skip
            if progress is not None:
                progress(start + len(batch), int(used.size))
    return work


def _insert_group(
    work: Reconstruction, table: ParticleTable, rows: Any, images: Any, group: int, weights: Any, halves: Any,
    decay: Any, noise_power: Any, contrast_inverted: bool | None, *, use_ctf: bool, ewald_sphere: int,
) -> None:  # fmt: skip
    """Add particles of one optics group."""
    if group < 0:
        raise InputError(f"particle {rows[0] + 1} is of an optics group that the table does not describe.")
    part = {name: table[name][rows] for name in table.columns}
    transfer, quadrature, aberration, wavelength = None, None, None, 0.0
    if use_ctf:
        white = table.optics[group].contrast_inverted if contrast_inverted is None else contrast_inverted
        if white is None:
            raise InputError("nothing says whether protein is dark or white in these images; set contrast_inverted.")
        optics = _optics(part, work.pixel_size_A)
        sign = -1.0 if white else 1.0

        def turned(by: float) -> NDArray[np.float32]:
            values: NDArray[np.float32] = ctf(
                *work.frequencies_per_A, optics, part["defocus_u_A"], part["defocus_v_A"],
                np.deg2rad(part["defocus_angle_deg"]), np.deg2rad(part["phase_shift_deg"]) + by,
            )  # fmt: skip
            values *= np.float32(sign)
            return values

        transfer = turned(0.0)
        if ewald_sphere:
            quadrature, wavelength = turned(0.5 * np.pi), ewald_sphere * wavelength_A(optics.voltage_kV)
        if optics.has_odd_aberrations:
            aberration = odd_aberration_factor(*work.frequencies_per_A, optics)
    work.insert(
        images,
        euler_to_matrix(*(np.deg2rad(part[name]) for name in ("rot_deg", "tilt_deg", "psi_deg"))),
        np.stack([part["origin_x_A"], part["origin_y_A"]], axis=-1),
        halves[rows],
        ctf=transfer,
        weights=weights[rows],
        b_factors_A2=decay[rows],
        noise_power=noise_power,
        group=group if np.ndim(noise_power) == 2 else 0,
        aberration=aberration,
        ctf_quadrature=quadrature,
        ewald_wavelength_A=wavelength,
    )


def _optics(part: dict[str, NDArray[Any]], pixel_size_A: float) -> Optics:
    """Return the optics that the particles of a group share."""
    names = ("voltage_kV", "spherical_aberration_mm", "amplitude_contrast", "beam_tilt_x_mrad", "beam_tilt_y_mrad")
    for name in names:
        if np.ptp(part[name]) > 0.0:
            raise InputError(f"particles of one optics group differ in {name}; give them groups of their own.")
    voltage, aberration, contrast, tilt_x, tilt_y = (float(part[name][0]) for name in names)
    return Optics(voltage, aberration, contrast, pixel_size_A, beam_tilt_x_mrad=tilt_x, beam_tilt_y_mrad=tilt_y)


def _pixel_size(table: ParticleTable, used: Any) -> float:
    sizes = np.unique(table["pixel_size_A"][used])
    if sizes.size != 1 or not sizes[0] > 0.0:
        raise InputError(f"the particles must have one known pixel size, but the table has {sizes.tolist()} A.")
    return float(sizes[0])
