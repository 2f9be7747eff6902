"""Symmetrised sums beside plain means over whole grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from verglas.engine.fourier_sums import sphere, split_symmetry
from verglas.kernels.symmetry_of_sums import symmetrise_sums

RADIUS = 4


def read(volume: np.ndarray, x: int, y: int, z: int) -> np.ndarray:
    """Return value and weight of any voxel, completed with its mate's as a map is made of them."""
    layout = sphere(RADIUS)
    side = 2 * layout.centre + 1

    def stored(u: int, v: int, w: int) -> np.ndarray:
        at = 3 * (int(layout.starts[(w + layout.centre) * side + v + layout.centre]) + u)
        return volume[at : at + 3].astype(np.float64)

    mirror = np.array([1.0, -1.0, 1.0])
    if x < 0:
        return stored(-x, -y, -z) * mirror
    return stored(x, y, z) + (stored(0, -y, -z) * mirror if x == 0 else 0.0)


@pytest.mark.parametrize("symmetry", ["C2", "C4", "D2", "T", "O"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_every_voxel_becomes_the_mean_of_its_equals(symmetry: str, kind: type, rng: np.random.Generator) -> None:
    layout, (operators, _) = sphere(RADIUS), split_symmetry(symmetry)
    volume = rng.standard_normal(3 * layout.voxels + 3).astype(kind)
    before = volume.copy()
    symmetrise_sums(volume, layout.starts, layout.centre, operators)
    span = range(-RADIUS, RADIUS + 1)
    for place in itertools.product(span, span, span):
        if sum(one * one for one in place) < RADIUS * RADIUS:
            wanted = np.mean([read(before, *(g @ place)) for g in operators], axis=0)
            np.testing.assert_allclose(read(volume, *place), wanted, atol=2e-6 if kind is np.float32 else 1e-14)
    once = volume.copy()
    symmetrise_sums(volume, layout.starts, layout.centre, operators)
    np.testing.assert_allclose(volume, once, atol=1e-6)
