"""Patches of decimated frames: where they lie, their low frequencies, and the shifts that they ask for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from verglas.kernels import movie as kernels
from verglas.signal.fourier import smooth_size
from verglas.stages.motion.layout import LowLayout
from verglas.stages.motion.low_frequencies import LowFrequencies, low_frequency_reach, phase_ramps

OVERLAP = 1.5
LEAST_SPACING_A = 200.0


def patch_counts(layout: LowLayout, along_longer: int) -> tuple[int, int]:
    """Return how many patches (y, x) cover a frame: in proportion to its sides, and none closer than 200 A."""
    sides = [size * layout.pixel_size_A for size in layout.shape]
    counts = [max(1, round(along_longer * side / max(sides))) for side in sides]
    y, x = (min(count, max(1, int(side / LEAST_SPACING_A))) for count, side in zip(counts, sides))
    return y, x


def patch_bytes(layout: LowLayout, along_longer: int, frames: int, b_factor_A2: float) -> int:
    """Return the memory that the patches of all frames take."""
    counts = patch_counts(layout, along_longer)
    shape = [patch_width(size // layout.factor, count) for size, count in zip(layout.shape, counts)]
    sizes = (shape[0] * layout.factor, shape[1] * layout.factor)
    low = LowLayout(sizes, layout.factor, (shape[0], shape[1]), layout.pixel_size_A)
    reach_y, reach_x = low_frequency_reach(low, b_factor_A2)
    return counts[0] * counts[1] * (2 * reach_y + 1) * (reach_x + 1) * (8 * frames + 16)


def patch_places(size: int, count: int, width: int) -> np.ndarray:
    """Return the first pixel of ``count`` patches of a width that cover an axis evenly."""
    return np.rint(np.linspace(0, size - width, count) if count > 1 else [(size - width) / 2]).astype(int)


def patch_width(size: int, count: int) -> int:
    """Return the width of overlapping patches in decimated pixels; its transform is fast."""
    return min(smooth_size(int(np.ceil(OVERLAP * size / count))), size)


def window(width: int) -> np.ndarray:
    """Return the window of a patch along one axis: flat, with a cosine over the outer third at either side."""
    place = (np.arange(width) + 0.5) / width
    edge = np.clip(np.minimum(place, 1 - place) * 3.0, 0.0, 1.0)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * edge), np.float32)


class Patch:
    """One patch of all frames, cut out where the whole-frame shifts put it.

    Parameters
    ----------
    frames
        Decimated frames, float32 ``[frame, y, x]``, mean near zero, their margin not included.
    first
        First pixel (y, x) of the patch in the middle frame.
    shape
        Its size (y, x) in decimated pixels.
    layout
        Sizes of the decimated frames.
    shifts_A
        Shift to apply to each whole frame (x, y), shape (frames, 2).
    scales
        Factor for each frame, 0 to leave it out.
    b_factor_A2
        Weights are exp(-B k^2 / 4).
    """

    def __init__(
        self,
        frames: np.ndarray,
        first: tuple[int, int],
        shape: tuple[int, int],
        layout: LowLayout,
        shifts_A: np.ndarray,
        scales: np.ndarray,
        b_factor_A2: float,
    ) -> None:
        number, rows, columns = frames.shape
        pixel_A = layout.factor * layout.pixel_size_A
        sizes = (shape[0] * layout.factor, shape[1] * layout.factor)
        small = LowLayout(sizes, layout.factor, shape, layout.pixel_size_A)
        self.low = LowFrequencies(small, number, b_factor_A2, None)
        self.x = (2 * first[1] + shape[1]) / columns - 1.0
        self.y = (2 * first[0] + shape[0]) / rows - 1.0
        self.scales = (scales > 0).astype(np.float64)
        whole = np.rint(-shifts_A / pixel_A).astype(int)
        self.applied_A = -whole * pixel_A
        taper = window(shape[0])[:, None] * window(shape[1])[None, :]
        for frame in np.flatnonzero(scales):
            rows_at = np.clip(np.arange(first[0], first[0] + shape[0]) + whole[frame, 1], 0, rows - 1)
            columns_at = np.clip(np.arange(first[1], first[1] + shape[1]) + whole[frame, 0], 0, columns - 1)
            cut = frames[frame][rows_at[:, None], columns_at[None, :]]
            mean = float(np.sum(cut * taper, dtype=np.float64) / np.sum(taper, dtype=np.float64))
            self.low.keep(int(frame), (cut - np.float32(mean)) * taper, float(scales[frame]))
        self.angular_y = (2 * np.pi * self.low.frequency_y).astype(np.float32)
        self.angular_x = (2 * np.pi * self.low.frequency_x).astype(np.float32)

    def terms(self, shifts_A: np.ndarray) -> np.ndarray:
        """Return `kernels.newton_terms` of every frame against all others, shape (frames, 10).

        Parameters
        ----------
        shifts_A
            Shift to apply (x, y) to the patch in each frame, shape (frames, 2).
        """
        low = self.low
        ramp_x, ramp_y = phase_ramps(shifts_A - self.applied_A, low.frequency_y, low.frequency_x, self.scales)
        total_re, total_im = np.empty(low.weight.shape, np.float32), np.empty(low.weight.shape, np.float32)
        kernels.shifted_total_rows(low.real, low.imaginary, ramp_x, ramp_y, 0, len(low.rows), total_re, total_im)
        found = np.zeros((len(shifts_A), 10))
        for frame in np.flatnonzero(self.scales):
            kernels.newton_terms(
                low.real, low.imaginary, ramp_x, ramp_y, frame, frame + 1, total_re, total_im,
                low.weight, self.angular_y, self.angular_x, found[frame],
            )  # fmt: skip
        return found


def cut_patches(
    frames: np.ndarray,
    counts: tuple[int, int],
    layout: LowLayout,
    shifts_A: np.ndarray,
    scales: np.ndarray,
    b_factor_A2: float,
    each: Callable[[Callable[[tuple[int, int]], Patch], list[tuple[int, int]]], list[Patch]],
) -> list[Patch]:
    """Return overlapping patches that cover the frames, row by row.

    Parameters
    ----------
    frames, layout, shifts_A, scales, b_factor_A2
        As for `Patch`.
    counts
        Number of patches along y and x.
    each
        Calls a function for all items of a list: ``map`` of a pool of threads.
    """
    sizes = frames.shape[1:]
    shape = (patch_width(sizes[0], counts[0]), patch_width(sizes[1], counts[1]))
    places = [patch_places(size, count, width) for size, count, width in zip(sizes, counts, shape)]
    corners = [(int(y), int(x)) for y in places[0] for x in places[1]]

    def one(first: tuple[int, int]) -> Patch:
        return Patch(frames, first, shape, layout, shifts_A, scales, b_factor_A2)

    return each(one, corners)
