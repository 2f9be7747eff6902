"""Halves that began with one map show nothing finer than it by chance; what is there passes."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.engine.half_maps import judge_halves
from verglas.engine.shared_start import SharedStart
from verglas.signal import apply_filter, cosine_lowpass, sphere_mask

BOX, PIXEL_A, RADIUS_A = 40, 3.0, 42.0
MASK = sphere_mask((BOX,) * 3, RADIUS_A, PIXEL_A, edge_A=8.0)


def noise(seed: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).standard_normal((BOX,) * 3).astype(np.float32)


def halves(common_A: float) -> tuple[np.ndarray, np.ndarray]:
    """Return half maps of noise with a strong part in common up to a resolution."""
    common = 3.0 * apply_filter(noise(1), PIXEL_A, cosine_lowpass(common_A, 1.0 / (BOX * PIXEL_A)))
    return common + noise(2), common + noise(3)


@pytest.mark.parametrize(
    ("common_A", "symmetry", "kind"),
    [
        (20.0, "C1", "start"),  # within the reach of the start, of 20 A spread by the mask
        (13.0, "C1", "crosses"),  # more than chance: hundreds of components
        (13.0, "O", "start"),  # but few of them, were there 24 equivalent views
    ],
)
def test_only_more_than_chance_goes_beyond_the_start(common_A: float, symmetry: str, kind: str) -> None:
    one, other = halves(common_A)
    free = judge_halves(one, other, MASK, PIXEL_A)
    assert free.resolution.kind == "crosses" and free.resolution_A is not None and free.resolution_A < 20.0
    found = judge_halves(one, other, MASK, PIXEL_A, shared=SharedStart(20.0, RADIUS_A, symmetry))
    assert found.resolution.kind == kind
    assert found.resolution_A == (20.0 if kind == "start" else free.resolution_A)
    assert ("20 A" in (found.start_words() or "")) is (kind == "start")
