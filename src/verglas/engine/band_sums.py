"""Sums of prepared images and the map that they make, for rounds of small steps that cannot afford transforms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.fourier_sums import SMALLEST_BOX, FourierSums, Slices, make_map, shell_weights, split_symmetry
from verglas.engine.images import Band, ParticleImages
from verglas.errors import InputError
from verglas.signal import smooth_size

SPARE_RINGS = 2
SMALLEST_SUM = 1e-25
"""Faded sums below this part of nothing count as nothing: arithmetic with denormal numbers takes many times longer."""


class BandSums:
    """CTF-weighted slices of prepared images, added up to a resolution in a box just large enough for it.

    Parameters
    ----------
    band
        Of the images.
    limit_A
        Finest resolution that is added.
    symmetry
        Point group, in its standard setting.

    Attributes
    ----------
    box, pixel_size_A
        Of the map, over the images' field of view.
    points
        How many of the band's first components are added.
    """

    def __init__(self, band: Band, limit_A: float, symmetry: str = "C1") -> None:
        width_A = band.box * band.pixel_size_A
        self.box = working_box(width_A, limit_A)
        self.pixel_size_A = width_A / self.box
        self.points = band.count_to(limit_A)
        if not self.points:
            raise InputError(f"the images hold nothing up to {limit_A:g} A; give a finer limit.")
        self._band = band.up_to(limit_A)
        self._slices = Slices(self.box, self.pixel_size_A, 2)
        places = np.full((self.box, self.box // 2 + 1), -1)
        places[self._slices.rows, self._slices.columns] = np.arange(self._slices.rows.size)
        self._places = places[self._band.row % self.box, self._band.column]
        self._permutations, self._representatives = split_symmetry(symmetry)
        self._sums = FourierSums(self._slices)

    def insert(
        self, images: ParticleImages, rotations: NDArray[np.float64], displacements_A: NDArray[np.float64],
        weights: Any = 1.0, *, threads: int = 1,
    ) -> None:  # fmt: skip
        """Add images at their poses.

        Parameters
        ----------
        images
            Prepared images of the band.
        rotations, displacements_A
            Shapes (n, 3, 3) and (n, 2).
        weights
            Of each image, shape () or (n,).
        threads
            Threads; the sums do not depend on them.
        """
        band, count = self._band, len(images)
        transfer = images.transfer[:, : self.points]
        phase = 2.0 * np.pi * (displacements_A[:, :1] * band.kx_per_A + displacements_A[:, 1:] * band.ky_per_A)
        value = images.data[:, : self.points] * np.exp(1j * phase).astype(np.complex64) * transfer
        weight = np.broadcast_to(np.asarray(weights, np.float32), (count,))[:, None]
        self.insert_slices(weight * value, weight * (transfer * transfer), rotations, threads=threads)

    def insert_slices(
        self, value: NDArray[np.complex64], weight: NDArray[np.float32], rotations: NDArray[np.float64], *,
        threads: int = 1,
    ) -> None:  # fmt: skip
        """Add slices of the first components: sums of images times transfer, and of squared transfers.

        Parameters
        ----------
        value, weight
            Shape (n, points), of as many points as there are, but no more than :attr:`points`.
        rotations
            Shape (n, 3, 3).
        threads
            Threads; the sums do not depend on them.
        """
        values = np.zeros((len(value), self._slices.rows.size, 3), np.float32)
        places = self._places[: value.shape[1]]
        for n, part in enumerate((value.real, value.imag, weight)):
            values[:, places, n] = part
        copies = (rotations[:, None] @ self._representatives).astype(np.float32)
        self._sums.insert(values, copies, threads)

    def fade(self, factor: float) -> None:
        """Multiply all sums by a factor."""
        for volume in (self._sums.volume, self._sums.core):
            volume *= volume.dtype.type(factor)
            volume[np.abs(volume) < SMALLEST_SUM] = 0.0

    def map(self, part: float, *, threads: int = 1) -> NDArray[np.float32]:
        """Return the map: sums divided by weights plus a part of their shell's mean; shape (box, box, box)."""
        self._sums.symmetrise(self._permutations, threads)
        made: NDArray[np.float32] = make_map([self._sums], part * shell_weights([self._sums], threads), threads)
        return made

    def regularised_map(self, added: NDArray[np.float64], part: float, *, threads: int = 1) -> NDArray[np.float32]:
        """Return the map: sums over weights plus a part of their shell's mean and a number, shape (box // 2 + 1,)."""
        self._sums.symmetrise(self._permutations, threads)
        return make_map([self._sums], added + part * shell_weights([self._sums], threads), threads)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the sums by name, not copied."""
        return {"volume": self._sums.volume, "core": self._sums.core}

    def put(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take the sums of another of its kind, as of :meth:`arrays`."""
        self._sums.volume[:], self._sums.core[:] = arrays["volume"], arrays["core"]
        self._sums.is_symmetric = False


def working_box(width_A: float, limit_A: float) -> int:
    """Return the smallest convenient box that holds a field of view to a resolution."""
    wanted: int = smooth_size(math.ceil(2.0 * (width_A / limit_A + SPARE_RINGS)))
    return max(SMALLEST_BOX, wanted)
