"""What a round of refinement asks of its settings, whoever makes them: automatic or manual refinement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from verglas.engine import RefinementSettings, SearchSettings

if TYPE_CHECKING:
    from verglas.engine.reference_masks import MaskSettings
    from verglas.stages.refinement.align import AlignmentSwitches
    from verglas.stages.refinement.rows import PoseRows
    from verglas.stages.refinement.state import RefinementState


class RoundSettings(Protocol):
    """What :class:`RoundWork` and the maps of a round need to know.

    Attributes
    ----------
    mask_radius_A
        Radius of the particle.
    search_radius_A
        Radius of what of the references searches over all poses see.
    symmetry
        Point group.
    classes
        Number of classes.
    independent_halves
        Whether each half set has a reference of its own.
    start_A
        Where the halves began with one map: its resolution; infinite where they never did.
    low_A
        Coarsest resolution used.
    mask
        Of references.
    switches
        What else is found beside poses.
    oversampling
        Of reconstructions.
    seed
        Key of all random numbers.
    """

    @property
    def mask_radius_A(self) -> float: ...  # noqa: D102
    @property
    def search_radius_A(self) -> float: ...  # noqa: D102
    @property
    def symmetry(self) -> str: ...  # noqa: D102
    @property
    def classes(self) -> int: ...  # noqa: D102
    @property
    def independent_halves(self) -> bool: ...  # noqa: D102
    @property
    def start_A(self) -> float: ...  # noqa: D102
    @property
    def low_A(self) -> float: ...  # noqa: D102
    @property
    def mask(self) -> MaskSettings: ...  # noqa: D102
    @property
    def switches(self) -> AlignmentSwitches: ...  # noqa: D102
    @property
    def oversampling(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102

    def working_box(self, box: int, pixel_size_A: float, limit_A: float) -> int:
        """Return the box that images are cropped to in a round, over the same field of view."""
        ...

    def searched(self, state: RefinementState, rows: PoseRows) -> NDArray[np.bool_]:
        """Return which particles the next round searches over all poses; shape (n,)."""
        ...

    def search(self, limit_A: float, shift_sigma_A: float) -> SearchSettings:
        """Return how all poses are searched in a round."""
        ...

    def local(self, limit_A: float, before_A: float, shift_sigma_A: float) -> RefinementSettings:
        """Return how poses are refined in a round whose forerunner went to ``before_A``."""
        ...

    def classification_limit_A(self, number: int, limit_A: float) -> float:
        """Return the finest resolution that decides about classes in round ``number``, from 1."""
        ...
