"""Combine Packages: images, tables, duplicates, half sets and contrast of the joint package; resampling of one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.picked_projects import picked_project
from verglas.actions import project_run
from verglas.actions.combine_packages import CombinePackages, target_of
from verglas.errors import InputError
from verglas.formats import ParticleTable, read_stack
from verglas.project.pick_edits import edit_picks
from verglas.stages.extraction.combining import Target, bring_to, join_tables

SIZES = {"largest_dimension_A": 130.0, "box_size": 96, "workers": 1, "threads": 1}


def test_packages_are_joined_and_resampled(tmp_path):
    project, fields = picked_project(tmp_path)
    with project:
        project_run(project, "create-package", images=[1], **SIZES)
        x, y = fields[0].places_A[0]
        edit_picks(project, [1], add=[(x + 9, y - 9)])
        project_run(project, "create-package", white_protein=True, **SIZES)
        run = project_run(
            project, "combine-packages", remove_duplicates_A=5.0, package_name="joint", workers=1, threads=1
        )
        assert not run.failures
        one, two, joint = (project.asset("package", number) for number in (1, 2, 3))
        assert (one["count"], two["count"], joint["count"], joint["name"]) == (12, 25, 25, "joint")
        assert not joint["contrast_inverted"] and joint["box_px"] == 96
        images, _ = read_stack(project.folder / joint["path"])
        first, _ = read_stack(project.folder / one["path"])
        second, _ = read_stack(project.folder / two["path"])
        assert np.array_equal(images[:12], first)
        assert np.array_equal(images[12:], -second[12:]), "the pick beside an old one stays, and all of micrograph 2"
        table = ParticleTable.load(project.folder / joint["particles_path"])
        assert table["image_section"].tolist() == list(range(1, 26))
        assert table.names_of("micrograph").count(table.names_of("micrograph")[0]) == 13
        assert set(table.names_of("image_name")) == {joint["path"]}

        project_run(project, "combine-packages", packages=[3], output_pixel_size_A=5.0, workers=1, threads=1)
        small = project.asset("package", 4)
        assert (small["box_px"], small["pixel_size_A"], small["count"]) == (48, 5.0, 25)
        halved, pixel_A = read_stack(project.folder / small["path"])
        assert pixel_A == pytest.approx(5.0)
        assert np.corrcoef(halved[0].ravel(), images[0].reshape(48, 2, 48, 2).mean(axis=(1, 3)).ravel())[0, 1] > 0.6
        kept = ParticleTable.load(project.folder / small["particles_path"])
        np.testing.assert_allclose(kept["coordinate_x_px"], table["coordinate_x_px"])
        assert kept.optics[0].micrograph_pixel_size_A == 2.5 and set(kept["pixel_size_A"].tolist()) == {5.0}


def test_images_keep_their_centre_when_resampled(rng):
    y, x = np.indices((64, 64)) - 32
    blob = np.exp(-(x**2 + y**2) / 50.0)[None].astype(np.float32) + 0.001 * rng.standard_normal((1, 64, 64))
    made = bring_to(blob.astype(np.float32), 2.0, False, Target(50, 3.0, True))
    assert np.unravel_index(made[0].argmin(), (50, 50)) == (25, 25)
    outside = np.hypot(*(np.indices((50, 50)) - 25)) > 0.375 * 50
    assert made[0][outside].std() == pytest.approx(1.0, rel=1e-4)
    same = rng.standard_normal((2, 64, 64)).astype(np.float32)
    assert np.array_equal(bring_to(same, 2.0, True, Target(64, 2.0, True)), same)


def test_half_sets_are_kept_unless_a_micrograph_would_be_in_both():
    def table(names, halves):
        made = ParticleTable.empty(len(names), {"pixel_size_A": 2.0, "half_set": halves})
        made.set_names("micrograph", names)
        return made

    target = Target(64, 2.0, False)
    apart, _ = join_tables([table(["a"] * 3, [1] * 3), table(["b"] * 2, [2] * 2)], target, "s.mrcs")
    assert apart["half_set"].tolist() == [1, 1, 1, 2, 2]
    clash, _ = join_tables([table(["a"] * 400, [1] * 400), table(["a"] * 400, [2] * 400)], target, "s.mrcs")
    assert clash["half_set"].tolist() == [half for half in (1, 2) * 5 for _ in range(80)], "tenths of the list"


def test_packages_that_do_not_belong_together_are_refused():
    package = {"name": "a", "pixel_size_A": 1.5, "box_px": 96, "symmetry": "C1", "contrast_inverted": False,
               "largest_dimension_A": None, "count": 10}  # fmt: skip
    parameters = CombinePackages.Parameters()
    with pytest.raises(InputError, match="--output-pixel-size"):
        target_of(parameters, [package, package | {"pixel_size_A": 1.1}])
    with pytest.raises(InputError, match="symmetry"):
        target_of(parameters, [package, package | {"symmetry": "O"}])
    with pytest.raises(InputError, match="even"):
        CombinePackages().estimate(CombinePackages.Parameters(box_size=33), {"packages": [package]})
    stated = CombinePackages().estimate(parameters, {"packages": [package, package]})
    assert (stated.disk_bytes, stated.tasks) == (2 * 20 * 96**2 * 4, 2)
