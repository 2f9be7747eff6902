"""Refine the CTF of all particles of a refinement in memory, and what the tables then say."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleStack
from verglas.formats import ParticleTable
from verglas.microscopy import Optics
from verglas.stages.ctf_refinement.aberrations import AberrationFit, changed_optics, fit_even, fit_odd
from verglas.stages.ctf_refinement.defocus import DefocusMeasures, changes_A, measure_defocus, moved_defocus
from verglas.stages.ctf_refinement.images import CtfImages, Map
from verglas.stages.ctf_refinement.magnification import MagnificationFit, fit_magnification, magnified_optics
from verglas.stages.ctf_refinement.planes import DefocusEstimate, estimate_defocus
from verglas.stages.ctf_refinement.settings import CtfRefinementSettings
from verglas.stages.ctf_refinement.sums import GroupSums, group_band, measure_aberrations


@dataclass(frozen=True)
class GroupFits:
    """What was found of one optics group; None for what was not asked for.

    Attributes
    ----------
    odd, even, magnification
        The fits.
    before, after
        The microscope.
    """

    odd: AberrationFit | None
    even: AberrationFit | None
    magnification: MagnificationFit | None
    before: Optics
    after: Optics

    @property
    def displacement_A(self) -> tuple[float, float]:
        """How far all particles of the group are displaced once the odd aberrations are known."""
        return self.odd.displacement_A if self.odd is not None and self.odd.accepted else (0.0, 0.0)


@dataclass(frozen=True)
class CtfRefinement:
    """What was found.

    Attributes
    ----------
    tables
        Of each class, with the new CTF parameters and origins.
    defocus
        Of each particle in the order of the stack, shape (n, 4): u, v (A), angle, phase (radians).
    measures, estimate
        What defocus follows from; None where it was not refined.
    groups
        Fits of each optics group, by its index.
    """

    tables: list[ParticleTable]
    defocus: NDArray[np.float64]
    measures: DefocusMeasures | None
    estimate: DefocusEstimate | None
    groups: dict[int, GroupFits]


def refine_ctf(
    tables: Sequence[ParticleTable],
    folder: str | os.PathLike[str],
    half_maps: Sequence[tuple[Map, Map]],
    settings: CtfRefinementSettings,
    *,
    threads: int = 1,
    check: Callable[[], None] | None = None,
) -> CtfRefinement:
    """Refine defocus and aberrations at the poses of a refinement.

    Each particle is compared with the half map that it is not part of, filtered by what both halves agree on: its own
    noise in its own half's map would hold its defocus where it was.

    Parameters
    ----------
    tables
        Of each class, with poses and occupancies.
    folder
        What relative names of stacks are relative to.
    half_maps
        Of each class, not filtered, at the particles' box and pixel size.
    settings
        What is refined.
    threads
        Threads.
    check
        Called now and then; raises where the work shall stop.

    Raises
    ------
    InputError
        Maps do not fit the particles, or the table does not say what is needed.
    """
    with ParticleStack(tables[0], folder) as stack:
        work = CtfImages(stack, tables, half_maps, settings, threads=threads)
        places = np.arange(len(stack))
        defocus, measures, estimate = stack.defocus(places), None, None
        if settings.of_micrographs:
            measures = measure_defocus(work, places, check)
            defocus, estimate = refined_defocus(stack, measures, settings)
        groups: dict[int, GroupFits] = {}
        if settings.of_groups:
            groups = fit_groups(work, measure_aberrations(work, places, defocus, check))
        changed = [updated_table(table, stack, defocus, groups) for table in tables]
    return CtfRefinement(changed, defocus, measures, estimate, groups)


def refined_defocus(
    stack: ParticleStack, measures: DefocusMeasures, settings: CtfRefinementSettings
) -> tuple[NDArray[np.float64], DefocusEstimate | None]:
    """Return the defocus of all particles, shape (n, 4), from the measures of all micrographs."""
    if not settings.defocus:
        return measures.defocus, None
    table, rows = stack.table, stack.rows
    micrograph = np.asarray(table["micrograph"])[rows].astype(np.int64)
    optics = [table.optics[group] for group in stack.group]
    pixel_A = np.array([one.micrograph_pixel_size_A or stack.pixel_size_A for one in optics])
    positions = np.stack([table["coordinate_x_px"][rows], table["coordinate_y_px"][rows]], axis=-1) * pixel_A[:, None]
    known = bool((micrograph >= 0).all()) and bool(np.ptp(positions, axis=0).all())
    changes = changes_A(settings.defocus_range_A, settings.defocus_step_A)
    estimate = estimate_defocus(measures.profile, changes, micrograph, positions if known else None)
    # The defocus of particles is counted from the table's: changes may differ within a micrograph.
    return moved_defocus(measures.defocus, estimate.change_A, 0.0, 0.0), estimate


def fit_groups(work: CtfImages, sums: Mapping[int, GroupSums]) -> dict[int, GroupFits]:
    """Fit what was asked for of each optics group.

    The even part of the magnification is relative: the references are made of the same images, so only differences
    between groups mean anything.
    """
    settings, stack = work.settings, work.stack
    magnification = {
        group: fit_magnification(one, least_significance=settings.least_significance) for group, one in sums.items()
    } if settings.magnification else {}  # fmt: skip
    weight = {group: float(one.particles[0]) for group, one in sums.items()}
    total = sum(weight.values())
    mean = sum(weight[group] * fit.parts[0] for group, fit in magnification.items()) / total if total else 0.0
    found = {}
    for group, one in sums.items():
        optics, band = stack.optics(group), group_band(work, group)
        odd = fit_odd(
            one, band, optics, settings.limit_A, beam_tilt=settings.beam_tilt, trefoil=settings.trefoil,
            least_significance=settings.least_significance,
        ) if settings.beam_tilt or settings.trefoil else None  # fmt: skip
        even = fit_even(
            one, band, optics, settings.limit_A, least_significance=settings.least_significance
        ) if settings.tetrafoil else None  # fmt: skip
        after = changed_optics(optics, odd, even)
        magnified = magnification.get(group)
        if magnified is not None:
            after = magnified_optics(after, magnified, magnified.parts[0] - mean if len(sums) > 1 else 0.0)
        found[group] = GroupFits(odd, even, magnified, optics, after)
    return found


def updated_table(
    table: ParticleTable, stack: ParticleStack, defocus: NDArray[np.float64], groups: Mapping[int, GroupFits]
) -> ParticleTable:
    """Return a copy of a class's table with the CTF parameters that were found."""
    made, rows = table.copy(), stack.rows
    columns = {
        "defocus_u_A": defocus[:, 0], "defocus_v_A": defocus[:, 1], "defocus_angle_deg": np.rad2deg(defocus[:, 2]),
    }  # fmt: skip
    shift: NDArray[np.float64] = np.zeros((len(rows), 2))
    for group, fits in groups.items():
        shift[stack.group == group] = fits.displacement_A
        set_optics(made, group, fits.after)
    columns["origin_x_A"] = np.asarray(table["origin_x_A"])[rows] - shift[:, 0]
    columns["origin_y_A"] = np.asarray(table["origin_y_A"])[rows] - shift[:, 1]
    for name, values in columns.items():
        column = np.array(made[name])
        column[rows] = values
        made[name] = column
    return made


def set_optics(table: ParticleTable, group: int, optics: Optics) -> None:
    """Write the aberrations of an optics group into a table, in place; those without a column as RELION names them."""
    inside = np.asarray(table["optics_group"]) == table.optics[group].number
    for name in ("beam_tilt_x_mrad", "beam_tilt_y_mrad"):
        column = np.array(table[name])
        column[inside] = getattr(optics, name)
        table[name] = column
    extra = dict(table.optics[group].extra)
    for label, coefficients in (("rlnOddZernike", optics.odd_zernike), ("rlnEvenZernike", optics.even_zernike)):
        if coefficients:
            extra[label] = f"[{','.join(f'{value:.8g}' for value in coefficients)}]"
    (xx, xy), (yx, yy) = optics.magnification
    if (xx, xy, yx, yy) != (1.0, 0.0, 0.0, 1.0):
        names = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
        extra |= {name: f"{value:.8f}" for name, value in zip(names, (xx, xy, yx, yy), strict=True)}
    table.optics[group] = replace(table.optics[group], extra=extra)
