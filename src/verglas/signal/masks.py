"""Soft masks of simple shapes, and masks made from a map."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.kernels.arrays import array_namespace, to_numpy
from verglas.signal.filters import apply_filter, cosine_lowpass
from verglas.signal.fourier import Array

BRIGHTEST_VOXELS = 500


def sphere_mask(
    shape: Sequence[int],
    radius_A: float,
    pixel_size_A: float,
    *,
    edge_A: float = 0.0,
    centre: Sequence[float] | None = None,
    xp: Any = np,
) -> Array:
    """Return a sphere (a circle for images): 1 up to the radius, then a cosine edge down to 0.

    Parameters
    ----------
    shape
        Shape ([nz,] ny, nx).
    radius_A
        Radius in A.
    pixel_size_A
        Pixel size in A.
    edge_A
        Width of the edge beyond the radius.
    centre
        In pixels, in the order of the axes; the origin n // 2 when None.
    xp
        Array library of the result.

    Returns
    -------
    array
        float32 in 0 ... 1.
    """
    squared = sum(axis**2 for axis in _distances(shape, pixel_size_A, centre, xp))
    return _fall(xp.sqrt(squared), radius_A, edge_A)


def cylinder_mask(
    shape: Sequence[int],
    radius_A: float,
    height_A: float,
    pixel_size_A: float,
    *,
    edge_A: float = 0.0,
    centre: Sequence[float] | None = None,
    xp: Any = np,
) -> Array:
    """Return a cylinder along z, parameters as :func:`sphere_mask`; the edge is outside it all round."""
    z, y, x = _distances(shape, pixel_size_A, centre, xp)
    return _fall(xp.sqrt(y**2 + x**2), radius_A, edge_A) * _fall(xp.abs(z), height_A / 2, edge_A)


def apply_mask(image: Array, mask: Array, *, outside: float | None = None) -> Array:
    """Blend an image into a constant where the mask is below 1.

    Parameters
    ----------
    image, mask
        One shape.
    outside
        The constant; None for the mean of the image weighted by 1 - mask, which leaves no step at the edge.
    """
    xp = array_namespace(image)
    if outside is None:
        weight = 1 - mask
        total = float(weight.sum(dtype=xp.float64))
        outside = float((image * weight).sum(dtype=xp.float64)) / total if total > 0 else 0.0
    return image * mask + image.dtype.type(outside) * (1 - mask)


def mask_volume_A3(mask: Array, pixel_size_A: float) -> float:
    """Return the volume of a mask: its sum times the volume of a voxel, A^3."""
    return float(mask.sum(dtype="float64") * pixel_size_A**mask.ndim)


def largest_components(binary: Array, count: int = 1, *, least_voxels: int = 1) -> Array:
    """Keep the largest connected parts (touching by faces) of a binary map.

    Parameters
    ----------
    binary
        bool, shape ([nz,] ny, nx).
    count
        How many parts to keep at most.
    least_voxels
        Drop parts smaller than this.

    Returns
    -------
    array
        bool. Memory: 4 bytes a voxel besides.
    """
    xp = array_namespace(binary)
    labels, parts = _ndimage(xp).label(binary)
    if parts == 0:
        return xp.zeros_like(binary)
    sizes = xp.bincount(labels.ravel())
    sizes[0] = 0
    order = xp.argsort(-sizes, kind="stable")[:count]
    kept = xp.zeros(parts + 1, dtype=bool)
    kept[order] = sizes[order] >= max(1, least_voxels)
    return kept[labels]


def soft_edge(binary: Array, edge_pixels: float, *, extend_pixels: float = 0.0) -> Array:
    """Grow a binary mask and give it a raised-cosine edge, by the distance to the nearest voxel inside.

    Parameters
    ----------
    binary
        bool, any number of axes.
    edge_pixels
        Width of the edge, which lies outside the grown mask.
    extend_pixels
        Growth before the edge; negative shrinks.

    Returns
    -------
    array
        float32 in 0 ... 1. Memory: about 25 bytes a voxel of the mask's bounding box with its edge.
    """
    xp = array_namespace(binary)
    ndimage = _ndimage(xp)
    result = xp.zeros(binary.shape, dtype=xp.float32)
    if extend_pixels < 0:
        # Shrinking asks for the distance to the outside.
        binary = ndimage.distance_transform_edt(binary) > -extend_pixels
        extend_pixels = 0.0
    if not bool(binary.any()):
        return result
    reach = int(np.ceil(extend_pixels + edge_pixels)) + 1
    box = []
    for axis in range(binary.ndim):
        occupied = np.flatnonzero(to_numpy(binary.any(axis=tuple(a for a in range(binary.ndim) if a != axis))))
        box.append(slice(max(0, int(occupied[0]) - reach), int(occupied[-1]) + reach + 1))
    distance = ndimage.distance_transform_edt(~binary[tuple(box)])
    result[tuple(box)] = _fall(distance, extend_pixels, edge_pixels)
    return result


def threshold_mask(
    volume: Array,
    pixel_size_A: float,
    threshold: float,
    *,
    lowpass_A: float | None = 15.0,
    extend_pixels: float = 3.0,
    edge_pixels: float = 6.0,
    workers: int = 1,
) -> Array:
    """Make a mask from a map as RELION does: low-pass, threshold, grow, soften.

    Parameters
    ----------
    volume
        Real map.
    pixel_size_A
        Pixel size in A.
    threshold
        Grey value of the low-passed map from which a voxel is inside.
    lowpass_A
        Resolution of the low-pass; None for none.
    extend_pixels
        Growth.
    edge_pixels
        Width of the cosine edge beyond.
    workers
        Threads.

    Raises
    ------
    InputError
        If no voxel reaches the threshold.
    """
    filtered = volume
    if lowpass_A is not None:
        shell = 2.0 / (max(volume.shape) * pixel_size_A)
        filtered = apply_filter(volume, pixel_size_A, cosine_lowpass(lowpass_A, shell), workers=workers)
    inside = filtered >= threshold
    if not bool(inside.any()):
        raise InputError(
            f"No voxel reaches the threshold {threshold:g}; the largest is {float(filtered.max()):g}. Lower it."
        )
    # RELION leaves out voxels at exactly the distance of the growth, and measures the edge from the grown voxels.
    grown = soft_edge(inside, 0.0, extend_pixels=extend_pixels * (1 - 1e-6)) > 0.5
    return soft_edge(grown, edge_pixels)


def automatic_mask(
    volume: Array,
    pixel_size_A: float,
    outer_radius_A: float,
    *,
    lowpass_A: float = 7.0,
    level: float = 0.1,
    edge_pixels: float = 0.0,
    extend_pixels: float = 0.0,
    workers: int = 1,
) -> Array:
    """Find the particle in a map as cisTEM does: low-pass, threshold relative to the brightest voxels, largest part.

    Parameters
    ----------
    volume
        Real map with dense particle bright, or any with protein above solvent.
    pixel_size_A
        Pixel size in A.
    outer_radius_A
        Nothing outside this sphere counts.
    lowpass_A
        Resolution of the low-pass.
    level
        Threshold, as the part of the way from the mean to the mean of the 500 brightest voxels inside the sphere.
    edge_pixels, extend_pixels
        As :func:`soft_edge`; both 0 give a binary mask.
    workers
        Threads.

    References
    ----------
    Grant, Rohou & Grigorieff (2018), eLife 7, e35383.
    """
    xp = array_namespace(volume)
    edge = 2.0 / (max(volume.shape) * pixel_size_A)
    filtered = apply_filter(volume, pixel_size_A, cosine_lowpass(lowpass_A, edge), workers=workers)
    sphere = sphere_mask(volume.shape, outer_radius_A, pixel_size_A, xp=xp) > 0.5
    values = filtered[sphere]
    if not values.size:
        raise InputError(f"An outer radius of {outer_radius_A} A holds no voxel: enlarge it.")
    count = min(BRIGHTEST_VOXELS, values.size)
    brightest = float(xp.partition(values, values.size - count)[-count:].mean(dtype=xp.float64))
    mean = float(filtered.mean(dtype=xp.float64))
    inside = largest_components((filtered > mean + level * (brightest - mean)) & sphere)
    return soft_edge(inside, edge_pixels, extend_pixels=extend_pixels)


def _distances(shape: Sequence[int], pixel_size_A: float, centre: Sequence[float] | None, xp: Any) -> list[Array]:
    centre = [n // 2 for n in shape] if centre is None else centre
    along = [(xp.arange(n, dtype=xp.float32) - c) * pixel_size_A for n, c in zip(shape, centre, strict=True)]
    return list(xp.meshgrid(*along, indexing="ij", sparse=True))


def _fall(distance: Array, radius: float, edge: float) -> Array:
    """Return 1 up to the radius and a raised cosine down to 0 over the edge beyond it, float32."""
    xp = array_namespace(distance)
    if edge <= 0:
        return (distance <= radius).astype(xp.float32)
    along = xp.clip((distance - radius) / edge, 0.0, 1.0)
    return (0.5 + 0.5 * xp.cos(xp.pi * along)).astype(xp.float32)


def _ndimage(xp: Any) -> Any:
    return import_module("scipy.ndimage" if xp is np else "cupyx.scipy.ndimage")
