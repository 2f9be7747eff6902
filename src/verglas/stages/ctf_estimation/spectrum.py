"""The spectrum that a transfer function is fitted to: tiles averaged, cut at a sensible frequency, as logarithm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from verglas.errors import InputError
from verglas.signal import smooth_size, tiled_spectrum

FINEST_PIXEL_A = 1.4
MANY_PIXELS = 3000 * 3000
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ThonSpectrum:
    """Logarithm of a micrograph's power on the half plane of ``rfft2``.

    Attributes
    ----------
    log_power
        float32, shape (box, box // 2 + 1); frequency 0 at ``[0, 0]``.
    pixel_size_A
        Of the micrograph sampled so that its Nyquist frequency is the spectrum's edge.
    """

    log_power: Array
    pixel_size_A: float

    @property
    def box(self) -> int:
        """Edge of the whole spectrum in pixels."""
        return len(self.log_power)

    @property
    def step_per_A(self) -> float:
        """Spatial frequency of one pixel in 1/A."""
        return 1.0 / (self.box * self.pixel_size_A)


def tile_size(box: int, pixel_size_A: float, finest_pixel_A: float | None) -> int:
    """Return the edge of the tiles, in pixels, whose spectrum is cut to the box."""
    if finest_pixel_A is None or pixel_size_A >= finest_pixel_A:
        return box
    tile: int = smooth_size(int(np.ceil(box * finest_pixel_A / pixel_size_A)))
    return tile + tile % 2


def fitted_tile(shape: tuple[int, ...], box: int, pixel_size_A: float, finest_pixel_A: float | None) -> tuple[int, int]:
    """Return the edges of spectrum and tiles, smaller than asked for where a micrograph is smaller than a tile.

    Raises
    ------
    InputError
        If pixel size, box or micrograph cannot be used.
    """
    if not pixel_size_A > 0:
        raise InputError(f"A pixel size of {pixel_size_A:g} A makes no sense; give the micrograph's in A.")
    if box < 64 or box % 2:
        raise InputError(f"The box of the spectrum must be even and at least 64 pixels, not {box}.")
    if len(shape) != 2 or min(shape) < 128:
        raise InputError(
            f"A CTF is fitted to an image of two axes of at least 128 pixels, not to one of shape {shape}."
        )
    tile = tile_size(box, pixel_size_A, finest_pixel_A)
    if tile <= min(shape):
        return box, tile
    largest = min(shape) // 2 * 2
    return max(64, 2 * int(box * largest / tile / 2)), largest


def cut_spectrum(power: Array, box: int) -> Array:
    """Return the lowest frequencies of half spectra of shape (..., tile, tile // 2 + 1), the edge being the box's."""
    tile, half = power.shape[-2], box // 2
    return np.concatenate([power[..., :half, :], power[..., tile - half :, :]], axis=-2)[..., : half + 1]


def log_spectrum(power: Array, pixel_size_A: float) -> ThonSpectrum:
    """Return a spectrum from its power, shape (box, box // 2 + 1)."""
    floor = float(np.median(power)) * 1e-6
    return ThonSpectrum(np.log(np.maximum(power, floor)).astype(np.float32), pixel_size_A)


def frame_groups(frames: Iterable[Array], count: int) -> Iterator[Array]:
    """Sum a movie's frames in groups, one group in memory at a time.

    Their spectra keep the Thon rings of specimens that move between groups, and that of unaligned movies, at the price
    of more noise in each.

    Parameters
    ----------
    frames
        Frames [y, x], corrected for the detector's gain.
    count
        Frames a group, at least 1; a last group with fewer is left out unless it is the only one.

    Yields
    ------
    array
        float32 sums.
    """
    if count < 1:
        raise InputError(f"A group of {count} frames holds none; give 1 or more.")
    total, held, made = None, 0, False
    for frame in frames:
        total = frame.astype(np.float32) if total is None else total + frame
        held += 1
        if held == count:
            yield total
            total, held, made = None, 0, True
    if total is not None and not made:
        yield total


def thon_spectrum(
    image: Array | Iterable[Array],
    pixel_size_A: float,
    *,
    box: int = 512,
    finest_pixel_A: float | None = FINEST_PIXEL_A,
    threads: int = 1,
) -> ThonSpectrum:
    """Average the power of overlapping tiles.

    Where pixels are finer than 1.4 A, tiles are larger in proportion and the spectrum is cut at 1 / 2.8 A: what
    resampling the micrograph would give, without its interpolation.

    Parameters
    ----------
    image
        Micrograph, real, shape (ny, nx), or images of one shape, such as `frame_groups` gives, whose power is averaged.
    pixel_size_A
        Its pixel size.
    box
        Edge of the spectrum in pixels, even. A micrograph smaller than a tile gives a smaller one.
    finest_pixel_A
        Where pixels are finer, the spectrum ends at 1 / twice this; None for no cut.
    threads
        Threads.

    Raises
    ------
    InputError
        If the micrograph is too small, or has pixels that are not finite or all alike.
    """
    power, shape = None, None
    for one in [image] if isinstance(image, np.ndarray) else image:
        if shape is None:
            box, tile = fitted_tile(one.shape, box, pixel_size_A, finest_pixel_A)
            shape = one.shape
        elif one.shape != shape:
            raise InputError(f"Images of shapes {shape} and {one.shape} do not go into one spectrum.")
        added = _tile_power(one, tile, threads)
        power = added if power is None else power + added
    if power is None:
        raise InputError("There is no image to fit a CTF to.")
    return log_spectrum(cut_spectrum(power, box), pixel_size_A * tile / box)


def _tile_power(image: Array, tile: int, threads: int) -> Array:
    """Return the average power of an image's tiles."""
    overlap = 0.25 if image.size > MANY_PIXELS else 0.5
    with np.errstate(invalid="ignore", over="ignore"):
        power: Array = tiled_spectrum(image, tile, overlap=overlap, workers=threads)
    if not np.isfinite(power[0, 1]):  # any pixel that is no number spoils all of its tile
        raise InputError("The micrograph has pixels that are no numbers; was it written whole?")
    if not power.any():
        raise InputError("All pixels of the micrograph are alike: there is nothing to fit a CTF to.")
    return power
