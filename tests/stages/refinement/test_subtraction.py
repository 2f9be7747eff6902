"""What is subtracted is what the map says: the region stays; copies by symmetry show the same and stay in one half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles, molecule
from verglas.engine import ParticleStack, normalise
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.errors import InputError
from verglas.formats import MrcStackWriter
from verglas.signal import fourier_shell_correlation, resize
from verglas.stages.extraction.symmetry_expansion import expand_symmetry
from verglas.stages.refinement import Focus, Subtraction, recentre

BOX, PIXEL_A = 40, 3.0


def test_the_region_stays(tmp_path: Path) -> None:
    centre = np.array([18.0, -12.0, 9.0])
    points = molecule(BOX, PIXEL_A)
    far = np.linalg.norm(points - centre, axis=1)
    points = points[(far < 13.0) | (far > 28.0)]
    near = np.linalg.norm(points - centre, axis=1) < 14.0
    assert 2 < near.sum() < len(points) - 10
    (tmp_path / "part").mkdir()
    table, whole = make_particles(tmp_path, 40, BOX, PIXEL_A, points=points)
    alone, _ = make_particles(tmp_path / "part", 40, BOX, PIXEL_A, points=points[near])
    focus = Focus(tuple(centre + BOX // 2 * PIXEL_A), 20.0)  # type: ignore[arg-type]
    kept = focus.mask(BOX, BOX, PIXEL_A)
    with ParticleStack(table, tmp_path) as stack, ParticleStack(alone, tmp_path / "part") as other:
        places = np.arange(40)
        found = Subtraction(stack, (whole, whole), kept, 55.0, 6.5).images(places)
        before = normalise(stack.read(places), 55.0, PIXEL_A)
        # Nothing is subtracted beyond the limit: compare up to there.
        wanted, before, low = (resize(one, (32, 32)) for one in (other.read(places), before, found))
    near_before, near_after = (
        np.median([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(one, wanted, strict=True)])
        for one in (before, low)
    )
    assert near_before < 0.7 < 0.9 < near_after
    # Cut around the region, the images make its map in the middle of the box.
    centres, moved = recentre(table, centre, BOX)
    with MrcStackWriter(tmp_path / "cut.mrcs", BOX, BOX, PIXEL_A) as writer:
        for image, (x, y) in zip(found, centres, strict=True):
            writer.append(np.roll(image, (BOX // 2 - y, BOX // 2 - x), (0, 1)).astype(np.float32))
    moved.set_names("image_name", ["cut.mrcs"] * 40)
    volume = reconstruct_particles(moved, tmp_path).finish().map
    along = (np.arange(BOX) - BOX // 2) * PIXEL_A
    dense = np.maximum(volume - 0.3 * volume.max(), 0.0)
    middle = [dense.sum(axis=axes) @ along / dense.sum() for axes in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(middle, points[near].mean(axis=0) - centre, atol=4.0)


def test_copies_make_the_map_without_symmetry(tmp_path: Path) -> None:
    table, _ = make_particles(tmp_path, 30, BOX, PIXEL_A, symmetry="D2")
    copies = expand_symmetry(table, "D2")
    assert len(copies) == 120
    for group in range(1, 31):
        assert len(set(copies["half_set"][copies["particle_group"] == group])) == 1
    with_symmetry = reconstruct_particles(table, tmp_path, "D2").finish()
    without = reconstruct_particles(copies, tmp_path, "C1").finish()
    assert fourier_shell_correlation(with_symmetry.map, without.map, PIXEL_A).fsc[1:18].min() > 0.999
    with pytest.raises(InputError, match="nothing to expand"):
        expand_symmetry(table, "C1")
    table["half_set"] = 0
    with pytest.raises(InputError, match="half set"):
        expand_symmetry(table, "D2")
