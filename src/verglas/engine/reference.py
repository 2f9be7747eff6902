"""A reference map prepared for slicing: corrected for the interpolation, padded, transformed, cut to its band."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.threads import kernel_threads
from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace, kernel_for
from verglas.signal import irfft, rfft, smooth_size, sphere_mask


@dataclass(frozen=True)
class Reference:
    """The transform of a map up to a resolution limit, laid out for the kernels of ``kernels/slicing.py``.

    Attributes
    ----------
    values
        float32, flat (real, imaginary) pairs ``[z, y, x]`` of ``2 centre + 1``, ``2 centre + 1`` and ``centre + 1``
        voxels: the unnormalised DFT with the origin n // 2 as phase origin, so that a slice is the DFT of a projection.
    centre
        Largest index stored along an axis.
    padded_box
        Size in voxels that the map was padded to.
    box
        Size of the map in voxels.
    pixel_size_A
        Pixel size of the map in A.
    limit_A
        Finest resolution that slices may ask for.
    radius_A
        Radius of the particle: of its mask, or half the box.
    slope_excess
        Power of the interpolated transform's slopes over that of the true ones, 1 or a little more: what uncertainties
        of turns are corrected by.
    flat
        It is an image, whose transform is one plane: only turns about the beam make sense.
    """

    values: NDArray[np.float32]
    centre: int
    padded_box: int
    box: int
    pixel_size_A: float
    limit_A: float
    radius_A: float
    slope_excess: float = 1.0
    flat: bool = False

    @property
    def depth(self) -> int:
        """Largest index stored along z."""
        return 0 if self.flat else self.centre

    @property
    def voxels_A(self) -> float:
        """Voxels of the transform for a frequency of 1/A: multiply frequencies by this."""
        return self.padded_box * self.pixel_size_A

    def coordinates(self, kx_per_A: Any, ky_per_A: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return frequencies in voxels of the transform, float32, flat.

        Raises
        ------
        InputError
            If a frequency is above the reference's limit.
        """
        kx, ky = np.broadcast_arrays(np.asarray(kx_per_A, np.float64), np.asarray(ky_per_A, np.float64))
        largest = math.sqrt(float((kx * kx + ky * ky).max(initial=0.0))) * self.voxels_A
        if largest >= self.centre - 1:
            raise InputError(
                f"slices are asked for to {self.voxels_A / largest:.2f} A, but the reference was prepared to "
                f"{self.limit_A:.2f} A; prepare it to a finer limit."
            )
        return (kx * self.voxels_A).ravel().astype(np.float32), (ky * self.voxels_A).ravel().astype(np.float32)

    def slices(self, rotations: Any, kx_per_A: Any, ky_per_A: Any, *, threads: int = 1) -> NDArray[np.complex64]:
        """Return central slices: the transforms of projections.

        Parameters
        ----------
        rotations
            Rotation matrices, shape (..., 3, 3); see :mod:`verglas.geometry.rotations`.
        kx_per_A, ky_per_A
            Frequencies in 1/A, shapes that broadcast to ``[points...]``.
        threads
            Threads.

        Returns
        -------
        ndarray, shape (..., points...)
            complex64, phases relative to the origin n // 2.
        """
        xp = array_namespace(self.values)
        kx, ky = self.coordinates(kx_per_A, ky_per_A)
        R = xp.asarray(rotations, dtype=xp.float32)
        flat = xp.ascontiguousarray(R.reshape(-1, 3, 3))
        out = xp.empty((len(flat), kx.size), xp.complex64)
        with kernel_threads(threads):
            kernel_for(xp, "slicing", "slice_values")(
                self.values, self.centre, self.depth, flat, xp.asarray(kx), xp.asarray(ky), out
            )
        shape = R.shape[:-2] + np.broadcast_shapes(np.shape(kx_per_A), np.shape(ky_per_A))
        slices: NDArray[np.complex64] = out.reshape(shape)
        return slices

    def bent_slices(
        self, rotations: Any, kx_per_A: Any, ky_per_A: Any, kz_per_A: Any, *, threads: int = 1
    ) -> NDArray[np.complex64]:
        """Return the transform beside central slices, as on the Ewald sphere; on CPUs.

        Parameters
        ----------
        rotations
            Rotation matrices, shape (n, 3, 3).
        kx_per_A, ky_per_A, kz_per_A
            Frequencies in 1/A in the image's frame, kz along the beam; shape (points,).
        threads
            Threads.

        Returns
        -------
        ndarray, shape (n, points)
            complex64, phases relative to the origin n // 2.
        """
        from verglas.kernels.map_points import sample_points

        points = np.stack([kx_per_A, ky_per_A, kz_per_A], axis=-1)
        # What is asked for must lie within the reference, wherever it is turned to.
        self.coordinates(np.linalg.norm(points, axis=-1), 0.0)
        turns = np.ascontiguousarray(rotations, np.float32)
        out = np.empty((len(turns), len(points)), np.complex64)
        with kernel_threads(threads):
            sample_points(self.values, self.centre, turns, (points * self.voxels_A).astype(np.float32), out)
        return out

    def slices_and_gradients(
        self, rotations: Any, kx_per_A: Any, ky_per_A: Any, *, threads: int = 1
    ) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Return slices and their slopes along kx, ky and the beam, in the image's frame; parameters as :meth:`slices`.

        Returns
        -------
        values : ndarray, shape (..., points...)
        gradient : ndarray, shape (..., 3, points...)
            Per voxel of the transform (``1 / voxels_A`` 1/A).
        """
        xp = array_namespace(self.values)
        kx, ky = self.coordinates(kx_per_A, ky_per_A)
        points = np.broadcast_shapes(np.shape(kx_per_A), np.shape(ky_per_A))
        R = xp.asarray(rotations, dtype=xp.float32)
        flat = xp.ascontiguousarray(R.reshape(-1, 3, 3))
        out = xp.empty((len(flat), kx.size), xp.complex64)
        gradient = xp.empty((len(flat), 3, kx.size), xp.complex64)
        with kernel_threads(threads):
            kernel_for(xp, "slicing", "slice_gradients")(
                self.values, self.centre, self.depth, flat, xp.asarray(kx), xp.asarray(ky), out, gradient
            )
        batch = R.shape[:-2]
        return out.reshape(batch + points), gradient.reshape((*batch, 3, *points))


def prepare_reference(
    volume: Any,
    pixel_size_A: float,
    *,
    limit_A: float = 0.0,
    radius_A: float | None = None,
    edge_A: float = 10.0,
    oversampling: int = 2,
    threads: int = 1,
) -> Reference:
    """Prepare a map for slicing.

    Parameters
    ----------
    volume
        Map with positive density, shape (n, n, n).
    pixel_size_A
        Its pixel size in A.
    limit_A
        Finest resolution that will be asked for; 0 or less than the finest possible: as far as the map goes.
    radius_A
        Radius of a soft spherical mask; no mask when None.
    edge_A
        Width of the mask's edge in A.
    oversampling
        How many times finer than 1 / box the transform is sampled. With 2 slices are exact to about 2 %; 1 takes an
        eighth of the memory, for coarse steps.
    threads
        Threads of the transform.

    Returns
    -------
    Reference

    Raises
    ------
    InputError
        If the map is not a cube or a number makes no sense.

    Notes
    -----
    Trilinear interpolation multiplies the map by ``sinc^2`` along each axis, so the map is divided by that first.
    Memory: about 12 bytes a voxel of the padded map while it is made.
    """
    volume = np.asarray(volume)
    if volume.ndim != 3 or len(set(volume.shape)) != 1:
        raise InputError(f"a reference must be a cube, not {volume.shape}; pad or crop the map first.")
    _check(pixel_size_A, oversampling)
    n = volume.shape[0]
    padded = smooth_size(oversampling * n)
    density = volume.astype(np.float32)
    if radius_A is not None:
        density *= sphere_mask(volume.shape, radius_A, pixel_size_A, edge_A=edge_A)
    excess = _slope_excess(density, padded)
    correction = (1.0 / np.sinc((np.arange(n) - n // 2) / padded) ** 2).astype(np.float32)
    density *= correction[:, None, None]
    density *= correction[:, None]
    density *= correction
    grid = np.zeros((padded, padded, padded), np.float32)
    start = padded // 2 - n // 2
    grid[start : start + n, start : start + n, start : start + n] = density
    transform = rfft(grid, workers=threads)
    del grid
    wanted, index, sign = _stored(padded, pixel_size_A, limit_A)
    centre = wanted + 2
    half = index[centre:]
    values = transform[np.ix_(index % padded, index % padded, half)]
    values *= sign[:, None, None]
    values *= sign[:, None]
    values *= sign[centre:]
    return Reference(
        values=np.ascontiguousarray(values).view(np.float32).ravel(),
        centre=centre,
        padded_box=padded,
        box=n,
        pixel_size_A=float(pixel_size_A),
        limit_A=padded * pixel_size_A / wanted,
        radius_A=0.5 * n * pixel_size_A if radius_A is None else float(radius_A),
        slope_excess=excess,
    )


def _slope_excess(density: NDArray[np.float32], padded: int) -> float:
    """Return the power of the slopes of the interpolated transform over that of the true slopes.

    Interpolation weighs the map by ``sinc^2`` of each axis, repeated with the padded box as period. A slope along an
    axis is the position times that, so that its power is ``sum of (u + j)^2 sinc^4(u + j) = sin^2(pi u) / pi^2`` along
    this axis and ``sum of sinc^4(u + j) = 1 - 2/3 sin^2(pi u)`` along the others, where u is the position over the box.
    """
    n = density.shape[0]
    u = (np.arange(n) - n // 2) / padded
    corrected = 1.0 / np.sinc(u) ** 4
    sine = np.sin(np.pi * u) ** 2
    value, slope = (1.0 - 2.0 / 3.0 * sine) * corrected, sine / np.pi**2 * corrected
    flat = density.reshape(n * n, n)
    power = np.stack(
        [np.einsum("ij,ij,j->i", flat, flat, w.astype(np.float32)) for w in (np.ones(n), u**2, value, slope)]
    )
    power = power.astype(np.float64).reshape(4, n, n)
    one, square = np.ones(n), u**2

    def along(z: NDArray[np.float64], y: NDArray[np.float64], x: int) -> float:
        return float(z @ power[x] @ y)

    true = along(square, one, 0) + along(one, square, 0) + along(one, one, 1)
    found = along(slope, value, 2) + along(value, slope, 2) + along(value, value, 3)
    return found / true if true > 0.0 else 1.0


def prepare_image_reference(
    image: Any,
    pixel_size_A: float,
    *,
    limit_A: float = 0.0,
    radius_A: float | None = None,
    edge_A: float = 10.0,
    oversampling: int = 2,
) -> Reference:
    """Prepare an image, such as a class average, as a reference that is turned about the beam only.

    Parameters
    ----------
    image
        Image with positive density, shape (n, n); the sum along the beam of a map would be one.
    pixel_size_A, limit_A, radius_A, edge_A, oversampling
        As :func:`prepare_reference`, with a circle as mask.

    Returns
    -------
    Reference

    Raises
    ------
    InputError
        If the image is not a square or a number makes no sense.
    """
    picture = np.asarray(image)
    if picture.ndim != 2 or picture.shape[0] != picture.shape[1]:
        raise InputError(f"a reference image must be a square, not {picture.shape}; pad or crop it first.")
    _check(pixel_size_A, oversampling)
    n = picture.shape[0]
    padded = smooth_size(oversampling * n)
    density = picture.astype(np.float32)
    if radius_A is not None:
        density *= sphere_mask(picture.shape, radius_A, pixel_size_A, edge_A=edge_A)
    correction = (1.0 / np.sinc((np.arange(n) - n // 2) / padded) ** 2).astype(np.float32)
    density *= correction[:, None]
    density *= correction
    grid = np.zeros((padded, padded), np.float32)
    start = padded // 2 - n // 2
    grid[start : start + n, start : start + n] = density
    wanted, index, sign = _stored(padded, pixel_size_A, limit_A)
    half = index[wanted + 2 :]
    values = np.zeros((2, index.size, half.size), np.complex64)
    values[0] = rfft(grid)[np.ix_(index % padded, half)] * sign[:, None] * sign[wanted + 2 :]
    return Reference(
        values=values.view(np.float32).ravel(),
        centre=wanted + 2,
        padded_box=padded,
        box=n,
        pixel_size_A=float(pixel_size_A),
        limit_A=padded * pixel_size_A / wanted,
        radius_A=0.5 * n * pixel_size_A if radius_A is None else float(radius_A),
        flat=True,
    )


def _check(pixel_size_A: float, oversampling: int) -> None:
    if not pixel_size_A > 0.0 or oversampling < 1:
        raise InputError(
            f"a reference with pixels of {pixel_size_A:g} A, oversampled {oversampling} times, makes no sense."
        )


def _stored(padded: int, pixel_size_A: float, limit_A: float) -> tuple[int, NDArray[np.int64], NDArray[np.float32]]:
    """Return how far a limit reaches, which components are stored along an axis, and the origin's signs of them."""
    # Up to the limit, one voxel more for the far corner of a cell and one for rounding; never beyond Nyquist.
    finest = padded // 2 - 2
    wanted = finest if limit_A <= 0.0 else min(finest, math.ceil(padded * pixel_size_A / limit_A))
    index = np.arange(-(wanted + 2), wanted + 3)
    # The origin lies at padded / 2, which gives every other component a sign.
    return wanted, index, (1.0 - 2.0 * (np.abs(index) % 2)).astype(np.float32)


def project(reference: Reference, rotations: Any, *, threads: int = 1) -> NDArray[np.float32]:
    """Return projections of a reference, shape (..., n, n), band-limited to the reference's limit.

    Parameters
    ----------
    reference
        Prepared map.
    rotations
        Rotation matrices, shape (..., 3, 3).
    threads
        Threads.
    """
    n = reference.box
    ky, kx = np.broadcast_arrays(
        np.fft.fftfreq(n, reference.pixel_size_A)[:, None], np.fft.rfftfreq(n, reference.pixel_size_A)[None, :]
    )
    inside = (np.hypot(kx, ky) * reference.voxels_A < reference.centre - 1) & (kx < 0.5 / reference.pixel_size_A)
    R = np.asarray(rotations)
    transform = np.zeros((*R.shape[:-2], n, n // 2 + 1), np.complex64)
    transform[..., inside] = reference.slices(R, kx[inside], ky[inside], threads=threads)
    images: NDArray[np.float32] = np.fft.fftshift(irfft(transform, (n, n), workers=threads), axes=(-2, -1))
    return images
