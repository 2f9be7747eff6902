"""Package From Classes: who is in it, where its images were cut, duplicates, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from tests.stages.picking.fields import PIXEL_A
from tests.support.classified_projects import add_classification
from tests.support.picked_projects import picked_project
from verglas.actions import project_run
from verglas.actions.package_from_classes import PackageFromClasses
from verglas.actions.selection import select_inputs
from verglas.errors import InputError, JobError, NotFoundError
from verglas.formats import ParticleTable, read_image, read_stack
from verglas.project.class_selections import select_classes
from verglas.project.lineage import job_edges
from verglas.stages.extraction.combining import places_A

SIZES = {"largest_dimension_A": 130.0, "box_size": 96}
ONE = {"workers": 1, "threads": 1}
CLASSES = np.array([1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 0, 3] * 2)


def blob(x_A: float, y_A: float, box: int = 96) -> np.ndarray:
    place = (np.arange(box) - box // 2) * PIXEL_A
    return np.exp(-((place - x_A) ** 2 + (place[:, None] - y_A) ** 2) / (2 * 25.0**2))


def classified_project(tmp_path):
    """Classes 1 and 2 are centred and 10 A off in x; particles lie at known places of their images."""
    project, fields = picked_project(tmp_path)
    project_run(project, "create-package", **SIZES, **ONE)
    moved = np.random.Generator(np.random.Philox(5)).normal(0, 8, (24, 2))
    averages = [blob(0, 0), blob(10, 0), blob(0, 0)]
    add_classification(
        project, 1, CLASSES, moved, averages, log_likelihood=np.arange(24.0), psi_deg=np.where(CLASSES == 2, 90.0, 0.0)
    )
    return project, np.concatenate([field.places_A for field in fields]), moved


def test_particles_of_selected_classes_are_cut_where_their_classes_lie(tmp_path):
    project, truth, moved = classified_project(tmp_path)
    with project:
        first, second = select_classes(project, 1, [1]), select_classes(project, 1, [1, 2], name="both")
        run = project_run(
            project, "package-from-classes", selections=[first["id"], second["id"]], symmetry="O",
            package_name="good", **ONE,
        )  # fmt: skip
        assert not run.failures
        package = project.asset("package", "good")
        rows = np.flatnonzero((CLASSES == 1) | (CLASSES == 2))
        assert (package["count"], package["symmetry"], package["box_px"]) == (len(rows), "O", 96)
        table = ParticleTable.load(project.folder / package["particles_path"])
        # Picks lie at the truth and images on whole pixels; turned by 90 degrees the class's +x is -y.
        expected = np.rint(truth[rows] / PIXEL_A) * PIXEL_A + moved[rows]
        expected[CLASSES[rows] == 2] += np.array([0.0, -10.0])
        np.testing.assert_allclose(places_A(table), expected, atol=0.1)
        assert np.abs([table["origin_x_A"], table["origin_y_A"]]).max() <= PIXEL_A / 2 + 1e-6
        assert set(table.names_of("image_name")) == {package["path"]} and set(table["class_number"]) == {0}
        images, _ = read_stack(project.folder / package["path"])
        micrograph, _ = read_image(tmp_path / "m0.mrc")
        x, y = np.rint([table["coordinate_x_px"][3], table["coordinate_y_px"][3]]).astype(int)
        if 48 <= x <= 400 - 48 and 48 <= y <= 360 - 48:
            there = micrograph[y - 48 : y + 48, x - 48 : x + 48]
            assert np.corrcoef(images[3].ravel(), there.ravel())[0, 1] > 0.99
        assert job_edges(project) == [(1, 2)]
        by_name = select_inputs(project, PackageFromClasses, {"selections": "both"})["selections"]
        assert [one["id"] for one in by_name] == [second["id"]]
        several = select_inputs(project, PackageFromClasses, {"selections": f"both, {first['id']},both"})["selections"]
        assert [one["id"] for one in several] == [second["id"], first["id"]]
        with pytest.raises(NotFoundError, match="nor a selection called 'none'"):
            select_inputs(project, PackageFromClasses, {"selections": "none"})
        values = project.results("package", package["id"])[0]["values"]
        assert (values["cut_from"], values["recentred"], values["selections"]) == ("micrographs", True, [1, 2])


def test_images_of_the_stack_are_moved_where_micrographs_are_not_to_be_used(tmp_path):
    project, *_ = classified_project(tmp_path)
    with project:
        select_classes(project, 1, [1, 2])
        for options in ({"cut_from": "micrographs"}, {"cut_from": "stack"}, {"cut_from": "stack", "recentre": False}):
            project_run(project, "package-from-classes", **options, **ONE)
        anew, shifted, left = (project.asset("package", number) for number in (2, 3, 4))
        images = [read_stack(project.folder / one["path"])[0] for one in (anew, shifted, left)]
        tables = [ParticleTable.load(project.folder / one["particles_path"]) for one in (anew, shifted, left)]
        np.testing.assert_allclose(places_A(tables[1]), places_A(tables[0]), atol=1e-6)
        np.testing.assert_allclose(tables[1]["coordinate_x_px"], tables[0]["coordinate_x_px"])
        middle = slice(24, 72)
        for a, b in zip(images[0], images[1], strict=True):
            assert np.corrcoef(a[middle, middle].ravel(), b[middle, middle].ravel())[0, 1] > 0.999
        old, _ = read_stack(project.folder / project.asset("package", 1)["path"])
        rows = np.flatnonzero((CLASSES == 1) | (CLASSES == 2))
        np.testing.assert_array_equal(images[2], old[rows])
        before = ParticleTable.load(project.folder / project.asset("package", 1)["particles_path"]).select(rows)
        for column in ("coordinate_x_px", "coordinate_y_px", "origin_x_A", "origin_y_A", "rot_deg", "half_set"):
            np.testing.assert_allclose(tables[2][column], before[column], atol=1e-9, err_msg=column)


def test_duplicates_and_the_worst_go_and_sizes_can_change(tmp_path):
    project, *_ = classified_project(tmp_path)
    with project:
        # Two particles of a micrograph lie at one place: the one that fits better (the later) stays.
        table = ParticleTable.load(project.folder / project.asset("package", 1)["particles_path"])
        moved = np.zeros((24, 2))
        middles = np.stack([table["coordinate_x_px"], table["coordinate_y_px"]], 1) * PIXEL_A
        moved[0] = middles[3] - middles[0]
        add_classification(project, 1, CLASSES, moved, [blob(0, 0)] * 3, log_likelihood=np.arange(24.0))
        select_classes(project, 2, [1])
        project_run(project, "package-from-classes", remove_duplicates_A=20.0, output_pixel_size_A=5.0, **ONE)
        package = project.asset("package", 2)
        assert (package["count"], package["box_px"], package["pixel_size_A"]) == (7, 48, 5.0)
        kept = ParticleTable.load(project.folder / package["particles_path"])
        assert np.hypot(*(places_A(kept) - middles[3]).T).min() < PIXEL_A
        project_run(project, "package-from-classes", worst_percent=50.0, **ONE)
        assert project.asset("package", 3)["count"] == 4
        kept = ParticleTable.load(project.folder / project.asset("package", 3)["particles_path"])
        best = np.flatnonzero(CLASSES == 1)[-4:]
        np.testing.assert_allclose(places_A(kept), middles[best], atol=0.1)


def test_what_makes_no_sense_is_refused(tmp_path):
    project, *_ = classified_project(tmp_path)
    with project:
        select_classes(project, 1, [])
        with pytest.raises(InputError, match="no class is selected"):
            project_run(project, "package-from-classes", **ONE)
        select_classes(project, 1, [1], name="one")
        with pytest.raises(JobError, match="cannot be cut anew"):
            project_run(project, "package-from-classes", selections=[2], images=[1], cut_from="micrographs", **ONE)
        project_run(project, "create-package", **SIZES, **ONE)
        add_classification(project, 2, CLASSES, np.zeros((24, 2)), [blob(0, 0)] * 3)
        select_classes(project, 2, [1], name="other")
        with pytest.raises(InputError, match="several packages"):
            project_run(project, "package-from-classes", selections=[2, 3], **ONE)
