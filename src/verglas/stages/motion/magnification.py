"""Anisotropic magnification: how far a microscope stretches its image along one axis more than across it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verglas.errors import InputError

LARGEST_DEVIATION = 0.2


@dataclass(frozen=True)
class Magnification:
    """What corrects an anisotropic magnification: the image is scaled along two axes.

    The numbers are those of mag_distortion_estimate and cisTEM.

    Attributes
    ----------
    angle_deg
        Direction of the major axis in degrees, from +x towards -y in MRC row order.
    major, minor
        Scale factors by which the corrected image is larger than the recorded one along the major axis and across it.

    References
    ----------
    T. Grant, N. Grigorieff, "Automatic estimation and correction of anisotropic magnification distortion in electron
    microscopes", J. Struct. Biol. 192 (2015) 204-208.
    """

    angle_deg: float
    major: float
    minor: float

    def check(self) -> None:
        """Raise `InputError` where a scale makes no sense."""
        for scale in (self.major, self.minor):
            if not abs(scale - 1.0) <= LARGEST_DEVIATION:
                raise InputError(
                    f"A magnification scale of {scale:g} makes no sense: give factors near 1, such as 1.012 and 0.997."
                )

    @property
    def mean_scale(self) -> float:
        """How much larger the corrected image is on average: pixels are smaller by it."""
        return (self.major + self.minor) / 2.0

    def displacements(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return where to read a recorded frame for places of the corrected image.

        Parameters
        ----------
        x, y
            Places from the middle of the image in pixels, any common shape.

        Returns
        -------
        ndarray, shape (2, *shape of x)
            Where to read (x, y) relative to each place, in pixels.
        """
        angle = np.deg2rad(-self.angle_deg)
        axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = axes @ np.diag([1.0 / self.major, 1.0 / self.minor]) @ axes.T - np.eye(2)
        return np.asarray(np.einsum("ij,j...->i...", matrix, np.stack([x, y])))
