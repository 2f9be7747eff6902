"""What a 2D classification is asked for, and its schedule: how fine and on how many particles each round works."""

from __future__ import annotations

import math
from dataclasses import dataclass

from verglas.errors import InputError

RAMP = 0.75
"""Part of the rounds after which the finest resolution is reached."""
PARTICLES_A_CLASS = 300
"""Particles of each class that the first rounds use."""
SUGGESTED_CLASSES = (5, 10, 20, 30, 40, 50)


@dataclass(frozen=True)
class ClassificationSettings:
    """How particles are classified.

    Attributes
    ----------
    classes
        Number of classes.
    rounds
        Number of rounds.
    low_A
        Coarsest resolution.
    start_A, finish_A
        Finest resolution of the first round and of the last quarter of them.
    mask_radius_A
        Radius of the circle that holds the particle.
    max_shift_A
        Largest displacement that is looked at.
    smoothing
        Factor of the log-likelihood: below 1 classes share particles more.
    percent_used
        Part of the particles that a round uses, in percent; 0: few at first, all in the last rounds.
    recentre
        Move class averages to the middle of the box.
    automask
        Mask class averages by their own density before images are compared with them.
    exclude_blank_edges
        Leave out images with a blank edge: those that reach beyond their micrograph.
    least_part
        The least part of the particles that a round uses, 0 to 1: that of the round which is continued.
    keep
        How many poses of each image are refined and weighed in the rounds beyond 15 A.
    seed
        Key of all random numbers.
    """

    classes: int
    mask_radius_A: float
    max_shift_A: float
    rounds: int = 20
    low_A: float = 300.0
    start_A: float = 40.0
    finish_A: float = 8.0
    smoothing: float = 1.0
    percent_used: float = 0.0
    recentre: bool = True
    automask: bool = False
    exclude_blank_edges: bool = False
    least_part: float = 0.0
    keep: int = 12
    seed: int = 1

    def __post_init__(self) -> None:
        if self.classes < 1 or self.rounds < 1 or self.keep < 1:
            raise InputError(f"{self.classes} classes, {self.rounds} rounds, keep {self.keep}: each must be 1 or more.")
        if not 0.0 < self.finish_A <= self.start_A < self.low_A:
            raise InputError(
                f"resolution limits must get finer from low {self.low_A:g} A by start {self.start_A:g} A to finish "
                f"{self.finish_A:g} A."
            )
        if not (self.mask_radius_A > 0.0 and self.max_shift_A >= 0.0 and 0.0 < self.smoothing <= 1.0):
            raise InputError("the mask's radius must be above zero, shifts not negative and smoothing from 0 to 1.")
        if not 0.0 <= self.percent_used <= 100.0:
            raise InputError(f"{self.percent_used:g} percent of the particles make no sense; 0 chooses by itself.")

    def limit_A(self, number: int) -> float:
        """Return the finest resolution of round ``number``, from 1: linear in A, then constant."""
        last = max(1, round(RAMP * self.rounds) - 1)
        part = min(1.0, (number - 1) / last)
        return self.start_A + (self.finish_A - self.start_A) * part

    def part_used(self, number: int, particles: int) -> float:
        """Return the part of the particles that round ``number``, from 1, uses: 0 to 1."""
        if self.percent_used > 0.0:
            return self.percent_used / 100.0
        if self.rounds < 10:
            return 1.0
        few = min(1.0, max(self.least_part, PARTICLES_A_CLASS * self.classes / max(1, particles)))
        first = 5 if self.rounds < 20 else 10 if self.rounds < 30 else 15
        if number > self.rounds - 5:
            return 1.0
        return few if number <= first else max(few, 0.3)


def suggested_classes(particles: int) -> int:
    """Return how many classes suit a number of particles: one in 300, 5 to 50."""
    wanted = particles / PARTICLES_A_CLASS
    return min(SUGGESTED_CLASSES, key=lambda count: (abs(math.log(max(wanted, 1e-9) / count)), count))
