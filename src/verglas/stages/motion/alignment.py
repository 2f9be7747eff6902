"""Find the shift of every frame that brings the specimen into register.

The frames' low-frequency transforms are aligned to the sum of all others: a search over a correlation map finds the
drift to a few A, Newton steps on the correlation itself (its derivatives are sums over the same transforms, so no
map and no interpolated peak are needed) finish it. Each step's path is smoothed by as much as its errors ask for.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from verglas.errors import InputError
from verglas.kernels import movie as kernels
from verglas.stages.motion.low_frequencies import LowFrequencies, phase_ramps
from verglas.stages.motion.search import CoarseSearch
from verglas.stages.motion.smoothing import smooth_path

LEAST_JOINT_SIGNIFICANCE = 7.0
"""Of the correlation of all frames together, above which they are said to have something in common."""
CLEAR_SIGNIFICANCE = 6.0
"""Of a typical frame, below which another way to find the path is tried too."""
ROW_CHUNKS = 16


@dataclass(frozen=True)
class AlignmentSettings:
    """What steers the alignment; lengths in A.

    Attributes
    ----------
    min_shift_A
        Shifts below this are not looked at in the first search, so that a fixed pattern does not hold the frames.
    max_shift_A
        How far one search looks.
    b_factor_A2
        Frequencies are weighted by exp(-B k^2 / 4).
    mask_central_cross
        Leave out the frequencies next to the axes, where detector stripes lie.
    cross_half_width
        Half-width of that cross, in frequencies.
    termination_A
        The rounds end when no frame moved further than this.
    max_rounds
        Newton rounds at most.
    running_average
        Odd number of frames that are aligned as one, around each frame.
    smooth
        Smooth the path by as much as its errors ask for.
    patches
        Patches along the longer side of a frame, from which local motion is found; 1 aligns whole frames only.
    patch_b_factor_A2
        As ``b_factor_A2``, for the patches.
    """

    min_shift_A: float = 2.0
    max_shift_A: float = 40.0
    b_factor_A2: float = 1500.0
    mask_central_cross: bool = True
    cross_half_width: int = 1
    termination_A: float = 0.1
    max_rounds: int = 10
    running_average: int = 1
    smooth: bool = True
    patches: int = 6
    patch_b_factor_A2: float = 800.0

    def check(self) -> None:
        """Raise `InputError` where a setting makes no sense."""
        if not 0 <= self.min_shift_A < self.max_shift_A:
            raise InputError(
                f"The least shift ({self.min_shift_A:g} A) must be zero or more and below the largest "
                f"({self.max_shift_A:g} A)."
            )
        if self.patches < 1:
            raise InputError(
                f"The number of patches must be 1 or more, not {self.patches}; 1 aligns whole frames only."
            )
        if min(self.b_factor_A2, self.patch_b_factor_A2) <= 0:
            wrong = min(self.b_factor_A2, self.patch_b_factor_A2)
            raise InputError(
                f"A B-factor must be above zero, not {wrong:g} A^2; 1500 and, for patches, 800 suit most movies."
            )
        if self.running_average < 1 or self.running_average % 2 == 0:
            raise InputError(f"The running average takes an odd number of frames, not {self.running_average}.")
        if self.termination_A <= 0 or self.max_rounds < 1 or self.cross_half_width < 0:
            raise InputError("The alignment needs at least one round, a termination above zero and no negative width.")


@dataclass(frozen=True)
class Alignment:
    """The shifts that were found.

    Attributes
    ----------
    shifts_A
        Shift to apply to each frame (x, y) in A, shape (frames, 2); zero at the middle frame.
    errors_A
        Estimated standard error of each frame's own measurement (x, y), before smoothing; infinite where there is none.
    significance
        Correlation of each frame with all others over what noise would give.
    joint_significance
        The same of all frames together: sparse movies have something in common though no frame shows it by itself.
    rounds
        Newton rounds used.
    converged
        Whether the last round moved every frame by less than the termination.
    found_signal
        False where frames have nothing in common above noise; the shifts are then all zero.
    smoothing
        Inverse variance of the path's second differences in 1/A^2 (0: not smoothed).
    """

    shifts_A: np.ndarray
    errors_A: np.ndarray
    significance: np.ndarray
    joint_significance: float
    rounds: int
    converged: bool
    found_signal: bool
    smoothing: float

    @property
    def is_clear(self) -> bool:
        """Whether typical frames show by themselves what they have in common, so that parts of them can too."""
        measured = self.significance[self.significance != 0]
        return bool(np.median(measured) >= CLEAR_SIGNIFICANCE) if measured.size else False


class Aligner:
    """One alignment in progress: the low frequencies, and the threads that work on them."""

    def __init__(self, low: LowFrequencies, usable: np.ndarray, settings: AlignmentSettings, threads: int) -> None:
        self.low, self.settings = low, settings
        self.frames = len(low.real)
        self.scales = usable.astype(np.float64)
        self.pool = ThreadPoolExecutor(threads)
        self.angular_y = (2 * np.pi * low.frequency_y).astype(np.float32)
        self.angular_x = (2 * np.pi * low.frequency_x).astype(np.float32)

    def __enter__(self) -> Aligner:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def window(self, frame: int, half: int) -> tuple[int, int]:
        """Return the first of the frames that are aligned as one around a frame, and the first after them."""
        return max(0, frame - half), min(self.frames, frame + half + 1)

    def share(self, half: int) -> float:
        """Return how much of a step to take: all frames move at once, each towards where the others were."""
        used = float(self.scales.sum())
        return max(used - (2 * half + 1), 1.0) / used

    def shifted_total(self, shifts_A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the ramps that shift the frames, and real and imaginary parts of their sum."""
        low = self.low
        ramp_x, ramp_y = phase_ramps(shifts_A, low.frequency_y, low.frequency_x, self.scales)
        total_re, total_im = np.empty(low.weight.shape, np.float32), np.empty(low.weight.shape, np.float32)
        edges = np.linspace(0, len(low.rows), ROW_CHUNKS + 1).astype(int)

        def rows(chunk: int) -> None:
            kernels.shifted_total_rows(
                low.real, low.imaginary, ramp_x, ramp_y, edges[chunk], edges[chunk + 1], total_re, total_im
            )

        list(self.pool.map(rows, range(ROW_CHUNKS)))
        return ramp_x, ramp_y, total_re, total_im

    def measure(self, shifts_A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Take one Newton step of every frame.

        Returns
        -------
        steps_A : ndarray, shape (frames, 2)
            Further shift (x, y).
        variances_A2 : ndarray, shape (frames, 2)
            Their variances by the frames' noise; infinite where the correlation has no maximum here.
        significance : ndarray, shape (frames,)
            Correlation over its standard deviation under noise.
        joint_significance : float
            The same of all frames together.
        """
        low = self.low
        ramp_x, ramp_y, total_re, total_im = self.shifted_total(shifts_A)
        half = self.settings.running_average // 2

        def one(frame: int) -> np.ndarray:
            first, last = self.window(frame, half)
            terms = np.empty(10)
            kernels.newton_terms(
                low.real, low.imaginary, ramp_x, ramp_y, first, last, total_re, total_im,
                low.weight, self.angular_y, self.angular_x, terms,
            )  # fmt: skip
            return terms

        all_terms = np.array(list(self.pool.map(one, range(self.frames))))
        used = all_terms[self.scales > 0]
        # each pair of frames is counted twice in the sum of correlations, and once in that of their variances
        joint = float(used[:, 0].sum() / np.sqrt(max(2.0 * used[:, 6].sum(), 1e-300)))
        return (*self._steps(all_terms), joint)

    def _steps(self, terms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        steps, variances = np.zeros((self.frames, 2)), np.full((self.frames, 2), np.inf)
        significance = np.zeros(self.frames)
        share = self.share(self.settings.running_average // 2)
        resolution_A = float(np.sqrt(self.settings.b_factor_A2) / 4.0)
        for frame, term in enumerate(terms):
            bend = np.array([[term[3], term[4]], [term[4], term[5]]])
            noise = np.array([[term[7], term[8]], [term[8], term[9]]])
            if term[6] <= 0 or self.scales[frame] == 0:
                continue
            significance[frame] = term[0] / np.sqrt(term[6])
            curvatures, axes = np.linalg.eigh(bend)
            if curvatures[0] <= 0.05 * curvatures[1] or curvatures[1] <= 0:
                continue
            inverse = axes @ np.diag(1 / curvatures) @ axes.T
            step = inverse @ term[1:3]
            steps[frame] = share * step * min(1.0, resolution_A / max(float(np.hypot(*step)), 1e-9))
            variances[frame] = np.diag(inverse @ noise @ inverse)
        return steps, variances, significance


def align(low: LowFrequencies, usable: np.ndarray, settings: AlignmentSettings, threads: int = 1) -> Alignment:
    """Find the shift of every frame.

    Parameters
    ----------
    low
        Low frequencies of all frames.
    usable
        Which frames hold an image, shape (frames,); the others get the shift of a smooth path through their neighbours.
    settings
        What steers the alignment.
    threads
        Number of threads; the result does not depend on it.

    Raises
    ------
    InputError
        If a setting makes no sense.

    References
    ----------
    T. Grant, N. Grigorieff, eLife 4 (2015) e06980 (alignment to the sum of all other frames, B-factor, the search
    that leaves out small shifts).
    """
    settings.check()
    frames = len(usable)
    if int(usable.sum()) < 2:
        infinite = np.full((frames, 2), np.inf)
        return Alignment(np.zeros((frames, 2)), infinite, np.zeros(frames), 0.0, 0, True, False, 0.0)
    with Aligner(low, usable, settings, threads) as aligner:
        half = settings.running_average // 2
        search = CoarseSearch(low, usable, settings.max_shift_A, half, aligner.pool)
        best = refined(aligner, search.path(settings.min_shift_A))
        if not best.is_clear:
            other = refined(aligner, search.straight_path(settings.min_shift_A))
            best = max(best, other, key=lambda one: one.joint_significance)
    found = best.joint_significance >= LEAST_JOINT_SIGNIFICANCE
    return best if found else replace(best, shifts_A=np.zeros((frames, 2)), found_signal=False)


def refined(aligner: Aligner, shifts_A: np.ndarray) -> Alignment:
    """Return what Newton steps from a path of a few A's error lead to."""
    settings, middle = aligner.settings, len(shifts_A) // 2
    strength, converged, rounds = 0.0, False, 0
    while rounds < settings.max_rounds and not converged:
        rounds += 1
        steps, variances, significance, joint = aligner.measure(shifts_A)
        target = shifts_A + steps
        moved, strength = smooth_path(target, variances) if settings.smooth else (target, 0.0)
        moved = moved - moved[middle]
        largest = float(np.abs(moved - (shifts_A - shifts_A[middle])).max())
        shifts_A = moved
        converged = largest <= settings.termination_A
    return Alignment(shifts_A, np.sqrt(variances), significance, joint, rounds, converged, True, strength)
