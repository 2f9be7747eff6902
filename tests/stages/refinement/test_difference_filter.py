"""What tells classes apart is let pass where both half sets have it, and noise elsewhere is not."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.engine.reference_masks import Map
from verglas.signal import apply_filter, curve, fourier_shell_correlation, sphere_mask
from verglas.stages.refinement.class_references import difference_to_noise
from verglas.stages.refinement.difference_filter import LEVELS, DifferenceFilter, difference_filter

BOX, PIXEL_A, PLACE = 64, 3.0, (32, 32, 44)


def scene(signal: float, seed: int = 1) -> tuple[Map, list[list[Map]], Map, Map]:
    """Return what truly differs, what two classes' halves show of it, the mask, and where it is: a tenth of that."""
    random = np.random.Generator(np.random.Philox(seed))
    mask = sphere_mask((BOX,) * 3, 75.0, PIXEL_A, edge_A=6.0)
    at = sphere_mask((BOX,) * 3, 30.0, PIXEL_A, edge_A=6.0, centre=PLACE)

    def drawn() -> Map:
        return random.standard_normal((BOX,) * 3).astype(np.float32)

    truth = np.float32(signal) * drawn() * at
    halves = [truth + drawn() for _ in range(2)]
    return truth, [halves, [-one for one in halves]], mask, at


def ratio_of(beyond: list[list[Map]], mask: Map) -> np.ndarray:
    return difference_to_noise(fourier_shell_correlation(*beyond[0], PIXEL_A, mask=mask).fsc)


def test_a_part_that_differs_is_let_pass_and_the_rest_is_not() -> None:
    truth, beyond, mask, at = scene(1.5)
    ratio = ratio_of(beyond, mask)
    found = difference_filter(beyond, np.ones(2), ratio, mask, PIXEL_A)
    elsewhere = (mask > 0.5) & (at == 0.0)
    assert found.strength[at > 0.9].mean() > 10.0 * found.strength[elsewhere].mean()
    one_curve = apply_filter(
        beyond[0][0], PIXEL_A, curve(np.arange(len(ratio)) / (BOX * PIXEL_A), ratio / (1.0 + ratio))
    )  # fmt: skip
    wrong, before = (np.sum(((made - truth) * mask) ** 2) for made in (found.apply(beyond[0][0]), one_curve))
    assert wrong < 0.7 * before
    # Of noise that is everywhere alike less comes through, as the own part of particles counts it.
    assert found.passed(mask).sum() < 0.7 * np.sum(ratio / (1.0 + ratio))


def test_halves_that_agree_on_nothing_leave_nothing() -> None:
    _, beyond, mask, _ = scene(0.0)
    ratio = ratio_of(beyond, mask)
    made = difference_filter(beyond, np.ones(2), ratio, mask, PIXEL_A).apply(beyond[0][0])
    assert np.sum((made * mask) ** 2) < 0.01 * np.sum((beyond[0][0] * mask) ** 2)
    assert not difference_filter(beyond, np.ones(2), 0.0 * ratio, mask, PIXEL_A).apply(beyond[0][0]).any()


@pytest.mark.parametrize("strength", [0.05, LEVELS[0], 3.0, 100.0])
def test_one_strength_everywhere_is_one_wiener_filter(strength: float) -> None:
    _, beyond, mask, _ = scene(1.0)
    ratio = np.linspace(2.0, 0.0, BOX // 2 + 1)
    made = DifferenceFilter(ratio, np.full((BOX,) * 3, strength, np.float32), PIXEL_A)
    level = min(max(strength, LEVELS[0]), LEVELS[-1])
    gain = min(strength / LEVELS[0], 1.0) * level * ratio / (1.0 + level * ratio)
    np.testing.assert_allclose(made.passed(mask), gain, atol=0.02)
    wiener = curve(np.arange(len(ratio)) / (BOX * PIXEL_A), made.passed(mask))
    np.testing.assert_allclose(made.apply(beyond[0][0]), apply_filter(beyond[0][0], PIXEL_A, wiener), atol=1e-5)
