"""Values and gradients of a reference's Fourier transform at points of central slices, by trilinear interpolation.

The transform is kept as one flat float32 array of (real, imaginary) pairs, ``[z, y, x]`` with x fastest: z and y run
from ``-centre`` to ``centre`` and x from 0 to ``centre``; the half at negative x is its conjugate mirror.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from verglas.kernels.compile import cpu_kernel

Array = np.ndarray[Any, Any]


def sample_body(values: Array, centre: int, depth: int, x: float, y: float, z: float) -> tuple[float, float]:
    """Return real and imaginary part at one point.

    Parameters
    ----------
    values
        Flat transform, see the module.
    centre
        Largest index along an axis; the point must lie less than ``centre - 1`` from the origin.
    depth
        Largest index along z: ``centre``, or 0 for the single plane of an image.
    x, y, z
        Point in voxels of the transform.
    """
    one = np.float32(1.0)
    sign = one
    if x < np.float32(0.0):
        sign = -one
    fx, fy, fz = x * sign, y * sign + np.float32(centre), z * sign + np.float32(depth)
    # All three are positive, so that truncation is the floor; unsigned offsets spare numba's wrap-around checks.
    ix, iy, iz = np.uintp(fx), np.uintp(fy), np.uintp(fz)
    dx, dy, dz = fx - np.float32(ix), fy - np.float32(iy), fz - np.float32(iz)
    row = np.uintp(2 * (centre + 1))
    plane = row * np.uintp(2 * centre + 1)
    a = iz * plane + iy * row + np.uintp(2) * ix
    b, c = a + row, a + plane
    d = c + row
    i, j, k = np.uintp(1), np.uintp(2), np.uintp(3)
    ex, ey, ez = one - dx, one - dy, one - dz
    wa, wb, wc, wd = ey * ez, dy * ez, ey * dz, dy * dz
    low = wa * values[a] + wb * values[b] + wc * values[c] + wd * values[d]
    high = wa * values[a + j] + wb * values[b + j] + wc * values[c + j] + wd * values[d + j]
    real = ex * low + dx * high
    low = wa * values[a + i] + wb * values[b + i] + wc * values[c + i] + wd * values[d + i]
    high = wa * values[a + k] + wb * values[b + k] + wc * values[c + k] + wd * values[d + k]
    return real, sign * (ex * low + dx * high)


def gradient_body(
    values: Array, centre: int, depth: int, x: float, y: float, z: float
) -> tuple[float, float, float, float, float, float, float, float]:
    """Return real and imaginary part at one point, then the real parts of d/dx, d/dy, d/dz and their imaginary parts.

    Parameters as :func:`sample_body`. Derivatives are those of the interpolated function, which jump at voxel faces.
    """
    one = np.float32(1.0)
    sign = one
    if x < np.float32(0.0):
        sign = -one
    fx, fy, fz = x * sign, y * sign + np.float32(centre), z * sign + np.float32(depth)
    ix, iy, iz = np.uintp(fx), np.uintp(fy), np.uintp(fz)
    dx, dy, dz = fx - np.float32(ix), fy - np.float32(iy), fz - np.float32(iz)
    row = np.uintp(2 * (centre + 1))
    plane = row * np.uintp(2 * centre + 1)
    a = iz * plane + iy * row + np.uintp(2) * ix
    b, c = a + row, a + plane
    d = c + row
    i, j, k = np.uintp(1), np.uintp(2), np.uintp(3)
    # Along x: value and slope on the four edges of the cell, real then imaginary.
    sa, sb, sc, sd = (
        values[a + j] - values[a],
        values[b + j] - values[b],
        values[c + j] - values[c],
        values[d + j] - values[d],
    )
    va, vb, vc, vd = values[a] + dx * sa, values[b] + dx * sb, values[c] + dx * sc, values[d] + dx * sd
    ey, ez = one - dy, one - dz
    gx = ez * (ey * sa + dy * sb) + dz * (ey * sc + dy * sd)
    gy = ez * (vb - va) + dz * (vd - vc)
    near, far = ey * va + dy * vb, ey * vc + dy * vd
    gz = far - near
    real = ez * near + dz * far
    sa, sb = values[a + k] - values[a + i], values[b + k] - values[b + i]
    sc, sd = values[c + k] - values[c + i], values[d + k] - values[d + i]
    va, vb, vc, vd = values[a + i] + dx * sa, values[b + i] + dx * sb, values[c + i] + dx * sc, values[d + i] + dx * sd
    hx = ez * (ey * sa + dy * sb) + dz * (ey * sc + dy * sd)
    hy = ez * (vb - va) + dz * (vd - vc)
    near, far = ey * va + dy * vb, ey * vc + dy * vd
    hz = far - near
    # f(k) = conj F(-k): the slope of the real part changes sign with k, that of the imaginary part does not.
    return real, sign * (ez * near + dz * far), sign * gx, sign * gy, sign * gz, hx, hy, hz


_sample = cpu_kernel(inline=True)(sample_body)
_gradient = cpu_kernel(inline=True)(gradient_body)


@cpu_kernel(parallel=True, fastmath=True)
def slice_values(values: Array, centre: int, depth: int, rotations: Array, kx: Array, ky: Array, out: Array) -> None:
    """Fill ``out[n, i]`` with the transform at ``rotations[n]^T (kx[i], ky[i], 0)``.

    Parameters
    ----------
    values : float32 array
        Flat transform, see the module.
    centre, depth : int
        Its largest indices, see :func:`sample_body`.
    rotations : float32 array, shape (n, 3, 3)
    kx, ky : float32 arrays, shape (points,)
        In voxels of the transform.
    out : complex64 array, shape (n, points)
    """
    for n in prange(rotations.shape[0]):
        xx, xy = rotations[n, 0, 0], rotations[n, 1, 0]
        yx, yy = rotations[n, 0, 1], rotations[n, 1, 1]
        zx, zy = rotations[n, 0, 2], rotations[n, 1, 2]
        for i in range(kx.size):
            u, v = kx[i], ky[i]
            real, imaginary = _sample(values, centre, depth, xx * u + xy * v, yx * u + yy * v, zx * u + zy * v)
            out[n, i] = complex(real, imaginary)


@cpu_kernel(parallel=True, fastmath=True)
def slice_gradients(
    values: Array, centre: int, depth: int, rotations: Array, kx: Array, ky: Array, out: Array, gradient: Array
) -> None:
    """Fill ``out[n, i]`` as :func:`slice_values`, and ``gradient[n, j, i]`` with its slopes in the image's frame.

    ``j`` = 0, 1, 2: derivatives along kx, ky and the beam, complex64, per voxel of the transform.
    """
    for n in prange(rotations.shape[0]):
        r = rotations[n]
        for i in range(kx.size):
            u, v = kx[i], ky[i]
            real, imaginary, gx, gy, gz, hx, hy, hz = _gradient(
                values, centre, depth, r[0, 0] * u + r[1, 0] * v, r[0, 1] * u + r[1, 1] * v, r[0, 2] * u + r[1, 2] * v
            )
            out[n, i] = complex(real, imaginary)
            for j in range(3):
                gradient[n, j, i] = complex(
                    r[j, 0] * gx + r[j, 1] * gy + r[j, 2] * gz, r[j, 0] * hx + r[j, 1] * hy + r[j, 2] * hz
                )


def warm() -> None:
    """Compile the kernels."""
    centre = 3
    values = np.zeros(2 * (centre + 1) * (2 * centre + 1) ** 2, np.float32)
    rotations = np.eye(3, dtype=np.float32)[None]
    k = np.zeros(1, np.float32)
    out = np.zeros((1, 1), np.complex64)
    slice_values(values, centre, centre, rotations, k, k, out)
    slice_gradients(values, centre, centre, rotations, k, k, out, np.zeros((1, 3, 1), np.complex64))
