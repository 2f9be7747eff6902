"""What an automatic refinement is asked for, and its schedule: how fine, on how many particles, searched how."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from verglas.engine import RefinementSettings, SearchSettings
from verglas.engine.reference_masks import MaskSettings
from verglas.errors import InputError
from verglas.geometry import point_group
from verglas.signal import smooth_size
from verglas.stages.refinement.align import AlignmentSwitches

if TYPE_CHECKING:
    from verglas.stages.refinement.rows import PoseRows
    from verglas.stages.refinement.state import RefinementState

FINEST_SEARCH_A = 12.0
"""No search over all poses uses finer detail."""
KEPT_AT_A, LEAST_KEPT = 20.0, 4
LAST_SEARCH_A = 5.0
"""References better than this do not make another search worth while."""
PARTICLES_A_UNIT = 8000.0
FALL_A2 = 75.0
SEARCH_SPACING = 0.85
"""Angle between directions of a search, over resolution / radius."""
FINEST_SPACING = math.radians(4.0)
COARSEST_SPACING = math.radians(12.0)
STEP_LIMIT = 1.5
"""Where the limit has become finer by more than this factor, poses go through a resolution in between."""
ROOM = 1.5
ROOM_SHELLS = 8
"""A round's maps reach so many times, and so many shells, beyond its limit: what it finds there sets the next limit."""
NYQUIST_PART = 0.95
LEAST_SIGMA_A = 2.0
CLASSIFICATION_START_A, CLASSIFICATION_FINISH_A, CLASSIFICATION_ROUNDS = 20.0, 8.0, 9
LEAST_ROUNDS, LEAST_ROUNDS_OF_CLASSES = 5, 10
FOUND_ROUNDS, FOUND_SEARCHES = 5, 0.25
"""The same for classes that were found at the poses of one: they have come apart when they begin, and each particle is
searched about once against all of them."""
LEAST_HALVED = 200
"""Fewer particles are not taken in turns: maps of half of them would show too little."""
MOST_SEARCHES_AGAIN = 3
TURNED_DEG, TURNED = 5.0, 0.02
"""All particles are searched once more before the end, against what are better references than those of their first
searches; again, where that has turned more than this part of them by more than this angle."""
CLASS_SEARCHES = 0.5
"""Part of the particles that is searched again in each of the first rounds while classes come apart."""
CHANGED = 0.01
"""Classes have settled when occupancies change by less on average."""
SEARCHING = 0.1
"""Part of the particles that would be searched by chance, below which their search may wait for that of all."""
QUIET_ROUNDS = 2
IMPROVEMENT = 0.01
"""Resolutions that differ by a smaller part are alike."""
GROWTH = 3.0


@dataclass(frozen=True)
class AutoRefineSettings:
    """How particles are refined.

    Attributes
    ----------
    mask_radius_A
        Radius of the particle.
    symmetry
        Point group, in its standard setting.
    classes
        Number of classes; they begin with a volume each, or are found once one class has nothing more to give.
    independent_halves
        Each half set is aligned to a map of its own images alone; False: both to one map, with the limit kept below
        the resolution that is reported.
    regularisation
        ``fsc``: references are filtered by the one curve of their halves' correlation; ``local``: at each place by what
        the other half set confirms there, which takes independent halves.
    start_A
        The initial volume is low-passed here, and the first round goes no further.
    low_A
        Coarsest resolution used.
    finest_A
        No round is finer; 0: as far as the pixels allow.
    search_range_A
        Largest change of a displacement in a search over all poses.
    keep
        Poses of each search that are refined, where it goes to 20 A; finer ones need fewer.
    search_first
        Search all poses of all particles in the first round; False: refine the poses that are given.
    rounds
        The most rounds.
    mask
        Of references.
    switches
        What else is found beside poses.
    oversampling
        Of reconstructions.
    seed
        Key of all random numbers.
    """

    mask_radius_A: float
    symmetry: str = "C1"
    classes: int = 1
    independent_halves: bool = True
    regularisation: Literal["fsc", "local"] = "fsc"
    start_A: float = 20.0
    low_A: float = 300.0
    finest_A: float = 0.0
    search_range_A: float = 15.0
    keep: int = 16
    search_first: bool = True
    rounds: int = 25
    mask: MaskSettings = field(default_factory=MaskSettings)
    switches: AlignmentSwitches = field(default_factory=AlignmentSwitches)
    oversampling: int = 2
    seed: int = 1

    def __post_init__(self) -> None:
        point_group(self.symmetry)
        if self.classes < 1 or self.rounds < 2 or self.keep < 1:
            raise InputError(
                f"{self.classes} classes, {self.rounds} rounds, {self.keep} results to refine: classes and results "
                "must be 1 or more, rounds 2 or more."
            )
        if self.regularisation == "local" and not self.independent_halves:
            raise InputError(
                "local filters are found by what one half set says of the other, which takes independent half sets; "
                "choose the policy half-sets, or the regularisation fsc."
            )
        if not (self.mask_radius_A > 0.0 and self.search_range_A >= 0.0):
            raise InputError("the mask's radius must be above zero, and the search range not negative.")
        self.mask.check_radius(self.mask_radius_A)
        if not 0.0 <= self.finest_A < self.start_A < self.low_A:
            raise InputError(
                f"resolution limits must get finer from low {self.low_A:g} A by start {self.start_A:g} A to finest "
                f"{self.finest_A:g} A."
            )

    @property
    def search_radius_A(self) -> float:
        """Radius of what of the references searches see."""
        return self.mask_radius_A

    @property
    def units(self) -> int:
        """How often each particle's asymmetric unit is seen."""
        return int(point_group(self.symmetry).order)

    def part_wanted(self, limit_A: float, particles: int) -> float:
        """Return the part of the particles that a round to some resolution needs, as cisTEM counts them: 0 to 1."""
        wanted = PARTICLES_A_UNIT * self.classes * math.exp(FALL_A2 / limit_A**2)
        return min(1.0, wanted / (particles * self.units))

    def finest_limit_A(self, pixel_size_A: float) -> float:
        """Return the finest limit that images and references of a pixel size allow."""
        return max(self.finest_A, 2.0 * pixel_size_A / NYQUIST_PART)

    def working_box(self, box: int, pixel_size_A: float, limit_A: float) -> int:
        """Return the box that images are cropped to in a round, over the same field of view."""
        shells = ROOM * box * pixel_size_A / limit_A + ROOM_SHELLS
        return int(min(box, smooth_size(max(32, math.ceil(2.0 * shells / NYQUIST_PART)))))

    def search_limit_A(self, limit_A: float) -> float:
        """Return the resolution of a search over all poses in a round."""
        return max(limit_A, FINEST_SEARCH_A)

    def search_chance(self, searched_A: np.ndarray, limit_A: float) -> np.ndarray:
        """Return how probable it is that a particle is searched anew in a round, shape (n,).

        Parameters
        ----------
        searched_A
            Limit of the round that each particle was last searched in; infinite where there was none.
        limit_A
            Of the round.
        """
        gain = np.asarray(searched_A, np.float64) / max(limit_A, LAST_SEARCH_A) - 1.0
        return np.where(gain < 0.1, 0.0, np.minimum(1.0, 2.0 * gain))

    def searched(self, state: RefinementState, rows: PoseRows) -> NDArray[np.bool_]:
        """Return which particles the next round searches over all poses, by chance; shape (n,)."""
        if state.final or (state.number == 0 and not self.search_first):
            return np.zeros(len(rows), np.bool_)
        if state.search_all:
            return np.ones(len(rows), np.bool_)
        random = np.random.Generator(np.random.Philox([self.seed, state.number + 1, 1]))
        # Where poses were given and are not searched at first, they count as searched at the first limit.
        known = rows.searched_A if self.search_first else np.minimum(rows.searched_A, self.start_A)
        chance = self.search_chance(known, state.limit_A)
        least, part = (
            (FOUND_ROUNDS, FOUND_SEARCHES) if state.classes_round else (LEAST_ROUNDS_OF_CLASSES, CLASS_SEARCHES)
        )
        if state.references.shape[1] > 1 and self.search_first and state.rounds_of_classes < least:
            # A molecule whose class has yet to come apart was searched against another.
            chance = np.maximum(chance, part)
        return random.uniform(size=len(rows)) < chance

    def search(self, limit_A: float, shift_sigma_A: float) -> SearchSettings:
        """Return how all poses are searched in a round."""
        limit = self.search_limit_A(limit_A)
        spacing = min(max(SEARCH_SPACING * limit / self.mask_radius_A, FINEST_SPACING), COARSEST_SPACING)
        # The finer a grid, the fewer of its directions can hold the truth.
        keep = max(min(self.keep, LEAST_KEPT), round(self.keep * min(1.0, limit / KEPT_AT_A) ** 2))
        return SearchSettings(
            limit_A=limit, spacing=spacing, shift_step_A=limit / 3.0, shift_range_A=self.search_range_A,
            keep=keep, middle_limit_A=limit, final_limit_A=limit_A, symmetry=self.symmetry,
            shift_sigma_A=max(shift_sigma_A, LEAST_SIGMA_A) if shift_sigma_A else 0.0,
        )  # fmt: skip

    def local(self, limit_A: float, before_A: float, shift_sigma_A: float) -> RefinementSettings:
        """Return how poses are refined in a round whose forerunner went to ``before_A``."""
        stages = (math.sqrt(limit_A * before_A),) if before_A > STEP_LIMIT * limit_A else ()
        return RefinementSettings(
            stages_A=stages, shift_sigma_A=max(shift_sigma_A, LEAST_SIGMA_A) if shift_sigma_A else 0.0
        )

    def classification_limit_A(self, number: int, limit_A: float) -> float:
        """Return the finest resolution that decides about classes in round ``number``, from 1."""
        part = min(1.0, (number - 1) / (CLASSIFICATION_ROUNDS - 1))
        ramp = CLASSIFICATION_START_A + part * (CLASSIFICATION_FINISH_A - CLASSIFICATION_START_A)
        return max(ramp, limit_A)
