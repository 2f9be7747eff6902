"""Particle images and their displacements on polar Fourier grids, as the searches take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import Band, ParticleImages
from verglas.engine.polar_grid import PolarGrid, nominal_k, to_polar
from verglas.kernels.arrays import array_namespace
from verglas.microscopy.optics import PLAIN


def shift_penalty(shifts: NDArray[np.float64], sigma_A: float) -> NDArray[np.float32]:
    """Return minus the logarithm of a normal prior at displacements, 0 where there is none; shape (shifts,)."""
    strength = 0.5 / sigma_A**2 if sigma_A > 0 else 0.0
    return np.asarray(strength * (shifts**2).sum(axis=1), np.float32)


def shift_ramps(grid: PolarGrid, shifts: NDArray[np.float64], magnification: Any = PLAIN) -> NDArray[np.float32]:
    """Return cosines and sines that move samples of a grid back by displacements; shape (shifts, 2, samples)."""
    kx, ky = nominal_k(grid, magnification)
    phase = 2.0 * np.pi * (shifts[:, :1] * kx + shifts[:, 1:] * ky)
    return np.stack([np.cos(phase), np.sin(phase)], axis=1).astype(np.float32)


def polar_matrices(
    grid: PolarGrid, part: Band, images: ParticleImages, plain: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrices to the grid for these images: the plain ones, or those for their uneven magnification."""
    if not images.optics.has_uneven_magnification:
        return plain
    return to_polar(grid, part, images.optics.magnification)


def polar_samples(
    images: ParticleImages,
    part: Band,
    centre_A: NDArray[np.float64],
    matrices: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Return samples of images times their transfer, moved back to their centres; shape (2, n, samples)."""
    points = len(part)
    xp = array_namespace(images.data)
    data = images.data[:, :points] * images.transfer[:, :points]
    if centre_A.any():
        phase = 2.0 * np.pi * (centre_A[:, :1] * part.kx_per_A + centre_A[:, 1:] * part.ky_per_A)
        data *= xp.asarray(np.exp(1j * phase).astype(np.complex64))
    samples: NDArray[np.float32] = xp.stack([data.real @ matrices[0], data.imag @ matrices[1]])
    return samples


def ring_power(images: ParticleImages, part: Band, grid: PolarGrid) -> NDArray[np.float32]:
    """Return the mean squared transfer of every image on every ring, shape (n, rings)."""
    ring = part.rings - int(grid.radii[0])
    inside = (ring >= 0) & (ring < grid.radii.size)
    average = np.zeros((len(part), grid.radii.size), np.float32)
    average[np.flatnonzero(inside), ring[inside]] = 1.0
    average /= np.maximum(average.sum(axis=0), 1.0)
    xp = array_namespace(images.transfer)
    power: NDArray[np.float32] = images.transfer[:, : len(part)] ** 2 @ xp.asarray(average)
    return power
