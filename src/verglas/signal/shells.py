"""Sums over the shells (rings) of Fourier transforms, slab by slab in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace, to_numpy
from verglas.signal.fourier import Array, frequency_axes, hermitian_weight, rfft_shape

SLAB_COMPONENTS = 2**21
"""Components of one slab: what is held besides the transforms stays below about 100 MB."""


class ShellProducts(NamedTuple):
    """Sums over shells of the products of two transforms; float64, shape (shells,) each."""

    cross: Any
    """Sum of Re(a b*)."""
    power_first: Any
    power_second: Any
    components: Any
    """Components of the full transform in each shell."""


def number_of_shells(shape: Sequence[int]) -> int:
    """Return the number of shells from zero to the Nyquist frequency: half the longest axis, plus one."""
    return max(shape) // 2 + 1


def shell_frequencies(shape: Sequence[int], pixel_size_A: float = 1.0) -> Any:
    """Return the frequency of each shell, float64 in 1/A; shells are 1 / (longest axis in A) wide."""
    return np.arange(number_of_shells(shape)) / (max(shape) * pixel_size_A)


def slabs(shape: Sequence[int]) -> Iterator[slice]:
    """Yield ranges of the first axis that cut a transform of real arrays of this shape into slabs of fixed size."""
    spectrum = rfft_shape(shape)
    row = int(np.prod(spectrum[1:])) if len(spectrum) > 1 else 1
    step = max(1, SLAB_COMPONENTS // row)
    for start in range(0, spectrum[0], step):
        yield slice(start, min(start + step, spectrum[0]))


def shell_products(first: Array, second: Array, shape: Sequence[int], *, workers: int = 1) -> ShellProducts:
    """Sum Re(a b*), |a|^2 and |b|^2 over shells of two transforms.

    Components belong to shell round(|k| x longest axis); corners beyond the last shell are left out, and each
    component of the half transform counts for its Hermitian mate too. Sums run in float64 over slabs of fixed size in
    a fixed order, so the result does not depend on ``workers``.

    Parameters
    ----------
    first, second
        Transforms, shape ([nz,] ny, nx // 2 + 1), complex64 or complex128.
    shape
        Real-space shape.
    workers
        Threads.
    """
    if first.shape != rfft_shape(shape) or second.shape != first.shape:
        raise InputError(
            f"Transforms of shapes {first.shape} and {second.shape} are not those of two arrays of {tuple(shape)}."
        )
    xp = array_namespace(first)
    if xp is not np:
        parts = [_slab_products(xp, first[rows], second[rows], shape, rows) for rows in slabs(shape)]
        return ShellProducts(*to_numpy(sum(parts)))

    from verglas.kernels import shells as kernel

    axes = [(axis.ravel() * max(shape)) ** 2 for axis in frequency_axes(shape)]
    weight = hermitian_weight(shape)
    as_volume = (1,) * (3 - len(shape))
    squared = [np.zeros(1)] * (3 - len(shape)) + axes

    def one_slab(rows: slice) -> Any:
        sums = np.zeros((4, number_of_shells(shape)))
        along = [axis[rows] if index == 3 - len(shape) else axis for index, axis in enumerate(squared)]
        columns = weight[rows] if len(shape) == 1 else weight
        a, b = (np.ascontiguousarray(part[rows]).reshape(as_volume + part[rows].shape) for part in (first, second))
        kernel.shell_products(a, b, along[0], along[1], along[2], columns, sums)
        return sums

    ranges = list(slabs(shape))
    if workers == 1 or len(ranges) == 1:
        return ShellProducts(*sum(map(one_slab, ranges)))
    with ThreadPoolExecutor(workers) as pool:
        return ShellProducts(*sum(pool.map(one_slab, ranges)))


def shell_index(shape: Sequence[int], *, xp: Any = np, rows: slice = slice(None)) -> Array:
    """Return the shell of every component of a (slab of a) transform, int32; corners get the number of shells."""
    axes = list(frequency_axes(shape, xp=xp))
    axes[0] = axes[0][rows]
    radius = xp.sqrt(sum((axis * max(shape)) ** 2 for axis in axes))
    return xp.minimum((radius + 0.5).astype(xp.int32), number_of_shells(shape))


def _slab_products(xp: Any, first: Array, second: Array, shape: Sequence[int], rows: slice) -> Array:
    """Sum one slab with histograms: what a GPU uses, and the plain twin of the kernel."""
    count = number_of_shells(shape)
    index = shell_index(shape, xp=xp, rows=rows).ravel()
    weight = hermitian_weight(shape, xp=xp)
    weight = weight[rows] if len(shape) == 1 else weight
    values = (
        (first * xp.conj(second)).real * weight,
        (first.real**2 + first.imag**2) * weight,
        (second.real**2 + second.imag**2) * weight,
        xp.broadcast_to(weight, first.shape),
    )
    return xp.stack([xp.bincount(index, value.ravel(), count + 1)[:count] for value in values])


def shell_amplitudes(transform: Array, shape: Sequence[int]) -> Any:
    """Return the mean modulus of the components in each shell, float64, shape (shells,)."""
    return shell_means(abs, transform, shape)


def shell_means(function: Any, transform: Array, shape: Sequence[int]) -> Any:
    """Return the mean over each shell of a function of the components (or of real values in their place).

    Parameters
    ----------
    function
        From a slab of the transform to real numbers.
    transform
        Shape ([nz,] ny, nx // 2 + 1).
    shape
        Real-space shape.
    """
    xp = array_namespace(transform)
    count = number_of_shells(shape)
    totals = np.zeros((2, count))
    weight = hermitian_weight(shape, xp=xp)
    for rows in slabs(shape):
        index = shell_index(shape, xp=xp, rows=rows).ravel()
        columns = weight[rows] if len(shape) == 1 else weight
        values = (function(transform[rows]) * columns).ravel()
        components = xp.broadcast_to(columns, transform[rows].shape).ravel()
        for total, part in zip(totals, (values, components), strict=True):
            total += to_numpy(xp.bincount(index, part, count + 1)[:count])
    return np.divide(totals[0], totals[1], out=np.zeros(count), where=totals[1] > 0)
