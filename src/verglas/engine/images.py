"""Particle images made ready for alignment: transformed, whitened, cut to a band, with their transfer functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.threads import kernel_threads
from verglas.errors import InputError
from verglas.microscopy import Optics, ctf, odd_aberration_factor
from verglas.microscopy.ctf import true_frequencies
from verglas.signal import rfft, sphere_mask


@dataclass(frozen=True)
class Band:
    """The components of a half-plane between two resolutions, each pair of conjugates once, from low to high.

    Components are ordered by ring and by angle within a ring, so that a coarser limit is a first part of the arrays.

    Attributes
    ----------
    box
        Pixels a side of the images.
    pixel_size_A
        Pixel size in A.
    column, row
        Whole frequencies along x (>= 0) and y, in units of 1 / (box pixels), int32, shape (points,).
    """

    box: int
    pixel_size_A: float
    column: NDArray[np.int32]
    row: NDArray[np.int32]

    @property
    def kx_per_A(self) -> NDArray[np.float64]:
        """Nominal frequencies along x in 1/A."""
        return self.column / (self.box * self.pixel_size_A)

    @property
    def ky_per_A(self) -> NDArray[np.float64]:
        """Nominal frequencies along y in 1/A."""
        return self.row / (self.box * self.pixel_size_A)

    @property
    def rings(self) -> NDArray[np.int64]:
        """Nearest ring of each component, in steps of 1 / (box pixels)."""
        return np.asarray(np.rint(np.hypot(self.column, self.row)), np.int64)

    def __len__(self) -> int:
        return len(self.column)

    def up_to(self, limit_A: float) -> Band:
        """Return the components on whole rings up to a resolution."""
        points = self.count_to(limit_A)
        return replace(self, column=self.column[:points], row=self.row[:points])

    def count_to(self, limit_A: float) -> int:
        """Return how many of the first components lie on whole rings up to a resolution."""
        return int(np.searchsorted(self.rings, self.box * self.pixel_size_A / limit_A, side="right"))


def band(box: int, pixel_size_A: float, high_A: float, low_A: float = np.inf) -> Band:
    """Return the components between two resolutions.

    Parameters
    ----------
    box
        Pixels a side.
    pixel_size_A
        Pixel size in A.
    high_A
        Finest resolution.
    low_A
        Coarsest resolution; the mean of an image is never taken.

    Raises
    ------
    InputError
        If nothing lies between the two.
    """
    width_A = box * pixel_size_A
    most = (box - 1) // 2
    row, column = np.meshgrid(np.arange(-most, most + 1), np.arange(most + 1), indexing="ij")
    once = (column > 0) | (row > 0)
    radius = np.hypot(row, column)
    rings = np.rint(radius)
    chosen = once & (rings <= min(width_A / high_A, most)) & (rings >= max(1.0, width_A / low_A))
    if not chosen.any():
        raise InputError(f"no component lies between {low_A:g} and {high_A:g} A in a box of {width_A:g} A.")
    row, column = row[chosen], column[chosen]
    order = np.lexsort((np.arctan2(row, column), rings[chosen]))
    return Band(box, float(pixel_size_A), column[order].astype(np.int32), row[order].astype(np.int32))


@dataclass(frozen=True)
class ParticleImages:
    """Images of one optics group, such that ``data = scale * transfer * slice * exp(-2 pi i k.d) + noise``.

    The noise of each complex component has variance 1 (1/2 each in its real and imaginary part), d is the particle's
    displacement: minus the origin of the particle table.

    Attributes
    ----------
    band
        Which components.
    data
        Whitened transforms, phase origin at pixel n // 2, odd aberrations undone; complex64, shape (n, points).
    transfer
        CTF, contrast and whitening; float32, shape (n, points).
    whitening
        Whitening with the sign of the contrast, of each group of images with one noise; float32, (groups, points).
    group
        Group of each image, from 0; int64, shape (n,).
    optics
        The optics group.
    defocus
        u and v in A, angle of u and phase shift in radians; float64, shape (n, 4).
    """

    band: Band
    data: NDArray[np.complex64]
    transfer: NDArray[np.float32]
    whitening: NDArray[np.float32]
    group: NDArray[np.int64]
    optics: Optics
    defocus: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.data)

    @property
    def true_k_per_A(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Frequencies in 1/A after the optics' magnification, at which the reference is sliced."""
        kx, ky = true_frequencies(self.band.kx_per_A, self.band.ky_per_A, self.optics)
        return kx, ky

    def select(self, rows: Any) -> ParticleImages:
        """Return some of the images."""
        return replace(
            self, data=self.data[rows], transfer=self.transfer[rows], group=self.group[rows], defocus=self.defocus[rows]
        )

    def with_defocus(self, defocus: Any, threads: int = 1) -> ParticleImages:
        """Return the same images with another defocus, shape (n, 4), and the transfer functions that follow."""
        parameters = np.broadcast_to(np.asarray(defocus, np.float64), (len(self), 4)).copy()
        with kernel_threads(threads):
            transfer = ctf(self.band.kx_per_A, self.band.ky_per_A, self.optics, *parameters.T)
        transfer *= self.whitening[self.group]
        return replace(self, transfer=transfer, defocus=parameters)


def normalise(images: Any, radius_A: float, pixel_size_A: float) -> NDArray[np.float32]:
    """Return images with mean 0 and variance 1 outside a circle, each by its own.

    Parameters
    ----------
    images
        Shape (n, ny, nx).
    radius_A
        Radius of the particle.
    pixel_size_A
        Pixel size in A.

    Raises
    ------
    InputError
        If nothing lies outside the circle, or an image is constant there.
    """
    images = np.asarray(images, np.float32)
    outside = sphere_mask(images.shape[1:], radius_A, pixel_size_A) == 0
    if np.count_nonzero(outside) < 16:
        raise InputError(f"a particle of radius {radius_A:g} A leaves no background in the box; use a smaller radius.")
    values = images[:, outside]
    mean, deviation = values.mean(axis=1, dtype=np.float64), values.std(axis=1, dtype=np.float64)
    if not np.all(deviation > 0):
        number = int(np.argmin(deviation > 0))
        raise InputError(f"image {number} is constant outside its particle; leave it out of the stack.")
    centred: NDArray[np.float32] = images - mean[:, None, None].astype(np.float32)
    centred /= deviation[:, None, None].astype(np.float32)
    return centred


def prepare_images(
    images: Any,
    optics: Optics,
    defocus: Any,
    noise_power: Any,
    high_A: float,
    *,
    group: Any | None = None,
    low_A: float = np.inf,
    contrast_inverted: bool = False,
    threads: int = 1,
) -> ParticleImages:
    """Make images of one optics group ready for alignment.

    Images are not masked: in white noise the product with a model inside a mask is the same with and without it, and
    a mask would correlate the components.

    Parameters
    ----------
    images
        Shape (n, box, box).
    optics
        The optics group; its pixel size is the images'.
    defocus
        Shape (n, 4) or (4,): u and v in A, angle of u and phase shift in radians.
    noise_power
        Power of the noise in each shell, |F|^2 / pixels, shape (shells,), as of :func:`verglas.signal.noise_power`; or
        of each group, such as a micrograph, shape (groups, shells).
    high_A, low_A
        Band limits in A.
    group
        Group of each image whose noise it has, shape (n,), from 0; the first of all when None.
    contrast_inverted
        Protein is white in the images.
    threads
        Threads.

    Returns
    -------
    ParticleImages

    Raises
    ------
    InputError
        If shapes do not fit or the noise has no power in the band.

    Notes
    -----
    Memory: the images and their transforms in single precision, and 12 bytes a component; pass large stacks in chunks.
    """
    images = np.asarray(images)
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise InputError(f"particle images must have shape (n, box, box), not {images.shape}.")
    count, box = images.shape[:2]
    # Uneven magnification takes components outwards, and no reference goes beyond its Nyquist frequency.
    finest_A = box * optics.pixel_size_A / ((box - 1) // 2) * max(1.0, optics.largest_magnification)
    points = band(box, optics.pixel_size_A, max(high_A, finest_A), low_A)
    kx, ky = points.kx_per_A, points.ky_per_A
    power = np.atleast_2d(np.asarray(noise_power, np.float64))
    which = np.zeros(count, np.int64) if group is None else np.asarray(group, np.int64)
    if which.shape != (count,) or (count and not (which.min() >= 0 and which.max() < len(power))):
        raise InputError(f"{count} images need a group each, from 0 to {len(power) - 1}: one of those with a spectrum.")
    radius = np.hypot(points.column, points.row)
    noise = np.stack([np.interp(radius, np.arange(one.size), one) for one in power])
    if not np.all(noise > 0):
        raise InputError("the noise spectrum has no power somewhere in the band; measure it anew or narrow the band.")
    whitening = 1.0 / (box * np.sqrt(noise))
    # The origin at pixel n // 2 and odd aberrations are pure phases.
    phase = 2j * np.pi * (box // 2) / box * (points.column + points.row)
    factor = np.exp(phase)
    if optics.has_odd_aberrations:
        factor = factor * np.conj(odd_aberration_factor(kx, ky, optics, dtype=np.complex128))
    transform = rfft(images.astype(np.float32, copy=False), 2, workers=threads).reshape(count, -1)
    data = transform[:, (points.row % box) * (box // 2 + 1) + points.column]
    white = whitening.astype(np.float32)
    data *= factor.astype(np.complex64)
    data *= white[which]
    parameters = np.broadcast_to(np.asarray(defocus, np.float64), (count, 4)).copy()
    signed = -white if contrast_inverted else white
    with kernel_threads(threads):
        transfer = ctf(kx, ky, optics, *parameters.T)
    transfer *= signed[which]
    return ParticleImages(points, data, transfer, signed, which, optics, parameters)
