"""Classifications of the same particles: classes renumbered are found again, chance is told from agreement."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.errors import InputError
from verglas.stages.refinement import class_stability


def occupancy(label: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[label].T


def test_renumbered_classes_and_chance() -> None:
    random = np.random.Generator(np.random.Philox(3))
    label = random.integers(0, 3, 6000)
    noisy = np.where(random.uniform(size=6000) < 0.1, random.integers(0, 3, 6000), label)
    renumbered = np.array([2, 0, 1])[noisy]
    found = class_stability([occupancy(label, 3), occupancy(renumbered, 3)])
    assert found.order[1].tolist() == [2, 0, 1]
    np.testing.assert_allclose(found.agreed, 0.9 + 0.1 / 3.0, atol=0.02)
    assert found.rand[0] == 1.0 and 0.7 < found.rand[1] < 0.9
    assert np.mean(found.core == label) == np.mean(found.core >= 0)
    other = class_stability([occupancy(label, 3), occupancy(random.integers(0, 3, 6000), 3)])
    np.testing.assert_allclose(other.agreed, other.chance, atol=0.03)
    assert abs(other.rand[1]) < 0.01
    with pytest.raises(InputError, match="same number of classes"):
        class_stability([occupancy(label, 3), occupancy(label, 4)])
