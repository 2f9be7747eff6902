"""Masks of references: a sphere, the particle that is found, a shell, a volume of the user's."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.engine import MaskSettings, reference_mask
from verglas.engine.reference_masks import apply_reference_mask
from verglas.errors import InputError

BOX, PIXEL_A, RADIUS_A = 48, 3.0, 50.0


def blob(radius_px: float) -> np.ndarray:
    return np.asarray(distance() < radius_px, np.float32)


def distance() -> np.ndarray:
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    return np.sqrt(x**2 + y**2 + z**2)


@pytest.mark.parametrize("automatic", [True, False])
def test_a_shell_holds_nothing_of_its_inside(automatic: bool) -> None:
    settings = MaskSettings(automatic=automatic, edge_A=6.0, inner_radius_A=21.0)
    mask = reference_mask(blob(12.0), PIXEL_A, RADIUS_A, settings)
    away = distance() * PIXEL_A
    assert mask[away < 20.0].max() == 0.0
    assert mask[(away > 28.0) & (away < 35.0)].min() > 0.99
    whole = reference_mask(blob(12.0), PIXEL_A, RADIUS_A, MaskSettings(automatic=automatic, edge_A=6.0))
    np.testing.assert_array_equal(mask[away > 28.0], whole[away > 28.0])
    assert apply_reference_mask(blob(12.0), mask, PIXEL_A, settings)[away < 20.0].max() == 0.0


def test_a_mask_of_the_users_stays_as_it_is() -> None:
    inside = blob(8.0)
    mask = reference_mask(blob(12.0), PIXEL_A, RADIUS_A, MaskSettings(volume=inside, edge_A=6.0, inner_radius_A=21.0))
    assert mask[inside > 0].min() == 1.0


def test_what_leaves_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="negative"):
        MaskSettings(inner_radius_A=-1.0)
    with pytest.raises(InputError, match="leaves nothing"):
        MaskSettings(inner_radius_A=50.0).check_radius(RADIUS_A)
