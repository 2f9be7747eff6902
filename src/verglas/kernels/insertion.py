"""Sums of weighted central slices in Fourier space, and what is read from them, by trilinear interpolation.

A grid of sums is a flat array of (real, imaginary, weight) triples of the voxels within a sphere, in the half of
Fourier space with x >= 0: voxel (z, y, x) is triple ``starts[z + centre, y + centre] + x``. Only rows that reach into
the sphere are stored, which takes half the memory of a cube.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from verglas.kernels.compile import cpu_kernel

Array = np.ndarray[Any, Any]


def add_body(volume: Array, at: Any, value: Any) -> None:
    """Add to one number of a grid; on a GPU, where many threads write, this is an atomic addition."""
    volume[at] += value


_add = cpu_kernel(inline=True)(add_body)


def spread_body(
    volume: Array, starts: Array, centre: int, x: float, y: float, z: float, real: float, imaginary: float,
    weight: float, low: int, high: int,
) -> None:  # fmt: skip
    """Add one point's value and weight to the eight voxels around it, as far as they lie in a range of planes.

    Parameters
    ----------
    volume, starts, centre
        Grid of sums, see the module.
    x, y, z
        Point in voxels, x >= 0, inside the sphere.
    real, imaginary, weight
        What to add.
    low, high
        Planes that may be written: ``low <= z + centre < high``.
    """
    one = np.float32(1.0)
    fy, fz = y + np.float32(centre), z + np.float32(centre)
    # All are positive, so that truncation is the floor; unsigned offsets spare numba's wrap-around checks.
    ix, iy, iz = np.uintp(x), np.uintp(fy), np.uintp(fz)
    dx, dy, dz = x - np.float32(ix), fy - np.float32(iy), fz - np.float32(iz)
    ex, ey, ez = one - dx, one - dy, one - dz
    row = iz * np.uintp(2 * centre + 1) + iy
    for plane in range(2):
        number = np.int64(iz) + plane
        if low <= number < high:
            factor = dz if plane else ez
            for line in range(2):
                share = factor * (dy if line else ey)
                at = np.uintp(3) * (np.uintp(starts[row + np.uintp(line)]) + ix)
                first, second = share * ex, share * dx
                _add(volume, at, first * real)
                _add(volume, at + np.uintp(1), first * imaginary)
                _add(volume, at + np.uintp(2), first * weight)
                _add(volume, at + np.uintp(3), second * real)
                _add(volume, at + np.uintp(4), second * imaginary)
                _add(volume, at + np.uintp(5), second * weight)
        row += np.uintp(2 * centre + 1)


def narrow_body(first: int, last: int, slope: float, offset: float, low: float, high: float) -> tuple[int, int]:
    """Narrow the range of integers i to where ``low <= offset + slope i <= high``, leaving a margin of one or two."""
    if slope == 0.0:
        return (first, last) if low - 1.0 <= offset <= high + 1.0 else (first, first)
    a, b = (low - offset) / slope, (high - offset) / slope
    # Clamped before they become integers, which cannot hold what a small slope makes.
    least = max(min(a, b), first - 4.0)
    most = min(max(a, b), last + 4.0)
    return max(first, math.floor(least) - 1), min(last, math.floor(most) + 3)


_spread = cpu_kernel(inline=True)(spread_body)
_narrow = cpu_kernel(inline=True)(narrow_body)


@cpu_kernel(parallel=True)
def insert_points(
    values: Array, rotations: Array, lines: Array, scale: float, bend: float, stretch: Array, volume: Array,
    starts: Array, centre: int, slabs: Array,
) -> None:  # fmt: skip
    """Add central slices, flat or bent, to a grid of sums.

    Every slab of planes is filled by one thread, in the order of the slices: the sums do not depend on how many slabs
    there are.

    Parameters
    ----------
    values : float32 array, shape (n, points, 3)
        Weighted real part, weighted imaginary part and weight of each point of each slice.
    rotations : float32 array, shape (n, copies, 3, 3)
        Each slice is added at ``rotation^T k`` for each of its copies.
    lines : int64 array, shape (lines, 4)
        Rows of the slice: ky, first kx, past last kx, and place of the first one's value.
    scale : float
        Voxels of the grid for one pixel of the slice.
    bend : float
        Slices lie at height ``bend k^2``, k the true frequency, in pixels.
    stretch : float32 array, shape (2, 2)
        Takes nominal to true frequencies of a slice: the magnification of its optics. Points that are bent or
        stretched beyond the grid's sphere are left out.
    volume, starts, centre
        Grid of sums, see the module; float32 or float64, added to.
    slabs : int64 array, shape (slabs + 1,)
        Borders of the slabs along z, 0 to ``2 centre + 1``.
    """
    limit = np.float32((centre - 1.75) ** 2)
    # Ranges along a row are those of the flat slice, widened by how far the bent one may lie from it.
    margin = abs(bend) * (centre * centre) / scale
    a, b, c, d = stretch[0, 0], stretch[0, 1], stretch[1, 0], stretch[1, 1]
    one, zero = np.float32(1.0), np.float32(0.0)
    leaving = bend != 0.0 or a != one or b != zero or c != zero or d != one
    xx2, xy2, yy2 = a * a + c * c, np.float32(2.0) * (a * b + c * d), b * b + d * d
    for slab in prange(slabs.shape[0] - 1):
        low, high = slabs[slab], slabs[slab + 1]
        bottom, top = np.float64(low - 1 - centre) - margin, np.float64(high - centre) + margin
        for n in range(values.shape[0]):
            for copy in range(rotations.shape[1]):
                r, s = rotations[n, copy], np.float32(scale)
                xx, xy = s * (a * r[0, 0] + c * r[1, 0]), s * (b * r[0, 0] + d * r[1, 0])
                yx, yy = s * (a * r[0, 1] + c * r[1, 1]), s * (b * r[0, 1] + d * r[1, 1])
                zx, zy = s * (a * r[0, 2] + c * r[1, 2]), s * (b * r[0, 2] + d * r[1, 2])
                xz = np.float32(scale * bend) * rotations[n, copy, 2, 0]
                yz = np.float32(scale * bend) * rotations[n, copy, 2, 1]
                zz = np.float32(scale * bend) * rotations[n, copy, 2, 2]
                for line in range(lines.shape[0]):
                    ky = np.float32(lines[line, 0])
                    begin, end, place = lines[line, 1], lines[line, 2], lines[line, 3]
                    ox, oy, oz = xy * ky, yy * ky, zy * ky
                    for mirrored in range(2):
                        sign = np.float32(-1.0) if mirrored else np.float32(1.0)
                        first, last = _narrow(begin, end, sign * xx, sign * ox, -margin, np.inf)
                        first, last = _narrow(first, last, sign * zx, sign * oz, bottom, top)
                        for i in range(first, last):
                            kx = np.float32(i)
                            x, y, z = ox + xx * kx, oy + yx * kx, oz + zx * kx
                            if leaving:
                                squared = xx2 * kx * kx + xy2 * kx * ky + yy2 * ky * ky
                                x, y, z = x + xz * squared, y + yz * squared, z + zz * squared
                                if x * x + y * y + z * z >= limit:
                                    continue
                            if (x < np.float32(0.0)) != (mirrored == 1):
                                continue
                            at = place + i - begin
                            _spread(
                                volume, starts, centre, sign * x, sign * y, sign * z, values[n, at, 0],
                                sign * values[n, at, 1], values[n, at, 2], low, high,
                            )  # fmt: skip


@cpu_kernel(parallel=True)
def weigh_points(
    transforms: Array, ctf: Array, row_phases: Array, column_phases: Array, rows: Array, columns: Array,
    weights: Array, decay: Array, squared: Array, curves: Array, curve: Array, factor: Array, quadrature: Array,
    side: int, out: Array,
) -> None:  # fmt: skip
    """Fill ``out[n, i]`` with weight x CTF x shifted component (real, imaginary) and weight x CTF^2.

    With ``c = -sin chi`` (the CTF) and ``q = -cos chi``, one side of the Ewald sphere is seen with
    ``(c - i side q) / 2``: its conjugate takes the place of the CTF, and half of CTF^2 that of CTF^2, so that both
    sides add up to the flat slice where the sphere is flat.

    Parameters
    ----------
    transforms : complex64 array, shape (n, ny, nx // 2 + 1)
    ctf : float32 array, shape (n, points)
    row_phases, column_phases : complex64 arrays, shapes (n, ny) and (n, nx // 2 + 1)
        Their product moves an image.
    rows, columns : int64 arrays, shape (points,)
        Where each point lies in a transform.
    weights, decay : float32 arrays, shape (n,)
        The weight of a point is ``weights exp(-decay squared / 4) curves[curve]``.
    squared : float32 array, shape (points,)
        Squared frequency in 1/A^2.
    curves : float32 array, shape (curves, points)
    curve : int64 array, shape (n,)
    factor : complex64 array, shape (points,)
        Multiplied into every component.
    quadrature : float32 array, shape (n, points)
        The CTF with a quarter turn more of phase shift; used for sides only.
    side : int
        0 for a flat slice, 1 or -1 for a side of the sphere.
    out : float32 array, shape (n, points, 3)
    """
    for n in prange(transforms.shape[0]):
        for i in range(rows.shape[0]):
            weight = weights[n] * curves[curve[n], i]
            if decay[n] != np.float32(0.0):
                weight *= math.exp(np.float32(-0.25) * decay[n] * squared[i])
            value = transforms[n, rows[i], columns[i]] * row_phases[n, rows[i]] * column_phases[n, columns[i]]
            value *= factor[i]
            transfer = ctf[n, i]
            if side == 0:
                out[n, i, 0] = weight * transfer * value.real
                out[n, i, 1] = weight * transfer * value.imag
                out[n, i, 2] = weight * transfer * transfer
            else:
                half, other = np.float32(0.5) * weight, np.float32(side) * quadrature[n, i]
                out[n, i, 0] = half * (transfer * value.real - other * value.imag)
                out[n, i, 1] = half * (transfer * value.imag + other * value.real)
                out[n, i, 2] = half * transfer * transfer


def stored_body(volume: Array, starts: Array, centre: int, x: int, y: int, z: int) -> tuple[float, float, float]:
    """Return the sums of one voxel of the half with x >= 0, and of its mate's on the plane x = 0."""
    side = 2 * centre + 1
    at = 3 * (np.int64(starts[(z + centre) * side + y + centre]) + x)
    real, imaginary, weight = volume[at], volume[at + 1], volume[at + 2]
    if x == 0:
        # Points were added on one side of the origin only; those of the other side are their conjugates.
        at = 3 * np.int64(starts[(centre - z) * side + centre - y])
        real += volume[at]
        imaginary -= volume[at + 1]
        weight += volume[at + 2]
    return real, imaginary, weight


_stored = cpu_kernel(inline=True)(stored_body)


@cpu_kernel(parallel=True)
def read_planes(
    volumes: tuple[Array, ...], starts: Array, centre: int, cores: tuple[Array, ...], core_starts: Array,
    core_centre: int, first_x: int, shells_per_voxel: float, added: Array, out: Array,
) -> None:  # fmt: skip
    """Fill ``out[i, z, y]`` with value / (weight + added) at ``x = first_x + i``, summed over grids.

    Parameters
    ----------
    volumes, starts, centre
        Grids of sums, see the module.
    cores, core_starts, core_centre
        Grids of sums of the points near the origin; added to the others.
    first_x : int
    shells_per_voxel : float
        Shell = round(|voxel| shells_per_voxel).
    added : float64 array, shape (shells,)
        Below zero: the shell is left empty.
    out : complex64 array, shape (planes, size, size)
        z and y as in a discrete transform: negative ones at the end. Voxels at or beyond ``size / 2`` are 0.
    """
    size = out.shape[1]
    half = size // 2
    core_limit = core_centre * core_centre
    for row in prange(size):
        z = int(np.int64(row)) if row < half else int(np.int64(row)) - size
        for i in range(out.shape[0]):
            x = first_x + i
            for column in range(size):
                y = column if column < half else column - size
                squared = x * x + y * y + z * z
                out[i, row, column] = 0.0
                if squared >= half * half:
                    continue
                shell = int(math.sqrt(squared) * shells_per_voxel + 0.5)
                if added[shell] < 0.0:
                    continue
                real, imaginary, weight = 0.0, 0.0, 0.0
                for k in range(len(volumes)):
                    a, b, c = _stored(volumes[k], starts, centre, x, y, z)
                    real, imaginary, weight = real + a, imaginary + b, weight + c
                    if squared < core_limit:
                        a, b, c = _stored(cores[k], core_starts, core_centre, x, y, z)
                        real, imaginary, weight = real + a, imaginary + b, weight + c
                total = weight + added[shell]
                if total > 0.0:
                    out[i, row, column] = complex(real / total, imaginary / total)


@cpu_kernel(parallel=True)
def weight_per_shell(volume: Array, starts: Array, centre: int, shells_per_voxel: float, sums: Array) -> None:
    """Add each plane's weights, and how many voxels it has, to ``sums[z + centre, 0 or 1, shell]``, float64.

    Mates count; corners beyond the last shell do not. Other parameters as :func:`read_planes`.
    """
    side = 2 * centre + 1
    for plane in prange(side):
        z = np.int64(plane) - centre
        for y in range(-centre, centre + 1):
            row = (z + centre) * side + y + centre
            for x in range(np.int64(starts[row + 1]) - np.int64(starts[row])):
                shell = int(math.sqrt(x * x + y * y + z * z) * shells_per_voxel + 0.5)
                if shell < sums.shape[2]:
                    # On the plane x = 0 both mates are stored, each holding one half of the sum.
                    sums[plane, 0, shell] += 2.0 * volume[3 * (np.int64(starts[row]) + x) + 2]
                    sums[plane, 1, shell] += 1.0 if x == 0 else 2.0


def warm() -> None:
    """Compile the kernels of this module for the types they are called with."""
    starts = np.zeros(26, np.uint32)
    lines = np.array([[0, 0, 1, 0]])
    identity = np.eye(3, dtype=np.float32)[None, None]
    values = np.zeros((1, 1, 3), np.float32)
    for kind in (np.float32, np.float64):
        volume = np.zeros(24, kind)
        insert_points(
            values, identity, lines, 2.0, 0.0, np.eye(2, dtype=np.float32), volume, starts, 2, np.array([0, 5])
        )
        weight_per_shell(volume, starts, 2, 0.5, np.zeros((5, 2, 2)))
    weigh_points(
        np.zeros((1, 1, 1), np.complex64), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.complex64),
        np.zeros((1, 1), np.complex64), np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.float32),
        np.zeros(1, np.float32), np.zeros(1, np.float32), np.zeros((1, 1), np.float32), np.zeros(1, np.int64),
        np.zeros(1, np.complex64), np.zeros((1, 1), np.float32), 0, values,
    )  # fmt: skip
    for count in (1, 2):
        read_planes(
            (np.zeros(24, np.float32),) * count, starts, 2, (np.zeros(24),) * count, starts, 2,
            0, 0.5, np.ones(3), np.zeros((1, 4, 4), np.complex64),
        )  # fmt: skip
