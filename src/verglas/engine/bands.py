"""Overlapping bands of frequency, and maps limited to one of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.signal import frequency_radius, irfft
from verglas.signal.shells import slabs

STEP = 0.3
"""Distance of bands in units of 1 / window: finer ones see the same components of so small a part of the map."""
VIEWED = 3.0
LEAST_BANDS = 4


@dataclass(frozen=True)
class Bands:
    """Bands around evenly spaced frequencies, each with a raised cosine on both sides.

    Attributes
    ----------
    centres_per_A
        Middle of each band, shape (n,).
    """

    centres_per_A: NDArray[np.float64]

    @classmethod
    def spanning(cls, coarsest_A: float, finest_A: float, window_A: float) -> Bands:
        """Return bands between two resolutions, as far apart as a window can tell.

        Raises
        ------
        InputError
            Fewer than four fit.
        """
        low, high = 1.0 / coarsest_A, 1.0 / finest_A
        count = 1 + math.ceil((high - low) / (STEP / window_A))
        if count < LEAST_BANDS:
            raise InputError(
                f"between {coarsest_A:g} and {finest_A:g} A a window of {window_A:g} A can tell {max(count, 0)} "
                "resolutions: enlarge the window or the range."
            )
        return cls(np.linspace(low, high, count))

    def __len__(self) -> int:
        return len(self.centres_per_A)

    @property
    def step_per_A(self) -> float:
        """Distance of neighbouring bands."""
        return float(self.centres_per_A[1] - self.centres_per_A[0])

    def share(self, number: int, frequency_per_A: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the part of each frequency that is a band's own: over all bands they sum to 1.

        A band reaches to its neighbours' middles; the first also holds all below it, the last all above.
        """
        away = (frequency_per_A - self.centres_per_A[number]) / self.step_per_A
        if number == 0:
            away = np.maximum(away, 0.0)
        elif number == len(self) - 1:
            away = np.minimum(away, 0.0)
        return _raised_cosine(away)

    def view(self, number: int, frequency_per_A: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the weight of each frequency when a band's correlation is looked at: it is three bands wide each way.

        A narrower one would smear each place of the map over more than the window.
        """
        return _raised_cosine((frequency_per_A - self.centres_per_A[number]) / (VIEWED * self.step_per_A))

    def limited(
        self, factor: Callable[[NDArray[np.float32]], NDArray[np.float32]], transform: NDArray[np.complex64],
        shape: tuple[int, int, int], pixel_size_A: float, threads: int,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Return the map of a transform, which is left as it is, times a function of the frequency."""
        part = np.empty_like(transform)
        for rows in slabs(shape):
            part[rows] = transform[rows] * factor(frequency_radius(shape, pixel_size_A, rows=rows))
        result: NDArray[np.float32] = irfft(part, shape, workers=threads, overwrite=True)
        return result


def _raised_cosine(away: NDArray[np.float32]) -> NDArray[np.float32]:
    part: NDArray[np.float32] = np.where(np.abs(away) < 1.0, np.cos(0.5 * np.pi * away) ** 2, 0.0).astype(np.float32)
    return part
