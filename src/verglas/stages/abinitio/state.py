"""What an ab-initio start carries from round to round."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from verglas.geometry import random_rotations
from verglas.stages.abinitio.settings import AbInitioSettings


@dataclass
class AbInitioState:
    """Maps and poses of one start, after some rounds.

    Attributes
    ----------
    volumes
        Maps, protein positive, float32, shape (classes, box, box, box); a box of 0 before the first round.
    sums_volume, sums_core
        Volumes and cores of the sums of each class, faded round by round; empty where the next round begins anew.
    steady
        Maps before their last change was gone on with, likewise.
    rotations, displacements_A, reference
        Last pose and class of each image: shapes (n, 3, 3), (n, 2) and (n,).
    gain
        What the model added to the log-likelihood of the round's images on average, round after round.
    axes_found
        Whether the maps lie in the standard setting of the symmetry, which is imposed then.
    number
        Rounds done.
    finished
        Rounds of the finish done.
    """

    volumes: NDArray[np.float32]
    steady: NDArray[np.float32]
    rotations: NDArray[np.float64]
    displacements_A: NDArray[np.float64]
    reference: NDArray[np.int64]
    gain: NDArray[np.float64]
    sums_volume: NDArray[np.float32]
    sums_core: NDArray[np.float64]
    axes_found: bool
    number: int = 0
    finished: int = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as arrays by name, to be kept between rounds."""
        return {one.name: np.asarray(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        """Return the state that such arrays hold."""
        values: dict[str, Any] = {one.name: arrays[one.name] for one in fields(cls)}
        return cls(**{name: value.item() if value.ndim == 0 else value for name, value in values.items()})


def first_state(images: int, settings: AbInitioSettings, start: int) -> AbInitioState:
    """Return the state before the first round of a start: every image looks some way, by chance."""
    random = np.random.Generator(np.random.Philox([settings.seed, 3, start]))
    return AbInitioState(
        volumes=np.zeros((settings.classes, 0, 0, 0), np.float32),
        steady=np.zeros((settings.classes, 0, 0, 0), np.float32),
        rotations=random_rotations(images, settings.seed, stream=100 + start),
        displacements_A=np.zeros((images, 2)),
        reference=random.integers(0, settings.classes, images),
        gain=np.zeros(0),
        sums_volume=np.zeros((settings.classes, 0), np.float32),
        sums_core=np.zeros((settings.classes, 0)),
        axes_found=settings.impose,
    )
