"""Read the frames of a movie on their way to the sum: decode, correct, keep what the alignment needs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from verglas.stages.motion.alignment import Alignment, AlignmentSettings
from verglas.stages.motion.budget import Estimate
from verglas.stages.motion.frames import Corrections, FrameDecimator, FrameSource, FrameStatistics, run_frames
from verglas.stages.motion.hot_pixels import bad_pixels, frame_totals
from verglas.stages.motion.layout import Layout
from verglas.stages.motion.local_alignment import LocalAlignment, align_patches
from verglas.stages.motion.low_frequencies import LowFrequencies, low_layout
from verglas.stages.motion.patches import patch_counts
from verglas.stages.motion.summation import Summation


class MovieReading:
    """The frames of one movie on their way to the sum: all held at once, or read a second time in blocks."""

    def __init__(
        self,
        source: FrameSource,
        layout: Layout,
        corrections: Corrections,
        settings: AlignmentSettings,
        plan: Estimate,
        threads: int,
        progress: Callable[[], None] | None,
    ) -> None:
        frames = source.n_frames
        self.source, self.corrections = source, corrections
        self.bad_pixels = 0
        self.plan, self.threads, self.progress = plan, threads, progress
        small = low_layout(layout.shape, layout.pixel_size_A, settings.b_factor_A2)
        self.decimator = FrameDecimator(small, corrections)
        self.low = LowFrequencies(
            small, frames, settings.b_factor_A2, settings.cross_half_width if settings.mask_central_cross else None
        )
        self.statistics = FrameStatistics(np.zeros(frames), np.zeros(frames), np.zeros(frames, np.int64))
        self.settings = settings
        self._small = np.empty((frames, *small.decimated), np.float32)
        self._held = np.empty((plan.frames_at_once, *layout.shape), source.dtype)

    def first_pass(self) -> None:
        """Read every frame; keep its statistics, its low frequencies, and all of it where all frames fit."""
        holds_all = self.plan.passes == 1

        def one(frame: int) -> None:
            raw = self.source.read_frame(frame, self._held[frame]) if holds_all else self.source.read_frame(frame)
            self._small[frame], mean, sd, outliers = self.decimator.decimate(raw)
            self.statistics.mean[frame], self.statistics.sd[frame] = mean, sd
            self.statistics.outliers[frame] = outliers
            self._keep_low(frame)
            self._report()

        run_frames(self.threads, one, range(self.source.n_frames))

    def _keep_low(self, frame: int) -> None:
        """Keep the low frequencies of a decimated frame, its noise scaled to one."""
        sd, pixels = self.statistics.sd[frame], np.prod(self.decimator.layout.padded)
        self.low.keep(frame, self._small[frame], 1.0 / np.sqrt(sd**2 * pixels) if np.isfinite(sd) and sd > 0 else 1.0)

    def leave_out_bad_pixels(self) -> None:
        """Find pixels that are hot or dead all through the movie and take them out of what was kept."""
        total = frame_totals(self.blocks, self.decimator.layout.shape, self.threads)
        places = bad_pixels(total, self.source.n_frames, self.corrections)
        del total
        if not len(places):
            return
        self.bad_pixels = len(places)
        self.corrections = self.corrections.without(places, self.decimator.layout.shape)
        sources, padded = self.decimator.padded_places(places)
        holds_all = self.plan.passes == 1

        def one(frame: int) -> None:
            raw = self._held[frame] if holds_all else self.source.read_frame(frame)
            mean, sd = float(self.statistics.mean[frame]), float(self.statistics.sd[frame])
            self.decimator.take_off(raw, self._small[frame], mean, sd, sources, padded)
            self._keep_low(frame)
            self._report()

        run_frames(self.threads, one, range(self.source.n_frames))

    def _report(self) -> None:
        if self.progress is not None:
            self.progress()

    def local_motion(self, found: Alignment) -> LocalAlignment | None:
        """Return the local motion, or None where it was not asked for or the frames say nothing of it."""
        small = self.decimator.layout
        counts = patch_counts(small, self.settings.patches)
        del self.low  # its memory is needed for the patches
        if self.settings.patches == 1 or not (found.found_signal and found.is_clear) or max(counts) < 2:
            return None
        rows, columns = (size // small.factor for size in small.shape)
        usable = self.statistics.usable()
        sd = np.where(usable, self.statistics.sd, 1.0)
        scales = np.where(usable, 1.0 / np.sqrt(sd**2 * np.prod(small.padded)), 0.0)
        return align_patches(
            self._small[:, :rows, :columns], counts, small, found.shifts_A, scales,
            self.settings.patch_b_factor_A2, self.threads,
        )  # fmt: skip

    def forget_decimated(self) -> None:
        """Free the decimated frames, which only the alignment needs."""
        self._small = self._small[:0].copy()

    def forget_frames(self) -> None:
        """Free the frames that are held."""
        del self._held

    def blocks(self, use: Callable[[np.ndarray], None]) -> None:
        """Call ``use`` with all frames, or with block after block of them, decoded again, where they are not held."""
        frames, at_once = self.source.n_frames, self.plan.frames_at_once
        if self.plan.passes == 1:
            use(self._held)
            return
        for first in range(0, frames, at_once):
            count = min(at_once, frames - first)

            def one(frame: int, first: int = first) -> None:
                self.source.read_frame(frame, self._held[frame - first])
                self._report()

            run_frames(self.threads, one, range(first, first + count))
            use(self._held[:count])

    def add_to(self, total: Summation) -> None:
        """Add every frame to the sums."""
        first = 0
        with ThreadPoolExecutor(self.threads) as pool:

            def use(block: np.ndarray) -> None:
                nonlocal first
                total.add(block, first, pool)
                first += len(block)

            self.blocks(use)
