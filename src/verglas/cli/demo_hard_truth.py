"""What the hard set gives where its poses are known: classes by the true maps, classes found from nothing, and maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verglas.cli.demo_map import resolution_to_truth_A
from verglas.engine import MaskSettings, RefinementSettings
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.engine.reference_masks import low_passed
from verglas.errors import NumericalError
from verglas.stages.refinement import ManualSettings, refine_manually, refine_particles
from verglas.stages.refinement.settings import CLASSIFICATION_FINISH_A, NYQUIST_PART, AutoRefineSettings
from verglas.stages.simulation import projected_map

if TYPE_CHECKING:
    from verglas.cli.demo_hard import HardSet
    from verglas.cli.demo_map import Truth
    from verglas.formats import ParticleTable
    from verglas.stages.refinement.rows import PoseRows
    from verglas.stages.refinement.state import RefinementState
    from verglas.stages.simulation import StackParameters, StackResult


@dataclass(frozen=True)
class HeldPoses(AutoRefineSettings):
    """Auto Refine that leaves poses as they are."""

    def searched(self, state: RefinementState, rows: PoseRows) -> NDArray[np.bool_]:
        """Return that no particle is searched."""
        return np.zeros(len(rows), np.bool_)

    def local(self, limit_A: float, before_A: float, shift_sigma_A: float) -> RefinementSettings:
        """Return that nothing but the scale is fitted."""
        return RefinementSettings(phi=False, theta=False, psi=False, x=False, y=False)


def class_limit_A(parameters: StackParameters) -> float:
    """Return the finest resolution that decides about classes in Auto Refine."""
    return float(max(CLASSIFICATION_FINISH_A, 2.0 * parameters.pixel_size_A / NYQUIST_PART))


def assignable(made: StackResult, parameters: StackParameters, threads: int) -> tuple[float, ParticleTable]:
    """Return which part of the particles goes to its class by the true maps at true poses, and the particles."""
    maps = [projected_map(parameters, shape, made.signal_scale) for shape in parameters.conformations]
    table = made.truth.copy()
    table["half_set"] = 1 + np.arange(len(table)) % 2
    # One reference for both halves: which class is which is known, and must not be matched between halves.
    limit_A = class_limit_A(parameters)
    settings = ManualSettings(
        mask_radius_A=made.radius_A, search_radius_A=made.radius_A, moves=(), independent_halves=False,
        classes=len(maps), limit_A=limit_A, class_limit_A=limit_A, mask=MaskSettings(automatic=False),
    )  # fmt: skip
    found = refine_manually([table] * len(maps), made.stack.parent, maps, settings, threads=threads)
    return float(np.mean(found.rows.occupancy.argmax(axis=0) == np.asarray(made.truth["class_number"]) - 1)), table


def found_at_true_poses(
    made: StackResult, table: ParticleTable, parameters: StackParameters, asked: HardSet, threads: int
) -> tuple[NDArray[np.float64], str]:
    """Find two classes as Auto Refine does, from one map, with poses held at the true ones.

    Parameters
    ----------
    made
        The stack.
    table
        Its particles at true poses, in half sets.
    parameters
        What the stack was asked for.
    asked
        What the set is.
    threads
        Cores.

    Returns
    -------
    occupancy : ndarray
        Of each particle in each class, shape (2, n).
    why : str
        Where the classes did not come apart, why; else nothing.
    """
    from verglas.cli.demo_hard import MASK_ROOM_A, START_A

    first = projected_map(parameters, parameters.conformations[0], 1.0)
    # Nothing finer than the limit decides about classes, and no pose is sought that would need it.
    settings = HeldPoses(
        mask_radius_A=made.radius_A + MASK_ROOM_A, classes=2, start_A=START_A, finest_A=class_limit_A(parameters),
        search_first=False, rounds=asked.rounds, seed=asked.seed,
    )  # fmt: skip
    start = low_passed(first, parameters.pixel_size_A, START_A, threads)
    try:
        return refine_particles(table, made.stack.parent, start, settings, threads=threads).rows.occupancy, ""
    except NumericalError as error:
        return np.ones((1, len(table))), str(error)


def at_true_classes(made: StackResult, truths: list[Truth], table: ParticleTable, threads: int) -> list[float]:
    """Return how far maps made at true poses of the true classes agree with the true ones, in A."""
    reached = []
    for number, truth in enumerate(truths, start=1):
        own = table.copy()
        own["active"] = np.asarray(made.truth["class_number"]) == number
        found = reconstruct_particles(own, made.stack.parent, threads=threads).finish(mask=truth.mask)
        reached.append(resolution_to_truth_A(found.map, truth)[0])
    return reached
