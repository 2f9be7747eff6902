"""Pictures of arrays: reduce, scale to grey, Fourier amplitudes, several sections side by side; as PNG."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.errors import FormatError, InputError
from verglas.formats.images import read_header, read_section, read_stack

Image = NDArray[np.float32]
STORED_FROM = 600_000
KEPT_BYTES = 400 * 2**20
LARGEST_SCALE = 1e5
"""Beyond this, single precision would round values on their way to grey."""
LARGEST_PIXELS = 20_000**2


@dataclass(frozen=True)
class Grey:
    """How values become grey: between percentiles, or between two values; `invert` turns it round."""

    low_percent: float = 0.5
    high_percent: float = 99.5
    low: float | None = None
    high: float | None = None
    invert: bool = False


class SectionCache:
    """The sections that were looked at last, so that moving a slider does not read a file again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, int], tuple[Image, float | None]] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def read(self, path: Path, section: int) -> tuple[Image, float | None]:
        """Return a section, counted from 0, and its pixel size in A.

        Raises
        ------
        FormatError
            The file is no image, or is too large to show.
        InputError
            There is no such section.
        """
        name = (str(path), path.stat().st_mtime_ns, section)
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        with self._reading:  # a picture and its facts are asked for at once: the file is read for one of them
            with self._lock:
                if name in self._kept:
                    return self._kept[name]
            return self._read(name, path, section)

    def _read(self, name: tuple[str, int, int], path: Path, section: int) -> tuple[Image, float | None]:
        header = read_header(path)
        if header.n_x * header.n_y > LARGEST_PIXELS:
            raise FormatError(path, f"{header.n_x} x {header.n_y} pixels are too many to show.")
        if not 0 <= section < header.n_sections:
            raise InputError(f"{path} has {header.n_sections} sections, counted from 0; there is no {section}.")
        found = read_section(path, section)
        with self._lock:
            self._kept[name] = found
            while sum(image.nbytes for image, _ in self._kept.values()) > KEPT_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return found


def reduce(image: Image, edge: int) -> Image:
    """Return an image whose longer edge has at most ``edge`` pixels: means of whole blocks, so that nothing aliases."""
    factor = -(-max(image.shape) // max(1, edge))
    if factor <= 1:
        return image
    n_y, n_x = (size // factor * factor for size in image.shape)
    if not n_y or not n_x:
        return image[::factor, ::factor]
    blocks = image[:n_y, :n_x].reshape(n_y // factor, factor, n_x // factor, factor)
    reduced: Image = blocks.mean(axis=(1, 3), dtype=np.float32)
    return reduced


def filtered(image: Image, pixel_size_A: float, low_pass_A: float | None, high_pass_A: float | None) -> Image:
    """Return an image without its finest or its coarsest detail.

    Parameters
    ----------
    image
        Shape (y, x).
    pixel_size_A
        Its pixel size.
    low_pass_A, high_pass_A
        Gaussian filters with half the amplitude left at these resolutions; None: not.
    """
    frequency_y = scipy.fft.fftfreq(image.shape[0], pixel_size_A).astype(np.float32)[:, None]
    frequency_x = scipy.fft.rfftfreq(image.shape[1], pixel_size_A).astype(np.float32)
    squared = frequency_y**2 + frequency_x**2
    finite = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
    mean = float(finite.mean())
    spectrum = scipy.fft.rfft2(finite - np.float32(mean))
    if low_pass_A is not None:
        spectrum *= np.exp2(-squared * np.float32(low_pass_A) ** 2)
    if high_pass_A is not None:
        spectrum *= 1.0 - np.exp2(-squared * np.float32(high_pass_A) ** 2)
    made: Image = (scipy.fft.irfft2(spectrum, image.shape) + mean).astype(np.float32)
    return made


def amplitudes(image: Image, edge: int) -> Image:
    """Return the centred logarithm of Fourier amplitudes out to Nyquist, at most ``edge`` pixels wide."""
    box = min(2 * (min(image.shape) // 2), 2 * (max(64, min(edge, 1024)) // 2))
    if box < 2:
        return image
    total = np.zeros((box, box))
    step = max(box // 2, 1)
    window = np.outer(np.hanning(box), np.hanning(box))
    count = 0
    for top in range(0, image.shape[0] - box + 1, step):
        for left in range(0, image.shape[1] - box + 1, step):
            part = image[top : top + box, left : left + box]
            total += np.abs(scipy.fft.fft2((part - part.mean()) * window)) ** 2
            count += 1
            if count >= 64:
                break
    spectrum = np.fft.fftshift(np.sqrt(total / max(count, 1)))
    shown: Image = np.log(spectrum + spectrum.mean() * 1e-4 + 1e-30).astype(np.float32)
    return shown


def limits(image: Image, grey: Grey) -> tuple[float, float]:
    """Return the values that become black and white."""
    sample = image.ravel()[:: max(1, image.size // 200_000)]
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        sample = image[np.isfinite(image)]
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sample, (grey.low_percent, grey.high_percent)))
    low = grey.low if grey.low is not None else low
    high = grey.high if grey.high is not None else high
    smallest = max(abs(low), abs(high)) * 1e-12 + 1e-30
    return (low, high) if smallest < high - low < 1e300 else (low, low + max(1.0, smallest))


def to_grey(image: Image, grey: Grey) -> NDArray[np.uint8]:
    """Return an image as bytes."""
    low, high = limits(image, grey)
    scale = 255.0 / (high - low)
    with np.errstate(all="ignore"):
        if image.dtype == np.float32 and scale < LARGEST_SCALE and abs(low) * scale < LARGEST_SCALE:
            scaled = image * np.float32(scale)
            scaled -= np.float32(low * scale - 0.5)  # half a step: what follows cuts, which is rounding then
        else:
            scaled = (image.astype(np.float64) - low) * scale + 0.5
        np.clip(scaled, 0.0, 255.0, out=scaled)
        if np.isnan(scaled.sum()):
            np.nan_to_num(scaled, copy=False, nan=0.0)
    made: NDArray[np.uint8] = scaled.astype(np.uint8)
    return 255 - made if grey.invert else made


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return grey bytes as a PNG file; the first row is shown lowest, as everywhere in verglas.

    Whole micrographs are stored as they are: noise does not shrink, and trying takes three times as long.
    """
    level = 0 if pixels.size > STORED_FROM else 1
    return bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels[::-1]), level=level))


def strip(path: Path, sections: list[int], edge: int, grey: Grey) -> tuple[bytes, int, int]:
    """Return sections one below the other, the first uppermost, as one PNG, and the size of one.

    Each is scaled to grey by itself, or all between the values that `grey` names.

    Raises
    ------
    FormatError, InputError
        The file is no image, or a section does not exist.
    """
    images, _ = read_stack(path, sections)
    made = [to_grey(reduce(image, edge), grey) for image in images]
    if not made:
        raise InputError("no sections were asked for.")
    return png(np.concatenate(made[::-1])), made[0].shape[1], made[0].shape[0]
