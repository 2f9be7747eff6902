"""Images of three flat shapes, turned and moved at random, with CTF and noise, and some of noise alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.microscopy import Optics, ctf_2d

BOX = 48
PIXEL_A = 4.0
OPTICS = Optics(300.0, 2.7, 0.07, PIXEL_A)
RADIUS_A = 62.0


@dataclass(frozen=True)
class Shapes:
    """Images (n, box, box), defocus (n, 4), and the truth: shape (3 is noise), psi, displacement in A."""

    images: NDArray[np.float32]
    defocus: NDArray[np.float64]
    shape: NDArray[np.int64]
    psi: NDArray[np.float64]
    displacements_A: NDArray[np.float64]


def density(shape: int, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a shape's density at places in A from its centre."""

    def blob(at_x: float, at_y: float, width: float = 11.0) -> NDArray[np.float64]:
        return np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * width**2))

    if shape == 0:
        return blob(-36, 0) + blob(-12, 0) + blob(12, 0) + blob(36, 0) + blob(36, 20)
    if shape == 1:
        return sum(blob(34 * np.cos(a), 34 * np.sin(a)) for a in 2 * np.pi * np.arange(7) / 7)
    return blob(0, 0, 16) + blob(0, 38, 9) + blob(33, -19, 9) + blob(-33, -19, 9) + blob(-33, 12, 7)


def make_shapes(count: int, *, noise_part: float = 0.2, snr: float = 0.25, seed: int = 1) -> Shapes:
    """Make images; the signal-to-noise ratio is that within the particle's radius."""
    random = np.random.Generator(np.random.Philox(seed))
    shape = random.permutation(np.where(np.arange(count) < noise_part * count, 3, np.arange(count) % 3))
    psi = random.uniform(0, 2 * np.pi, count)
    moved = random.normal(0, 5.0, (count, 2))
    defocus = np.stack([random.uniform(9000, 20000, count)] * 2 + [np.zeros(count)] * 2, axis=1)
    place = (np.arange(BOX) - BOX // 2) * PIXEL_A
    y, x = np.meshgrid(place, place, indexing="ij")
    images = np.zeros((count, BOX, BOX))
    for i in np.flatnonzero(shape < 3):
        # Turned as the field's psi says: R(psi) takes a point of the particle to the image's negative angle.
        u, v = x - moved[i, 0], y - moved[i, 1]
        c, s = np.cos(psi[i]), np.sin(psi[i])
        flat = density(int(shape[i]), c * u - s * v, s * u + c * v)
        transfer = ctf_2d((BOX, BOX), OPTICS, *defocus[i])
        images[i] = np.fft.irfft2(np.fft.rfft2(flat) * transfer, (BOX, BOX))
    inside = np.hypot(x, y) < RADIUS_A
    signal = images[shape < 3][:, inside].var()
    images += random.normal(0, np.sqrt(signal / snr), images.shape)
    return Shapes(images.astype(np.float32), defocus, shape, psi, moved)
