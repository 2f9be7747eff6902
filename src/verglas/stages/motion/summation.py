"""Sum the frames where the specimen lay in them, weighted for radiation damage.

A dose filter differs from frame to frame only slowly, so all of them are mixtures of a handful of filters. Frames are
therefore mixed in real space, a few sums at a time in the cache, and only these sums are transformed: a movie costs as
many transforms as there are filters, not as there are frames.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from verglas.kernels import movie_sums as kernels
from verglas.microscopy.dose import dose_filters, frame_doses
from verglas.stages.motion.frames import Corrections, FrameStatistics
from verglas.stages.motion.interpolation import interpolation_filters, mean_response
from verglas.stages.motion.layout import Layout, mirrored
from verglas.stages.motion.local_model import LocalModel
from verglas.stages.motion.magnification import Magnification

TABLE_SIZE = 8192
TABLE_SAMPLED = 16
ROW_CHUNKS = 32
TILE_WIDTH = 512
MOST_SUMS = 8
LARGEST_WEIGHT_ERROR = 2e-3


@dataclass(frozen=True)
class DoseWeights:
    """Weights of the frames over spatial frequency, as products of few factors.

    Attributes
    ----------
    coefficients
        float32, shape (frames, sums): how much of a frame enters each sum; zero for frames that are left out.
    filters
        Name of an image to float32, shape (sums, table): by what each sum's transform is multiplied before they are
        added. ``sum`` is the weighted sum; others as asked for.
    entries_A
        Table entries per unit of frequency (1/A).
    """

    coefficients: np.ndarray
    filters: dict[str, np.ndarray]
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
    unweighted: bool = False,
    halves: bool = False,
) -> DoseWeights:
    """Tabulate the weight of each frame, and split the table into few factors.

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
    unweighted
        Give the plain sum too, as ``unweighted``.
    halves
        Give the sums of even and of odd frames too (counted from 1), as ``even`` and ``odd``, weighted like the sum.

    Raises
    ------
    InputError
        If no critical dose is known for the voltage, or a dose makes no sense.
    """
    frames = len(summed)
    highest_per_A = 1.01 * np.sqrt(0.5) / min(layout.pixel_size_A, layout.output_pixel_size_A)
    frequency = np.linspace(0.0, highest_per_A, TABLE_SIZE)
    entries_A = (TABLE_SIZE - 1) / highest_per_A
    if dose_filter:
        doses = frame_doses(dose_per_frame_e_per_A2, frames, pre_exposure_e_per_A2)
        weights = dose_filters(frequency, doses, voltage_kV) * summed[:, None]
        norm = _root_of_squares(weights)
        # Factors are chosen for weights of equal noise, so that the error is small beside the noise at every frequency.
        factors = _few_factors(weights[:, ::TABLE_SAMPLED] / norm[::TABLE_SAMPLED])
        filters = factors.T @ (weights / norm)
        if not restore_noise_power:
            filters *= norm
    else:
        weights = norm = np.ones((1, TABLE_SIZE))
        factors, filters = summed[:, None].astype(np.float64), np.ones((1, TABLE_SIZE))
    named = {"sum": filters}
    if halves:
        named, nothing = {"sum": np.concatenate([filters, filters])}, np.zeros_like(filters)
        even = (np.arange(frames) % 2 == 1)[:, None]
        for name, part in (("even", even), ("odd", ~even)):
            restored = norm / _root_of_squares(weights * part) if dose_filter and restore_noise_power else 1.0
            own = filters * restored
            named[name] = np.concatenate([own, nothing] if name == "even" else [nothing, own])
        factors = np.concatenate([factors * even, factors * ~even], axis=1)
    if unweighted:
        named = {name: np.concatenate([table, np.zeros((1, TABLE_SIZE))]) for name, table in named.items()}
        named["unweighted"] = np.zeros_like(named["sum"])
        named["unweighted"][-1] = 1.0
        factors = np.concatenate([factors, summed[:, None]], axis=1)
    tables = {name: table.astype(np.float32) for name, table in named.items()}
    return DoseWeights(factors.astype(np.float32), tables, entries_A)


def _root_of_squares(weights: np.ndarray) -> np.ndarray:
    """Return the root of the summed squares of all frames' weights at each frequency."""
    return np.asarray(np.sqrt(np.maximum(np.sum(weights**2, axis=0), np.finfo(np.float32).tiny)))


def _few_factors(weights: np.ndarray) -> np.ndarray:
    """Return orthonormal columns, shape (frames, sums), of which all weights are mixtures to a fine tolerance."""
    factors = np.linalg.svd(weights, full_matrices=False)[0][:, :MOST_SUMS]
    for count in range(1, factors.shape[1]):
        few = factors[:, :count]
        error = weights - few @ (few.T @ weights)
        if np.sqrt(np.sum(error**2, axis=0)).max() <= LARGEST_WEIGHT_ERROR:
            return few
    return factors


def displacement_field(
    layout: Layout, shifts_A: np.ndarray, model: LocalModel | None = None, magnification: Magnification | None = None
) -> np.ndarray:
    """Return the displacements at the nodes of all frames.

    Parameters
    ----------
    layout
        Sizes.
    shifts_A
        Shift to apply to each frame (x, y) in A, shape (frames, 2).
    model
        The local motion, added to the frames' shifts.
    magnification
        What corrects an anisotropic magnification.

    Returns
    -------
    ndarray, float32, shape (frames, 2, nodes y, nodes x)
        Where to read (x, y), in pixels relative to where to write, at every 64th pixel.
    """
    rows, columns = layout.shape
    nodes_y, nodes_x = node_counts(layout)
    y, x = np.meshgrid(kernels.CELL * np.arange(nodes_y), kernels.CELL * np.arange(nodes_x), indexing="ij")
    steady = np.zeros((2, nodes_y, nodes_x))
    if magnification is not None:
        steady = magnification.displacements(x - columns // 2, y - rows // 2)
    field = steady - shifts_A[:, :, None, None] / layout.pixel_size_A
    if model is not None:
        along_x, along_y = (2 * (x + steady[0]) + 1) / columns - 1.0, (2 * (y + steady[1]) + 1) / rows - 1.0
        field -= model.shifts_A(along_x, along_y) / layout.pixel_size_A
    return np.ascontiguousarray(field, np.float32)


def node_counts(layout: Layout) -> tuple[int, int]:
    """Return how many nodes (y, x) a field of displacements has."""
    return -(-layout.shape[0] // kernels.CELL) + 1, -(-layout.shape[1] // kernels.CELL) + 1


class Summation:
    """Sums in real space, to which blocks of frames are added, and the one image that comes of them.

    Parameters
    ----------
    layout
        Sizes.
    field
        Displacements of all frames, as `displacement_field` returns them.
    weights
        Dose weights.
    corrections
        Detector corrections.
    statistics
        Mean and standard deviation of each frame.
    """

    def __init__(
        self,
        layout: Layout,
        field: np.ndarray,
        weights: DoseWeights,
        corrections: Corrections,
        statistics: FrameStatistics,
    ) -> None:
        self.layout, self.field, self.weights = layout, field, weights
        self.gain, self.dark = corrections.references()
        self.means = np.nan_to_num(statistics.mean).astype(np.float32)
        self.limits = np.nan_to_num(corrections.outlier_sigmas * statistics.sd).astype(np.float32)
        self.sums = np.zeros((weights.coefficients.shape[1], *layout.shape), np.float32)

    def add(self, frames: np.ndarray, first_frame: int, pool: ThreadPoolExecutor) -> None:
        """Add a block of consecutive frames ``[frame, y, x]`` as they were decoded."""
        some = slice(first_frame, first_frame + len(frames))
        rows, columns = self.layout.shape
        taps, coefficients, field = interpolation_filters(), self.weights.coefficients[some], self.field[some]

        def band(first_y: int) -> None:
            for first_x in range(0, columns, TILE_WIDTH):
                kernels.add_frames(
                    frames, self.dark, self.gain, self.means[some], self.limits[some], coefficients, field, taps,
                    first_y, min(first_y + kernels.CELL, rows), first_x, min(first_x + TILE_WIDTH, columns), self.sums,
                )  # fmt: skip

        list(pool.map(band, range(0, rows, kernels.CELL)))

    def transforms(self, threads: int = 1) -> dict[str, np.ndarray]:
        """Return the transform of each image wanted, complex64 ``[ky, kx]`` of the layout's stored size, mean zero."""
        import scipy.fft

        layout, filters = self.layout, self.weights.filters
        size = (layout.stored[0], layout.stored[1] // 2 + 1)
        totals = {name: np.zeros(size, np.complex64) for name in filters}
        source_rows = layout.source_rows()
        frequency_y, frequency_x = (axis.astype(np.float32) for axis in layout.frequencies())
        edges = np.linspace(0, size[0], ROW_CHUNKS + 1).astype(int)
        with ThreadPoolExecutor(threads) as pool:
            for number, plane in enumerate(self.sums):
                whole = scipy.fft.rfft2(padded_image(plane, layout), workers=threads)
                for name, total in totals.items():
                    table = filters[name][number]
                    if not table.any():
                        continue

                    def rows(
                        chunk: int, whole: np.ndarray = whole, table: np.ndarray = table, total: np.ndarray = total
                    ) -> None:
                        kernels.add_weighted_rows(
                            whole, source_rows, table, np.float32(self.weights.entries_A), frequency_y, frequency_x,
                            edges[chunk], edges[chunk + 1], total,
                        )  # fmt: skip

                    list(pool.map(rows, range(ROW_CHUNKS)))
        for total in totals.values():
            self._undo_interpolation(total)
            total[0, 0] = 0.0
        return totals

    def _undo_interpolation(self, total: np.ndarray) -> None:
        """Give back what interpolation took on average of the highest frequencies along each axis."""
        used = self.weights.coefficients.any(axis=1)
        frequency_y, frequency_x = (axis * self.layout.pixel_size_A for axis in self.layout.frequencies())
        total *= (1.0 / mean_response(self.field[used, 0], frequency_x)).astype(np.float32)[None, :]
        total *= (1.0 / mean_response(self.field[used, 1], frequency_y)).astype(np.float32)[:, None]


def padded_image(image: np.ndarray, layout: Layout) -> np.ndarray:
    """Return an image with the margin that makes its transform fast, filled by mirroring."""
    if layout.padded == layout.shape:
        return image
    source_y = mirrored(layout.shape[0], layout.padded[0])
    source_x = mirrored(layout.shape[1], layout.padded[1])
    return np.asarray(image[source_y][:, source_x])


def image_of(transform: np.ndarray, layout: Layout, threads: int = 1) -> np.ndarray:
    """Return the image of a sum's transform, float32, shape ``layout.output``."""
    import scipy.fft

    whole = scipy.fft.irfft2(transform, layout.stored, workers=threads)
    image = np.ascontiguousarray(whole[: layout.output[0], : layout.output[1]])
    if layout.is_cropped:
        image *= np.float32(np.prod(layout.stored) / np.prod(layout.padded))
    return image
