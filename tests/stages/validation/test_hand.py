"""The hand: a bent Ewald sphere and tilt pairs tell it, flat images do not, and what disagrees decides nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.engine.particles import make_particles
from verglas.engine import ParticleStack
from verglas.engine.half_maps import judge_halves, spherical_shell_mask
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.errors import InputError
from verglas.formats import ParticleTable
from verglas.geometry import euler_to_matrix, matrix_to_euler, point_group, random_rotations
from verglas.microscopy import Optics
from verglas.stages.validation import (
    HandEvidence,
    contradiction,
    hand_from_ewald_sphere,
    hand_from_tilt_pairs,
    hand_of,
)

BOX, PIXEL_A, RADIUS_A = 48, 1.0, 18.0
SLOW = Optics(1.0, 0.0, 0.07, 1.0)
"""Slow electrons, so that a small molecule is as deep for them as a virus is for fast ones."""
ANGLES = ("rot_deg", "tilt_deg", "psi_deg")


def mirrored(rotations: np.ndarray) -> np.ndarray:
    """Return the poses at which the map inverted through its middle looks as the map does at these."""
    seen: np.ndarray = np.diag([1.0, 1.0, -1.0]) @ -rotations
    return seen


def mirror_poses(table: ParticleTable) -> ParticleTable:
    made = table.copy()
    found = matrix_to_euler(mirrored(euler_to_matrix(*(np.deg2rad(table[name].astype(float)) for name in ANGLES))))
    for name, angle in zip(ANGLES, found, strict=True):
        made[name] = np.rad2deg(angle)
    return made


def ask(folder: Path, table: ParticleTable) -> HandEvidence:
    halves = reconstruct_particles(table, folder).finish().half_maps
    assert halves is not None
    mask = spherical_shell_mask(BOX, RADIUS_A, PIXEL_A, edge_A=4.0)
    curves = judge_halves(*halves, mask, PIXEL_A)
    with ParticleStack(table, folder) as stack:
        found = hand_from_ewald_sphere(stack, halves, mask, curves, RADIUS_A)
    assert found is not None
    return found


@pytest.mark.parametrize(("bent", "says"), [(True, ("right", "mirrored")), (False, ("undetermined", "undetermined"))])
def test_a_bent_sphere_tells_the_hand_and_a_flat_one_does_not(
    tmp_path: Path, bent: bool, says: tuple[str, str]
) -> None:
    table, _ = make_particles(
        tmp_path, 240, BOX, PIXEL_A, optics=SLOW, defocus_A=(500.0, 2500.0), bent=bent, noise=2.0
    )  # fmt: skip
    own, other = ask(tmp_path, table), ask(tmp_path, mirror_poses(table))
    assert (own.says, other.says) == says, (own, other)
    if bent:
        assert own.strength > 6.0 and other.strength < -6.0


def turn_about(axis_deg: float, angle_deg: float) -> np.ndarray:
    """Return a right-handed turn about an axis in the image."""
    axis = np.array([np.cos(np.deg2rad(axis_deg)), np.sin(np.deg2rad(axis_deg)), 0.0])
    turn: np.ndarray = Rotation.from_rotvec(np.deg2rad(angle_deg) * axis).as_matrix()
    return turn


@pytest.mark.parametrize("symmetry", ["C1", "D2", "O"])
def test_tilt_pairs_tell_the_hand(symmetry: str) -> None:
    """Poses are some 5 degrees off, a third of them anywhere, and each particle is at one of its equivalent poses."""
    random = np.random.Generator(np.random.Philox(1))
    first = random_rotations(200, 2)
    second = turn_about(30.0, 15.0) @ first
    wrong = np.arange(200) % 3 == 0
    second[wrong] = random_rotations(int(wrong.sum()), 3)
    second = Rotation.from_rotvec(np.deg2rad(random.normal(0.0, 3.0, (200, 3)))).as_matrix() @ second
    operators = point_group(symmetry).operators
    second = second @ operators[random.integers(len(operators), size=200)]
    assert hand_from_tilt_pairs(first, second, symmetry, 15.0, 30.0).says == "right"
    assert hand_from_tilt_pairs(mirrored(first), mirrored(second), symmetry, 15.0, 30.0).says == "mirrored"
    assert hand_from_tilt_pairs(first, second, symmetry, -15.0, 30.0).says == "mirrored"
    by_chance = hand_from_tilt_pairs(first, random_rotations(200, 4), symmetry, 15.0, 30.0)
    assert by_chance.says == "undetermined"


def test_what_is_no_tilt_pair_is_refused() -> None:
    first = random_rotations(5, 1)
    with pytest.raises(InputError, match="same particles twice"):
        hand_from_tilt_pairs(first, first[:3], "C1", 15.0, 0.0)
    with pytest.raises(InputError, match="between 1 and 90"):
        hand_from_tilt_pairs(first, first, "C1", 0.0, 0.0)


def test_evidence_that_disagrees_decides_nothing() -> None:
    right, wrong, unsure = (
        HandEvidence(by, says, 0.0, "")
        for by, says in (("model", "right"), ("tilt pairs", "mirrored"), ("Ewald sphere", "undetermined"))
    )
    assert hand_of([]) == hand_of([unsure]) == "undetermined"
    assert hand_of([right, unsure]) == "right" and hand_of([wrong]) == "mirrored"
    assert hand_of([right, wrong]) == "undetermined"
    said = contradiction([right, wrong, unsure])
    assert said is not None and "model: right, tilt pairs: mirrored" in said
    assert contradiction([right, unsure]) is None
