"""Ab-initio: from nothing to the molecule, in either hand; rounds can be stopped between any two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.engine import ParticleStack, align_maps
from verglas.errors import InputError
from verglas.geometry import euler_to_matrix, random_rotations
from verglas.signal import fourier_shell_correlation, resize
from verglas.stages.abinitio import (
    AbInitioSettings,
    AbInitioState,
    chosen_places,
    find_maps,
    first_state,
    prepared,
    split_images,
    start_round,
)
from verglas.stages.abinitio.constraints import centred, densest
from verglas.stages.abinitio.rounds import find_axes

# Kernels may compile here, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)

BOX, PIXEL_A = 40, 3.0
SETTINGS = AbInitioSettings(
    radius_A=40.0, symmetry="O", starts=4, finish_A=9.0, finish_rounds=3, shift_sigma_A=6.0, low_A=120.0
)  # fmt: skip


def test_a_molecule_is_found_from_nothing(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 120, BOX, PIXEL_A, symmetry="O", noise=1.2)
    for name in ("rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A"):
        table[name] = 0.0
    with ParticleStack(table, tmp_path) as stack:
        found = find_maps(stack, SETTINGS)
    volume = np.asarray(resize(found.maps.volumes[0], (BOX,) * 3), np.float32)
    aligned = align_maps(volume, truth, PIXEL_A, limit_A=12.0)
    fsc = fourier_shell_correlation(aligned.map, truth, PIXEL_A).fsc
    assert fsc[1 : int(BOX * PIXEL_A / 12.0) + 1].min() > 0.5
    assert found.gains.max() > 0.0 and found.best == int(np.argmax(found.gains))


def test_a_molecule_is_found_from_random_poses_and_its_axes_later(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 200, 32, 4.0, symmetry="D2", noise=0.7)
    for name in ("rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A"):
        table[name] = 0.0
    how = AbInitioSettings(
        radius_A=42.0, symmetry="D2", starts=2, rounds=24, finish_A=12.0, finish_rounds=3, shift_sigma_A=8.0,
        low_A=130.0,
    )  # fmt: skip
    with ParticleStack(table, tmp_path) as stack:
        found = find_maps(stack, how)
    aligned = align_maps(np.asarray(resize(found.maps.volumes[0], (32,) * 3), np.float32), truth, 4.0, limit_A=14.0)
    assert fourier_shell_correlation(aligned.map, truth, 4.0).fsc[1:10].min() > 0.9


@pytest.mark.parametrize(("symmetry", "classes"), [("D2", 1), ("O", 2)])
def test_a_start_goes_on_from_what_was_kept_to_the_bit(tmp_path: Path, symmetry: str, classes: int) -> None:
    table, _ = make_particles(tmp_path, 60, BOX, PIXEL_A, symmetry=symmetry, noise=1.0)
    how = AbInitioSettings(
        radius_A=40.0, symmetry=symmetry, impose=True, rounds=8, mass_kDa=20.0, low_A=120.0, start_A=18.0,
        classes=classes,
    )  # fmt: skip
    with ParticleStack(table, tmp_path) as stack:
        images = prepared(stack, np.arange(60), how, how.middle_A)
    learned, judged = split_images(60, how)
    assert not np.intersect1d(learned, judged).size and len(learned) + len(judged) == 60
    states = []
    for stop in (None, 3):
        state = first_state(60, how, 0)
        for number in range(how.rounds):
            if number == stop:
                state = AbInitioState.from_arrays({name: array.copy() for name, array in state.arrays().items()})
            start_round(state, images, learned, how, 0)
        states.append(state)
    assert np.array_equal(states[0].volumes, states[1].volumes)
    assert np.array_equal(states[0].rotations, states[1].rotations)
    other = first_state(60, how, 1)
    start_round(other, images, learned, how, 1)
    assert not np.array_equal(other.rotations, first_state(60, how, 0).rotations)


def test_axes_are_found_and_poses_follow(tmp_path: Path) -> None:
    table, truth = make_particles(tmp_path, 30, BOX, PIXEL_A, symmetry="D2", noise=0.3)
    how = AbInitioSettings(radius_A=50.0, symmetry="D2", impose=False, low_A=120.0, middle_A=10.0)
    angles = (np.deg2rad(table[name]) for name in ("rot_deg", "tilt_deg", "psi_deg"))
    turned, moved = random_rotations(1, 5)[0], np.array([2.0, -3.0, 1.0])
    with ParticleStack(table, tmp_path) as stack:
        images = prepared(stack, np.arange(30), how, how.middle_A)
    state = first_state(30, how, 0)
    # The molecule lies turned and moved in the map, and the poses are those that go with it.
    from verglas.engine import transform_map

    state.volumes = transform_map(truth, turned, moved, PIXEL_A)[None]
    state.rotations = euler_to_matrix(*angles) @ turned.T
    state.displacements_A = -np.stack([table["origin_x_A"], table["origin_y_A"]], axis=-1).astype(float)
    state.displacements_A -= (state.rotations @ moved)[:, :2]
    find_axes(state, images, how)
    from verglas.engine import prepare_reference

    reference = prepare_reference(state.volumes[0], PIXEL_A, limit_A=9.0)
    u, v = images.true_k_per_A
    model = images.transfer * reference.slices(state.rotations, u, v)
    phase = state.displacements_A[:, :1] * images.band.kx_per_A + state.displacements_A[:, 1:] * images.band.ky_per_A
    model = model * np.exp(-2j * np.pi * phase)
    likeness = (model.conj() * images.data).real.sum(axis=1) / np.sqrt(
        (np.abs(model) ** 2).sum(axis=1) * (np.abs(images.data) ** 2).sum(axis=1)
    )
    assert state.axes_found and likeness.min() > 0.8


def test_a_map_has_no_more_voxels_than_its_mass_can_fill() -> None:
    random = np.random.Generator(np.random.Philox(3))
    volume = random.standard_normal((24, 24, 24)).astype(np.float32)
    kept = densest(volume, 4.0, 40.0, 20.0)
    assert np.count_nonzero(kept) <= 2.5 * 1235.0 * 20.0 / 64.0 and kept.min() == 0.0
    assert densest(volume, 4.0, 40.0, None).min() == 0.0
    blob = np.zeros((24, 24, 24), np.float32)
    blob[14:17, 8:11, 12:15] = 1.0
    middle, moved = centred(blob, "C1")
    np.testing.assert_allclose(moved, [-1.0, 3.0, -3.0], atol=1e-6)
    np.testing.assert_allclose(middle[11:14, 11:14, 11:14], 1.0, atol=1e-5)
    assert centred(blob, "C4")[1].tolist() == pytest.approx([0.0, 0.0, -3.0])
    assert not centred(blob, "D2")[1].any()


def test_images_are_chosen_by_defocus_and_by_chance(tmp_path: Path) -> None:
    table, _ = make_particles(tmp_path, 40, BOX, PIXEL_A)
    with ParticleStack(table, tmp_path) as stack:
        mean = stack.defocus(np.arange(40))[:, :2].mean(axis=1)
        some = chosen_places(stack, 100, 1, (9000.0, 12000.0))
        assert np.array_equal(some, np.flatnonzero((mean >= 9000.0) & (mean <= 12000.0)))
        few = chosen_places(stack, 10, 1)
        assert len(np.unique(few)) == 10 and np.array_equal(few, chosen_places(stack, 10, 1))


@pytest.mark.parametrize(
    ("symmetry", "usual"), [("O", (True, 8, 9.0, 9.0)), ("D2", (False, 6, 40.0, 15.0)), ("C1", (True, 3, 40.0, 15.0))]
)
def test_what_is_not_given_follows_from_the_symmetry(symmetry: str, usual: tuple[bool, int, float, float]) -> None:
    of = AbInitioSettings(radius_A=60.0, symmetry=symmetry)
    assert (of.impose, of.starts, of.start_A, of.middle_A) == usual
    own = {"impose": not usual[0], "starts": 2, "start_A": 30.0, "middle_A": 20.0}
    given = AbInitioSettings(radius_A=60.0, symmetry=symmetry, **own)
    assert {name: getattr(given, name) for name in own} == own
    # A larger particle shows as much at a coarser resolution.
    assert AbInitioSettings(radius_A=160.0, symmetry=symmetry).start_A == (20.0 if symmetry == "O" else 40.0)
    # Only where directions are few does the finish search them finely.
    search_A, spacing = of.finish_search(8.0)
    assert (search_A, spacing < of.spacing(8.0)) == ((8.0, True) if symmetry == "O" else (12.0, False))
    # What is not given makes room for what is.
    coarse = AbInitioSettings(radius_A=60.0, symmetry=symmetry, finish_A=50.0)
    assert coarse.start_A == coarse.middle_A == 50.0
    assert AbInitioSettings(radius_A=60.0, symmetry=symmetry, start_A=8.5).middle_A == 8.5


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="finer"):
        AbInitioSettings(radius_A=40.0, start_A=8.0, middle_A=12.0)
    with pytest.raises(InputError, match="classes"):
        AbInitioSettings(radius_A=40.0, classes=0)
    with pytest.raises(InputError, match="too few"):
        split_images(5, AbInitioSettings(radius_A=40.0))
