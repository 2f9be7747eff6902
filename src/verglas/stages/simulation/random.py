"""Independent random generators for everything that is drawn: keyed by seed, purpose and index, never by order."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return the Philox generator of one purpose (``"pose"``, say) and index (micrograph, particle)."""
    words = [seed, zlib.crc32(purpose.encode()), *index]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))


def kernel_key(seed: int, purpose: str, index: int) -> tuple[int, int]:
    """Return the two 32-bit key words of the compiled generator for one purpose and index."""
    state = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), index]).generate_state(2, np.uint32)
    return int(state[0]), int(state[1])
