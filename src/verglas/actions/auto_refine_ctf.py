"""Auto Refine's CTF: once nothing improves, defocus and beam tilt are refined at the poses and half maps reached."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verglas.actions.auto_refine import settings_of, table_of
from verglas.actions.ctf_work import CtfSource, measured_defocus, measured_groups, prepare_chunks
from verglas.actions.refine_ctf import FINEST_A
from verglas.actions.refinement_rounds import kept_arrays, round_name

if TYPE_CHECKING:
    import numpy as np

    from verglas.engine import ParticleStack
    from verglas.execution.context import JobContext
    from verglas.formats import ParticleTable
    from verglas.stages.refinement import AutoRefineSettings, ClassMaps, PoseRows, RefinementState

COARSEST_A = 10.0
"""Where the halves agree no further than this, images say too little of their CTF."""
TABLE = "ctf-table.npy"


def table_now(
    scratch: Path, project: Path, inputs: dict[str, list[dict[str, Any]]], state: RefinementState
) -> ParticleTable:
    """Return the particles with the CTF that the round after a state goes by."""
    from verglas.formats import ParticleTable

    return ParticleTable.load(scratch / TABLE) if state.ctf_round else table_of(project, inputs)


def was_refined(scratch: Path, state: RefinementState) -> bool:
    """Tell whether the CTF was refined before the round after a state; it may have stayed, for want of agreement."""
    return state.ctf_round > 0 and (scratch / "defocus.npz").exists()


def keep_for_ctf(
    context: JobContext, settings: AutoRefineSettings, stack: ParticleStack, rows: PoseRows, maps: list[ClassMaps]
) -> None:
    """Leave in Scratch what the CTF is refined from: particles and half maps of each class, and a mask."""
    from verglas.formats import write_mrc
    from verglas.stages.refinement import at_box, table_of_rows

    for k, one in enumerate(maps):
        table_of_rows(stack.table, stack.rows, rows, k).save(context.scratch / f"ctf-particles-{k}.npy")
        halves = at_box(one.found, stack.box, stack.pixel_size_A, context.threads).half_maps
        assert halves is not None
        for half, volume in enumerate(halves, start=1):
            write_mrc(context.scratch / f"ctf-class-{k}-half-{half}.mrc", volume, stack.pixel_size_A)
    if settings.mask.volume is not None:
        write_mrc(context.scratch / "ctf-mask.mrc", settings.mask.volume, stack.pixel_size_A)


def source_of(context: JobContext, settings: AutoRefineSettings, reached_A: float, pixel_size_A: float) -> CtfSource:
    """Return what the CTF is refined from, to the resolution that was reached."""
    from verglas.stages.ctf_refinement import CtfRefinementSettings

    scratch, classes = context.scratch, range(settings.classes)
    halves = [[str(scratch / f"ctf-class-{k}-half-{half}.mrc") for half in (1, 2)] for k in classes]
    limit_A = max(FINEST_A, reached_A, 2.0 * pixel_size_A / 0.95)
    mask = scratch / "ctf-mask.mrc"
    return CtfSource(
        tuple(str(scratch / f"ctf-particles-{k}.npy") for k in classes),
        tuple((first, second) for first, second in halves),
        CtfRefinementSettings(settings.mask_radius_A, limit_A, mask=replace(settings.mask, volume=None)),
        str(mask) if mask.exists() else None,
    )


def refine_ctf(context: JobContext, state: RefinementState, kept: dict[str, np.ndarray]) -> None:
    """Refine the CTF after a round, and keep the round's state and poses as the next one starts from them.

    Each particle's defocus is fitted against the map of the half set that it is not in, as in Refine CTF, the noise of
    that map included, and then its own half's map is made with it. So one number a particle passes between the halves,
    and the plane of a micrograph and the aberrations of an optics group mix both.
    """
    from verglas.engine import ParticleStack
    from verglas.stages.ctf_refinement.refine import updated_table
    from verglas.stages.refinement import PoseRows

    settings = settings_of(context.parameters, context.inputs, context.seed)
    reached, rows = float(state.resolution_A[-1]), PoseRows.from_arrays(kept)
    with ParticleStack(table_of(context.project, context.inputs), context.project) as stack:
        if reached > COARSEST_A or not math.isfinite(reached):
            context.message(
                f"The halves agree no further than {COARSEST_A:g} A, too little to refine the CTF: it stays.", "warning"
            )
            stack.table.save(context.scratch / TABLE)
        else:
            source = source_of(context, settings, reached, stack.pixel_size_A)
            chunks = prepare_chunks(context, source)
            context.check()
            defocus = measured_defocus(context, source, chunks)
            context.check()
            groups = measured_groups(context, source, chunks, defocus)
            updated_table(stack.table, stack, defocus["defocus"], groups).save(context.scratch / TABLE)
            for group, fits in groups.items():
                mine = stack.group == group
                # A beam tilt that was not known has displaced all particles of its group.
                rows.displacements_A[:, mine] += fits.displacement_A
                rows.centre_A[mine] += fits.displacement_A
            context.message(
                f"The CTF was refined after round {state.number}; defocus changed by "
                f"{float((defocus['change_A'] ** 2).mean()) ** 0.5:.0f} A (rms). Rounds go on with it."
            )
    after = replace(state, ctf_wanted=False, ctf_round=state.number)
    context.keep(round_name(state.number), kept_arrays(after, rows))
