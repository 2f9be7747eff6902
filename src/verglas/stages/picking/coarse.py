"""A micrograph made small: cropped in Fourier space to the resolution that picking uses, outliers clipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft

from verglas.errors import InputError

Array = np.ndarray[Any, Any]
SAMPLING = 2.5  # pixels of the small image a period of the highest frequency used
OUTLIER_SIGMAS = 8.0
SAMPLE_ROWS = 128
LEAST_SIDE = 16


@dataclass(frozen=True)
class CoarseMicrograph:
    """A small copy of a micrograph.

    Attributes
    ----------
    image
        float32, shape (rows, columns); mean 0.
    factor
        Pixels of the micrograph a pixel of the copy, along y and x. Pixel (0, 0) of both coincide.
    pixel_size_A
        Geometric mean of the copy's pixel sizes along both axes (they differ by less than a part in their number).
    """

    image: Array
    factor: tuple[float, float]
    pixel_size_A: float

    def to_A(self, rows: Array, columns: Array, pixel_size_A: float) -> tuple[Array, Array]:
        """Return x and y in A from the centre of the micrograph's first pixel."""
        return columns * (self.factor[1] * pixel_size_A), rows * (self.factor[0] * pixel_size_A)


def make_coarse(micrograph: Array, pixel_size_A: float, finest_A: float, *, threads: int = 1) -> CoarseMicrograph:
    """Crop a micrograph in Fourier space.

    Only the columns that are kept are transformed along the second axis, so that a large micrograph costs little more
    than one transform along its rows.

    Parameters
    ----------
    micrograph
        Shape (ny, nx).
    pixel_size_A
        Its pixel size.
    finest_A
        The highest resolution to keep.
    threads
        Threads.

    Raises
    ------
    InputError
        The micrograph is no image, holds values that are not finite, is constant, or is too small.
    """
    if micrograph.ndim != 2:
        raise InputError(f"a micrograph has two axes, not the shape {micrograph.shape}.")
    size = max(finest_A / SAMPLING, pixel_size_A)
    ny, nx = micrograph.shape
    my, mx = (min(n, 2 * max(1, round(n * pixel_size_A / size / 2))) for n in (ny, nx))
    if min(my, mx) < LEAST_SIDE:
        raise InputError(
            f"a micrograph of {nx} x {ny} pixels of {pixel_size_A:g} A is too small to pick at {finest_A:g} A; "
            "use a higher resolution."
        )
    clipped = clip_outliers(micrograph)
    with scipy.fft.set_workers(threads):
        rows = scipy.fft.rfft(clipped, axis=1)[:, : mx // 2 + 1]
        transform = scipy.fft.fft(np.ascontiguousarray(rows.T), axis=1)
        kept = np.empty((mx // 2 + 1, my), np.complex64)
        half = (my + 1) // 2
        kept[:, :half], kept[:, half:] = transform[:, :half], transform[:, ny - (my - half) :]
        if mx < nx and mx % 2 == 0:
            kept[-1] = 0.0  # the Nyquist frequencies are beyond what is used
        if my < ny and my % 2 == 0:
            kept[:, half] = 0.0
        kept[0, 0] = 0.0
        image = scipy.fft.irfft(scipy.fft.ifft(kept, axis=1).T, mx, axis=1)
    image *= np.float32(my * mx / (ny * nx))
    factor = (ny / my, nx / mx)
    return CoarseMicrograph(
        np.ascontiguousarray(image, np.float32), factor, pixel_size_A * float(np.sqrt(factor[0] * factor[1]))
    )


def clip_outliers(micrograph: Array) -> Array:
    """Return a float32 copy, less its mean, with what is far off (hot pixels) clipped.

    Raises
    ------
    InputError
        Some values are not finite, or all are the same.
    """
    rows = np.linspace(0, len(micrograph) - 1, min(SAMPLE_ROWS, len(micrograph))).astype(int)
    sample = np.asarray(micrograph[rows], np.float64)
    low, centre, high = np.percentile(sample, (2.0, 50.0, 98.0))
    spread = (high - low) / 4.1  # of a normal distribution
    if not np.isfinite([low, high]).all():
        raise InputError("the micrograph holds values that are not finite; make it again from its movie.")
    if spread <= 0:
        raise InputError("the micrograph is constant: there is nothing to pick in it. Leave it out.")
    image: Array = np.subtract(micrograph, centre, dtype=np.float32)
    reach = max(OUTLIER_SIGMAS * spread, 1.5 * (high - centre), 1.5 * (centre - low))
    np.clip(image, -reach, reach, out=image)
    image -= np.float32(image.mean(dtype=np.float64))
    if not np.isfinite(image[0, 0]):
        raise InputError("the micrograph holds values that are not finite; make it again from its movie.")
    return image
