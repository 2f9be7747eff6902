"""Images that look the same way, turned onto each other and added up: as one image that says as much as they did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from verglas.engine.class_sums import ClassSums
from verglas.engine.images import Band, ParticleImages
from verglas.microscopy import Optics
from verglas.microscopy.optics import PLAIN
from verglas.signal import rfft


def summed_images(sums: ClassSums, band: Band, optics: Optics) -> ParticleImages:
    """Return each class of some sums as one prepared image, turned and moved as the class is.

    The likelihood of all images of a class depends on the sums of transfer x image and of transfer^2 alone, where they
    show the same projection. The image that is returned has ``transfer x data`` and ``transfer^2`` equal to these: its
    transfer is the root of the summed squared transfers, mean over each ring, and its noise has variance 1 a component.

    Parameters
    ----------
    sums
        With images at their poses in the plane; both half sets count.
    band
        Components wanted, of the sums' box and pixel size.
    optics
        The microscope of the images, whose uneven magnification the sums have undone.

    Returns
    -------
    ParticleImages
        One for each class, protein positive; those of empty classes are 0.
    """
    # A plane's voxels are finer than those of an image, of which each was added at its own place alone.
    scale = (sums.grid / sums.box) ** 2
    rings = band.rings
    origin = np.exp(2j * np.pi * (sums.box // 2) / sums.box * (band.column + band.row)).astype(np.complex64)
    data: NDArray[np.complex64] = np.zeros((sums.classes, len(band)), np.complex64)
    transfer: NDArray[np.float32] = np.zeros((sums.classes, len(band)), np.float32)
    for number in range(sums.classes):
        plane = sums.completed(number) + sums.completed(sums.classes + number)
        weight = scale * sums.ring_means(plane[..., 2])[rings]
        image = sums.in_real_space((plane[..., 0] + 1j * plane[..., 1]).astype(np.complex64))
        value = scale * origin * rfft(image, 2)[band.row % sums.box, band.column]
        seen = weight > 0.0
        transfer[number, seen] = np.sqrt(weight[seen])
        data[number, seen] = value[seen] / transfer[number, seen]
    return ParticleImages(
        band, data, transfer, np.ones((1, len(band)), np.float32), np.zeros(sums.classes, np.int64),
        replace(optics, magnification=PLAIN), np.zeros((sums.classes, 4)),
    )  # fmt: skip
