"""A molecule of Gaussian blobs whose map, projections and transforms are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verglas.geometry import point_group


@dataclass(frozen=True)
class Blobs:
    """Gaussian blobs: positions in A (n, 3) as x, y, z; weights (n,); one width in A."""

    positions_A: np.ndarray
    weights: np.ndarray
    sigma_A: float

    def volume(self, box: int, pixel_size_A: float) -> np.ndarray:
        """Return the map, the integral of whose voxels is the sum of the weights."""
        axis = (np.arange(box) - box // 2) * pixel_size_A
        factors = [
            np.exp(-0.5 * ((axis[None] - self.positions_A[:, i, None]) / self.sigma_A) ** 2)
            * pixel_size_A
            / (self.sigma_A * np.sqrt(2 * np.pi))
            for i in range(3)
        ]
        return np.einsum("n,nx,ny,nz->zyx", self.weights, *factors, optimize=True).astype(np.float32)

    def transform(self, rotation: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
        """Return the transform of the projection of the molecule turned by ``rotation`` at frequencies in 1/A."""
        seen = self.positions_A @ rotation[:2].T
        phase = -2j * np.pi * (np.multiply.outer(kx, seen[:, 0]) + np.multiply.outer(ky, seen[:, 1]))
        envelope = np.exp(-2 * (np.pi * self.sigma_A) ** 2 * (kx**2 + ky**2))
        return envelope * (np.exp(phase) @ self.weights)

    def grid_transform(self, rotation: np.ndarray, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
        """Return :meth:`transform` on the grid of two axes, shape (ky, kx), as one product."""
        seen = self.positions_A @ rotation[:2].T
        across, down = (np.exp(-2j * np.pi * np.multiply.outer(k, seen[:, i])) for i, k in enumerate((kx, ky)))
        fall = [np.exp(-2 * (np.pi * self.sigma_A * k) ** 2) for k in (kx, ky)]
        return np.asarray((fall[1][:, None] * down * self.weights) @ (fall[0][:, None] * across).T)


def blobs(count: int = 60, radius_A: float = 40.0, sigma_A: float = 2.5, seed: int = 7, symmetry: str = "C1") -> Blobs:
    """Return a molecule of blobs in a sphere; ``count`` of them in each asymmetric unit."""
    random = np.random.Generator(np.random.Philox(seed))
    direction = random.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    positions = radius_A * random.random((count, 1)) ** (1 / 3) * direction
    weights = random.uniform(0.5, 1.5, count)
    operators = point_group(symmetry).operators
    return Blobs(
        np.einsum("sij,nj->sni", operators, positions).reshape(-1, 3), np.tile(weights, len(operators)), sigma_A
    )
