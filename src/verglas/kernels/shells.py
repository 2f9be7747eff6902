"""Sums of products of two Fourier transforms over spherical shells, in one pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from verglas.kernels.compile import cpu_kernel


@cpu_kernel()
def shell_products(
    first: Any, second: Any, squared_z: Any, squared_y: Any, squared_x: Any, weight: Any, sums: Any
) -> None:
    """Add Re(a b*), |a|^2, |b|^2 and the weights of every component to the sums of its shell.

    Parameters
    ----------
    first, second
        complex64 or complex128, shape (nz, ny, nx), contiguous.
    squared_z, squared_y, squared_x
        float64 squared frequencies along each axis in units of the shell width; shell = round(frequency).
    weight
        float64, shape (nx,): how many components a column stands for.
    sums
        float64, shape (4, shells), added to; components beyond the last shell are left out.
    """
    shells = sums.shape[1]
    limit = (shells - 0.5) * (shells - 0.5)
    for z in range(first.shape[0]):
        for y in range(first.shape[1]):
            squared_zy = squared_z[z] + squared_y[y]
            if squared_zy >= limit:
                continue
            for x in range(first.shape[2]):
                squared = squared_zy + squared_x[x]
                if squared >= limit:
                    break
                shell = int(np.sqrt(squared) + 0.5)
                a, b, w = first[z, y, x], second[z, y, x], weight[x]
                a_re, a_im, b_re, b_im = np.float64(a.real), np.float64(a.imag), np.float64(b.real), np.float64(b.imag)
                sums[0, shell] += w * (a_re * b_re + a_im * b_im)
                sums[1, shell] += w * (a_re * a_re + a_im * a_im)
                sums[2, shell] += w * (b_re * b_re + b_im * b_im)
                sums[3, shell] += w


def warm() -> None:
    """Compile the kernel for the types it is called with."""
    for kind in (np.complex64, np.complex128):
        cube = np.ones((2, 2, 2), dtype=kind)
        shell_products(cube, cube, np.zeros(2), np.zeros(2), np.arange(2.0), np.ones(2), np.zeros((4, 2)))
