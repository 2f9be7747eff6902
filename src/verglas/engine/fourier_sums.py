"""The sums that a reconstruction is made of: CTF-weighted slices added up in an oversampled Fourier volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.threads import kernel_threads
from verglas.errors import InputError
from verglas.geometry import point_group
from verglas.kernels.arrays import kernel_for, to_numpy
from verglas.microscopy.optics import PLAIN
from verglas.signal import apply_mask, smooth_size, sphere_mask

CORE_VOXELS = 32
"""Points nearer to the origin than this are summed in float64: their voxels get a share of almost every particle."""
CORE_MARGIN = 4
"""The grid of the core is wider by so many voxels: room for points that uneven magnification takes outwards."""
LARGEST_STRETCH = (CORE_VOXELS + CORE_MARGIN) / CORE_VOXELS
PLANES_AT_ONCE = 8
SMALLEST_BOX = 16
EDGE_PIXELS = 3.0
"""Maps fade to their mean over so many pixels at the sphere that fits the box: beyond are noise and wrapped copies."""


@dataclass(frozen=True)
class Sphere:
    """The voxels of one grid of sums: see :mod:`verglas.kernels.insertion`."""

    centre: int
    starts: NDArray[np.uint32]

    @property
    def voxels(self) -> int:
        """Number of voxels stored."""
        return int(self.starts[-1])

    def slabs(self, count: int) -> NDArray[np.int64]:
        """Return the borders of slabs along z that evenly spread views fill with equally many points."""
        # The points of random slices are as dense in z as radius - |z|.
        part = np.linspace(-1.0, 1.0, count + 1)
        height = np.sign(part) * (1.0 - np.sqrt(1.0 - np.abs(part)))
        borders = np.rint(self.centre * (1.0 + height)).astype(np.int64)
        borders[0], borders[-1] = 0, 2 * self.centre + 1
        return borders


@lru_cache(maxsize=16)
def sphere(radius: int) -> Sphere:
    """Return the layout of a grid that can take points less than ``radius`` voxels from the origin."""
    centre = radius + 2
    axis = np.arange(-centre, centre + 1) ** 2
    inside = centre * centre - axis[:, None] - axis[None, :]
    # x = 0 ... of the voxels within the sphere of radius + 2, which holds all corners of all points' cells.
    lengths = np.where(inside >= 0, np.floor(np.sqrt(np.maximum(inside, 0))) + 1, 0).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths.ravel())])
    if starts[-1] >= 2**32:
        raise InputError("a Fourier volume of this size is not supported: choose a smaller box or oversampling 1.")
    compact = starts.astype(np.uint32)
    return Sphere(centre, compact)


def split_symmetry(name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Split a point group into operators that permute voxels and the rest.

    Returns
    -------
    permutations : int array, shape (h, 3, 3)
        The operators that are signed permutations of the axes, a subgroup: sums can be symmetrised by them exactly.
    representatives : float64 array, shape (order / h, 3, 3)
        Every operator is one representative times one permutation; slices are inserted once for each.
    """
    operators = point_group(name).operators
    rounded = np.rint(operators).astype(np.int64)
    exact = np.abs(operators - rounded).max(axis=(1, 2)) < 1e-9
    permutations = rounded[exact]
    left, chosen = list(operators), []
    while left:
        first = left[0]
        chosen.append(first)
        coset = first @ permutations
        left = [other for other in left if np.abs(coset - other).max(axis=(1, 2)).min() > 1e-6]
    return permutations, np.array(chosen)


class Slices:
    """Where the components of a box's transform lie, and how the box's Fourier volume is sampled.

    Parameters
    ----------
    box
        Pixels a side of the images.
    pixel_size_A
        Pixel size in A.
    oversampling
        How many times finer than 1 / box the volume is sampled.

    Attributes
    ----------
    grid
        Voxels a side of the padded map: a size fast to transform, at least ``oversampling * box``.
    scale
        ``grid / box``.
    radius
        Points lie less than this many voxels from the origin.
    rows, columns
        Place of each point in a half transform; int64, shape (points,).
    kx_per_A, ky_per_A
        Frequencies in 1/A.
    """

    def __init__(self, box: int, pixel_size_A: float, oversampling: int) -> None:
        if box < SMALLEST_BOX or not pixel_size_A > 0.0 or oversampling not in (1, 2, 3, 4):
            raise InputError(
                f"a reconstruction of box {box} with pixels of {pixel_size_A:g} A, oversampled {oversampling} times, "
                f"makes no sense: boxes start at {SMALLEST_BOX}, oversampling is 1 to 4."
            )
        self.box, self.pixel_size_A = box, float(pixel_size_A)
        self.grid = smooth_size(oversampling * box)
        self.scale = self.grid / box
        self.radius = self.grid // 2
        core = min(CORE_VOXELS, self.radius) / self.scale
        nyquist = 0.5 * box
        inner, outer = [], []
        points: list[NDArray[np.int64]] = []
        place = 0
        for ky in range(-((box - 1) // 2), (box - 1) // 2 + 1):
            # The column kx = 0 holds every component twice: its lower half is left out.
            begin = 0 if ky >= 0 else 1
            middle = max(begin, math.ceil(math.sqrt(max(core * core - ky * ky, 0.0))))
            end = max(middle, math.ceil(math.sqrt(max(nyquist * nyquist - ky * ky, 0.0))))
            if middle > begin:
                inner.append((ky, begin, middle, place))
            if end > middle:
                outer.append((ky, middle, end, place + middle - begin))
            place += end - begin
            kx = np.arange(begin, end)
            points.append(np.stack([np.full(kx.size, ky), kx]))
        ky_all, kx_all = np.concatenate(points, axis=1)
        self.core_lines, self.lines = np.array(inner, np.int64), np.array(outer, np.int64).reshape(-1, 4)
        self.rows, self.columns = ky_all % box, kx_all
        self.kx_per_A, self.ky_per_A = kx_all / (box * pixel_size_A), ky_all / (box * pixel_size_A)
        self.radius_pixels = np.hypot(kx_all, ky_all)
        # The origin is its own mate, and sums are completed with their mates when they are read.
        self.mates = np.where(self.radius_pixels == 0.0, 0.5, 1.0).astype(np.float32)


class FourierSums:
    """The sums of one half of the data.

    Parameters
    ----------
    slices
        The sampling.
    xp
        Array library: NumPy, or CuPy for sums on a GPU.

    Attributes
    ----------
    volume : float32 array
        Triples of the whole sphere, without the points of the core.
    core : float64 array
        Triples of the points near the origin.
    is_symmetric : bool
        Nothing was added since they were symmetrised.
    """

    def __init__(self, slices: Slices, xp: Any = np) -> None:
        self.slices, self.xp = slices, xp
        self.sphere = sphere(slices.radius)
        self.core_sphere = sphere(min(CORE_VOXELS + CORE_MARGIN, slices.radius))
        # Three more, because the voxel after the last of a row is read, never kept.
        self.volume = xp.zeros(3 * self.sphere.voxels + 3, xp.float32)
        self.core = xp.zeros(3 * self.core_sphere.voxels + 3, xp.float64)
        self.is_symmetric = False

    def insert(
        self, values: NDArray[np.float32], rotations: NDArray[np.float32], threads: int, bend: float = 0.0,
        magnification: Any = PLAIN,
    ) -> None:  # fmt: skip
        """Add weighted points, shape (n, points, 3), at rotations of shape (n, copies, 3, 3).

        Points lie where the magnification takes their nominal frequencies, at height ``bend k^2``, frequencies in steps
        of 1 / box.

        Raises
        ------
        InputError
            If the magnification makes images larger by more than an eighth.
        """
        stretch = np.asarray(magnification, np.float32)
        if np.linalg.norm(stretch, 2) > LARGEST_STRETCH:
            raise InputError(
                f"a magnification of {np.linalg.norm(stretch, 2):.3f} is more than {LARGEST_STRETCH:.3f}: correct the "
                "pixel size of its optics group first."
            )
        self.is_symmetric = False
        scale, insert_points = self.slices.scale, kernel_for(self.xp, "insertion", "insert_points")
        if self.xp is not np:
            stretch, turned = self.xp.asarray(stretch), self.xp.asarray(rotations)
            for lines, volume, layout in (
                (self.slices.lines, self.volume, self.sphere), (self.slices.core_lines, self.core, self.core_sphere),
            ):  # fmt: skip
                longest = int((lines[:, 2] - lines[:, 1]).max(initial=0))
                if longest:
                    insert_points(
                        values, turned, self.xp.asarray(lines), scale, bend, stretch, volume,
                        self.xp.asarray(layout.starts), layout.centre, longest,
                    )  # fmt: skip
            return
        with kernel_threads(threads):
            insert_points(
                values, rotations, self.slices.lines, scale, bend, stretch, self.volume, self.sphere.starts,
                self.sphere.centre, self.sphere.slabs(threads),
            )  # fmt: skip
            insert_points(
                values, rotations, self.slices.core_lines, scale, bend, stretch, self.core, self.core_sphere.starts,
                self.core_sphere.centre, self.core_sphere.slabs(threads),
            )  # fmt: skip

    def symmetrise(self, operators: NDArray[np.int64], threads: int) -> None:
        """Replace sums in host memory by their means over a group of permutations.

        Means of sums are sums of means: more may be added afterwards, and all be symmetrised again.
        """
        from verglas.kernels.symmetry_of_sums import symmetrise_sums

        if len(operators) > 1 and not self.is_symmetric:
            with kernel_threads(threads):
                for volume, layout in ((self.volume, self.sphere), (self.core, self.core_sphere)):
                    symmetrise_sums(volume, layout.starts, layout.centre, operators)
        self.is_symmetric = True

    def on_host(self) -> FourierSums:
        """Return the sums in host memory: these, or a copy of those on a GPU."""
        if self.xp is np:
            return self
        copy = object.__new__(FourierSums)
        copy.slices, copy.xp, copy.sphere, copy.core_sphere = self.slices, np, self.sphere, self.core_sphere
        copy.volume, copy.core, copy.is_symmetric = to_numpy(self.volume), to_numpy(self.core), False
        return copy


def shell_weights(sums: Sequence[FourierSums], threads: int) -> NDArray[np.float64]:
    """Return the mean over each shell of the weights of some sums."""
    from verglas.kernels.insertion import weight_per_shell

    slices = sums[0].slices
    totals = np.zeros((2, slices.box // 2 + 1))
    with kernel_threads(threads):
        for one in sums:
            for volume, layout in ((one.volume, one.sphere), (one.core, one.core_sphere)):
                planes = np.zeros((2 * layout.centre + 1, *totals.shape))
                weight_per_shell(volume, layout.starts, layout.centre, 1.0 / slices.scale, planes)
                found = planes.sum(axis=0)
                totals[0] += found[0]
                if volume is one.volume:
                    totals[1] = found[1]
    means: NDArray[np.float64] = totals[0] / np.maximum(totals[1], 1.0)
    return means


def make_map(sums: Sequence[FourierSums], added: NDArray[np.float64], threads: int) -> NDArray[np.float32]:
    """Return the map of (added up) sums: value / (weight + added), back in real space, corrected for the gridding.

    Parameters
    ----------
    sums
        One or both halves.
    added
        For each shell; below zero: leave the shell empty. Shape (box // 2 + 1,).
    threads
        Threads.

    Returns
    -------
    ndarray, shape (box, box, box)
        float32.

    Notes
    -----
    Beyond the sphere that fits the box the map fades to its mean there. The padded volume never exists: planes of it
    are transformed over z and y and cropped, then its rows over x.
    """
    import scipy.fft

    from verglas.kernels.insertion import read_planes

    first, slices = sums[0], sums[0].slices
    box, grid = slices.box, slices.grid
    kept = (np.arange(box) - box // 2) % grid
    half = np.zeros((box, box, grid // 2 + 1), np.complex64)
    volumes, cores = tuple(one.volume for one in sums), tuple(one.core for one in sums)
    for x in range(0, grid // 2, PLANES_AT_ONCE):
        planes = np.empty((min(PLANES_AT_ONCE, grid // 2 - x), grid, grid), np.complex64)
        with kernel_threads(threads):
            read_planes(
                volumes, first.sphere.starts, first.sphere.centre, cores, first.core_sphere.starts,
                first.core_sphere.centre, x, 1.0 / slices.scale, added, planes,
            )  # fmt: skip
        along_z = scipy.fft.ifft(planes, axis=1, workers=threads, overwrite_x=True)[:, kept]
        along_y = scipy.fft.ifft(along_z, axis=2, workers=threads, overwrite_x=True)[:, :, kept]
        half[:, :, x : x + len(planes)] = np.moveaxis(along_y, 0, -1)
    volume = np.empty((box, box, box), np.float32)
    correction = (1.0 / np.sinc((np.arange(box) - box // 2) / grid) ** 2).astype(np.float32)
    for z in range(box):
        rows = scipy.fft.irfft(half[z], grid, axis=1, workers=threads)
        volume[z] = rows[:, kept] * (correction[z] * correction[:, None] * correction)
    masked: NDArray[np.float32] = apply_mask(
        volume, sphere_mask(volume.shape, 0.5 * box - EDGE_PIXELS, 1.0, edge_A=EDGE_PIXELS)
    )
    return masked


def shell_values(curve: Any, slices: Slices) -> NDArray[np.float32]:
    """Return a curve over shells 0 ... box // 2 at every point of a slice, interpolated; shape (..., points)."""
    values = np.asarray(curve, np.float64)
    if values.shape[-1] < slices.box // 2 + 1:
        raise InputError(
            f"a curve of {values.shape[-1]} shells does not reach the Nyquist frequency of box {slices.box}, "
            f"which has {slices.box // 2 + 1}."
        )
    low = slices.radius_pixels.astype(np.int64)
    part = slices.radius_pixels - low
    result: NDArray[np.float32] = (values[..., low] * (1.0 - part) + values[..., low + 1] * part).astype(np.float32)
    return result
