"""Point groups against RELION, gemmi and the laws of groups."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from tests.support.microscope_oracles import relion_operators
from verglas.errors import InputError
from verglas.geometry import (
    euler_to_matrix,
    geodesic_distance,
    name_for_relion,
    name_from_relion,
    point_group,
    random_rotations,
    symmetry_name,
)

NAMES = ["C1", "C2", "C3", "C4", "C7", "C12", "D1", "D2", "D3", "D4", "D7", "T", "T2", "O", "I", "I2", "I3", "I4"]
ORDERS = [1, 2, 3, 4, 7, 12, 2, 4, 6, 8, 14, 12, 12, 24, 60, 60, 60, 60]


def largest_difference(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest difference of any operator from the nearest one of the other set."""
    difference = np.abs(first[:, None] - second[None]).max(axis=(2, 3))
    return float(max(difference.min(axis=0).max(), difference.min(axis=1).max()))


@pytest.mark.parametrize(("name", "order"), list(zip(NAMES, ORDERS)))
def test_operators_form_a_group(name: str, order: int) -> None:
    group = point_group(name)
    S = group.operators
    assert group.order == order
    np.testing.assert_array_equal(S[0], np.eye(3))
    np.testing.assert_allclose(S @ np.swapaxes(S, 1, 2), np.broadcast_to(np.eye(3), S.shape), atol=1e-14)
    np.testing.assert_allclose(np.linalg.det(S), 1.0, atol=1e-14)
    products = (S[:, None] @ S[None]).reshape(-1, 3, 3)
    assert largest_difference(products, S) < 1e-12
    apart = geodesic_distance(S[:, None], S[None]) + 10 * np.eye(order)
    assert apart.min() > np.pi / 7


@pytest.mark.parametrize("name", [n for n in NAMES if n not in {"T", "D1"}])
def test_operators_are_those_of_relion(name: str) -> None:
    theirs = relion_operators(name_for_relion(name))
    # RELION gives its axes with six digits.
    assert len(theirs) == point_group(name).order
    assert largest_difference(theirs, point_group(name).operators) < 1e-5


@pytest.mark.parametrize(("name", "space_group"), [("C2", "P 1 1 2"), ("C4", "P 4"), ("D2", "P 2 2 2"),
                                                  ("D4", "P 4 2 2"), ("T", "P 2 3"), ("O", "P 4 3 2")])  # fmt: skip
def test_operators_are_those_of_crystals(name: str, space_group: str) -> None:
    found = gemmi.find_spacegroup_by_name(space_group)
    theirs = np.array([np.array(op.rot) / op.DEN for op in found.operations().sym_ops])
    assert largest_difference(theirs, point_group(name).operators) < 1e-14


@pytest.mark.parametrize(("name", "axis", "fold"), [
    ("T", [1, 1, 1], 3), ("T2", [0, 0, 1], 3),
    ("I", [0, 1, 1.618033988749895], 5), ("I2", [1, 0, 1.618033988749895], 5),
])  # fmt: skip
def test_axes_are_those_of_cistem(name: str, axis: list[float], fold: int) -> None:
    unit = np.array(axis) / np.linalg.norm(axis)
    kept = np.linalg.norm(point_group(name).operators @ unit - unit, axis=1) < 1e-12
    assert kept.sum() == fold


@pytest.mark.parametrize("given", [" c3 ", "d07", "i1", "o", "O1", "t1", "T2", "I4"])
def test_names_are_read_in_any_case(given: str) -> None:
    expected = {" c3 ": "C3", "d07": "D7", "i1": "I", "o": "O", "O1": "O", "t1": "T", "T2": "T2", "I4": "I4"}
    assert symmetry_name(given) == expected[given]
    assert point_group(given) is point_group(expected[given])


@pytest.mark.parametrize("bad", ["", "C", "C0", "D", "X3", "I5", "T3", "C-1", "C1.5", "C99999", "O2"])
def test_bad_names_are_refused(bad: str) -> None:
    with pytest.raises(InputError, match="no point group"):
        point_group(bad)


def test_relion_names_are_mapped() -> None:
    assert [name_from_relion(n) for n in ("T", "I", "I1", "I2", "c4")] == ["T2", "I2", "I", "I2", "C4"]
    for name in NAMES:
        if name != "T":
            assert name_from_relion(name_for_relion(name)) == name
    with pytest.raises(InputError, match="rotate the map"):
        name_for_relion("T")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mirror", [False, True])
def test_asymmetric_unit_holds_one_of_each_set_of_views(name: str, mirror: bool) -> None:
    group = point_group(name)
    d = random_rotations(3000, 11)[:, 2]
    copies = group.order * (2 if mirror else 1)
    inside = group.in_asymmetric_unit(d, mirror=mirror)
    assert inside.mean() == pytest.approx(1 / copies, abs=4 * np.sqrt(1 / copies / len(d)))
    equivalents = np.einsum("ni,sij->nsj", d[:400], group.operators)
    if mirror:
        equivalents = np.concatenate([equivalents, -equivalents], axis=1)
    np.testing.assert_array_equal(group.in_asymmetric_unit(equivalents, mirror=mirror).sum(axis=1), 1)
    reduced, operator, flipped = group.reduce_directions(d, mirror=mirror)
    assert np.all(group.in_asymmetric_unit(reduced, mirror=mirror))
    expected = np.einsum("nji,nj->ni", group.operators[operator], d) * np.where(flipped, -1, 1)[:, None]
    np.testing.assert_array_equal(reduced, expected)
    assert mirror or not flipped.any()


def test_wedges_are_the_familiar_ones() -> None:
    d = random_rotations(2000, 12)[:, 2]
    phi = np.arctan2(d[:, 1], d[:, 0]) % (2 * np.pi)
    np.testing.assert_array_equal(point_group("C3").in_asymmetric_unit(d), phi < 2 * np.pi / 3)
    np.testing.assert_array_equal(point_group("D5").in_asymmetric_unit(d), (phi < 2 * np.pi / 5) & (d[:, 2] > 0))
    np.testing.assert_array_equal(point_group("C1").in_asymmetric_unit(d, mirror=True), d[:, 2] > 0)


@pytest.mark.parametrize("name", ["C1", "C5", "D3", "T", "O", "I2"])
def test_distance_ignores_symmetry(name: str) -> None:
    group = point_group(name)
    R, Q = random_rotations(40, 13), random_rotations(40, 14)
    distance = group.distance(R, Q)
    every = geodesic_distance(R[:, None] @ group.operators, Q[:, None]).min(axis=1)
    np.testing.assert_allclose(distance, every, atol=1e-12)
    pick = group.operators[np.arange(40) % group.order]
    assert group.distance(R @ pick, R).max() < 1e-7
    np.testing.assert_allclose(group.distance(R @ pick, Q), distance, atol=1e-7)
    reduced = group.reduce_poses(R)
    assert np.all(group.in_asymmetric_unit(reduced[:, 2]))
    assert group.distance(reduced, R).max() < 1e-7
    assert group.equivalent_poses(R).shape == (40, group.order, 3, 3)


def test_symmetry_acts_on_the_map_not_on_the_image() -> None:
    # Turned by 90 degrees about z of the map, a pose looks alike under C4; turned in the image it does not.
    group = point_group("C4")
    R = euler_to_matrix(0.3, 1.0, 0.2)
    assert group.distance(euler_to_matrix(0.3 + np.pi / 2, 1.0, 0.2), R) < 1e-7
    assert group.distance(euler_to_matrix(0.3, 1.0, 0.2 + np.pi / 2), R) > 0.5
