"""Sum shifted, dose-weighted frames in Fourier space, and bring the sum back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from verglas.kernels import movie as kernels
from verglas.microscopy.dose import dose_filters, frame_doses
from verglas.stages.motion.layout import Layout
from verglas.stages.motion.low_frequencies import phase_ramps

TABLE_SIZE = 8192
ROW_CHUNKS = 32


@dataclass(frozen=True)
class DoseWeights:
    """Weights of the frames over spatial frequency, as tables.

    Attributes
    ----------
    weights
        float64, shape (frames, table): weight of each frame.
    step
        float64, shape (table,): the factor from one frame's weight to the next one's.
    entries_A
        Table entries per unit of frequency (1/A).
    """

    weights: np.ndarray
    step: np.ndarray
    entries_A: float


def dose_weights(
    layout: Layout,
    summed: np.ndarray,
    *,
    dose_per_frame_e_per_A2: float,
    pre_exposure_e_per_A2: float,
    voltage_kV: float,
    dose_filter: bool,
    restore_noise_power: bool,
) -> DoseWeights:
    """Tabulate the weight of each frame.

    Parameters
    ----------
    layout
        Sizes, for the highest frequency.
    summed
        Which frames enter the sum, shape (frames,); all of them have dosed the specimen.
    dose_per_frame_e_per_A2, pre_exposure_e_per_A2
        Dose of one frame, and before the first, in e/A^2.
    voltage_kV
        Acceleration voltage.
    dose_filter
        Weight by radiation damage; otherwise all weights are 1.
    restore_noise_power
        Divide by the root of the summed squares of the weights, so that the sum's noise is white as one frame's.

    Raises
    ------
    InputError
        If no critical dose is known for the voltage, or a dose makes no sense.
    """
    frames = len(summed)
    highest_per_A = 1.01 * np.sqrt(0.5) / min(layout.pixel_size_A, layout.output_pixel_size_A)
    frequency = np.linspace(0.0, highest_per_A, TABLE_SIZE)
    entries_A = (TABLE_SIZE - 1) / highest_per_A
    if not dose_filter:
        return DoseWeights(np.ones((frames, TABLE_SIZE)), np.ones(TABLE_SIZE), entries_A)
    doses = frame_doses(dose_per_frame_e_per_A2, frames, pre_exposure_e_per_A2)
    weights = dose_filters(frequency, doses, voltage_kV)
    step = dose_filters(frequency, frame_doses(dose_per_frame_e_per_A2, 1), voltage_kV)[0]
    if restore_noise_power:
        power = np.sum(weights[summed] ** 2, axis=0)
        weights = weights / np.sqrt(np.maximum(power, np.finfo(np.float32).tiny))
    return DoseWeights(weights, step, entries_A)


class Summation:
    """The sum's transform, to which blocks of stored frames are added.

    Parameters
    ----------
    layout
        Sizes.
    shifts_A
        Shift to apply to each frame (x, y) in A, shape (frames, 2).
    scales
        What brings each frame's stored transform back to its own units, shape (frames,); 0 leaves the frame out.
    weights
        Dose weights.
    """

    def __init__(self, layout: Layout, shifts_A: np.ndarray, scales: np.ndarray, weights: DoseWeights) -> None:
        self.layout, self.weights = layout, weights
        self.frequency_y, self.frequency_x = layout.frequencies()
        self.ramps = phase_ramps(shifts_A, self.frequency_y, self.frequency_x, scales)
        self.total = np.zeros((layout.stored[0], layout.stored[1] // 2 + 1), np.complex64)

    def add(self, real: np.ndarray, imaginary: np.ndarray, first_frame: int, pool: ThreadPoolExecutor) -> None:
        """Add a block of consecutive frames, stored as float16 bits ``[frame, ky, kx]``."""
        frames = slice(first_frame, first_frame + len(real))
        ramp_x, ramp_y = self.ramps[0][frames], self.ramps[1][frames]
        first_weight = self.weights.weights[first_frame].astype(np.float32)
        step = self.weights.step.astype(np.float32)
        frequency_y, frequency_x = self.frequency_y.astype(np.float32), self.frequency_x.astype(np.float32)
        edges = np.linspace(0, len(self.total), ROW_CHUNKS + 1).astype(int)

        def rows(chunk: int) -> None:
            kernels.add_shifted_rows(
                real, imaginary, ramp_x, ramp_y, first_weight, step, np.float32(self.weights.entries_A),
                frequency_y, frequency_x, edges[chunk], self.total[edges[chunk] : edges[chunk + 1]],
            )  # fmt: skip

        list(pool.map(rows, range(ROW_CHUNKS)))

    def image(self, threads: int = 1) -> np.ndarray:
        """Return the sum as an image, float32, shape ``layout.output``, its mean at zero; the transform stays."""
        import scipy.fft

        self.total[0, 0] = 0.0
        whole = scipy.fft.irfft2(self.total, self.layout.stored, workers=threads)
        image = np.ascontiguousarray(whole[: self.layout.output[0], : self.layout.output[1]])
        if self.layout.is_cropped:
            image *= np.float32(np.prod(self.layout.stored) / np.prod(self.layout.padded))
        return image
