"""The posterior of all poses on a grid, and the sum of all images turned to each direction by their probability."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.engine.images import Band, ParticleImages
from verglas.engine.polar_grid import polar_grid, to_polar
from verglas.engine.polar_images import polar_matrices, polar_samples, ring_power
from verglas.engine.reference import Reference
from verglas.engine.threads import single_blas_thread
from verglas.geometry import euler_to_matrix, mirror_pose, sphere_directions

SCORES_AT_ONCE = 1_500_000
MOST_AT_ONCE = 256
CHUNKS_AT_ONCE = 8
"""Sums are added up in this order, whatever the number of threads."""
RIDGE = 1e-4
"""Part of the mean diagonal that is added to the normal matrix from samples back to components."""


@dataclass(frozen=True)
class PoseSums:
    """What a set of images adds to each direction of each reference, and one pose of each image.

    Attributes
    ----------
    value, weight
        Sums of images times transfer, and of squared transfers, over all images and in-plane angles, weighted by their
        probability; complex64 and float32, shape (references, directions, points).
    rotations, reference
        A pose of each image drawn by its probability: shapes (n, 3, 3) and (n,).
    gain
        By how much all poses together raise the log-likelihood of the image; shape (n,).
    """

    value: NDArray[np.complex64]
    weight: NDArray[np.float32]
    rotations: NDArray[np.float64]
    reference: NDArray[np.int64]
    gain: NDArray[np.float64]


@dataclass(frozen=True)
class _Part:
    """Sums over angular orders, ring weights, and what each image of a chunk drew."""

    orders: NDArray[np.complex64]
    power: NDArray[np.float32]
    template: NDArray[np.int64]
    angle: NDArray[np.int64]
    gain: NDArray[np.float64]


class PoseGrid:
    """All directions and in-plane angles that a resolution needs.

    Parameters
    ----------
    band
        Components of the images.
    limit_A
        Finest resolution.
    radius_A
        Radius of the particle.
    spacing
        Angle between directions, radians.
    symmetry
        Point group of the references.
    turn
        Rotation by which the grid of directions is turned, so that rounds do not all look from the same ones.

    Attributes
    ----------
    points
        How many of the band's first components count.
    rotations
        Of each direction, shape (directions, 3, 3).
    """

    def __init__(
        self, band: Band, limit_A: float, radius_A: float, spacing: float, symmetry: str = "C1", turn: Any = None
    ) -> None:
        self._part = band.up_to(limit_A)
        self.points = len(self._part)
        self._grid = polar_grid(band.box * band.pixel_size_A, limit_A, radius_A)
        self._to_polar = to_polar(self._grid, self._part)
        self._from_polar = [_back(matrix) for matrix in self._to_polar]
        directions = sphere_directions(spacing, symmetry, mirror=True)
        phi, theta = np.arctan2(directions[:, 1], directions[:, 0]), np.arccos(np.clip(directions[:, 2], -1, 1))
        poses = euler_to_matrix(phi, theta, np.zeros_like(phi))
        poses = np.concatenate([poses, mirror_pose(poses)])
        self.rotations: NDArray[np.float64] = poses if turn is None else poses @ turn
        self._rings = self._grid.radii.size
        self._angles = 2 * self._grid.angles.size
        self._most = int(self._grid.orders.max())
        self._area = (np.pi * self._grid.radii).astype(np.float32)

    def sums(
        self,
        references: Sequence[Reference],
        images: ParticleImages,
        uniform: NDArray[np.float64],
        *,
        centre_A: NDArray[np.float64] | None = None,
        threads: int = 1,
    ) -> PoseSums:
        """Weigh all poses of every image, the references taken at their own scale, and add the images up.

        This is the step of expectation of the maximum-likelihood method with the sums that its other step needs.

        Parameters
        ----------
        references
            Prepared maps.
        images
            Prepared images of the band.
        uniform
            Two random numbers from 0 to 1 for each image, which decide the pose that is drawn; shape (n, 2).
        centre_A
            Displacement of each image, shape (n, 2); 0 when None.
        threads
            Threads; the sums do not depend on them.

        Returns
        -------
        PoseSums

        References
        ----------
        F. J. Sigworth, "A maximum-likelihood approach to single-particle image refinement", J. Struct. Biol. 122
        (1998) 328. A. Punjani et al., "cryoSPARC", Nat. Methods 14 (2017) 290.
        """
        centre = np.zeros((len(images), 2)) if centre_A is None else centre_A
        matrices = polar_matrices(self._grid, self._part, images, self._to_polar)
        kx, ky = self._grid.k_per_A
        slices = np.concatenate([one.slices(self.rotations, kx, ky, threads=threads) for one in references])
        templates = self._orders(np.stack([slices.real, slices.imag]))
        twice = np.where(np.arange(self._most + 1) == 0, 1.0, 2.0)
        power = np.einsum("trm,m,r->rt", np.abs(templates) ** 2, twice, self._area).astype(np.float32)
        weighted = np.ascontiguousarray((templates.conj() * self._area[:, None]).transpose(2, 1, 0))
        norms = ring_power(images, self._part, self._grid)
        at_once = int(min(MOST_AT_ONCE, max(1, SCORES_AT_ONCE // (len(slices) * self._angles))))

        def chunk(first: int) -> _Part:
            some = slice(first, min(first + at_once, len(images)))
            samples = polar_samples(images.select(np.arange(some.start, some.stop)), self._part, centre[some], matrices)
            return self._weigh(self._orders(samples), norms[some], weighted, power, uniform[some])

        # Chunks are many, and one adds little to what the ones before it made.
        orders: NDArray[np.complex128] = np.zeros(templates.shape, np.complex128)
        rings = np.zeros(templates.shape[:2], np.float64)
        drawn: list[_Part] = []
        starts = range(0, len(images), at_once)
        with single_blas_thread(), ThreadPoolExecutor(threads) as pool:
            for group in range(0, len(starts), CHUNKS_AT_ONCE):
                for part in pool.map(chunk, starts[group : group + CHUNKS_AT_ONCE]):
                    orders += part.orders
                    rings += part.power
                    drawn.append(replace(part, orders=part.orders[:0], power=part.power[:0]))
        value, weight = self._components(orders.astype(np.complex64), rings.astype(np.float32))
        template, angle, gain = (
            np.concatenate([getattr(one, name) for one in drawn]) for name in ("template", "angle", "gain")
        )
        number, direction = np.divmod(template, len(self.rotations))
        turned = euler_to_matrix(0.0, 0.0, -2.0 * np.pi / self._angles * angle) @ self.rotations[direction]
        shape = (len(references), len(self.rotations), self.points)
        return PoseSums(value.reshape(shape), weight.reshape(shape), turned, number, gain)

    def _orders(self, samples: NDArray[np.float32]) -> NDArray[np.complex64]:
        """Return the angular orders 0 and above of samples, shape (rows, rings, orders)."""
        half = (samples[0] + 1j * samples[1]).astype(np.complex64).reshape(samples.shape[1], self._rings, -1)
        whole = scipy.fft.fft(np.concatenate([half, half.conj()], axis=2), axis=2, overwrite_x=True)
        return np.asarray(whole[..., : self._most + 1] / np.float32(self._angles), np.complex64)

    def _weigh(
        self, images: NDArray[np.complex64], norms: NDArray[np.float32], templates: NDArray[np.complex64],
        power: NDArray[np.float32], uniform: NDArray[np.float64],
    ) -> _Part:  # fmt: skip
        """Return the sums of a chunk, given by its orders, over all templates, shape (orders, rings, templates)."""
        count, width = len(images), power.shape[1]
        by_order = np.ascontiguousarray(images.transpose(2, 0, 1))
        products = np.zeros((count, width, self._angles // 2 + 1), np.complex64)
        products[..., : self._most + 1] = np.matmul(by_order, templates).transpose(1, 2, 0)
        logs = scipy.fft.irfft(products, self._angles, axis=2, overwrite_x=True)
        logs *= np.float32(2.0 * self._angles)
        logs -= (norms @ power)[..., None]
        top = logs.max(axis=(1, 2))
        logs -= top[:, None, None]
        weights = np.exp(logs, out=logs)
        by_template = weights.sum(axis=2)
        total = by_template.sum(axis=1)
        weights /= total[:, None, None]
        by_template /= total[:, None]
        template = _pick(by_template, uniform[:, 0])
        angle = _pick(weights[np.arange(count), template], uniform[:, 1])
        turns = scipy.fft.rfft(weights, axis=2)[..., : self._most + 1].transpose(2, 1, 0)
        sums = np.matmul(turns.conj(), by_order).transpose(1, 2, 0)
        gain = top.astype(np.float64) + np.log(total / (width * self._angles))
        return _Part(sums, by_template.T @ norms, template, angle, gain)

    def _components(
        self, orders: NDArray[np.complex64], rings: NDArray[np.float32]
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        """Return sums over angular orders, and weights of rings, at the components of the band."""
        whole = np.zeros((len(orders), self._rings, self._angles), np.complex64)
        whole[..., : self._most + 1] = orders
        m = np.arange(1, self._most + 1)
        whole[..., self._angles - m] = orders[..., 1:].conj() * (-1.0) ** m
        half = scipy.fft.ifft(whole, axis=2, overwrite_x=True)[..., : self._angles // 2] * np.float32(self._angles)
        samples = half.reshape(len(orders), -1)
        value = samples.real @ self._from_polar[0] + 1j * (samples.imag @ self._from_polar[1])
        ring = np.clip(self._part.rings - round(float(self._grid.radii[0])), 0, self._rings - 1)
        return value.astype(np.complex64), rings[:, ring]


def _back(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the matrix that takes samples back to the components they come from, by least squares."""
    wide = matrix.astype(np.float64)
    normal = wide @ wide.T
    normal[np.diag_indices(len(normal))] += RIDGE * np.trace(normal) / len(normal)
    return np.linalg.solve(normal, wide).T.astype(np.float32)


def _pick(weights: NDArray[np.float32], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return an entry of each row, drawn by its weight."""
    reached = np.cumsum(weights, axis=1, dtype=np.float64)
    found: NDArray[np.int64] = np.minimum(
        (reached < uniform[:, None] * reached[:, -1:]).sum(axis=1), weights.shape[1] - 1
    )
    return found
