"""Add the electrons of one raw EER frame to an image of counts.

References
----------
.. [1] Guo et al. 2020, Electron-event representation data enable efficient cryoEM file storage with full
   preservation of spatial and temporal resolution, IUCrJ 7, 860-869.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from verglas.kernels.compile import cpu_kernel

SOUND, TOO_MANY_PIXELS, TOO_FEW_BITS = 0, 1, 2
PADDING_BYTES = 8


@cpu_kernel()
def add_events(
    events: npt.NDArray[np.uint8], n_y: int, n_x: int, run_bits: int, x_bits: int, y_bits: int, level: int,
    counts: npt.NDArray[Any],
) -> int:  # fmt: skip
    """Add every electron of a frame to ``counts``.

    An event is the number of empty pixels before it (``run_bits``; all ones: so many empty pixels and no electron),
    then where in the pixel it hit along x and y, each an offset from the middle in two's complement. Bits are taken
    from the lowest of each byte upwards.

    Parameters
    ----------
    events
        The packed events and at least `PADDING_BYTES` bytes more.
    n_y, n_x
        Rows and columns of the detector.
    run_bits, x_bits, y_bits
        Bits of each part of an event.
    level
        Binary digits of the place within the pixel to use: 0, 1 or 2 for 1, 2 or 4 pixels per detector pixel.
    counts
        [n_y * 2**level, n_x * 2**level], changed in place.

    Returns
    -------
    int
        0 when all went well, 1 when the events run beyond the last pixel, 2 when they end before it.
    """
    n_pixels = n_y * n_x
    full_run = (1 << run_bits) - 1
    x_mask, y_mask = (1 << x_bits) - 1, (1 << y_bits) - 1
    x_flip, y_flip = (1 << x_bits) >> 1, (1 << y_bits) >> 1
    x_drop, y_drop = x_bits - level, y_bits - level
    n_bits = 8 * (events.size - PADDING_BYTES)
    bit, pixel = 0, 0
    while pixel < n_pixels:
        if bit + run_bits > n_bits:
            return TOO_FEW_BITS
        byte = bit >> 3
        word = (
            np.uint64(events[byte]) | np.uint64(events[byte + 1]) << np.uint64(8)
            | np.uint64(events[byte + 2]) << np.uint64(16) | np.uint64(events[byte + 3]) << np.uint64(24)
        )  # fmt: skip
        chunk = int(np.int64(word >> np.uint64(bit & 7)))
        run = chunk & full_run
        pixel += run
        bit += run_bits
        if pixel > n_pixels:
            return TOO_MANY_PIXELS
        if run == full_run or pixel == n_pixels:
            continue
        if bit + x_bits + y_bits > n_bits:
            return TOO_FEW_BITS
        chunk >>= run_bits
        x_part = ((chunk & x_mask) ^ x_flip) >> x_drop
        y_part = (((chunk >> x_bits) & y_mask) ^ y_flip) >> y_drop
        bit += x_bits + y_bits
        row, column = pixel // n_x, pixel % n_x
        counts[(row << level) + y_part, (column << level) + x_part] += 1
        pixel += 1
    return SOUND


def warm() -> None:
    """Compile the kernel for the types that the EER reader uses."""
    empty = np.zeros(1 + PADDING_BYTES, np.uint8)
    for dtype in (np.uint8, np.uint16):
        add_events(empty, 1, 1, 7, 2, 2, 0, np.zeros((1, 1), dtype))
