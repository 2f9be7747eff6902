"""What halves that were once aligned to one map can show: nothing finer than it, unless more than chance agrees."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.geometry import point_group
from verglas.signal import Resolution

BY_CHANCE = 4.0
"""Standard deviations of noise that agreement beyond the start must exceed."""


@dataclass(frozen=True)
class SharedStart:
    """The map that both half sets were once aligned to.

    Attributes
    ----------
    limit_A
        Its resolution; infinite where there was none.
    radius_A
        Radius of the particle.
    symmetry
        Point group of the half maps.
    """

    limit_A: float
    radius_A: float
    symmetry: str = "C1"

    def judge(
        self, found: Resolution, frequency_per_A: NDArray[np.float64], components: Any,
        corrected: NDArray[np.float64], mask: NDArray[np.float32],
    ) -> Resolution:  # fmt: skip
        """Return a resolution, or that of the start where all that halves agree on may come from it, or be chance.

        Noise aligned to one map agrees as far as it, and as much further as the mask spreads it, one over the
        particle's radius. Beyond, what agrees must be more than chance: with a high symmetry few components of a shell
        are independent, and noise agrees to 0.143 in one that comes next.

        Parameters
        ----------
        found
            As it was read off.
        frequency_per_A, corrected
            The curve that it was read off, shape (shells,).
        components
            Of the full transform in each shell.
        mask
            Within which halves were compared.
        """
        if not found.resolution_A < self.limit_A:
            return found
        reach = 1.0 / self.limit_A + 1.0 / self.radius_A
        beyond = (frequency_per_A > reach) & (frequency_per_A <= 1.0 / found.resolution_A)
        part = float((mask**2).sum(dtype=np.float64) ** 2 / (mask**4).sum(dtype=np.float64)) / mask.size
        independent = np.asarray(components)[beyond] * part / point_group(self.symmetry).order
        total = float(independent.sum())
        # Noise of a shell with n independent components, mates counted, agrees to 1 / sqrt(n).
        if total > 0.0 and float(independent @ corrected[beyond]) / math.sqrt(total) > BY_CHANCE:
            return found
        return replace(found, resolution_A=self.limit_A, kind="start")
