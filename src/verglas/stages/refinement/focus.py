"""Focus of a classification: a sphere or any volume, within which classes may differ and beyond which nothing counts.

Two ways to leave out the rest. ``map``: each class's map is that of all classes together, but for the difference inside
the focus, so that the likelihood is that of whole images and loses nothing that the CTF spreads out of the focus.
``circle``: as Frealign X, the residuals of an image count where the focus is seen in it, along the particle's own view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from verglas.engine import ParticleImages, Reference, prepare_reference, project
from verglas.errors import InputError
from verglas.signal import irfft, resize, shift, smooth_size, soft_edge, sphere_mask

Map = NDArray[np.float32]
EDGE_A = 5.0
"""Width of the soft edge around a focus."""
RIPPLE = 0.3
AT_ONCE = 64


@dataclass(frozen=True)
class Focus:
    """Where classes may differ.

    Attributes
    ----------
    centre_A
        Centre (x, y, z) of a sphere, from the centre of the first voxel of the map's file.
    radius_A
        Its radius.
    volume
        A mask instead of the sphere, above zero inside, at the particles' box; None: there is none.
    by
        ``map`` or ``circle``, see the module.
    """

    centre_A: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius_A: float = 0.0
    volume: Map | None = None
    by: Literal["map", "circle"] = "map"

    def __post_init__(self) -> None:
        if self.volume is None and not self.radius_A > 0.0:
            raise InputError(f"a focus of radius {self.radius_A:g} A holds nothing; give a radius or a mask.")
        if self.volume is not None and not (np.asarray(self.volume) > 0).any():
            raise InputError("the volume of the focus is nowhere above zero; choose another mask.")

    def from_middle_A(self, box: int, pixel_size_A: float) -> NDArray[np.float64]:
        """Return the centre of the sphere from the origin of a map, (x, y, z), or the middle of the volume's voxels.

        Raises
        ------
        InputError
            It lies outside the map.
        """
        if self.volume is not None:
            z, y, x = np.nonzero(np.asarray(self.volume) > 0)
            centre = np.array([x.mean(), y.mean(), z.mean()]) * pixel_size_A
        else:
            centre = np.asarray(self.centre_A, np.float64)
        if not ((centre >= 0.0) & (centre <= (box - 1) * pixel_size_A)).all():
            raise InputError(
                f"the focus at {', '.join(f'{one:g}' for one in centre)} A lies outside the map, which reaches from 0 "
                f"to {(box - 1) * pixel_size_A:g} A: it is measured from the centre of the first voxel."
            )
        from_middle: NDArray[np.float64] = centre - box // 2 * pixel_size_A
        return from_middle

    def mask(self, box: int, full_box: int, full_pixel_A: float, threads: int = 1) -> Map:
        """Return the focus as a soft mask, 0 to 1.

        Parameters
        ----------
        box
            Voxels a side of the mask, over the field of view of the full box.
        full_box, full_pixel_A
            Of the particles as they are stored, which the focus is measured in.
        threads
            Threads.
        """
        pixel_A = full_pixel_A * full_box / box
        if self.volume is None:
            middle = self.from_middle_A(full_box, full_pixel_A) / pixel_A + box // 2
            return np.asarray(
                sphere_mask((box,) * 3, self.radius_A, pixel_A, edge_A=EDGE_A, centre=middle[::-1].tolist()), np.float32
            )
        inside = (np.asarray(self.volume) > 0).astype(np.float32)
        if inside.shape != (full_box,) * 3:
            raise InputError(f"the volume of the focus has {inside.shape} voxels, the particles a box of {full_box}.")
        if box != full_box:
            inside = np.asarray(resize(inside, (box,) * 3, workers=threads), np.float32)
        return np.asarray(soft_edge(inside > 0.5, EDGE_A / pixel_A), np.float32)

    def part_of(self, filled: NDArray[np.bool_], full_box: int, full_pixel_A: float, threads: int = 1) -> float:
        """Return the part of a map's filled voxels that decides about classes: in the focus, or seen through it.

        Parameters
        ----------
        filled
            Voxels that hold density, shape (n, n, n), over the field of view of the full box.
        full_box, full_pixel_A
            As for :meth:`mask`.
        threads
            Threads.
        """
        mask = self.mask(len(filled), full_box, full_pixel_A, threads)
        total = max(int(np.count_nonzero(filled)), 1)
        if self.by == "map":
            return float(mask[filled].sum(dtype=np.float64)) / total
        # Seen along each axis: the mean stands for all views.
        seen = [np.expand_dims(mask.max(axis=axis), axis) * filled for axis in range(3)]
        return float(np.mean([float(one.sum(dtype=np.float64)) for one in seen])) / total


def focused_maps(volumes: Any, share: Any, mask: Map) -> Map:
    """Return the maps of classes that differ within a mask only: elsewhere each is the mean of all, by their shares.

    Parameters
    ----------
    volumes
        Shape (classes, n, n, n).
    share
        Part of the particles in each class, shape (classes,).
    mask
        0 to 1, shape (n, n, n).
    """
    maps, part = np.asarray(volumes, np.float32), np.maximum(np.asarray(share, np.float64), 1e-6)
    mean = np.tensordot((part / part.sum()).astype(np.float32), maps, 1)
    return np.asarray(mean + mask * (maps - mean), np.float32)


@dataclass(frozen=True)
class ProjectedFocus:
    """A focus as it is seen in images: a circle, or the outline of a volume.

    Attributes
    ----------
    centre_A
        Of the sphere, from the map's origin.
    radius_A
        Its radius.
    outline
        Of a volume: its mask prepared for projection; None for a sphere.
    """

    centre_A: NDArray[np.float64]
    radius_A: float
    outline: Reference | None = None

    @classmethod
    def of(cls, focus: Focus, box: int, pixel_size_A: float, threads: int = 1) -> ProjectedFocus:
        """Return the focus of particles of some box and pixel size."""
        centre = focus.from_middle_A(box, pixel_size_A)
        if focus.volume is None:
            return cls(centre, focus.radius_A)
        return cls(centre, 0.0, prepare_reference(focus.mask(box, box, pixel_size_A), pixel_size_A, threads=threads))

    def seen(
        self, rotations: NDArray[np.float64], displacements_A: NDArray[np.float64], size: int, pixel_size_A: float
    ) -> NDArray[np.float32]:
        """Return where the focus is in images, 0 to 1, shape (n, size, size), for poses of shapes (n, 3, 3), (n, 2)."""
        along = (np.arange(size) - size // 2) * pixel_size_A
        if self.outline is not None:
            outline = np.asarray(project(self.outline, rotations), np.float32)
            if outline.shape[-1] != size:
                outline = np.asarray(resize(outline, (size, size)), np.float32)
            moved = shift(outline, displacements_A[:, ::-1] / pixel_size_A)
            # A line of sight through a voxel or more of the mask counts whole; ripples of the projection do not.
            return np.asarray(np.clip(moved - RIPPLE, 0.0, 1.0), np.float32)
        middle = (rotations @ self.centre_A)[:, :2] + displacements_A
        x, y = along - middle[:, :1], along - middle[:, 1:]
        distance = np.sqrt(y[:, :, None] ** 2 + x[:, None, :] ** 2)
        fall = np.clip((distance - self.radius_A) / EDGE_A, 0.0, 1.0)
        return np.asarray(0.5 + 0.5 * np.cos(np.pi * fall), np.float32)


def circle_likelihoods(
    references: Sequence[Reference], images: ParticleImages, rotations: NDArray[np.float64],
    displacements_A: NDArray[np.float64], scale: NDArray[np.float64], focus: ProjectedFocus, limit_A: float, *,
    threads: int = 1,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the log-likelihood of each class from the residuals within the projected focus alone.

    Parameters
    ----------
    references
        One a class.
    images
        Prepared.
    rotations, displacements_A, scale
        Poses and scales of each class, shapes (classes, n, 3, 3), (classes, n, 2), (classes, n).
    focus
        Where residuals count.
    limit_A
        Finest resolution that counts.
    threads
        Threads of slicing.

    Returns
    -------
    ndarray, shape (classes, n)
        Up to a constant of the image.

    Notes
    -----
    All classes of an image are compared on the same pixels, as likelihoods must: where the focus is seen at the pose
    of the class that leaves the smallest residuals in the whole image.

    References
    ----------
    D. Lyumkis et al., "Likelihood-based classification of cryo-EM images using FREALIGN", J. Struct. Biol. 183 (2013)
    377; T. Grant, A. Rohou, N. Grigorieff, "cisTEM", eLife 7 (2018) e35383, equation 15.
    """
    band = images.band
    points = band.count_to(limit_A)
    column, row = band.column[:points].astype(np.int64), band.row[:points].astype(np.int64)
    reach = int(max(column.max(), np.abs(row).max()))
    size = smooth_size(2 * reach + 2)
    size += size % 2
    pixel_A = band.box * band.pixel_size_A / size
    u, v = (k[:points] for k in images.true_k_per_A)
    kx, ky = band.kx_per_A[:points], band.ky_per_A[:points]
    classes, count = len(references), len(images)
    found = np.empty((classes, count))
    for first in range(0, count, AT_ONCE):
        some = slice(first, min(first + AT_ONCE, count))
        left = np.empty((classes, some.stop - first, size, size), np.float32)
        for k, reference in enumerate(references):
            model = images.transfer[some, :points] * reference.slices(rotations[k, some], u, v, threads=threads)
            moved = displacements_A[k, some]
            phase = np.exp(-2j * np.pi * (moved[:, :1] * kx + moved[:, 1:] * ky))
            residual = images.data[some, :points] - scale[k, some, None] * model * phase
            left[k] = _real_images(residual, column, row, size)
        best = np.square(left, dtype=np.float32).sum(axis=(2, 3)).argmin(axis=0)
        at = np.arange(first, some.stop)
        seen = focus.seen(rotations[best, at], displacements_A[best, at], size, pixel_A)
        found[:, some] = -np.einsum("kiyx,kiyx,iyx->ki", left, left, seen, dtype=np.float64)
    return found


def _real_images(
    values: NDArray[np.complex128], column: NDArray[np.int64], row: NDArray[np.int64], size: int
) -> NDArray[np.float32]:
    """Return images whose sum of squares is that of the given components of the half-plane, origin at size // 2."""
    transform = np.zeros((len(values), size, size // 2 + 1), np.complex64)
    transform[:, row % size, column] = values
    edge = column == 0
    transform[:, -row[edge] % size, 0] = np.conj(values[:, edge])
    images = np.fft.fftshift(irfft(transform, (size, size)), axes=(-2, -1))
    return np.asarray(images * (size / math.sqrt(2.0)), np.float32)
