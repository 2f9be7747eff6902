"""Class averages: sums of images turned and moved by their posterior weights into 2D classes, in two half sets.

The two-dimensional sister of :mod:`verglas.engine.reconstruction`: every component of a prepared image is multiplied
by its transfer function and a weight and added to its class's Fourier plane; so is weight x transfer^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from verglas.engine.fourier_sums import EDGE_PIXELS
from verglas.engine.images import ParticleImages
from verglas.engine.threads import kernel_threads
from verglas.errors import InputError
from verglas.signal import apply_mask, rfft, smooth_size, sphere_mask, ssnr
from verglas.signal.shells import shell_products

LEAST_WEIGHT = 1e-3
"""Half averages are divided by weights plus this part of their ring's mean, so that voxels hardly seen stay quiet."""
RINGS_TOGETHER = 3
"""Correlations of halves are taken over so many neighbouring rings: the innermost hold few components."""


@dataclass(frozen=True)
class Assignments:
    """A sparse posterior over classes and poses in the plane: one row for each pose that has a weight.

    Attributes
    ----------
    image
        Which image, int, shape (rows,).
    number
        Which class, from 0, int, shape (rows,).
    psi
        In-plane angle in radians, shape (rows,).
    displacements_A
        Where the particle lies (x, y) from the image's origin in A, minus the particle table's origin; shape
        (rows, 2).
    weights
        Not negative, shape (rows,).
    """

    image: NDArray[np.integer[Any]]
    number: NDArray[np.integer[Any]]
    psi: NDArray[np.floating[Any]]
    displacements_A: NDArray[np.floating[Any]]
    weights: NDArray[np.floating[Any]]

    @classmethod
    def of_images(
        cls, number: ArrayLike, psi: ArrayLike, displacements_A: ArrayLike, weights: ArrayLike
    ) -> Assignments:
        """Return the rows of images that have K poses each: shapes (n, K), displacements (n, K, 2).

        It takes what :class:`verglas.engine.image_search.ImagePosterior` holds; weights may be multiplied by one of
        each image.
        """
        share = np.asarray(weights, np.float64)
        count, several = share.shape
        return cls(
            np.repeat(np.arange(count), several), np.asarray(number, np.int64).ravel(),
            np.asarray(psi, np.float64).ravel(), np.asarray(displacements_A, np.float64).reshape(-1, 2), share.ravel(),
        )  # fmt: skip


@dataclass(frozen=True)
class ClassAverages:
    """What :meth:`ClassSums.finish` returns.

    Attributes
    ----------
    images
        Averages of both halves, Wiener-filtered by their signal-to-noise ratio, float32, shape (classes, box, box); not
        filtered where a half of the class is empty, 0 where both are.
    half_images
        The independent halves, not filtered; shape (2, classes, box, box).
    frc
        Ring correlation of the halves, over three neighbouring rings; shape (classes, rings); 0 where a half is
        empty.
    ssnr
        Signal-to-noise ratio of the averages, from ``frc``; same shape.
    mean_weight
        Mean sum of weight x transfer^2 in each ring, both halves; same shape.
    occupancy
        Sum of posterior weights of each half and class; shape (2, classes).
    """

    images: NDArray[np.float32]
    half_images: NDArray[np.float32]
    frc: NDArray[np.float64]
    ssnr: NDArray[np.float64]
    mean_weight: NDArray[np.float64]
    occupancy: NDArray[np.float64]


class ClassSums:
    """Sums of classes under way, that images are added to and averages are made from.

    Parameters
    ----------
    box
        Pixels a side of images and averages.
    pixel_size_A
        Pixel size in A.
    classes
        Number of classes.
    oversampling
        How many times finer than 1 / box the planes are sampled: 1 to 4.
    threads
        Threads; the sums depend neither on them nor on how images are split into calls.
    memory_bytes
        Budget: refuse to start when more is needed.

    Raises
    ------
    InputError
        If a number makes no sense, or the memory does not suffice.
    """

    def __init__(
        self, box: int, pixel_size_A: float, classes: int, *, oversampling: int = 2, threads: int = 1,
        memory_bytes: int | None = None,
    ) -> None:  # fmt: skip
        if box < 8 or classes < 1 or not pixel_size_A > 0.0 or oversampling not in (1, 2, 3, 4):
            raise InputError(
                f"{classes} classes of box {box} with pixels of {pixel_size_A:g} A, oversampled {oversampling} times, "
                "make no sense: boxes start at 8, classes at 1, and oversampling is 1 to 4."
            )
        self.box, self.pixel_size_A, self.classes, self.threads = box, float(pixel_size_A), classes, threads
        self.grid = smooth_size(oversampling * box)
        self.centre = self.grid // 2 + 1
        shape = (2 * classes, 2 * self.centre + 1, self.centre + 2, 3)
        if memory_bytes is not None and 8 * int(np.prod(shape)) > memory_bytes:
            raise InputError(
                f"the sums of {classes} classes of box {box} need {8e-9 * np.prod(shape):.1f} GB, and may take "
                f"{memory_bytes / 1e9:.1f} GB: use fewer classes, bin the images, or set oversampling to 1."
            )
        self.planes = np.zeros(shape)
        self.occupancy = np.zeros((2, classes))

    def insert(self, images: ParticleImages, half: ArrayLike, poses: Assignments) -> None:
        """Add images.

        Parameters
        ----------
        images
            Prepared images of the sums' box and pixel size; their band limits what is added.
        half
            0 or 1 for each image; broadcast to (n,).
        poses
            Classes, poses and weights; rows of weight 0 are passed over. Rows of one image, class and angle cost
            little more than one.

        Raises
        ------
        InputError
            If images or rows do not fit.
        """
        from verglas.kernels.plane_insertion import insert_planes

        band = images.band
        if band.box != self.box or not np.isclose(band.pixel_size_A, self.pixel_size_A, rtol=1e-6):
            raise InputError(
                f"images of box {band.box} at {band.pixel_size_A:g} A do not fit classes of box {self.box} at "
                f"{self.pixel_size_A:g} A."
            )
        halves = np.broadcast_to(np.asarray(half, np.int64), len(images))
        rows = _checked(poses, len(images), self.classes)
        if not np.isin(halves, (0, 1)).all():
            raise InputError("halves must be 0 or 1.")
        if not rows.weights.size:
            return
        bins = halves[rows.image] * self.classes + rows.number
        np.add.at(self.occupancy.reshape(-1), bins, rows.weights)
        order = np.lexsort((rows.psi, rows.image, bins))
        keys = np.stack([bins[order], rows.image[order]]), rows.psi[order]
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(keys[0], axis=1) != 0).any(axis=0) | (np.diff(keys[1]) != 0)
        first = np.flatnonzero(new)
        per_voxel = self.grid * self.pixel_size_A
        kx, ky = images.true_k_per_A
        psi = rows.psi[order][first]
        with kernel_threads(self.threads):
            insert_planes(
                images.data, images.transfer, band.column, band.row, (kx * per_voxel).astype(np.float32),
                (ky * per_voxel).astype(np.float32), keys[0][1][first],
                np.stack([np.cos(psi), np.sin(psi)], axis=1).astype(np.float32), np.append(first, len(order)),
                (2.0 * np.pi / (self.box * self.pixel_size_A) * rows.displacements_A[order]).astype(np.float32),
                rows.weights[order].astype(np.float32), self._tasks(keys[0][0][first]), self.planes,
            )  # fmt: skip

    def _tasks(self, bins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the tasks of the kernel: planes, cut into slabs of rows where they are fewer than the threads."""
        used, first = np.unique(bins, return_index=True)
        last = np.append(first[1:], len(bins))
        slabs = 1 if len(used) >= 2 * self.threads or self.threads == 1 else -(-2 * self.threads // len(used))
        borders = np.linspace(0, self.planes.shape[1], slabs + 1).astype(np.int64)
        return np.array([
            (plane, begin, end, low, high)
            for plane, begin, end in zip(used, first, last)
            for low, high in pairwise(borders)
        ])  # fmt: skip

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the sums by name, not copied; the sums of two parts of the data are the sums of these arrays."""
        return {"planes": self.planes, "occupancy": self.occupancy}

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Add the sums of another part of the data.

        Raises
        ------
        InputError
            If they have other shapes.
        """
        own = self.arrays()
        if {name: array.shape for name, array in own.items()} != {name: array.shape for name, array in arrays.items()}:
            raise InputError("these sums are of other classes, another box or oversampling and cannot be added.")
        for name, array in own.items():
            array += arrays[name]

    def finish(self, *, mask: NDArray[np.float32] | None = None) -> ClassAverages:
        """Make the averages; the sums stay as they are, and more images may be added afterwards.

        Parameters
        ----------
        mask
            Soft mask within which halves are correlated, shape (box, box); when None the circle that fits the box,
            beyond which averages are empty.
        """
        rings = self.box // 2 + 1
        images = np.zeros((self.classes, self.box, self.box), np.float32)
        half_images = np.zeros((2, *images.shape), np.float32)
        frc, ratio, mean_weight = (np.zeros((self.classes, rings)) for _ in range(3))
        for number in range(self.classes):
            halves = [self.completed(half * self.classes + number) for half in (0, 1)]
            weights = [self.ring_means(sums[..., 2]) for sums in halves]
            filled = [bool(weight.any()) for weight in weights]
            for half in np.flatnonzero(filled):
                half_images[half, number] = self._average(halves[half], LEAST_WEIGHT * weights[half])
            mean_weight[number] = weights[0] + weights[1]
            added = LEAST_WEIGHT * mean_weight[number]
            if all(filled):
                frc[number] = self._correlate(half_images[0, number], half_images[1, number], mask)
                ratio[number] = ssnr(frc[number])
                added = np.where(
                    ratio[number] > 0.0, mean_weight[number] / np.maximum(ratio[number], 1e-12), np.inf
                )  # fmt: skip
            if any(filled):
                images[number] = self._average(halves[0] + halves[1], added)
        return ClassAverages(images, half_images, frc, ratio, mean_weight, self.occupancy.copy())

    def completed(self, plane: int) -> NDArray[np.float64]:
        """Return the sums of a plane up to Nyquist, y as in a discrete transform; shape (grid, grid // 2 + 1, 3)."""
        stored = self.planes[plane]
        most = self.grid // 2 - 1
        sums = np.zeros((self.grid, self.grid // 2 + 1, 3))
        rows = np.arange(-most, most + 1)
        sums[rows, : most + 1] = stored[self.centre + rows, : most + 1]
        # Points were added on one side of the origin only; those of the other side are their conjugates.
        sums[rows, 0] += stored[self.centre - rows, 0] * (1.0, -1.0, 1.0)
        return sums

    def _rings(self) -> NDArray[np.int64]:
        """Return the ring of each voxel of a completed plane, in steps of 1 / box; those beyond Nyquist count as -1."""
        y, x = np.fft.fftfreq(self.grid, 1.0 / self.grid), np.arange(self.grid // 2 + 1)
        radius = np.hypot(y[:, None], x) * self.box / self.grid
        inside = radius < min(0.5 * self.box, (self.grid // 2 - 1) * self.box / self.grid)
        return np.where(inside, np.rint(radius).astype(np.int64), -1)

    def ring_means(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean over each ring."""
        index = self._rings()
        inside = index >= 0
        count = np.bincount(index[inside], minlength=self.box // 2 + 1)
        means: NDArray[np.float64] = np.bincount(index[inside], weights[inside], self.box // 2 + 1) / np.maximum(
            count, 1
        )
        return means

    def _average(self, sums: NDArray[np.float64], added: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return value / (weight + added) in real space, corrected for the gridding, within the circle that fits."""
        index = self._rings()
        total = sums[..., 2] + added[index]
        seen = (index >= 0) & (total > 0.0)
        transform = np.zeros(index.shape, np.complex64)
        transform[seen] = (sums[seen, 0] + 1j * sums[seen, 1]) / total[seen]
        return self.in_real_space(transform)

    def in_real_space(self, transform: NDArray[np.complex64]) -> NDArray[np.float32]:
        """Return the image of a completed plane, corrected for the gridding, within the circle that fits."""
        import scipy.fft

        place = np.arange(self.box) - self.box // 2
        image = scipy.fft.irfft2(transform, (self.grid, self.grid), workers=self.threads)
        correction = 1.0 / np.sinc(place / self.grid) ** 2
        image = image[np.ix_(place % self.grid, place % self.grid)] * (correction[:, None] * correction)
        circle = sphere_mask(image.shape, 0.5 * self.box - EDGE_PIXELS, 1.0, edge_A=EDGE_PIXELS)
        masked: NDArray[np.float32] = apply_mask(image.astype(np.float32), circle)
        return masked

    def _correlate(self, first: Any, second: Any, mask: Any) -> NDArray[np.float64]:
        """Return the ring correlation of two halves over a few neighbouring rings."""
        a, b = (rfft(one if mask is None else one * mask, 2) for one in (first, second))
        sums = shell_products(a, b, first.shape)
        cross, own, other = (
            np.convolve(part, np.ones(RINGS_TOGETHER), "same")
            for part in (sums.cross, sums.power_first, sums.power_second)
        )
        norm = np.sqrt(own * other)
        return np.asarray(np.divide(cross, norm, out=np.zeros_like(norm), where=norm > 0.0))


def _checked(poses: Assignments, count: int, classes: int) -> Assignments:
    """Return assignments as arrays of the right types, without rows of weight 0."""
    rows = Assignments(
        np.asarray(poses.image, np.int64), np.asarray(poses.number, np.int64), np.asarray(poses.psi, np.float64),
        np.asarray(poses.displacements_A, np.float64), np.asarray(poses.weights, np.float64),
    )  # fmt: skip
    size = rows.weights.size
    shapes = [array.shape for array in (rows.image, rows.number, rows.psi, rows.weights)]
    if shapes != [(size,)] * 4 or rows.displacements_A.shape != (size, 2):
        raise InputError(f"assignments must have shape (rows,) and displacements (rows, 2), not {shapes}.")
    if not (np.isfinite(rows.weights).all() and (rows.weights >= 0.0).all()):
        raise InputError("weights of assignments must be finite and not negative.")
    for name, values, limit in (("image", rows.image, count), ("class", rows.number, classes)):
        if size and not 0 <= values.min() <= values.max() < limit:
            raise InputError(f"assignments name {name} {values.min()} to {values.max()}, but there are {limit}.")
    used = rows.weights > 0.0
    return Assignments(
        rows.image[used], rows.number[used], rows.psi[used], rows.displacements_A[used], rows.weights[used]
    )
