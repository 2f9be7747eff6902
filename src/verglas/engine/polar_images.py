"""Particle images and their displacements on polar Fourier grids, as the searches take them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import Band, ParticleImages
from verglas.engine.polar_grid import PolarGrid


def shift_penalty(shifts: NDArray[np.float64], sigma_A: float) -> NDArray[np.float32]:
    """Return minus the logarithm of a normal prior at displacements, 0 where there is none; shape (shifts,)."""
    strength = 0.5 / sigma_A**2 if sigma_A > 0 else 0.0
    return np.asarray(strength * (shifts**2).sum(axis=1), np.float32)


def shift_ramps(grid: PolarGrid, shifts: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return cosines and sines that move samples of a grid back by displacements; shape (shifts, 2, samples)."""
    kx, ky = grid.k_per_A
    phase = 2.0 * np.pi * (shifts[:, :1] * kx + shifts[:, 1:] * ky)
    return np.stack([np.cos(phase), np.sin(phase)], axis=1).astype(np.float32)


def polar_samples(
    images: ParticleImages,
    part: Band,
    centre_A: NDArray[np.float64],
    matrices: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Return samples of images times their transfer, moved back to their centres; shape (2, n, samples)."""
    points = len(part)
    data = images.data[:, :points] * images.transfer[:, :points]
    if centre_A.any():
        phase = 2.0 * np.pi * (centre_A[:, :1] * part.kx_per_A + centre_A[:, 1:] * part.ky_per_A)
        data *= np.exp(1j * phase).astype(np.complex64)
    return np.stack([data.real @ matrices[0], data.imag @ matrices[1]])


def ring_power(images: ParticleImages, part: Band, grid: PolarGrid) -> NDArray[np.float32]:
    """Return the mean squared transfer of every image on every ring, shape (n, rings)."""
    ring = part.rings - int(grid.radii[0])
    inside = (ring >= 0) & (ring < grid.radii.size)
    average = np.zeros((len(part), grid.radii.size), np.float32)
    average[np.flatnonzero(inside), ring[inside]] = 1.0
    average /= np.maximum(average.sum(axis=0), 1.0)
    power: NDArray[np.float32] = images.transfer[:, : len(part)] ** 2 @ average
    return power
