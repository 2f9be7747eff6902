"""What a manual refinement is asked for: every switch of a round, set by the user."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from verglas.engine import MaskSettings, RefinementSettings, SearchSettings
from verglas.errors import InputError
from verglas.geometry import point_group
from verglas.signal import smooth_size
from verglas.stages.refinement.align import AlignmentSwitches
from verglas.stages.refinement.rows import PoseRows
from verglas.stages.refinement.settings import (
    COARSEST_SPACING,
    FINEST_SEARCH_A,
    FINEST_SPACING,
    LEAST_SIGMA_A,
    NYQUIST_PART,
    ROOM,
    ROOM_SHELLS,
    SEARCH_SPACING,
)
from verglas.stages.refinement.state import RefinementState

MOVES = ("psi", "theta", "phi", "x", "y")


@dataclass(frozen=True)
class ManualSettings:
    """How particles are refined; each round is like the others.

    Attributes
    ----------
    mask_radius_A
        Radius of the particle.
    search_radius_A
        Radius of what of the references a search over all poses sees.
    mode
        ``local``: from the poses that are given; ``global``: all poses are searched.
    rounds
        How many.
    symmetry
        Point group, in its standard setting.
    classes
        Number of classes.
    independent_halves
        Whether each half set is aligned to a map of its own images alone.
    start_A
        Resolution to which the halves began with one map; infinite where each began with its own.
    limit_A, low_A
        Finest and coarsest resolution of alignment.
    class_limit_A
        Finest resolution that decides about classes; it is never finer than ``limit_A``.
    reconstruction_limit_A
        Finest resolution of the maps; 0: as far as the pixels go.
    crop
        Images are Fourier-cropped to what the limit needs, and half as much again, which makes rounds cheaper.
    part
        Part of the particles that each round uses, drawn anew; 0 to 1.
    moves
        Which of psi, theta, phi, x and y are refined.
    keep
        Poses of each search that are refined.
    spacing
        Angle between directions of a search, radians; 0: by resolution and size.
    search_range_x_A, search_range_y_A
        Largest changes of the displacement in a search.
    switches
        Occupancies, defocus, focus and so on.
    score_b_factor_A2
        A particle is weighted by ``exp((score - mean) B k^2 / 4)``.
    adjust_scores
        Take what depends on the defocus out of the scores first.
    score_threshold
        0: all particles go into the maps; up to 1: the best part; above: those with that score.
    use_sigma
        Weigh particles by their noise.
    blank_edges
        Leave out images whose edge is blank.
    autocentre
        Move each map's centre of mass to the middle of the box, as far as the symmetry leaves it free.
    mask
        Of references.
    oversampling
        Of reconstructions.
    seed
        Key of all random numbers.
    """

    mask_radius_A: float
    search_radius_A: float
    mode: Literal["local", "global"] = "local"
    rounds: int = 1
    symmetry: str = "C1"
    classes: int = 1
    independent_halves: bool = True
    start_A: float = math.inf
    limit_A: float = 30.0
    low_A: float = 300.0
    class_limit_A: float = 30.0
    reconstruction_limit_A: float = 0.0
    crop: bool = False
    part: float = 1.0
    moves: tuple[str, ...] = MOVES
    keep: int = 20
    spacing: float = 0.0
    search_range_x_A: float = 15.0
    search_range_y_A: float = 15.0
    switches: AlignmentSwitches = field(default_factory=AlignmentSwitches)
    score_b_factor_A2: float = 2.0
    adjust_scores: bool = True
    score_threshold: float = 0.0
    use_sigma: bool = True
    blank_edges: bool = False
    autocentre: bool = False
    mask: MaskSettings = field(default_factory=MaskSettings)
    oversampling: int = 2
    seed: int = 1

    def __post_init__(self) -> None:
        point_group(self.symmetry)
        if self.classes < 1 or self.rounds < 1 or self.keep < 1:
            raise InputError(
                f"{self.classes} classes, {self.rounds} rounds and {self.keep} results to refine must be 1 or more."
            )
        if not (self.mask_radius_A > 0.0 and self.search_radius_A > 0.0 and 0.0 < self.part <= 1.0):
            raise InputError("mask radii must be above zero, and the part of the particles above 0 and at most 1.")
        self.mask.check_radius(self.mask_radius_A)
        if not 0.0 < self.limit_A < self.low_A:
            raise InputError(
                f"the limit of {self.limit_A:g} A must be finer than the coarsest resolution, {self.low_A:g} A."
            )
        if unknown := set(self.moves) - set(MOVES):
            raise InputError(f"{', '.join(sorted(unknown))} cannot be refined; {', '.join(MOVES)} can.")
        if self.mode == "global" and set(self.moves) != set(MOVES):
            raise InputError(
                "a global search finds all of psi, theta, phi, x and y; choose local to hold some of them."
            )

    def finest_honest_A(self, resolution_A: float) -> float:
        """Return the finest limit of alignment at which a resolution is still a measure of the signal.

        With a reference for each half set it is the resolution itself. With one reference, noise that was aligned
        agrees up to the limit, and as much further as the mask spreads it, two over its diameter.

        Parameters
        ----------
        resolution_A
            What the halves agree to (0.143).
        """
        if self.independent_halves:
            return resolution_A
        left_per_A = 1.0 / resolution_A - 1.0 / self.mask_radius_A
        return 1.0 / left_per_A if left_per_A > 0.0 else math.inf

    def working_box(self, box: int, pixel_size_A: float, limit_A: float) -> int:
        """Return the box that images are cropped to in a round, over the same field of view."""
        width_A, shells = box * pixel_size_A, float(box)
        if self.reconstruction_limit_A > 0.0:
            shells = 2.0 * width_A / min(self.reconstruction_limit_A, limit_A)
        if self.crop:
            shells = min(shells, 2.0 * (ROOM * width_A / limit_A + ROOM_SHELLS))
        return int(min(box, smooth_size(max(32, math.ceil(shells / NYQUIST_PART)))))

    def searched(self, state: RefinementState, rows: PoseRows) -> NDArray[np.bool_]:
        """Return which particles the next round searches over all poses: all or none; shape (n,)."""
        del state
        return np.full(len(rows), self.mode == "global")

    def search(self, limit_A: float, shift_sigma_A: float) -> SearchSettings:
        """Return how all poses are searched in a round."""
        limit = max(limit_A, FINEST_SEARCH_A)
        automatic = min(max(SEARCH_SPACING * limit / self.mask_radius_A, FINEST_SPACING), COARSEST_SPACING)
        return SearchSettings(
            limit_A=limit, spacing=self.spacing or automatic, shift_step_A=limit / 3.0,
            shift_range_A=self.search_range_x_A, shift_range_y_A=self.search_range_y_A, keep=self.keep,
            middle_limit_A=limit, final_limit_A=limit_A, symmetry=self.symmetry,
            shift_sigma_A=max(shift_sigma_A, LEAST_SIGMA_A) if shift_sigma_A else 0.0,
        )  # fmt: skip

    def local(self, limit_A: float, before_A: float, shift_sigma_A: float) -> RefinementSettings:
        """Return how poses are refined in a round."""
        del limit_A, before_A
        return RefinementSettings(
            **{move: move in self.moves for move in MOVES},
            shift_sigma_A=max(shift_sigma_A, LEAST_SIGMA_A) if shift_sigma_A and {"x", "y"} & set(self.moves) else 0.0,
        )  # fmt: skip

    def classification_limit_A(self, number: int, limit_A: float) -> float:
        """Return the finest resolution that decides about classes."""
        del number
        return max(self.class_limit_A, limit_A)
