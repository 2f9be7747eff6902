"""What is carried from round to round of a refinement, and the state that the first round starts from."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleStack, background_noise
from verglas.engine.half_maps import spherical_shell_mask
from verglas.engine.reference_masks import apply_reference_mask, low_passed
from verglas.errors import InputError
from verglas.stages.refinement.settings import CLASSIFICATION_ROUNDS, LEAST_HALVED, AutoRefineSettings


@dataclass
class RefinementState:
    """What the next round starts from.

    Attributes
    ----------
    references
        Masked maps of each half set and class, protein positive; float32, shape (2, classes, box, box, box).
    noise
        Power of the noise of each optics group, |F|^2 / pixels, in shells of the stack's box; shape (groups, shells).
    share
        Part of the particles in each class; shape (classes,).
    limit_A, before_A
        Finest resolution of the next round and of the last one.
    part
        Part of the particles that the next round uses.
    shift_sigma_A
        Deviation of the particles' displacements along an axis; 0: not known yet.
    resolution_A
        Best resolution of any class after each round, as it is reported; infinite where there is none.
    agreed_A
        As far as the halves of the best class agreed after each round, whatever they began with: rounds go by it.
    changed
        Mean change of occupancy in the last round.
    agreement
        Correlation of what tells classes apart in one half set with the same in the other; 1 for one class.
    halved
        Whether rounds use every other half of the particles.
    since
        Round after which the particles were no longer taken in turns.
    search_all
        Whether the next round searches all particles.
    searches_again
        How many rounds have done so since the resolution settled.
    turned
        Part of the particles that the last round has turned by more than 5 degrees.
    number
        Rounds done.
    final, done
        Whether the next round is the last one, and whether that was done.
    ctf_wanted
        Whether the CTF shall be refined before the next round.
    ctf_round
        Round after which it was; 0: none.
    classes_wanted
        Whether classes shall be found, at the poses reached, before the next round.
    classes_round
        Round after which they were; 0: the first round had a volume for each.
    own_part
        Part of each half set's and class's reference that comes from one particle in it, by shells of the references;
        shape (2, classes, shells); 0 where the references were not made of these particles.
    """

    references: NDArray[np.float32]
    noise: NDArray[np.float64]
    share: NDArray[np.float64]
    limit_A: float
    before_A: float
    part: float
    shift_sigma_A: float
    resolution_A: NDArray[np.float64]
    agreed_A: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    changed: float = 1.0
    agreement: float = 1.0
    halved: bool = False
    since: int = 0
    search_all: bool = False
    searches_again: int = 0
    turned: float = 1.0
    number: int = 0
    final: bool = False
    done: bool = False
    ctf_wanted: bool = False
    ctf_round: int = 0
    classes_wanted: bool = False
    classes_round: int = 0
    own_part: NDArray[np.float64] = field(default_factory=lambda: np.zeros((2, 1, 1)))

    @property
    def rounds_of_classes(self) -> int:
        """Rounds since there are classes."""
        return self.number - self.classes_round

    @property
    def classification_round(self) -> int:
        """Which round of classification the next one is, from 1: classes that were found need no coarse beginning."""
        return CLASSIFICATION_ROUNDS if self.classes_round else self.number + 1

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as arrays by name, to be kept between rounds."""
        return {one.name: np.asarray(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """Return the state that such arrays hold."""
        # States of a former version went by what was reported.
        held = {"agreed_A": arrays["resolution_A"], **arrays}
        values: dict[str, Any] = {one.name: held[one.name] for one in fields(cls)}
        return cls(**{name: value.item() if value.ndim == 0 else value for name, value in values.items()})


def first_state(
    volume: Any, stack: ParticleStack, settings: AutoRefineSettings, *, threads: int = 1
) -> RefinementState:
    """Return the state that the first round starts from: the low-passed volume for both halves, and the noise.

    Parameters
    ----------
    volume
        Initial map, protein positive, at the stack's box and pixel size; or one of each class, shape (classes, box,
        box, box).
    stack
        The particles.
    settings
        Of the refinement.
    threads
        Threads.

    Raises
    ------
    InputError
        A volume has another box, or there are several but not one for each class.
    """
    box, pixel_size_A = stack.box, stack.pixel_size_A
    volumes = np.asarray(volume, np.float32)
    volumes = volumes[None] if volumes.ndim == 3 else volumes
    if volumes.shape[1:] != (box,) * 3:
        raise InputError(f"an initial volume must have {box} voxels a side as the particles, not {np.shape(volume)}.")
    if len(volumes) not in {1, settings.classes}:
        raise InputError(
            f"{len(volumes)} initial volumes do not fit {settings.classes} class(es); give one, or one for each class."
        )
    mask = spherical_shell_mask(
        box, settings.mask_radius_A, pixel_size_A, inner_radius_A=settings.mask.inner_radius_A,
        edge_A=settings.mask.edge_A,
    )  # fmt: skip
    references = np.stack([
        apply_reference_mask(
            low_passed(one, pixel_size_A, settings.start_A, threads), mask, pixel_size_A, settings.mask, threads
        )
        for one in volumes
    ])  # fmt: skip
    return RefinementState(
        references=np.stack([references, references]),
        noise=background_noise(stack, settings.mask_radius_A, threads=threads),
        share=np.full(len(volumes), 1.0 / len(volumes)),
        limit_A=max(settings.start_A, settings.finest_limit_A(pixel_size_A)),
        before_A=settings.start_A,
        part=1.0,
        shift_sigma_A=0.0,
        resolution_A=np.zeros(0),
        halved=settings.search_first and len(stack) >= LEAST_HALVED,
    )
