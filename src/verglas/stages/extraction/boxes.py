"""Particle images: cut from a micrograph, freed of outliers, resampled, normalised on their background."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.signal import resize

Array = np.ndarray[Any, Any]
AT_ONCE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class BoxSettings:
    """How particle images are made.

    Attributes
    ----------
    box
        Edge in pixels of the micrograph, even.
    output_box
        Edge in pixels of the images that are made of it by cropping or padding their transforms; none: the same.
    background_radius_px
        Radius in pixels of the micrograph beyond which an image counts as background; none: 3/8 of the box.
    outlier_sigmas
        Pixels further from the mean of their box become the mean.
    normalise
        Give the background mean 0 and standard deviation 1.
    ramp
        Subtract a plane fitted to the background instead of its mean.
    invert_contrast
        Change the sign.
    """

    box: int
    output_box: int | None = None
    background_radius_px: float | None = None
    outlier_sigmas: float = 6.0
    normalise: bool = True
    ramp: bool = True
    invert_contrast: bool = False

    def __post_init__(self) -> None:
        for size in (self.box, self.output_box):
            if size is not None and (size < 8 or size % 2):
                raise InputError(f"a box of {size} pixels cannot be used; choose an even number of at least 8.")
        if not 0 < self.radius_px < self.box / 2:
            raise InputError(
                f"the background begins at {self.radius_px:g} pixels, but the box ends at {self.box / 2:g}; "
                "choose a larger box."
            )

    @property
    def radius_px(self) -> float:
        """Radius at which the background begins."""
        return 0.375 * self.box if self.background_radius_px is None else self.background_radius_px

    @property
    def made_box(self) -> int:
        """Edge of the images that are made."""
        return self.output_box or self.box


def cut_boxes(micrograph: Array, centres_px: Array, box: int) -> tuple[Array, Array]:
    """Cut boxes around the nearest whole pixels; what lies beyond the micrograph is the mean of its edge pixels.

    Parameters
    ----------
    micrograph
        Shape (ny, nx).
    centres_px
        Shape (n, 2), x and y from the centre of the first pixel.
    box
        Edge, even; the centre is pixel box // 2.

    Returns
    -------
    boxes : ndarray, float32, shape (n, box, box)
    shifts_px : ndarray, shape (n, 2)
        x and y of the shift to apply to each image to bring the particle's centre to the centre of the box.

    Raises
    ------
    InputError
        A box has no pixel in common with the micrograph.
    """
    ny, nx = micrograph.shape
    centres = np.asarray(centres_px, np.float64).reshape(-1, 2)
    whole = np.floor(centres + 0.5).astype(np.int64)
    edge = float(np.concatenate([micrograph[[0, -1]].ravel(), micrograph[:, [0, -1]].ravel()]).mean(dtype=np.float64))
    boxes = np.full((len(centres), box, box), edge, np.float32)
    for number, (x, y) in enumerate(whole - box // 2):
        top, left, bottom, right = max(y, 0), max(x, 0), min(y + box, ny), min(x + box, nx)
        if bottom <= top or right <= left:
            raise InputError(
                f"particle {number + 1} at x = {centres[number, 0]:.1f}, y = {centres[number, 1]:.1f} pixels lies "
                f"outside the micrograph of {nx} x {ny} pixels. Remove it, or check that picks belong to this image."
            )
        boxes[number, top - y : bottom - y, left - x : right - x] = micrograph[top:bottom, left:right]
    return boxes, whole - centres


def prepare_boxes(boxes: Array, settings: BoxSettings, *, threads: int = 1) -> Array:
    """Replace outliers, resample, normalise and choose the contrast of particle images.

    Parameters
    ----------
    boxes
        float32, shape (n, box, box); changed in place.
    settings
        How.
    threads
        Threads.

    Returns
    -------
    ndarray, float32, shape (n, output box, output box)
    """
    mean = boxes.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    deviation = boxes.std(axis=(1, 2), keepdims=True, dtype=np.float64)
    far = np.abs(boxes - mean) > settings.outlier_sigmas * deviation
    if far.any():
        boxes = np.where(far, mean, boxes).astype(np.float32)
    # Around zero single precision keeps what a large mean would cost.
    boxes -= mean.astype(np.float32)
    made = settings.made_box
    if made != settings.box:
        boxes = resize(boxes, (made, made), workers=threads)
    if settings.normalise:
        normalise(boxes, settings.radius_px * made / settings.box, ramp=settings.ramp)
    return -boxes if settings.invert_contrast else boxes


def normalise(boxes: Array, radius_px: float, *, ramp: bool = True) -> None:
    """Give the background of images, in place, mean 0 (or no slope either) and standard deviation 1.

    Parameters
    ----------
    boxes
        float32, shape (n, box, box).
    radius_px
        The background lies beyond this distance from pixel box // 2.
    ramp
        Subtract the plane fitted to the background by least squares, not its mean alone.

    Raises
    ------
    InputError
        The background of an image is constant.
    """
    size = boxes.shape[-1]
    along = np.arange(size) - size // 2
    outside = np.hypot(along[:, None], along[None]) > radius_px
    y, x = np.broadcast_arrays(along[:, None] / size, along[None] / size)
    basis = np.stack([np.ones_like(x), x, y] if ramp else [np.ones_like(x)], -1).astype(np.float64)
    background = basis[outside]
    solver = np.linalg.pinv(background)
    coefficients = boxes[:, outside].astype(np.float64) @ solver.T
    boxes -= np.einsum("yxk,nk->nyx", basis, coefficients).astype(np.float32)
    deviation = boxes[:, outside].std(axis=1, dtype=np.float64)
    if np.any(deviation <= 0):
        number = int(np.argmax(deviation <= 0))
        raise InputError(f"the background of particle {number + 1} is constant; remove it, it lies on no image.")
    boxes /= deviation[:, None, None].astype(np.float32)


def extract_particles(
    micrograph: Array, centres_px: Array, settings: BoxSettings, *, threads: int = 1
) -> Iterator[tuple[Array, Array]]:
    """Yield particle images with the shifts that centre them, some at a time, so that memory stays small.

    Parameters
    ----------
    micrograph
        Shape (ny, nx), at its full size.
    centres_px
        Shape (n, 2), x and y from the centre of the first pixel.
    settings
        How images are made.
    threads
        Threads.

    Yields
    ------
    images : ndarray, float32, shape (some, output box, output box)
    shifts_px : ndarray, shape (some, 2)
        x and y in pixels of the micrograph; see :func:`cut_boxes`.
    """
    some = max(1, AT_ONCE_BYTES // (4 * settings.box**2))
    for first in range(0, len(centres_px), some):
        boxes, shifts = cut_boxes(micrograph, centres_px[first : first + some], settings.box)
        yield prepare_boxes(boxes, settings, threads=threads), shifts
