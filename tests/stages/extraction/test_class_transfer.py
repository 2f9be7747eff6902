"""Classes carried over into new ones: merged, split, dropped, occupancies kept or randomised."""

from __future__ import annotations

import numpy as np
import pytest

from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.stages.extraction.class_transfer import class_sources, transfer_classes

OCCUPANCIES = np.array([[90.0, 10, 0], [20, 70, 10], [0, 45, 55], [5, 5, 90]])


def tables(occupancies: np.ndarray = OCCUPANCIES) -> list[ParticleTable]:
    made = []
    for number in range(occupancies.shape[1]):
        table = ParticleTable.empty(len(occupancies), {"occupancy": occupancies[:, number]})
        table["psi_deg"] = 100 * (number + 1) + np.arange(len(occupancies))
        made.append(table)
    return made


@pytest.mark.parametrize(
    ("text", "old", "new", "sources"),
    [
        (None, 3, None, ((0,), (1,), (2,))), (None, 1, 3, ((0,), (0,), (0,))), (None, 3, 1, ((0, 1, 2),)),
        ("1:1, 2:1,3:2", 3, None, ((0, 1), (2,))), ("2:1,2:2", 3, 2, ((1,), (1,))),
    ],
)  # fmt: skip
def test_maps_are_read(text, old, new, sources) -> None:
    assert class_sources(text, old, new) == sources


@pytest.mark.parametrize(
    ("text", "old", "new", "said"),
    [
        ("1-2", 2, None, "old:new"), ("3:1", 2, None, "not there"), ("1:2", 2, None, "gets no old class"),
        (None, 3, 2, "by themselves"), ("", 3, None, "gets no old class"),
    ],
)  # fmt: skip
def test_maps_that_make_no_sense_are_refused(text, old, new, said) -> None:
    with pytest.raises(InputError, match=said):
        class_sources(text, old, new)


def test_classes_are_merged_with_the_parameters_of_the_best() -> None:
    moved = transfer_classes(tables(), class_sources("1:1,2:1,3:2", 3, None))
    first, second = moved.classes
    np.testing.assert_allclose(first["occupancy"], [100, 90, 45, 10])
    np.testing.assert_allclose(second["occupancy"], [0, 10, 55, 90])
    assert first["psi_deg"].tolist() == [100, 201, 202, 103] and second["psi_deg"].tolist() == [300, 301, 302, 303]
    assert moved.best["psi_deg"].tolist() == [100, 201, 302, 303]
    assert moved.best["class_number"].tolist() == [1, 1, 2, 2] == first["class_number"].tolist()


def test_classes_are_dropped_with_or_without_their_particles() -> None:
    some = transfer_classes(tables(), class_sources("1:1,2:2", 3, None), carry="mapped")
    assert some.rows.tolist() == [0, 1]
    np.testing.assert_allclose(some.classes[0]["occupancy"], [90, 100 * 20 / 90])
    everyone = transfer_classes(tables(), class_sources("1:1", 3, None))
    assert everyone.rows.tolist() == [0, 1, 2, 3] and everyone.classes[0]["occupancy"].tolist() == [100] * 4
    with pytest.raises(InputError, match="no particle stays"):
        transfer_classes(tables(OCCUPANCIES[:1]), class_sources("3:1", 3, None), carry="mapped")


def test_one_class_is_split_evenly_or_at_random() -> None:
    many = tables(np.full((3000, 1), 37.0))
    even = transfer_classes(many, class_sources(None, 1, 3))
    np.testing.assert_allclose([one["occupancy"] for one in even.classes], 100 / 3)
    random = transfer_classes(many, class_sources(None, 1, 3), occupancies="randomise", seed=4)
    found = np.stack([one["occupancy"] for one in random.classes])
    assert set(found.ravel()) == {0.0, 100.0} and (found.sum(axis=0) == 100).all()
    assert np.abs(found.mean(axis=1) - 100 / 3).max() < 4
    again = transfer_classes(many, class_sources(None, 1, 3), occupancies="randomise", seed=4)
    assert all((a["occupancy"] == b["occupancy"]).all() for a, b in zip(random.classes, again.classes, strict=True))


def test_parameters_may_be_of_a_class_at_random() -> None:
    many = tables(np.tile([60.0, 40.0], (2000, 1)))
    moved = transfer_classes(many, class_sources("1:1,2:1", 2, None), parameters_of="random")
    assert 0.45 < np.mean(moved.best["psi_deg"] == many[0]["psi_deg"]) < 0.55
