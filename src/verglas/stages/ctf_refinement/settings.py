"""What a refinement of the CTF is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from verglas.engine import MaskSettings
from verglas.errors import InputError


@dataclass(frozen=True)
class CtfRefinementSettings:
    """What is refined, and how far.

    Attributes
    ----------
    mask_radius_A
        Radius of the particle.
    limit_A, low_A
        Finest and coarsest resolution used.
    defocus
        Of each particle, drawn towards the plane of its micrograph.
    astigmatism
        Of each micrograph.
    beam_tilt, trefoil, tetrafoil, magnification
        Of each optics group.
    defocus_range_A, defocus_step_A
        Defocus is looked for so far from where it was, in such steps.
    least_significance
        Aberrations and astigmatism are changed only where this raises the log-likelihood by more.
    mask
        Of the references.
    """

    mask_radius_A: float
    limit_A: float
    low_A: float = 30.0
    defocus: bool = True
    astigmatism: bool = False
    beam_tilt: bool = True
    trefoil: bool = False
    tetrafoil: bool = False
    magnification: bool = False
    defocus_range_A: float = 500.0
    defocus_step_A: float = 20.0
    least_significance: float = 10.0
    mask: MaskSettings = field(default_factory=MaskSettings)

    def __post_init__(self) -> None:
        if not self.mask_radius_A > 0.0:
            raise InputError(f"a mask of radius {self.mask_radius_A:g} A makes no sense; it must be above zero.")
        if not 0.0 < self.limit_A < self.low_A:
            raise InputError(f"the limit must be finer than {self.low_A:g} A and above zero, not {self.limit_A:g} A.")
        if not 0.0 < self.defocus_step_A <= 0.2 * self.defocus_range_A:
            raise InputError(
                f"steps of {self.defocus_step_A:g} A do not divide a range of {self.defocus_range_A:g} A; use a fifth "
                "of it or less."
            )
        if not (self.of_micrographs or self.of_groups):
            raise InputError("nothing is to be refined; ask for defocus, astigmatism or an aberration.")

    @property
    def of_micrographs(self) -> bool:
        """Whether anything of single micrographs is refined."""
        return self.defocus or self.astigmatism

    @property
    def of_groups(self) -> bool:
        """Whether anything of optics groups is refined."""
        return self.beam_tilt or self.trefoil or self.tetrafoil or self.magnification
