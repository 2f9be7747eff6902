"""The spherical average of a set of images, and the images' displacements from it: no pose is needed for either."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages
from verglas.engine.polar_grid import hexagonal_shifts
from verglas.engine.polar_images import shift_penalty
from verglas.engine.threads import single_blas_thread
from verglas.signal import radial_average

ROUNDS = 5
COARSEST = 6.0
"""Images are centred in so many rounds, the first at so many deviations of their displacements."""
STEPS = 6.0
"""Resolution over the step of displacements."""
RIDGE = 1e-3
"""Part by which each shell's own weight is raised: shells near the middle hold little and are known badly."""
AT_ONCE, POINTS_AT_ONCE = 256, 512


@dataclass(frozen=True)
class Sphere:
    """A round density.

    Attributes
    ----------
    step_A
        Distance between the shells that it is made of, the first half a step from the middle.
    density
        Of each shell, in units of the images for each cubic A; shape (shells,).
    """

    step_A: float
    density: NDArray[np.float64]

    @property
    def radii_A(self) -> NDArray[np.float64]:
        """Radius of each shell."""
        return np.asarray((np.arange(len(self.density)) + 0.5) * self.step_A, np.float64)

    def transform(self, k_per_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return its transform, which is that of its projections, at frequencies of shape (n,)."""
        return np.asarray(shell_transforms(k_per_A, self.radii_A, self.step_A) @ self.density)

    def volume(self, box: int, pixel_size_A: float) -> NDArray[np.float32]:
        """Return it as a map of shape (box, box, box)."""
        axis = (np.arange(box) - box // 2) * pixel_size_A
        distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
        return np.asarray(
            np.interp(distance, self.radii_A, self.density * pixel_size_A**3, right=0.0), np.float32
        )  # fmt: skip


def shell_transforms(k_per_A: NDArray[np.float64], radii_A: NDArray[np.float64], step_A: float) -> NDArray[np.float64]:
    """Return transforms of round shells of density 1 and a thickness, shape (n, shells)."""
    return np.asarray(4.0 * np.pi * radii_A**2 * step_A * np.sinc(2.0 * np.outer(k_per_A, radii_A)))


def centred_on_sphere(
    images: ParticleImages, limit_A: float, radius_A: float, sigma_A: float, learned: NDArray[np.int64] | None = None,
    *, threads: int = 1,
) -> tuple[NDArray[np.float64], Sphere]:  # fmt: skip
    """Centre images on their own spherical average, coarse to fine.

    The projections of a sphere are the same from everywhere: no pose is needed.

    Parameters
    ----------
    images
        Prepared images.
    limit_A
        Finest resolution.
    radius_A
        Of the particle.
    sigma_A
        Deviation of each coordinate of the displacements.
    learned
        Which images are averaged, shape (m,); all when None.
    threads
        Threads.

    Returns
    -------
    displacements_A : ndarray, shape (n, 2)
        Means of their posteriors.
    sphere : Sphere
        The average.

    Notes
    -----
    Uneven magnification, some percent at most, is left out.
    """
    lowest_A = images.band.box * images.band.pixel_size_A / max(1, int(images.band.rings[0]))
    first_A = max(limit_A, min(COARSEST * sigma_A, lowest_A))
    averaged = np.arange(len(images)) if learned is None else learned
    found = np.zeros((len(images), 2))
    for number in range(ROUNDS):
        now_A = first_A * (limit_A / first_A) ** (number / (ROUNDS - 1))
        sphere = _average(images, averaged, now_A, radius_A, found, threads)
        found = _means(images, sphere, now_A, sigma_A, threads)
    return found, _average(images, averaged, limit_A, radius_A, found, threads)


def _average(
    images: ParticleImages, rows: NDArray[np.int64], limit_A: float, radius_A: float, centre_A: NDArray[np.float64],
    threads: int,
) -> Sphere:  # fmt: skip
    """Return the sphere that explains some images, moved to their centres, best by least squares."""
    part = images.band.up_to(limit_A)
    points = len(part)

    def summed(first: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        some = rows[first : first + AT_ONCE]
        transfer, data = images.transfer[some, :points], images.data[some, :points]
        phase = 2.0 * np.pi * (centre_A[some, :1] * part.kx_per_A + centre_A[some, 1:] * part.ky_per_A)
        real = data.real * np.cos(phase) - data.imag * np.sin(phase)
        return (real * transfer).sum(axis=0, dtype=np.float64), (transfer**2).sum(axis=0, dtype=np.float64)

    value, power = np.zeros(points), np.zeros(points)
    with ThreadPoolExecutor(threads) as pool:
        for one, other in pool.map(summed, range(0, len(rows), AT_ONCE)):
            value += one
            power += other
    step_A = 0.5 * limit_A
    radii_A = np.asarray((np.arange(max(1, math.ceil(radius_A / step_A))) + 0.5) * step_A, np.float64)
    shells = shell_transforms(np.hypot(part.kx_per_A, part.ky_per_A), radii_A, step_A)
    normal = shells.T @ (power[:, None] * shells)
    normal[np.diag_indices(len(normal))] *= 1.0 + RIDGE
    return Sphere(step_A, np.asarray(np.linalg.lstsq(normal, shells.T @ value, rcond=None)[0], np.float64))


def _means(images: ParticleImages, sphere: Sphere, limit_A: float, sigma_A: float, threads: int) -> NDArray[np.float64]:
    """Return means of the displacements of images from a sphere."""
    part = images.band.up_to(limit_A)
    points = len(part)
    model = sphere.transform(np.hypot(part.kx_per_A, part.ky_per_A)).astype(np.float32)
    grid = hexagonal_shifts(limit_A / STEPS, 3.0 * sigma_A)
    penalty = shift_penalty(grid, sigma_A)

    def mean(first: int) -> NDArray[np.float64]:
        some = slice(first, min(first + AT_ONCE, len(images)))
        product = images.data[some, :points] * (images.transfer[some, :points] * model)
        logs = np.tile(-penalty.astype(np.float64), (len(product), 1))
        for begin in range(0, points, POINTS_AT_ONCE):
            of = slice(begin, begin + POINTS_AT_ONCE)
            phase = 2.0 * np.pi * (np.outer(part.kx_per_A[of], grid[:, 0]) + np.outer(part.ky_per_A[of], grid[:, 1]))
            logs += 2.0 * (product.real[:, of] @ np.cos(phase).astype(np.float32))
            logs -= 2.0 * (product.imag[:, of] @ np.sin(phase).astype(np.float32))
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray((weights @ grid) / weights.sum(axis=1, keepdims=True))

    with single_blas_thread(), ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(mean, range(0, len(images), AT_ONCE))))


def spherical(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a map's average over all rotations about its middle."""
    profile = radial_average(volume)
    axes = [np.arange(size, dtype=np.float64) - size // 2 for size in volume.shape]
    radius = np.sqrt(axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2)
    return np.asarray(np.interp(radius, profile.radius, profile.mean), np.float32)
