"""What an ab-initio job is asked for, and its schedule: how fine, on how many images, in which round."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.geometry import point_group

HOLD = 0.15
"""Part of a start's rounds that stay at the first resolution."""
BATCH, BATCH_A = 1000, 15.0
"""Images of a round for each class at this resolution, fewer by the root of the units that each shows. At coarser ones
more by the square of the resolution: each costs less there and tells less, and what is not found there stays away."""
MEMORY = 2.5
"""Sums hold about so many times the images of a fine round, those of earlier rounds faded; coarse rounds need none."""
BATCH_FROM_SPHERE = 2000
"""Images of a round for each class in starts from a sphere, whose rounds are all fine and remember no earlier one."""
START_A, MIDDLE_A, ROUNDS = 40.0, 15.0, 60
"""Of starts from random poses."""
FROM_SPHERE_A, FROM_SPHERE_PART, FROM_SPHERE_ROUNDS = 9.0, 1.0 / 16.0, 20
"""Starts from a sphere have one resolution, that part of the diameter or the first if that is coarser. Particles of a
cubic group are nearly spheres at low resolution, which tells little of poses; they have few directions, so that fine
rounds are cheap."""
LEAST_BATCH = 60
JUDGED_PART, MOST_JUDGED = 0.1, 500
LEAST_LEARNED = 20
SPACING, FINE_SPACING = 2.0, 1.0
"""Angle between directions, over resolution / diameter: usually, and in the finish after starts from a sphere."""
FINEST_SEARCH_A = 12.0
"""Finer searches of all poses take too long, but in cubic groups, which have few directions."""
USUAL: Any = None
"""Stands for what is best for the symmetry."""


@dataclass(frozen=True)
class AbInitioSettings:
    """How maps are found from nothing.

    Attributes
    ----------
    radius_A
        Radius of the particle.
    mass_kDa
        Its mass: what of a map can be protein follows from it. None: the sphere's volume counts, which is weaker.
    symmetry
        Point group, in its standard setting.
    impose
        Impose the symmetry from the first round on; False: begin in C1, find the axes, and impose it then. None: what
        :func:`impose_from_start` says of the symmetry.
    classes
        Number of maps.
    starts
        Independent starts; the one that explains images it has not seen best is gone on with. None: what
        :func:`usual_starts` says.
    rounds
        Of each start. None: 20 from a sphere, otherwise 60.
    start_A, middle_A, finish_A
        Resolution of a start's first rounds, of its last, and of the finish. None: 40 and 15; from a sphere 9, or a
        sixteenth of a larger diameter; as far as the others leave room.
    low_A
        Coarsest resolution used.
    finish_rounds
        Rounds with many images after the starts.
    shift_sigma_A
        Deviation of each coordinate of the particles' displacements.
    auto_mask
        Mask what is not the particle in the finish.
    seed
        Key of all random numbers.
    """

    radius_A: float
    mass_kDa: float | None = None
    symmetry: str = "C1"
    impose: bool = USUAL
    classes: int = 1
    starts: int = USUAL
    rounds: int = USUAL
    start_A: float = USUAL
    middle_A: float = USUAL
    finish_A: float = 8.0
    low_A: float = 200.0
    finish_rounds: int = 6
    shift_sigma_A: float = 5.0
    auto_mask: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        if self.impose is USUAL:
            object.__setattr__(self, "impose", impose_from_start(self.symmetry))
        first_A, last_A = START_A, MIDDLE_A
        if self.from_sphere:
            first_A = last_A = max(FROM_SPHERE_A, FROM_SPHERE_PART * 2.0 * self.radius_A)
        middle_A = self.middle_A
        if middle_A is USUAL:
            middle_A = max(last_A if self.start_A is USUAL else min(last_A, self.start_A), self.finish_A)
        usual = {
            "starts": usual_starts(self.symmetry, self.impose),
            "rounds": FROM_SPHERE_ROUNDS if self.from_sphere else ROUNDS,
            "middle_A": middle_A, "start_A": max(first_A, middle_A),
        }  # fmt: skip
        for name, value in usual.items():
            if getattr(self, name) is USUAL:
                object.__setattr__(self, name, value)
        if min(self.classes, self.starts) < 1 or min(self.rounds, self.finish_rounds) < 2:
            raise InputError(
                f"{self.classes} classes, {self.starts} starts of {self.rounds} rounds and {self.finish_rounds} to "
                "finish: there must be 1 or more classes and starts, and 2 or more rounds of each."
            )
        if not (self.radius_A > 0.0 and self.shift_sigma_A > 0.0 and (self.mass_kDa is None or self.mass_kDa > 0.0)):
            raise InputError("radius, mass and deviation of the displacements must be above zero.")
        if not 0.0 < self.finish_A <= self.middle_A <= self.start_A < self.low_A:
            raise InputError(
                f"resolutions must get finer from low {self.low_A:g} A by start {self.start_A:g} A and middle "
                f"{self.middle_A:g} A to finish {self.finish_A:g} A."
            )

    @property
    def units(self) -> int:
        """How often each image shows the asymmetric unit, as far as symmetry is imposed from the start."""
        return int(point_group(self.symmetry).order) if self.impose else 1

    @property
    def from_sphere(self) -> bool:
        """Whether starts begin with a swollen sphere: in cubic groups, imposed from the first round."""
        return self.impose and is_cubic(self.symmetry)

    def judged(self, images: int) -> int:
        """Return how many of the images are kept apart to judge starts by: none where there are few."""
        if images < 2 * LEAST_LEARNED:
            return 0
        return min(MOST_JUDGED, round(JUDGED_PART * images))

    def batch(self, images: int, number: int) -> int:
        """Return the images of round ``number`` of a start."""
        if self.from_sphere:
            return min(BATCH_FROM_SPHERE * self.classes, images)
        coarse = max(1.0, (self.start_limit_A(number) / BATCH_A) ** 2)
        return int(min(max(LEAST_BATCH, round(coarse * self._fine_batch)), images))

    def fade(self, images: int, number: int) -> float:
        """Return the factor by which sums of earlier rounds count in round ``number`` of a start."""
        if self.from_sphere:
            return 0.0
        return max(0.0, 1.0 - self.batch(images, number) / (MEMORY * self._fine_batch))

    @property
    def _fine_batch(self) -> float:
        return BATCH * self.classes / math.sqrt(self.units)

    def start_limit_A(self, number: int) -> float:
        """Return the resolution of round ``number`` of a start, from 0."""
        done = number / max(1, self.rounds - 1)
        part = max(0.0, (done - HOLD) / (1.0 - HOLD))
        return 1.0 / ((1.0 - part) / self.start_A + part / self.middle_A)

    def finish_limit_A(self, number: int) -> float:
        """Return the resolution of round ``number`` of the finish, from 0."""
        part = min(1.0, (number + 1) / max(1, self.finish_rounds - 1))
        return 1.0 / ((1.0 - part) / self.middle_A + part / self.finish_A)

    def spacing(self, limit_A: float) -> float:
        """Return the angle between directions of a search, radians."""
        return SPACING * limit_A / (2.0 * self.radius_A)

    def finish_search(self, limit_A: float) -> tuple[float, float]:
        """Return at which resolution, and angle between directions, the finish to a resolution searches all poses.

        What tells poses of a nearly round particle from each other is fine. A coarser search takes it off the right map
        again, which then gets worse from round to round.
        """
        if self.from_sphere:
            return limit_A, FINE_SPACING * limit_A / (2.0 * self.radius_A)
        coarser = max(limit_A, FINEST_SEARCH_A)
        return coarser, self.spacing(coarser)

    def order(self, images: int, start: int, epoch: int) -> NDArray[np.int64]:
        """Return the order in which a start goes through its images for the ``epoch``-th time."""
        random = np.random.Generator(np.random.Philox([self.seed, 10 + start, epoch]))
        return random.permutation(images)

    def taken(self, images: int, start: int, number: int) -> NDArray[np.int64]:
        """Return which images round ``number`` of a start uses: all in turn, in an order drawn anew each time."""
        batch = self.batch(images, number)
        first = sum(self.batch(images, before) for before in range(number))
        found = []
        while batch > 0:
            epoch, place = divmod(first, images)
            some = self.order(images, start, epoch)[place : place + batch]
            found.append(some)
            first, batch = first + len(some), batch - len(some)
        return np.concatenate(found)


def is_cubic(symmetry: str) -> bool:
    """Tell whether a group is T, O or I, alone or with mirror images: one whose axes leave few maps open."""
    return str(point_group(symmetry).name[0]) in "TOI"


def impose_from_start(symmetry: str) -> bool:
    """Tell whether a symmetry is best imposed from the first round: a cubic one, or none.

    With one axis, or a few, starts with the symmetry imposed stay in wrong maps; those without find the map, whose axes
    are looked for then.
    """
    return is_cubic(symmetry) or int(point_group(symmetry).order) == 1


def usual_starts(symmetry: str, impose: bool | None = None) -> int:
    """Return how many starts leave little to chance.

    Three of four find a map without symmetry, half of them one whose axes are found later, some four in ten one that
    begins with a sphere.
    """
    if int(point_group(symmetry).order) == 1:
        return 3
    imposed = impose_from_start(symmetry) if impose is None else impose
    return 8 if imposed and is_cubic(symmetry) else 6
