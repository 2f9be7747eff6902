"""Project atoms into exactly band-limited images and maps by a non-uniform Fourier transform."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.kernels.simulation_spread import spread_2d, spread_3d
from verglas.stages.simulation.atoms import Atoms
from verglas.stages.simulation.parameters import SOLVENT_DENSITY
from verglas.stages.simulation.scattering import atom_factor

TABLE_STEP = 1024
RADIAL_SAMPLES = 256


class SpreadingKernel:
    """The "exponential of a semicircle" on a grid ``oversampling`` times finer than the result.

    References
    ----------
    Barnett, Magland & af Klinteberg, SIAM J. Sci. Comput. 41, C479 (2019).
    """

    def __init__(self, oversampling: float, width: int) -> None:
        self.width = width
        beta = 0.976 * math.pi * width * (1 - 1 / (2 * oversampling))
        distance = np.arange(width * TABLE_STEP // 2 + 2) / TABLE_STEP
        inside = np.clip(1 - (2 * distance / width) ** 2, 0, None)
        values = np.exp(beta * (np.sqrt(inside) - 1))
        values[distance > width / 2] = 0
        self.table = values.astype(np.float32)
        nodes, weights = np.polynomial.legendre.leggauss(4 * width + 32)
        self._nodes = nodes * width / 2
        self._weights = weights * width / 2 * np.exp(beta * (np.sqrt(1 - nodes**2) - 1))

    def transform(self, cycles_per_cell: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the kernel's Fourier transform at frequencies in cycles per grid cell."""
        return np.asarray(np.cos(2 * np.pi * np.outer(cycles_per_cell, self._nodes)) @ self._weights)


class FactorBasis:
    """A few radial functions that span the scattering factors of all atoms of a molecule to a stated accuracy.

    Parameters
    ----------
    atoms
        The molecule.
    highest_frequency
        1/A, up to which the basis holds.
    solvent_density, smoothing_A
        As in :func:`verglas.stages.simulation.scattering.atom_factor`.
    tolerance
        Largest root-mean-square error relative to the root-mean-square factor.

    Attributes
    ----------
    weights
        (kinds, rank): what each kind of atom has of each function.
    kind
        (n,) kind of each atom.
    """

    def __init__(
        self,
        atoms: Atoms,
        highest_frequency: float,
        *,
        solvent_density: float,
        smoothing_A: float,
        tolerance: float = 2e-4,
    ) -> None:
        self.k = np.linspace(0, highest_frequency, RADIAL_SAMPLES)
        names, element = np.unique(atoms.elements, return_inverse=True)
        # whole numbers that tell kinds apart: element, hydrogens, B to 0.25 A^2, occupancy to 0.01
        features = np.stack(
            [element, atoms.hydrogens, np.rint(atoms.b_A2 * 4).astype(int), np.rint(atoms.occupancy * 100).astype(int)]
        )
        _, first, self.kind, counts = np.unique(
            np.ravel_multi_index(list(features), list(features.max(axis=1) + 1)),
            return_index=True, return_inverse=True, return_counts=True,
        )  # fmt: skip
        factors = np.array(
            [
                occupancy
                / 100
                * atom_factor(str(names[e]), h, b / 4, self.k, solvent_density=solvent_density, smoothing_A=smoothing_A)
                for e, h, b, occupancy in features[:, first].T.tolist()
            ]
        )
        values, vectors = np.linalg.eigh((factors * counts[:, None]).T @ factors)
        values, vectors = values[::-1], vectors[:, ::-1]
        left = 1 - np.cumsum(values) / values.sum()
        rank = int(np.argmax(left < tolerance**2)) + 1
        self.functions = vectors[:, :rank].T
        self.weights = np.ascontiguousarray(factors @ vectors[:, :rank], dtype=np.float32)
        self.error = math.sqrt(max(0.0, float(left[rank - 1])))

    @property
    def rank(self) -> int:
        """Number of radial functions."""
        return len(self.functions)

    def at(self, index: int, k: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one radial function at frequencies ``k`` (1/A), by a cubic through its samples."""
        from scipy.interpolate import CubicSpline

        return np.asarray(CubicSpline(self.k, self.functions[index])(k))


def frequencies(shape: tuple[int, int], pixel_size_A: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (ky, kx) in 1/A of a real transform's half plane, of shapes (ny, 1) and (1, nx // 2 + 1)."""
    ky = scipy.fft.fftfreq(shape[0], pixel_size_A)[:, None]
    kx = scipy.fft.rfftfreq(shape[1], pixel_size_A)[None, :]
    return ky, kx


class Projector:
    """Projected potentials of one molecule on one grid.

    Parameters
    ----------
    atoms
        The molecule about its origin.
    box
        Pixels a side of the images.
    pixel_size_A
        A.
    solvent_density, smoothing_A
        As in :func:`verglas.stages.simulation.scattering.atom_factor`.
    """

    OVERSAMPLING = 2
    WIDTH = 6

    def __init__(
        self,
        atoms: Atoms,
        box: int,
        pixel_size_A: float,
        *,
        solvent_density: float = SOLVENT_DENSITY,
        smoothing_A: float = 1.0,
    ) -> None:
        self.atoms, self.box, self.pixel_size_A = atoms, box, pixel_size_A
        ky, kx = frequencies((box, box), pixel_size_A)
        radius = np.sqrt(ky**2 + kx**2)
        basis = FactorBasis(
            atoms, float(radius.max()) * 1.001, solvent_density=solvent_density, smoothing_A=smoothing_A
        )
        self._kernel = SpreadingKernel(self.OVERSAMPLING, self.WIDTH)
        cells = pixel_size_A / self.OVERSAMPLING
        spread = self._kernel.transform(ky[:, 0] * cells)[:, None] * self._kernel.transform(kx[0] * cells)[None, :]
        filters = np.stack([basis.at(i, radius) for i in range(basis.rank)], axis=-1)
        self._filters = (filters / spread[..., None] / pixel_size_A**2).astype(np.float32)
        if box % 2 == 0:
            self._filters[box // 2, :] = 0
            self._filters[:, box // 2] = 0
        self._kind = basis.kind.astype(np.int64)
        self._weights = basis.weights
        self.basis_error = basis.error

    def potential(
        self,
        rotation: NDArray[np.float64],
        offset_A: tuple[float, float] = (0.0, 0.0),
        chosen: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.complex64]:
        """Return the discrete Fourier transform of the projected potential (V A).

        Parameters
        ----------
        rotation
            (3, 3); atoms are seen at ``rotation @ position`` along z.
        offset_A
            (y, x) of the molecule's origin from pixel ``box // 2``.
        chosen
            (n,) atoms to project; all of them by default.

        Returns
        -------
        ndarray, (box, box // 2 + 1)
            Its inverse real transform is the image.
        """
        n, fine = self.box, self.box * self.OVERSAMPLING
        select = slice(None) if chosen is None else chosen
        seen = self.atoms.positions_A[select] @ rotation[:2].T
        points = np.empty((len(seen), 2))
        points[:, 0] = (n // 2 + (seen[:, 1] + offset_A[0]) / self.pixel_size_A) * self.OVERSAMPLING
        points[:, 1] = (n // 2 + (seen[:, 0] + offset_A[1]) / self.pixel_size_A) * self.OVERSAMPLING
        rank = self._weights.shape[1]
        grid = np.zeros((fine, fine, rank), np.float32)
        spread_2d(points, self._kind[select], self._kernel.table, self._weights, TABLE_STEP, self.WIDTH, grid)
        half, top = n // 2 + 1, (n + 1) // 2
        rows = scipy.fft.rfft(np.moveaxis(grid, -1, 0), axis=2)[:, :, :half]
        planes = scipy.fft.fft(rows, axis=1)
        total = np.empty((n, half), np.complex64)
        total[:top] = np.einsum("cyx,yxc->yx", planes[:, :top], self._filters[:top])
        total[top:] = np.einsum("cyx,yxc->yx", planes[:, fine - (n - top) :], self._filters[top:])
        return total

    def slabs(
        self, rotation: NDArray[np.float64], offset_A: tuple[float, float], thickness_A: float
    ) -> tuple[NDArray[np.float64], list[NDArray[np.complex64]]]:
        """Return the heights z (A) of slabs across the molecule and the transform of each one's potential."""
        z = self.atoms.positions_A @ rotation[2]
        number = np.floor(z / thickness_A + 0.5).astype(int)
        slabs = np.unique(number)
        return slabs * thickness_A, [self.potential(rotation, offset_A, number == slab) for slab in slabs]


def make_density(
    atoms: Atoms, box: int, pixel_size_A: float, *, solvent_density: float = SOLVENT_DENSITY, smoothing_A: float = 1.0
) -> NDArray[np.float32]:
    """Return the molecule's potential as a map, from the same scattering factors as the images.

    Parameters
    ----------
    atoms
        The molecule about its origin, which comes to lie on voxel ``box // 2`` of each axis.
    box
        Voxels a side.
    pixel_size_A
        A.
    solvent_density, smoothing_A
        As in :func:`verglas.stages.simulation.scattering.atom_factor`.

    Returns
    -------
    ndarray, (box, box, box), [z, y, x]
        Potential in V, band-limited to a sphere up to the Nyquist frequency.
    """
    fine = scipy.fft.next_fast_len(math.ceil(box * 1.5), real=True)
    fine += fine % 2
    ratio = fine / box
    kernel = SpreadingKernel(ratio, 7)
    nyquist = 0.5 / pixel_size_A
    basis = FactorBasis(atoms, nyquist * 1.001, solvent_density=solvent_density, smoothing_A=smoothing_A)
    points = (box // 2 + atoms.positions_A[:, ::-1] / pixel_size_A) * ratio
    k = scipy.fft.fftfreq(box, pixel_size_A)
    k_half = np.abs(scipy.fft.rfftfreq(box, pixel_size_A))
    radius = np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + k_half[None, None, :] ** 2)
    inside = radius < nyquist
    correction = [kernel.transform(axis * pixel_size_A / ratio) for axis in (k, k, k_half)]
    index = np.rint(k * box * pixel_size_A).astype(int) % fine
    total = np.zeros(radius.shape, np.complex64)
    for i in range(basis.rank):
        grid = np.zeros((fine, fine, fine), np.float32)
        spread_3d(points, basis.weights[basis.kind, i], kernel.table, TABLE_STEP, kernel.width, grid)
        cropped = scipy.fft.rfftn(grid)[np.ix_(index, index, np.arange(len(k_half)))]
        cropped[inside] *= basis.at(i, radius[inside])
        total += cropped
    total[~inside] = 0
    total /= correction[0][:, None, None] * correction[1][None, :, None] * correction[2][None, None, :]
    return np.asarray(scipy.fft.irfftn(total / pixel_size_A**3, (box, box, box)), dtype=np.float32)
