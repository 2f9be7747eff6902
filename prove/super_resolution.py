"""Super-resolution movies: a Fourier crop of the sum, or binned frames? What signal each of them leaves."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import scipy.fft
from tools.measured import record

from verglas.stages.motion import AlignmentSettings, ArrayMovie, SumSettings, align_movie
from verglas.stages.motion.movie_alignment import AlignedMovie

FINE_PIXEL_A = 0.5
DOSE_E_A2 = 1.0
CONTRAST = 0.35
SHELLS = (0.25, 0.5, 0.75, 0.9, 0.98)


def main(size: int = 2048, frames: int = 20) -> None:
    rng = np.random.Generator(np.random.Philox(11))
    specimen = texture(rng, size)
    shifts = np.cumsum(rng.normal(0.0, 1.2, (frames, 2)), axis=0)  # in fine pixels
    shifts -= shifts[frames // 2]
    movie = counted(rng, specimen, shifts)
    binned = movie.reshape(frames, size // 2, 2, size // 2, 2).sum(axis=(2, 4), dtype=np.uint8)
    truth = half_size(scipy.fft.rfft2(specimen), size)
    found = {"crop": align(movie, FINE_PIXEL_A, 2 * FINE_PIXEL_A), "bin": align(binned, 2 * FINE_PIXEL_A, None)}
    signal = {name: [ssnr(one.sum, truth, part) for part in SHELLS] for name, one in found.items()}
    figures: dict[str, Any] = {
        "movie": {"size": size, "frames": frames, "dose_e_per_fine_pixel": DOSE_E_A2 * FINE_PIXEL_A**2,
                  "specimen": "flat spectrum up to the fine Nyquist frequency; the detector records all of it"},
        "output_nyquist_parts": SHELLS,
        "ssnr_crop": signal["crop"],
        "ssnr_bin": signal["bin"],
        "ssnr_bin_over_crop": [b / a for a, b in zip(signal["crop"], signal["bin"])],
        "chosen": "Fourier crop of the sum: binned frames have not the same quality",
    }  # fmt: skip
    sys.stdout.write(f"written to {record('super_resolution', figures)}\n")


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a specimen of flat spectrum, standard deviation one."""
    return rng.standard_normal((size, size))


def counted(rng: np.random.Generator, specimen: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Return frames of electron counts of a moving specimen; each pixel answers to the electrons on it alone."""
    size = len(specimen)
    ky, kx = scipy.fft.fftfreq(size)[:, None], scipy.fft.rfftfreq(size)[None]
    transform = scipy.fft.rfft2(specimen)
    frames = np.empty((len(shifts), size, size), np.uint8)
    mean = DOSE_E_A2 * FINE_PIXEL_A**2
    for i, (x, y) in enumerate(shifts):
        moved = scipy.fft.irfft2(transform * np.exp(-2j * np.pi * (kx * x + ky * y)), specimen.shape)
        frames[i] = rng.poisson(np.maximum(mean * (1 + CONTRAST * moved), 0))
    return frames


def align(frames: np.ndarray, pixel_A: float, output_A: float | None) -> AlignedMovie:
    """Align with the settings of whole frames, on one thread, without dose filter."""
    settings = AlignmentSettings(patches=1, smooth=False, b_factor_A2=100.0, min_shift_A=0.0)
    return align_movie(
        ArrayMovie(frames), pixel_size_A=pixel_A, alignment=settings,
        summation=SumSettings(dose_filter=False, output_pixel_size_A=output_A), threads=1,
    )  # fmt: skip


def half_size(transform: np.ndarray, size: int) -> np.ndarray:
    """Return the transform of the image with pixels twice as large."""
    quarter = size // 4
    return np.concatenate([transform[:quarter], transform[-quarter:]])[:, : quarter + 1]


def ssnr(image: np.ndarray, truth: np.ndarray, part: float) -> float:
    """Return the spectral signal-to-noise ratio of an image in a shell, from its correlation with the truth.

    The image may lie shifted against the truth by a fraction of a pixel: its phases are turned by the shift that fits.
    """
    size = len(image)
    transform = scipy.fft.rfft2(image)
    order_y, order_x = scipy.fft.fftfreq(size, 1 / size)[:, None], np.arange(size // 2 + 1)[None]
    radius = np.hypot(order_y, order_x) / (size / 2)
    low = (radius > 0.02) & (radius < 0.5)
    best = max(
        ((float(np.real(np.sum((transform * np.conj(truth) * turn(order_y, order_x, y, x, size))[low]))), y, x)
         for y in np.arange(-1.0, 1.01, 0.05) for x in np.arange(-1.0, 1.01, 0.05)),
    )  # fmt: skip
    turned = transform * turn(order_y, order_x, best[1], best[2], size)
    shell = abs(radius - part) < 0.02
    product = np.real(np.sum((turned * np.conj(truth))[shell]))
    correlation = product / np.sqrt(np.sum(abs(turned[shell]) ** 2) * np.sum(abs(truth[shell]) ** 2))
    return float(correlation**2 / (1 - correlation**2))


def turn(order_y: np.ndarray, order_x: np.ndarray, y: float, x: float, size: int) -> np.ndarray:
    """Return the phases that shift an image by a fraction of a pixel."""
    return np.asarray(np.exp(-2j * np.pi * (order_y * y + order_x * x) / size))
