"""Selections of 2D classes: edits of the journal like any other, several beside each other, never a deletion."""

from __future__ import annotations

import pytest

from verglas.errors import InputError, NotFoundError
from verglas.project import Project
from verglas.project.class_selections import (
    change_selection,
    classes_of,
    copy_selection,
    parse_classes,
    select_classes,
    suggest_classes,
)

VALUES = {
    "package": 1, "round": 1, "rounds": 2, "classes": 4, "particles_used": 90, "limit_A": 8.0, "pixel_size_A": 1.5,
    "mask_radius_A": 70.0, "occupancy": [40.0, 30.0, 15.0, 5.0], "resolution_A": [8.0, 9.0, None, None],
    "quality": [1.0, 0.9, 0.1, 0.39], "reasons": [["resolved to 8.0 A"], [], [], ["few particles"]],
}  # fmt: skip


def add_classifications(project: Project, *values: dict) -> None:
    folder = project.layout.scratch / "made"
    folder.mkdir(parents=True)
    for number, one in enumerate(values):
        files = {}
        for role, ending in (("averages", ".mrc"), ("particles", ".npy")):
            path = folder / f"{number}{ending}"
            path.write_bytes(b"x")
            files[role] = project.layout.stored(path)
        project.edit({"edit": "result.take-in", "results": [{
            "job": None, "key": f"round-{number}", "kind": "classification", "of": None, "files": files, "values": one,
        }]})  # fmt: skip


def test_selections_are_made_changed_and_rebuilt(project: Project) -> None:
    add_classifications(project, VALUES, {**VALUES, "round": 2}, {**VALUES, "classes": 3})
    assert [one["quality"] for one in classes_of(project, 1)] == VALUES["quality"]
    assert suggest_classes(project, "last") == [1, 2] and suggest_classes(project, 1, 0.3) == [1, 2, 4]
    first = select_classes(project, 1, [3, 1, 1])
    assert (first["name"], first["members"], first["classification"]) == ("Selection #1", [1, 3], 1)
    second = copy_selection(project, 1, name="good", to=2)
    assert (second["members"], second["classification"]) == ([1, 3], 2)
    assert change_selection(project, "good", invert=True)["members"] == [2, 4]
    assert change_selection(project, "good", include=[1], exclude=[4])["members"] == [1, 2]
    assert change_selection(project, 1, clear=True)["members"] == []
    assert project.asset("selection", "good")["members"] == [1, 2], "a copy is independent"
    assert "holds 0 classes, before 2" in project.history(1)[0]["summary"]
    live = project.dump()
    project.rebuild()
    assert project.dump() == live


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"members": [5], "classification": 1}, "no class 5"),
        ({"members": [1], "classification": 1, "name": "good"}, "already"),
        ({"members": [1], "classification": 1, "name": "7"}, "no number"),
        ({"members": [1]}, "which one"),
        ({"copy_of": "good", "classification": 3}, "no class 4"),
        ({"members": [1], "classification": 9}, "no classification 9"),
    ],
)
def test_what_makes_no_sense_is_refused(project: Project, request_: dict, said: str) -> None:
    add_classifications(project, VALUES, VALUES, {**VALUES, "classes": 3})
    select_classes(project, 1, [1, 4], name="good")
    before = project.layout.journal.read_bytes()
    with pytest.raises((InputError, NotFoundError), match=said):
        project.edit({"edit": "selection.add", **request_})
    assert project.layout.journal.read_bytes() == before


def test_a_selection_follows_its_classification_into_the_trash(project: Project) -> None:
    add_classifications(project, VALUES)
    select_classes(project, "last", [1], name="good", note="round")
    trash = project.edit({"edit": "trash.add", "items": [{"kind": "classification", "id": 1}]})["trash"]
    assert project.assets("selection") == []
    project.edit({"edit": "trash.restore", "trash": trash})
    assert project.asset("selection", "good")["note"] == "round"


def test_class_numbers_as_people_write_them() -> None:
    assert parse_classes("1,4, 7-9,") == [1, 4, 7, 8, 9]
    for wrong in ("a", "3-1", "1;2"):
        with pytest.raises(InputError, match="1,4,7-9"):
            parse_classes(wrong)
