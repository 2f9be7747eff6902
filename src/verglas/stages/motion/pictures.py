"""What people look at after an alignment: amplitude spectrum, scaled copy, and one picture of everything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from verglas.kernels import movie as kernels
from verglas.signal.fourier import resize_transform

if TYPE_CHECKING:
    from verglas.stages.motion.movie_alignment import AlignedMovie

SPECTRUM_SIZE = 512
SCALED_LONGEST_SIDE = 1200


def amplitude_spectrum(transform: np.ndarray, shape: tuple[int, int], size: int = SPECTRUM_SIZE) -> np.ndarray:
    """Return the centred amplitude spectrum of an image, averaged down to a square.

    Parameters
    ----------
    transform
        complex64 half transform ``[ky, kx]``.
    shape
        Shape of the image it belongs to.
    size
        Edge of the square in pixels; smaller images give a smaller one. The origin is at ``size // 2`` and the edges
        are the Nyquist frequency along both axes, whatever the shape of the image.

    Returns
    -------
    ndarray, float32, shape (size, size)
    """
    size = min(size, min(shape) // 2 * 2)
    bins_y = _bins(np.fft.fftfreq(shape[0]), size)
    frequency_x = np.arange(shape[1] // 2 + 1) / shape[1]
    bins_x = np.stack([_bins(frequency_x, size), _bins(-frequency_x, size)])
    amplitudes, counts = np.zeros((size, size)), np.zeros((size, size))
    kernels.spectrum_rows(transform, shape[1], bins_y, bins_x, 0, shape[0], amplitudes, counts)
    spectrum: np.ndarray = (amplitudes / np.maximum(counts, 1.0)).astype(np.float32)
    return spectrum


def _bins(frequency: np.ndarray, size: int) -> np.ndarray:
    """Return the nearest pixel of the picture for frequencies in cycles per pixel; Nyquist wraps to pixel 0."""
    return np.asarray((np.rint(frequency * size).astype(np.int64) + size // 2) % size)


def scaled_copy(transform: np.ndarray, padded: tuple[int, int], output: tuple[int, int]) -> np.ndarray:
    """Return a smaller copy of an image, its longest side 1200 pixels at most, by cropping its transform.

    Parameters
    ----------
    transform
        complex64 half transform of the padded image.
    padded
        Shape of the padded image.
    output
        Shape of the image proper, which begins at the first pixel.

    Returns
    -------
    ndarray, float32
    """
    import scipy.fft

    factor = min(1.0, SCALED_LONGEST_SIDE / max(output))
    new = (max(2, 2 * round(padded[0] * factor / 2)), max(2, 2 * round(padded[1] * factor / 2)))
    small = resize_transform(transform, padded, new) if new != padded else transform
    image = scipy.fft.irfft2(small, new)
    rows, columns = (round(output[0] * new[0] / padded[0]), round(output[1] * new[1] / padded[1]))
    return np.ascontiguousarray(image[: min(rows, new[0]), : min(columns, new[1])], dtype=np.float32)


def display_range(image: np.ndarray) -> tuple[float, float]:
    """Return the grey values to show as black and white: mean -+ 3 standard deviations of the middle 98 %."""
    low, high = np.percentile(image, (1, 99))
    middle = image[(image >= low) & (image <= high)]
    return float(middle.mean() - 3 * middle.std()), float(middle.mean() + 3 * middle.std())


def flattened(spectrum: np.ndarray) -> np.ndarray:
    """Return a centred spectrum over its rotational average, smoothed, so that rings show at all frequencies."""
    from scipy.ndimage import median_filter

    size = len(spectrum)
    y, x = np.indices(spectrum.shape) - size // 2
    ring = np.hypot(y, x).astype(int)
    counts = np.bincount(ring.ravel())
    mean = np.bincount(ring.ravel(), spectrum.ravel()) / np.maximum(counts, 1)
    trend = median_filter(mean, size=max(3, size // 16), mode="nearest")
    return np.asarray(spectrum / np.maximum(trend[ring], 1e-30), np.float32)


def write_picture(path: Path, movie: AlignedMovie, title: str) -> None:
    """Write a PNG of the aligned sum, its spectrum and the path of the specimen.

    Parameters
    ----------
    path
        Where to.
    movie
        The aligned movie.
    title
        Name of the movie.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 4.6), dpi=90, layout="constrained")
    image, spectrum, path_axes = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    low, high = display_range(movie.scaled)
    height_A, width_A = (side * movie.pixel_size_A / 10 for side in movie.sum.shape)
    image.imshow(movie.scaled, cmap="gray", vmin=low, vmax=high, origin="lower", extent=(0, width_A, 0, height_A))
    image.set(title=title, xlabel="nm", ylabel="nm")
    flat = flattened(movie.spectrum)
    flat_low, flat_high = np.percentile(flat, (1, 99.5))
    spectrum.imshow(flat, cmap="gray", vmin=flat_low, vmax=flat_high, origin="lower")
    spectrum.set(title=f"amplitude spectrum, edge {2 * movie.pixel_size_A:.2f} A", xticks=[], yticks=[])
    x, y = movie.shifts_A[:, 0], movie.shifts_A[:, 1]
    path_axes.plot(x, y, color="0.6", linewidth=1)
    points = path_axes.scatter(x, y, c=movie.dose_after_frame_e_per_A2, s=18, cmap="viridis", zorder=2)
    figure.colorbar(points, ax=path_axes, label="dose after the frame, e/A$^2$")
    path_axes.set(title="shift to apply", xlabel="x, A", ylabel="y, A", aspect="equal", adjustable="datalim")
    FigureCanvasAgg(figure).print_figure(path, format="png")
