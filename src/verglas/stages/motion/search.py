"""Find the drift to a few A by searching correlation maps, starting from nothing."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from verglas.kernels import movie as kernels
from verglas.signal.fourier import smooth_size
from verglas.stages.motion.low_frequencies import LowFrequencies, phase_ramps
from verglas.stages.motion.smoothing import smooth_roughly

SEARCH_WEIGHT = 0.1
ROUNDS = 6
TERMINATION_A = 2.0
SAMPLES_PER_WAVE = 2.5
GROUPS = 8
LENGTH_STEP_A = 6.0
"""Of straight paths: at the weights of this search a path 6 A too long still adds most frames up."""


class CoarseSearch:
    """A search over correlation maps of the frames' lowest frequencies.

    Neighbouring groups of frames are correlated first: their displacements, summed up, are the path, whatever its
    length, since within a group little drift blurs the image. Then each frame is correlated with the sum of all
    others until the path stands still; the first of these rounds leaves out small shifts, so that frames held
    together by a fixed pattern come apart.

    Parameters
    ----------
    low
        Low frequencies of all frames.
    usable
        Which frames hold an image, shape (frames,).
    max_shift_A
        How far a map is searched.
    half_window
        Frames on either side that are aligned as one with each.
    pool
        Threads.
    """

    def __init__(
        self, low: LowFrequencies, usable: np.ndarray, max_shift_A: float, half_window: int, pool: ThreadPoolExecutor
    ) -> None:
        self.pool, self.half, self.max_shift_A = pool, half_window, max_shift_A
        self.scales, self.frames = usable.astype(np.float64), len(usable)
        weight = np.where(low.weight >= SEARCH_WEIGHT, low.weight, np.float32(0))
        reach_y = int(np.max(np.abs(low.order_y)[(weight > 0).any(axis=1)], initial=1))
        columns = int(np.max(low.order_x[(weight > 0).any(axis=0)], initial=1)) + 1
        chosen = np.abs(low.order_y) <= reach_y
        self.grid = (smooth_size(int(SAMPLES_PER_WAVE * reach_y)), smooth_size(int(SAMPLES_PER_WAVE * columns)))
        self.step_A = (low.extent_A[0] / self.grid[0], low.extent_A[1] / self.grid[1])
        self.rows = low.order_y[chosen] % self.grid[0]
        self.frequency_y, self.frequency_x = low.frequency_y[chosen], low.frequency_x[:columns]
        self.weight = np.ascontiguousarray(weight[chosen, :columns])
        self.real = np.ascontiguousarray(low.real[:, chosen, :columns])
        self.imaginary = np.ascontiguousarray(low.imaginary[:, chosen, :columns])

    def path(self, min_shift_A: float) -> np.ndarray:
        """Return the shifts to apply (x, y) in A, shape (frames, 2), good to a few A."""
        weights = self.scales
        shifts = smooth_roughly(self.neighbours(), weights)
        least_A = min_shift_A
        for _ in range(ROUNDS):
            before = shifts
            shifts = smooth_roughly(put_back_jumps(shifts + self.to_others(shifts, least_A), weights), weights)
            change = shifts - before
            if least_A == 0.0 and np.abs(change - change.mean(axis=0)).max() < TERMINATION_A:
                break
            least_A = 0.0
        return shifts

    def straight_path(self, least_A: float) -> np.ndarray:
        """Return the path of even speed along which all frames together correlate best, shape (frames, 2).

        Every frame takes part in every trial, so that it finds what no few frames show.

        Parameters
        ----------
        least_A
            Paths shorter than this are not looked at.
        """
        time = np.linspace(-0.5, 0.5, self.frames)
        total = np.empty(self.weight.shape, np.float32), np.empty(self.weight.shape, np.float32)

        def power(length_A: tuple[float, float]) -> float:
            ramps = phase_ramps(time[:, None] * np.array(length_A), self.frequency_y, self.frequency_x, self.scales)
            kernels.shifted_total_rows(self.real, self.imaginary, *ramps, 0, len(self.rows), *total)
            return float((self.weight * (total[0] ** 2 + total[1] ** 2)).sum(dtype=np.float64))

        best, step = (0.0, 0.0), LENGTH_STEP_A
        reach = np.arange(-math.ceil(self.max_shift_A / step), math.ceil(self.max_shift_A / step) + 1) * step
        trials = [(x, y) for x in reach for y in reach if least_A <= math.hypot(x, y) <= self.max_shift_A]
        while step > TERMINATION_A / 2:
            best = max(trials, key=power)
            step /= 2
            trials = [(best[0] + i * step, best[1] + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        return np.asarray(time[:, None] * np.array(best))

    def neighbours(self) -> np.ndarray:
        """Return the path summed up from the displacements of neighbouring groups of frames, shape (frames, 2)."""
        good = np.flatnonzero(self.scales)
        group = max(2, len(good) // GROUPS)
        peaks = PeakFinder(self.grid, self.step_A, 0.0, self.max_shift_A)
        ramps = phase_ramps(np.zeros((self.frames, 2)), self.frequency_y, self.frequency_x, self.scales)

        def one(place: int) -> tuple[float, float]:
            """Return by how much, per frame, good frames from a place on must be moved against those before."""
            before, after = good[max(0, place - group) : place], good[place : place + group]
            total = (
                self.real[before].sum(axis=0) + self.real[after].sum(axis=0),
                self.imaginary[before].sum(axis=0) + self.imaginary[after].sum(axis=0),
            )
            x, y = self._peak(peaks, ramps, int(after[0]), int(after[-1]) + 1, total)
            frames_apart = float(after.mean() - before.mean())
            return x / frames_apart, y / frames_apart

        velocity = np.array(list(self.pool.map(one, range(1, len(good)))))
        velocity = put_back_jumps(velocity, np.ones(len(velocity)))
        path = np.concatenate([np.zeros((1, 2)), np.cumsum(velocity * np.diff(good)[:, None], axis=0)])
        return np.stack([np.interp(np.arange(self.frames), good, path[:, axis]) for axis in (0, 1)], axis=1)

    def to_others(self, shifts_A: np.ndarray, least_A: float) -> np.ndarray:
        """Return for each frame the further shift (x, y) in A at which it correlates best with all others.

        Parameters
        ----------
        shifts_A
            Shifts so far.
        least_A
            Further shifts below this are not looked at.
        """
        ramps = phase_ramps(shifts_A, self.frequency_y, self.frequency_x, self.scales)
        total = np.empty(self.weight.shape, np.float32), np.empty(self.weight.shape, np.float32)
        kernels.shifted_total_rows(self.real, self.imaginary, *ramps, 0, len(self.rows), *total)
        peaks = PeakFinder(self.grid, self.step_A, least_A, self.max_shift_A)

        def one(frame: int) -> tuple[float, float]:
            first, last = max(0, frame - self.half), min(self.frames, frame + self.half + 1)
            return self._peak(peaks, ramps, first, last, total)

        return np.array(list(self.pool.map(one, range(self.frames))))

    def _peak(
        self,
        peaks: PeakFinder,
        ramps: tuple[np.ndarray, np.ndarray],
        first: int,
        last: int,
        total: tuple[np.ndarray, np.ndarray],
    ) -> tuple[float, float]:
        """Return the shift at which frames ``first`` to ``last - 1`` correlate best with the rest of ``total``."""
        import scipy.fft

        product = np.zeros((self.grid[0], self.grid[1] // 2 + 1), np.complex64)
        kernels.cross_power(
            self.real, self.imaginary, *ramps, first, last, *total, self.weight, self.rows, product
        )  # fmt: skip
        return peaks.best(scipy.fft.irfft2(product, self.grid))


@dataclass(frozen=True)
class PeakFinder:
    """Find the highest place of a correlation map between two distances from its origin.

    Attributes
    ----------
    grid
        Shape of the map.
    step_A
        Its pixel size (y, x).
    least_A, most_A
        Distances that are looked at.
    """

    grid: tuple[int, int]
    step_A: tuple[float, float]
    least_A: float
    most_A: float

    def best(self, correlation: np.ndarray) -> tuple[float, float]:
        """Return (x, y) in A of the shift to apply: minus the peak's place, to a fraction of a pixel by a parabola."""
        reach = [min(int(self.most_A / step), size // 2 - 1) for step, size in zip(self.step_A, self.grid)]
        y, x = np.arange(-reach[0], reach[0] + 1), np.arange(-reach[1], reach[1] + 1)
        part = correlation[np.ix_(y, x)]
        distance = np.hypot(y[:, None] * self.step_A[0], x[None, :] * self.step_A[1])
        allowed = np.where((distance <= self.most_A) & (distance >= self.least_A), part, -np.inf)
        top_y, top_x = np.unravel_index(int(np.argmax(allowed)), part.shape)
        fine_y = y[top_y] + parabola_top(*(correlation[y[top_y] + d, x[top_x]] for d in (-1, 0, 1)))
        fine_x = x[top_x] + parabola_top(*(correlation[y[top_y], x[top_x] + d] for d in (-1, 0, 1)))
        return -float(fine_x * self.step_A[1]), -float(fine_y * self.step_A[0])


def parabola_top(before: float, here: float, after: float) -> float:
    """Return where the parabola through three neighbours has its top, from the middle one; 0 where it has none."""
    bend = float(before) + float(after) - 2.0 * float(here)
    if bend >= 0:
        return 0.0
    return float(np.clip(0.5 * (float(before) - float(after)) / bend, -0.5, 0.5))


def put_back_jumps(path: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return a path with single frames that jumped away (a false peak) put back between their neighbours."""
    mended = path.copy()
    for frame in range(len(path)):
        near = [i for i in range(max(0, frame - 3), min(len(path), frame + 4)) if i != frame and weights[i] > 0]
        if len(near) < 3:
            continue
        typical = np.median(path[near], axis=0)
        spread = np.median(np.abs(path[near] - typical), axis=0)
        if weights[frame] == 0 or np.any(np.abs(path[frame] - typical) > 6.0 * (spread + 2.0)):
            mended[frame] = typical
    return mended
