"""Pick and learn: picks of classes that were not kept go, undo brings them back, class averages become templates."""

from __future__ import annotations

import numpy as np
import pytest

from tests.actions.test_package_from_classes import CLASSES, classified_project
from verglas.actions import project_run
from verglas.errors import InputError
from verglas.project.class_selections import change_selection, select_classes
from verglas.project.pick_edits import picks_of, state_of, undo_picks
from verglas.project.pick_learning import best_threshold, learn_picks


def test_picks_of_other_classes_go_and_come_back(tmp_path):
    project, truth, _ = classified_project(tmp_path)
    with project:
        select_classes(project, 1, [1, 2], name="good")
        before = picks_of(project, state_of(project, 1))
        found = learn_picks(project, "good")
        assert (found["kept"], found["dropped"], found["unclassified"]) == (14, 8, 2)
        assert sum(found["images"].values()) == 16 and set(found["images"]) == {1, 2}
        assert found["threshold"] is None, "eight dropped picks are too few to learn from"
        for image, rows in ((1, slice(0, 12)), (2, slice(12, 24))):
            picks = picks_of(project, state_of(project, image))
            left = truth[rows][CLASSES[rows] != 3]
            far = np.hypot(*(np.stack([picks["x_A"], picks["y_A"]], 1)[:, None] - left).transpose(2, 0, 1))
            assert len(picks) == len(left) and far.min(axis=1).max() < 5.0
        again = learn_picks(project, "good")
        assert (again["dropped"], again["images"]) == (0, {})
        assert sum(learn_picks(project, "good", keep_unclassified=False)["images"].values()) == 14
        undo_picks(project, 1)
        undo_picks(project, 1)
        np.testing.assert_array_equal(picks_of(project, state_of(project, 1)), before)
        live = project.dump()
        project.rebuild()
        assert project.dump() == live
        change_selection(project, "good", clear=True)
        with pytest.raises(InputError, match="no class"):
            learn_picks(project, "good")


def test_the_threshold_that_tells_kept_and_dropped_apart_best():
    random = np.random.Generator(np.random.Philox(1))
    kept, dropped = random.normal(10, 1, 400), random.normal(6, 1, 300)
    threshold, right = best_threshold(kept, dropped)
    assert threshold == pytest.approx(8.0, abs=0.4) and right > 0.95
    assert best_threshold(kept[:5], dropped) == (None, None)
    threshold, right = best_threshold(kept, random.normal(10, 1, 300))
    assert threshold is None and 0.5 <= right < 0.6, "such scores tell nothing apart"


def test_selected_class_averages_are_templates(tmp_path):
    project, truth, _ = classified_project(tmp_path)
    with project:
        options = {"picker": "templates", "max_radius_A": 70.0, "edge_distance_A": 0.0, "use_ctf": False,
                   "save_picture": False, "rotation_step_deg": 90.0, "workers": 1, "threads": 1}  # fmt: skip
        run = project_run(project, "find-particles", template_classes=[1], template_class_numbers="1", **options)
        assert not run.failures
        for image, rows in ((1, slice(0, 12)), (2, slice(12, 24))):
            assert "candidates" in project.result(state_of(project, image).root)["files"]
            picks = picks_of(project, state_of(project, image))
            found = np.stack([picks["x_A"], picks["y_A"]], axis=1)
            far = np.hypot(*(truth[rows][:, None] - found).transpose(2, 0, 1)).min(axis=1)
            assert np.mean(far < 20.0) > 0.85
