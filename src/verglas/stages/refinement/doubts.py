"""What a finished refinement has to say against itself: a symmetry not kept, a mask too small, classes of one half."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from verglas.engine import ParticleStack
from verglas.engine.half_maps import SMALLER_THAN_PARTICLE, signal_outside
from verglas.engine.reference_masks import reference_mask
from verglas.signal import mask_volume_A3
from verglas.signal.fsc import PROTEIN_DENSITY_DALTON_PER_A3
from verglas.stages.refinement.maps import ClassMaps
from verglas.stages.refinement.rows import PoseRows
from verglas.stages.refinement.settings import AutoRefineSettings
from verglas.stages.refinement.state import RefinementState
from verglas.stages.refinement.symmetry_check import SymmetryEvidence, symmetry_evidence

CUT = 0.25
"""Strength of what both halves agree on outside the mask, over that inside, from which the mask is called too small:
what is so strong is looked for there. Poses found with such a mask blur what is outside it."""
OWN_CLASSES = 0.2
"""Agreement of the half sets' classes below which they are called different ones."""


@dataclass(frozen=True)
class Doubts:
    """What was looked for at the end of a refinement.

    Attributes
    ----------
    symmetry_name
        Point group that was imposed.
    symmetry
        What the particles say of it; None where it was not asked.
    outside
        Of each class, how strong the signal outside the mask is, over that inside.
    agreement
        Of the half sets' classes; 1 for one class.
    mask_part
        Volume of the smallest mask over that of a particle of the given mass; None where no mass was given.
    """

    symmetry_name: str
    symmetry: SymmetryEvidence | None
    outside: list[float]
    agreement: float
    mask_part: float | None = None

    def values(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        found = self.symmetry
        return {
            "hand": "undetermined",
            "symmetry_departure_correlation": None if found is None else round(found.correlation, 4),
            "symmetry_departure_part": None if found is None else round(found.part, 4),
            "signal_outside_mask": [round(one, 3) for one in self.outside],
            "class_agreement": round(self.agreement, 4),
            "mask_over_particle_volume": None if self.mask_part is None else round(self.mask_part, 3),
        }

    def warnings(self) -> list[str]:
        """Return what a user has to be told, and what to do about it."""
        said = []
        found = self.symmetry
        if found is not None and found.is_broken:
            said.append(
                f"The particles do not keep to {self.symmetry_name}: left to choose among equivalent poses, both half "
                f"sets depart from it alike (correlation {found.correlation:.2f} to {found.limit_A:.0f} A, "
                f"{100.0 * found.part:.0f} % of the amplitude). Refine again with a subgroup of it, or in C1."
            )
        for number, part in enumerate(self.outside, start=1):
            if part > CUT:
                said.append(
                    f"Class {number}: the density outside the mask is {part:.2f} times as strong as inside, and both "
                    "halves agree on it: the mask cuts the particle. Give a larger --mask-radius or another mask."
                )
        if self.mask_part is not None and self.mask_part < SMALLER_THAN_PARTICLE:
            said.append(
                f"The mask holds {100.0 * self.mask_part:.0f} % of the volume of a particle of the package's mass: it "
                "is too small. Give a larger --mask-radius or another mask."
            )
        if self.agreement < OWN_CLASSES:
            said.append(
                f"The half sets have found different classes (what tells classes apart correlates by "
                f"{self.agreement:.2f} only): do not rely on them. Use fewer classes, or give a volume for each."
            )
        return said


def find_doubts(
    stack: ParticleStack, rows: PoseRows, state: RefinementState, maps: Sequence[ClassMaps],
    settings: AutoRefineSettings, *, mass_kDa: float | None = None, threads: int = 1,
    check: Callable[[], None] | None = None,
) -> Doubts:  # fmt: skip
    """Look for what speaks against a refinement after its last round.

    Parameters
    ----------
    stack
        The particles.
    rows, state, maps
        After the last round.
    settings
        Of the refinement.
    mass_kDa
        Of the particle, where it is known.
    threads
        Threads.
    check
        Called now and then; raises where the job was asked to stop.
    """
    outside, parts = [], []
    for one in maps:
        halves = one.found.half_maps
        assert halves is not None
        pixel_A = stack.pixel_size_A * stack.box / len(halves[0])
        mask = reference_mask(0.5 * (halves[0] + halves[1]), pixel_A, settings.mask_radius_A, settings.mask, threads)
        outside.append(signal_outside(halves[0], halves[1], mask, pixel_A, threads=threads))
        if mass_kDa:
            parts.append(mask_volume_A3(mask, pixel_A) / (1000.0 * mass_kDa / PROTEIN_DENSITY_DALTON_PER_A3))
    evidence = symmetry_evidence(
        stack, rows, state.noise, settings, float(state.resolution_A[-1]), threads=threads, check=check
    )
    return Doubts(settings.symmetry, evidence, outside, state.agreement, min(parts, default=None))
