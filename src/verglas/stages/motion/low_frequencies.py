"""The low frequencies of a movie's frames, on which the alignment works, and the phases that shift them."""

from __future__ import annotations

import numpy as np

from verglas.stages.motion.layout import LowLayout, plan_low_layout

SMALLEST_WEIGHT = 0.01


def highest_frequency(b_factor_A2: float) -> float:
    """Return the highest frequency in 1/A whose weight in the alignment matters."""
    return float(np.sqrt(-4.0 * np.log(SMALLEST_WEIGHT) / b_factor_A2))


def low_layout(shape: tuple[int, int], pixel_size_A: float, b_factor_A2: float) -> LowLayout:
    """Return the sizes of the decimated frames for an alignment with a B-factor."""
    return plan_low_layout(shape, pixel_size_A, highest_frequency(b_factor_A2))


def low_frequency_reach(layout: LowLayout, b_factor_A2: float) -> tuple[int, int]:
    """Return the highest order (ky, kx) of the transforms whose weight in the alignment matters."""
    limit_per_A = highest_frequency(b_factor_A2)
    reach_y, reach_x = (
        min(int(np.ceil(limit_per_A * extent)), size // 2 - 1)
        for extent, size in zip(layout.extent_A, layout.decimated)
    )
    return reach_y, reach_x


def triangle_response(order: np.ndarray, size: int, factor: int) -> np.ndarray:
    """Return what decimation leaves of each order of a padded axis of ``size`` pixels."""
    return np.asarray((np.sinc(order * factor / size) / np.sinc(order / size)) ** 2)


class LowFrequencies:
    """The low frequencies of all frames, float32, filled frame by frame and then aligned.

    Parameters
    ----------
    layout
        Sizes.
    frames
        Number of frames.
    b_factor_A2
        Weights are exp(-B k^2 / 4).
    cross_half_width
        Half-width of the cross of frequencies beside the axes that is left out; None leaves out the origin alone.
    """

    def __init__(self, layout: LowLayout, frames: int, b_factor_A2: float, cross_half_width: int | None) -> None:
        extent_y, extent_x = layout.extent_A
        reach_y, reach_x = low_frequency_reach(layout, b_factor_A2)
        order_y = np.concatenate([np.arange(reach_y + 1), np.arange(-reach_y, 0)])
        order_x = np.arange(reach_x + 1)
        self.rows = order_y % layout.decimated[0]
        self.order_y, self.order_x = order_y, order_x
        self.frequency_y, self.frequency_x = order_y / extent_y, order_x / extent_x
        self.extent_A = layout.extent_A
        undo_y = 1.0 / triangle_response(order_y, layout.padded[0], layout.factor)
        self._undo = undo_y[:, None] / triangle_response(order_x, layout.padded[1], layout.factor)[None, :]
        self.real = np.zeros((frames, len(order_y), len(order_x)), np.float32)
        self.imaginary = np.zeros_like(self.real)
        squared = self.frequency_y[:, None] ** 2 + self.frequency_x[None, :] ** 2
        weight = np.exp(-b_factor_A2 / 4.0 * squared)
        weight[weight < SMALLEST_WEIGHT] = 0.0
        weight[0, 0] = 0.0
        weight[order_y < 0, 0] = 0.0
        if cross_half_width is not None:
            weight[np.abs(order_y) <= cross_half_width, :] = 0.0
            weight[:, : cross_half_width + 1] = 0.0
        self.weight = weight.astype(np.float32)

    def keep(self, frame: int, small: np.ndarray, scale: float) -> None:
        """Keep the low frequencies of a decimated frame, times ``scale``."""
        import scipy.fft

        low = scipy.fft.rfft2(small)[self.rows, : len(self.order_x)]
        low *= (scale * self._undo).astype(np.float32)
        self.real[frame], self.imaginary[frame] = low.real, low.imag


def phase_ramps(
    shifts_A: np.ndarray, frequency_y: np.ndarray, frequency_x: np.ndarray, scales: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and sines of the phases that shift each frame, as the kernels take them.

    Parameters
    ----------
    shifts_A
        Shift to apply (x, y) of each frame, shape (frames, 2).
    frequency_y, frequency_x
        Frequencies of rows and columns in 1/A.
    scales
        A factor for each frame, 0 to leave it out, contained in the rows' ramp.

    Returns
    -------
    ramp_x, ramp_y : ndarray, float32, shapes (frames, 2, kx) and (frames, 2, ky)
    """
    phase_x = -2.0 * np.pi * shifts_A[:, 0, None] * frequency_x[None, :]
    phase_y = -2.0 * np.pi * shifts_A[:, 1, None] * frequency_y[None, :]
    ramp_x = np.stack([np.cos(phase_x), np.sin(phase_x)], axis=1)
    ramp_y = np.stack([np.cos(phase_y), np.sin(phase_y)], axis=1) * scales[:, None, None]
    return ramp_x.astype(np.float32), ramp_y.astype(np.float32)
