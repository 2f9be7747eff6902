"""Pixels that are hot or dead all through a movie: found on the sum of its frames, before any is moved."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from verglas.kernels import movie as kernels
from verglas.stages.motion.frames import Corrections

DEVIATIONS = 8.0
NEIGHBOURS = 4
PERCENTILE = 80.0
CERTAIN_COUNTS = 25.0
SAMPLED = 200_000
MOST_HOT = 1e-3
ROW_CHUNKS = 32

Blocks = Callable[[Callable[[np.ndarray], None]], None]
"""Calls what it is given with blocks of consecutive frames ``[frame, y, x]``, in order."""


def frame_totals(blocks: Blocks, shape: tuple[int, int], threads: int) -> np.ndarray:
    """Return the sum of all frames as decoded, float32 ``[y, x]``, whatever the blocks and threads."""
    total = np.zeros(shape, np.float32)
    edges = np.linspace(0, shape[0], ROW_CHUNKS + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:

        def add(frames: np.ndarray) -> None:
            list(pool.map(lambda i: kernels.add_frame_rows(frames, edges[i], edges[i + 1], total), range(ROW_CHUNKS)))

        blocks(add)
    return total


def bad_pixels(total: np.ndarray, frames: int, corrections: Corrections) -> np.ndarray:
    """Return the pixels that are brighter than the specimen can make them, and those that never fired.

    A pixel is hot when the corrected sum lies more than eight standard deviations over the median of all pixels, and as
    far over four fifths of its 9 x 9 neighbours, so that a hole in carbon is not taken for hot. It is dead when it is
    zero where 25 counts are usual.

    Parameters
    ----------
    total
        Sum of all frames as decoded.
    frames
        Their number.
    corrections
        Gain and dark; pixels of gain 0 are known already and not returned.

    Returns
    -------
    ndarray, int64, shape (pixels, 2)
        (y, x) of each; none where there are so many that something else must be the reason.
    """
    gain, dark = corrections.gain, corrections.dark
    step = max(1, int(np.sqrt(total.size / SAMPLED)))
    sample = corrected(total[::step, ::step], frames, *(_part(one, step) for one in (gain, dark)))
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return np.zeros((0, 2), np.int64)
    middle = float(np.median(sample))
    spread = 1.4826 * float(np.median(np.abs(sample - middle)))
    if not spread > 0:
        return np.zeros((0, 2), np.int64)
    values = corrected(total, frames, gain, dark)
    candidates = np.argwhere(values > middle + DEVIATIONS * spread)
    hot = candidates[_stand_out(values, candidates, DEVIATIONS * spread)]
    counts = float(np.median(total[::step, ::step]))
    dead = np.argwhere(total == 0) if dark is None and counts >= CERTAIN_COUNTS else hot[:0]
    if gain is not None:
        dead = dead[gain[dead[:, 0], dead[:, 1]] != 0]
    found = np.concatenate([hot, dead])
    return found if len(found) <= MOST_HOT * total.size else found[:0]


def corrected(total: np.ndarray, frames: int, gain: np.ndarray | None, dark: np.ndarray | None) -> np.ndarray:
    """Return a sum of frames without dark and gain; not-a-number where the gain is 0."""
    values = total if dark is None else total - np.float32(frames) * dark
    return values if gain is None else np.where(gain != 0, values * gain, np.float32(np.nan))


def _part(reference: np.ndarray | None, step: int) -> np.ndarray | None:
    return None if reference is None else reference[::step, ::step]


def _stand_out(values: np.ndarray, places: np.ndarray, distance: float) -> np.ndarray:
    """Return which pixels lie further than ``distance`` over four fifths of their neighbours."""
    offsets = np.stack(np.meshgrid(*[np.arange(-NEIGHBOURS, NEIGHBOURS + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    high = np.array(values.shape) - 1
    stands = np.zeros(len(places), bool)
    for first in range(0, len(places), 10_000):
        some = places[first : first + 10_000]
        around = np.clip(some[:, None] + offsets[None], 0, high)
        usual = np.nanpercentile(values[around[..., 0], around[..., 1]], PERCENTILE, axis=1)
        stands[first : first + 10_000] = values[some[:, 0], some[:, 1]] > usual + distance
    return stands
