"""Polar Fourier grids: images and templates as rings of angular orders, shifts as phase ramps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.images import Band
from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace
from verglas.microscopy.optics import PLAIN
from verglas.signal import smooth_size

EXTRA_ORDERS = 4


@dataclass(frozen=True)
class PolarGrid:
    """Rings one frequency step apart, up to a limit, with as many angles as a particle's size asks for.

    Attributes
    ----------
    width_A
        Width of the images' box.
    radii
        Radius of each ring in steps of 1 / width; shape (rings,).
    angles
        Angles of a half circle in radians; the other half is conjugate. Shape (angles,).
    orders
        Angular orders m >= 0, the even ones first; shape (orders,).
    even
        How many of them are even.
    first_ring
        First ring that holds anything of each order; shape (orders,).
    """

    width_A: float
    radii: NDArray[np.float64]
    angles: NDArray[np.float64]
    orders: NDArray[np.int64]
    even: int
    first_ring: NDArray[np.int64]

    @property
    def k_per_A(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Frequencies kx and ky of all samples in 1/A, ring after ring; flat."""
        k = self.radii[:, None] / self.width_A
        return (k * np.cos(self.angles)).ravel(), (k * np.sin(self.angles)).ravel()

    @cached_property
    def angular_matrices(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Matrices that take samples of a half circle to angular orders.

        A transform of a real image has an even real and an odd imaginary part, so that even orders come from the real
        parts of the samples alone and odd ones from the imaginary parts. The first, of shape (angles, 2 * even
        orders), takes real parts to real, then imaginary parts of the even orders; the second takes imaginary parts
        to those of the odd orders.
        """
        count = self.angles.size
        even, odd = self.orders[: self.even], self.orders[self.even :]
        a, b = np.outer(self.angles, even), np.outer(self.angles, odd)
        first = np.concatenate([np.cos(a), -np.sin(a)], axis=1) / count
        second = np.concatenate([np.sin(b), np.cos(b)], axis=1) / count
        return first.astype(np.float32), second.astype(np.float32)


def polar_grid(width_A: float, limit_A: float, radius_A: float, low_A: float = np.inf) -> PolarGrid:
    """Return the grid that a particle needs.

    Parameters
    ----------
    width_A
        Width of the images' box.
    limit_A, low_A
        Finest and coarsest resolution.
    radius_A
        Radius of the particle: order m has nothing on rings where ``2 pi radius k`` is well below m.

    Raises
    ------
    InputError
        If no ring lies within the limits.
    """
    last, first = math.floor(width_A / limit_A + 1e-9), max(1, math.ceil(width_A / low_A))
    if last < first:
        raise InputError(f"no ring lies between {low_A:g} and {limit_A:g} A in a box of {width_A:g} A.")
    radii = np.arange(first, last + 1, dtype=np.float64)
    reach = 2.0 * np.pi * radius_A * radii / width_A + EXTRA_ORDERS
    most = math.ceil(reach[-1])
    orders = np.concatenate([np.arange(0, most + 1, 2), np.arange(1, most + 1, 2)])
    first_ring = np.searchsorted(reach, orders - 1e-9)
    count = smooth_size(most + 4)
    return PolarGrid(
        float(width_A), radii, np.pi / count * np.arange(count), orders, most // 2 + 1,
        np.minimum(first_ring, radii.size - 1),
    )  # fmt: skip


def nominal_k(grid: PolarGrid, magnification: Any = PLAIN) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where in images of an uneven magnification the grid's frequencies are found, in 1/A; flat."""
    (a, b), (c, d) = np.linalg.inv(np.asarray(magnification, np.float64))
    kx, ky = grid.k_per_A
    return a * kx + b * ky, c * kx + d * ky


def to_polar(
    grid: PolarGrid, points: Band, magnification: Any = PLAIN
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrices that take components of a band to samples of the grid.

    Between its components the transform of an image that is zero outside its box is a sum of sinc functions: nothing
    is interpolated. The grid's samples are at true frequencies, the band's components at nominal ones.

    Returns
    -------
    real, imaginary : ndarrays, shape (components, samples)
        For real and for imaginary parts, float32.
    """
    kx, ky = (k * grid.width_A for k in nominal_k(grid, magnification))
    direct = np.sinc(np.subtract.outer(points.column, kx)) * np.sinc(np.subtract.outer(points.row, ky))
    conjugate = np.sinc(np.add.outer(points.column, kx)) * np.sinc(np.add.outer(points.row, ky))
    return (direct + conjugate).astype(np.float32), (direct - conjugate).astype(np.float32)


def angular_orders(grid: PolarGrid, real: Any, imaginary: Any) -> NDArray[np.float32]:
    """Return the angular orders of samples.

    Parameters
    ----------
    grid
        The grid.
    real, imaginary
        Parts of the samples, float32, shape (rows, rings * angles).

    Returns
    -------
    ndarray, shape (2, orders, rows, rings)
        Real parts (0) and imaginary parts (1), float32.
    """
    rows, rings, angles = len(real), grid.radii.size, grid.angles.size
    xp = array_namespace(real)
    even, odd = (xp.asarray(matrix) for matrix in grid.angular_matrices)
    out = xp.empty((2, grid.orders.size, rows, rings), xp.float32)
    for part, matrix, where in (
        (real, even, slice(0, grid.even)),
        (imaginary, odd, slice(grid.even, None)),
    ):
        values = part.reshape(rows * rings, angles) @ matrix
        out[:, where] = xp.moveaxis(values.reshape(rows, rings, 2, -1), (2, 3), (0, 1))
    result: NDArray[np.float32] = out
    return result


def quarter_angles(grid: PolarGrid) -> NDArray[np.float64]:
    """Return in-plane angles from 0 to a quarter turn, both included, at 2 m_max or more a turn."""
    quarter = math.ceil(0.5 * grid.orders.max())
    return np.linspace(0.0, 0.5 * np.pi, quarter + 1)


def quarter_turn(grid: PolarGrid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cosines and sines of m psi over :func:`quarter_angles`; shapes (angles, orders)."""
    phase = np.outer(quarter_angles(grid), grid.orders)
    return np.cos(phase).astype(np.float32), np.sin(phase).astype(np.float32)


def hexagonal_shifts(step_A: float, radius_A: float) -> NDArray[np.float64]:
    """Return the points of a hexagonal grid within a circle around the origin, from near to far; shape (n, 2).

    Raises
    ------
    InputError
        If the step is not positive.
    """
    if not step_A > 0.0:
        raise InputError(f"a step of {step_A:g} A between shifts makes no sense; it must be above zero.")
    reach = math.ceil(max(radius_A, 0.0) / step_A * 1.2) + 1
    i, j = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    points = step_A * np.stack([i + 0.5 * j, math.sqrt(0.75) * j], axis=-1).reshape(-1, 2)
    far = np.hypot(points[:, 0], points[:, 1])
    inside = np.flatnonzero(far <= max(radius_A, 0.0) + 1e-9)
    return np.asarray(points[inside[np.argsort(far[inside], kind="stable")]])
