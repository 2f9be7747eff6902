"""Sizes of everything that a movie's alignment handles: padded frames, Fourier crops, the output image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verglas.errors import InputError
from verglas.signal.fourier import smooth_size

LARGEST_PADDING = 1.03
LARGEST_STRETCH = 2e-3
NEGLIGIBLE_STRETCH = 5e-5
LARGEST_FACTOR = 16
CLEARANCE = 1.1


@dataclass(frozen=True)
class Layout:
    """Sizes of one movie's alignment; all pairs are ``(y, x)``.

    Attributes
    ----------
    shape
        Frame as it lies in the file, in pixels.
    padded
        Frame with the margin that makes its transform fast.
    stored
        Padded frame after the Fourier crop to the output's pixel size.
    output
        Image that is written.
    pixel_size_A, output_pixel_size_A
        Pixel size of frames and output in A.
    """

    shape: tuple[int, int]
    padded: tuple[int, int]
    stored: tuple[int, int]
    output: tuple[int, int]
    pixel_size_A: float
    output_pixel_size_A: float

    @property
    def is_cropped(self) -> bool:
        """Whether the output has larger pixels than the frames."""
        return self.stored != self.padded

    def source_rows(self) -> np.ndarray:
        """Return for each stored ky the row of the padded frame's transform; -1 for a Nyquist row that is cropped."""
        return stored_rows(self.padded[0], self.stored[0])

    def frequencies(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the frequencies in 1/A of stored rows and columns, float64."""
        rows, columns = self.stored
        y = np.fft.fftfreq(rows, 1 / rows) / (self.padded[0] * self.pixel_size_A)
        x = np.arange(columns // 2 + 1) / (self.padded[1] * self.pixel_size_A)
        return y, x


@dataclass(frozen=True)
class LowLayout:
    """Sizes of the decimated frames on which the alignment works; all pairs are ``(y, x)``.

    Attributes
    ----------
    shape
        Frame as it lies in the file, in pixels.
    factor
        Pixels of the frame for each decimated one, along each axis.
    decimated
        Decimated frame, its margin included.
    pixel_size_A
        Pixel size of the frame in A.
    """

    shape: tuple[int, int]
    factor: int
    decimated: tuple[int, int]
    pixel_size_A: float

    @property
    def padded(self) -> tuple[int, int]:
        """Frame with the margin that makes its decimated transform fast, in pixels."""
        return self.decimated[0] * self.factor, self.decimated[1] * self.factor

    @property
    def extent_A(self) -> tuple[float, float]:
        """Edge lengths of the padded frame in A; frequencies are multiples of their inverse."""
        return self.padded[0] * self.pixel_size_A, self.padded[1] * self.pixel_size_A


def plan_low_layout(shape: tuple[int, int], pixel_size_A: float, highest_per_A: float) -> LowLayout:
    """Choose the decimation that keeps frequencies up to a highest one clear of aliases.

    Parameters
    ----------
    shape
        Frame ``(y, x)`` in pixels.
    pixel_size_A
        Its pixel size in A.
    highest_per_A
        Highest frequency that is needed, 1/A.
    """
    factor = max(1, min(LARGEST_FACTOR, int(0.5 / (CLEARANCE * highest_per_A * pixel_size_A))))
    decimated = (smooth_size(-(-shape[0] // factor)), smooth_size(-(-shape[1] // factor)))
    return LowLayout(shape, factor, decimated, pixel_size_A)


def stored_rows(padded: int, stored: int) -> np.ndarray:
    """Return the row of a transform of ``padded`` rows for each of ``stored`` rows (-1: zeros)."""
    index = np.rint(np.fft.fftfreq(stored, 1 / stored)).astype(np.int64)
    rows: np.ndarray = index % padded
    if stored != padded and stored % 2 == 0:
        rows[stored // 2] = -1
    return rows


def mirrored(size: int, padded: int) -> np.ndarray:
    """Return the source pixel for each pixel of a padded axis: itself, then the far edge mirrored, then the near one.

    Mirrored margins have the grey values and the texture of the image, so that no border shows.
    """
    margin = np.arange(size, padded)
    past_end = margin - size
    near_end = past_end < (padded - size + 1) // 2
    source = np.where(near_end, size - 1 - past_end, padded - 1 - margin)
    return np.concatenate([np.arange(size), np.clip(source, 0, size - 1)])


def plan_layout(shape: tuple[int, int], pixel_size_A: float, output_pixel_size_A: float | None = None) -> Layout:
    """Choose the padded and cropped sizes of a movie's frames.

    Parameters
    ----------
    shape
        Frame ``(y, x)`` in pixels.
    pixel_size_A
        Its pixel size in A.
    output_pixel_size_A
        Pixel size wanted in the output, the frames' or larger; None keeps the frames'.

    Raises
    ------
    InputError
        If a size makes no sense, or no padding brings the wanted pixel size out equal along x and y.
    """
    wanted = output_pixel_size_A or pixel_size_A
    if not pixel_size_A > 0:
        raise InputError(f"A pixel size of {pixel_size_A} A makes no sense; give one above zero.")
    if wanted < pixel_size_A * (1 - 1e-6):
        raise InputError(
            f"The output's pixel size of {wanted:g} A is below the frames' {pixel_size_A:g} A; ask for more."
        )
    if min(shape) < 32:
        raise InputError(f"Frames of {shape[1]} x {shape[0]} pixels are too small to align; 32 x 32 is the least.")
    binning = wanted / pixel_size_A
    if binning < 1 + 1e-6:
        padded = (smooth_size(shape[0]), smooth_size(shape[1]))
        return Layout(shape, padded, padded, shape, pixel_size_A, pixel_size_A)
    if min(shape) / binning < 32:
        raise InputError(f"At {wanted:g} A per pixel frames of {shape[1]} x {shape[0]} would shrink below 32 pixels.")
    pairs = [_padded_and_stored(size, binning) for size in shape]
    padded, stored = (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1])
    along_y, along_x = (pixel_size_A * p / s for p, s in zip(padded, stored))
    if abs(along_y / along_x - 1) > LARGEST_STRETCH:
        raise InputError(
            f"Frames of {shape[1]} x {shape[0]} pixels cannot be brought to {wanted:g} A equally along x and y; "
            f"the nearest are {along_x:.5f} and {along_y:.5f} A. Ask for another pixel size."
        )
    output = (max(1, round(shape[0] * stored[0] / padded[0])), max(1, round(shape[1] * stored[1] / padded[1])))
    output = (min(output[0], stored[0]), min(output[1], stored[1]))
    return Layout(shape, padded, stored, output, pixel_size_A, float(np.sqrt(along_y * along_x)))


def _padded_and_stored(size: int, binning: float) -> tuple[int, int]:
    """Return a padded size, and the size after the crop, that give the binning well and are fast."""
    best: tuple[float, int, int] | None = None
    for padded in range(size + size % 2, int(size * LARGEST_PADDING) + 3, 2):
        stored = 2 * round(padded / binning / 2)
        error = abs(padded / stored / binning - 1)
        slow = (0.0 if smooth_size(padded) == padded else 0.5) + (0.0 if smooth_size(stored) == stored else 0.1)
        cost = max(error - NEGLIGIBLE_STRETCH, 0.0) * 1e5 + slow + padded / size
        if best is None or cost < best[0]:
            best = (cost, padded, stored)
    if best is None:
        raise InputError(f"No padding of {size} pixels gives a binning of {binning:g}; ask for another pixel size.")
    return best[1], best[2]
