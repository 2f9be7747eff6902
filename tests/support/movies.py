"""Small honest movies: a field of protein-like blobs behind a CTF, drifting, fading, counted electron by electron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft


@dataclass
class TrueMovie:
    """A movie and what is true of it; ``shifts_A`` are the shifts to apply, zero at the middle frame."""

    frames: np.ndarray
    shifts_A: np.ndarray
    gain: np.ndarray
    image: np.ndarray


def drift_path(frames: int, total_A: float, rng: np.random.Generator, jitter_A: float = 0.0) -> np.ndarray:
    """Return a motion (x, y) in A that begins fast and slows down along a bent path of a given length."""
    time = 1 - np.exp(-3 * np.arange(frames) / frames)
    angle = rng.uniform(0, 2 * np.pi) + 0.8 * time
    step = np.diff(time, prepend=0)
    path = np.cumsum(np.stack([step * np.cos(angle), step * np.sin(angle)], 1), axis=0)
    length = np.hypot(*np.diff(path, axis=0).T).sum() if frames > 1 else 1.0
    return path * (total_A / length) + jitter_A * rng.standard_normal((frames, 2))


def make_movie(
    rng: np.random.Generator, *, shape=(512, 512), frames=12, pixel_size_A=1.0, dose=1.0, total_A=12.0, jitter_A=0.0,
    contrast=0.04, particles_per_um2=6000.0, defocus_A=12000.0, gain_spread=0.05, hot_pixels=3, motion_A=None,
    dtype=np.uint8, fixed_pattern=0.0,
) -> TrueMovie:  # fmt: skip
    """Simulate a movie; ``contrast`` is the standard deviation of the specimen's image over its mean."""
    ny, nx = shape
    ky = scipy.fft.fftfreq(ny, pixel_size_A)[:, None]
    kx = scipy.fft.rfftfreq(nx, pixel_size_A)[None]
    k2 = ky**2 + kx**2
    count = max(4, int(particles_per_um2 * ny * nx * pixel_size_A**2 * 1e-8))
    density = np.zeros(shape, np.float32)
    atoms = rng.standard_normal((count, 200, 2)) * 28.0 / pixel_size_A + rng.uniform(0, 1, (count, 1, 2)) * (ny, nx)
    index = np.rint(atoms.reshape(-1, 2)).astype(int) % (ny, nx)
    np.add.at(density, (index[:, 0], index[:, 1]), 1.0)
    phase = np.pi * 0.0197 * defocus_A * k2 - 0.5 * np.pi * 2.7e7 * 0.0197**3 * k2**2
    spectrum = scipy.fft.rfft2(density) * -np.sin(phase + 0.07) * np.exp(-60.0 / 4 * k2)
    spectrum[0, 0] = 0
    image = scipy.fft.irfft2(spectrum, shape)
    spectrum *= contrast / image.std() if image.std() > 0 else 0.0
    motion = drift_path(frames, total_A, rng, jitter_A) if motion_A is None else np.asarray(motion_A)
    gain = np.exp(gain_spread * rng.standard_normal(shape)).astype(np.float32)
    pattern = 1 + fixed_pattern * rng.standard_normal(shape)
    rate = 0.5 / (0.24499 * np.maximum(np.sqrt(k2), 1e-4) ** -1.6649 + 2.8141)
    stack = np.empty((frames, ny, nx), dtype)
    for i in range(frames):
        moved = (
            spectrum * np.exp(-2j * np.pi * (kx * motion[i, 0] + ky * motion[i, 1])) * np.exp(-rate * dose * (i + 0.5))
        )
        expected = dose * pixel_size_A**2 * (1 + scipy.fft.irfft2(moved, shape)) * pattern / gain
        counts = rng.poisson(np.maximum(expected, 0))
        for _ in range(hot_pixels):
            counts[7, 11] = 200
        stack[i] = np.minimum(counts, 250)
    shifts = -(motion - motion[frames // 2])
    return TrueMovie(stack, shifts, gain, scipy.fft.irfft2(spectrum, shape))


def rms_error_A(found: np.ndarray, true: np.ndarray) -> float:
    """Return the rms length of the shifts' errors per axis, less their mean (a common shift moves the whole image)."""
    error = np.asarray(found) - true
    error = error - error.mean(axis=0)
    return float(np.sqrt(np.mean(error**2)))
