"""Particle images as the classification wants them: normalised, cropped to the resolution that is used, whitened."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages, normalise, prepare_images
from verglas.errors import InputError
from verglas.microscopy import Optics
from verglas.signal import noise_power, resize, smooth_size, sphere_mask

ROOM = 1.25
"""The Nyquist frequency of the images worked with, over the finest frequency used."""
EDGE_A = 15.0
BLANK_LINES = 2
BLANK = 0.3
"""Where the outermost lines vary less than this part of what the image does, they hold no micrograph."""


def blank_edges(images: Any) -> NDArray[np.bool_]:
    """Tell which images, shape (n, box, box), have a blank edge: one that lies beyond the micrograph was filled."""
    stack = np.asarray(images, np.float32)
    whole = stack.std(axis=(1, 2))
    sides = (stack[:, :BLANK_LINES], stack[:, -BLANK_LINES:], stack[:, :, :BLANK_LINES], stack[:, :, -BLANK_LINES:])
    least = np.min([side.std(axis=(1, 2)) for side in sides], axis=0)
    found: NDArray[np.bool_] = least < BLANK * whole
    return found


@dataclass(frozen=True)
class WorkingImages:
    """How images are brought to the size that is worked with.

    Attributes
    ----------
    box, pixel_size_A
        Of the stack.
    working_box
        Pixels a side of the cropped images.
    optics
        The optics group, with the pixel size of the cropped images.
    mask_radius_A
        Radius of the particle.
    contrast_inverted
        Protein is white in the stack.
    noise
        Power of the noise in each shell of the cropped images; empty: not measured yet.
    """

    box: int
    pixel_size_A: float
    working_box: int
    optics: Optics
    mask_radius_A: float
    contrast_inverted: bool = False
    noise: NDArray[np.float64] | None = None

    @property
    def working_pixel_size_A(self) -> float:
        """Pixel size of the cropped images."""
        return self.pixel_size_A * self.box / self.working_box

    @classmethod
    def to_limit(
        cls, box: int, optics: Optics, mask_radius_A: float, finish_A: float, *, contrast_inverted: bool = False
    ) -> WorkingImages:
        """Choose the smallest images that hold a resolution.

        Raises
        ------
        InputError
            The mask does not fit the box.
        """
        pixel = optics.pixel_size_A
        if 2.0 * mask_radius_A > box * pixel - 4 * pixel:
            raise InputError(
                f"a mask of radius {mask_radius_A:g} A leaves no background in a box of {box * pixel:g} A."
            )
        least = smooth_size(int(np.ceil(2.0 * ROOM * box * pixel / finish_A)))
        working = min(box, max(least, 16))
        return cls(
            box, pixel, working, replace(optics, pixel_size_A=pixel * box / working), mask_radius_A, contrast_inverted
        )

    def crop(self, images: Any, *, threads: int = 1) -> NDArray[np.float32]:
        """Return images normalised outside the particle and cropped; shape (n, working box, working box)."""
        ready: NDArray[np.float32] = normalise(images, self.mask_radius_A, self.pixel_size_A)
        if self.working_box == self.box:
            return ready
        shape = (len(ready), self.working_box, self.working_box)
        out = np.empty(shape, np.float32)
        for number, image in enumerate(ready):
            out[number] = resize(image, shape[1:], workers=threads)
        return out

    def with_noise(self, images: Any, *, threads: int = 1) -> WorkingImages:
        """Return this with the spectrum of the noise around the particles of some images."""
        cropped = self.crop(images, threads=threads)
        mask = sphere_mask(cropped.shape[1:], self.mask_radius_A, self.working_pixel_size_A, edge_A=EDGE_A)
        _, power = noise_power(cropped, mask, workers=threads)
        return replace(self, noise=np.asarray(power[0], np.float64))

    def prepare(
        self, images: Any, defocus: Any, high_A: float, low_A: float = np.inf, *, threads: int = 1
    ) -> ParticleImages:
        """Return images ready for the engine.

        Parameters
        ----------
        images
            Of the stack, shape (n, box, box).
        defocus
            Shape (n, 4): u and v in A, angle of u and phase shift in radians.
        high_A, low_A
            Resolution limits.
        threads
            Threads.

        Raises
        ------
        InputError
            The noise was not measured.
        """
        if self.noise is None:
            raise InputError("measure the noise first: with_noise.")
        return prepare_images(
            self.crop(images, threads=threads), self.optics, defocus, self.noise, high_A, low_A=low_A,
            contrast_inverted=self.contrast_inverted, threads=threads,
        )  # fmt: skip

    def enlarge(self, averages: Any) -> NDArray[np.float32]:
        """Return class averages at the stack's own box and pixel size."""
        if self.working_box == self.box:
            return np.asarray(averages, np.float32)
        return np.stack([resize(one, (self.box, self.box)) for one in averages]).astype(np.float32)
