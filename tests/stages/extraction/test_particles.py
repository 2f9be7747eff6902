"""The table of extracted particles: half sets, defocus on a tilted specimen, starting poses."""

from __future__ import annotations

import dataclasses

import numpy as np

from verglas.formats import ParticleTable, read_particles, write_particles
from verglas.stages.extraction import MicrographFacts, assign_half_sets, default_box, local_defocus, particle_table

FACTS = MicrographFacts(3, "m3.mrc", 1.5, (2000, 3000), 300.0, 2.7, 0.07, 15000.0, 14000.0, 30.0, 0.0)


def test_half_sets_keep_micrographs_together():
    many = np.repeat(np.arange(30), 40)
    halves = assign_half_sets(many)
    assert all(len(set(halves[many == one].tolist())) == 1 for one in range(30))
    assert np.bincount(halves).tolist() == [0, 600, 600]
    few = assign_half_sets(np.repeat([4, 9], 500))
    assert np.bincount(few).tolist() == [0, 500, 500] and len(np.flatnonzero(np.diff(few))) == 9
    assert assign_half_sets(np.zeros(7, int)).tolist() == [1, 2, 1, 2, 1, 2, 1]


def test_copies_of_an_image_come_into_one_half_set():
    for count in (12, 1200):
        images = np.repeat(np.arange(count), 4)
        halves = assign_half_sets(np.repeat(np.arange(count) // 10, 4), images)
        assert np.bincount(halves).tolist() == [0, 2 * count, 2 * count]
        assert (halves.reshape(count, 4) == halves[::4, None]).all()


def test_defocus_follows_the_tilt():
    tilted = dataclasses.replace(FACTS, tilt_axis_deg=0.0, tilt_angle_deg=30.0)
    x, y = np.array([1500.0, 100.0, 1500.0]), np.array([1000.0, 1000.0, 1100.0])
    np.testing.assert_allclose(local_defocus(tilted, x, y), [0, 0, 150 * np.tan(np.pi / 6)], atol=1e-6)
    upright = dataclasses.replace(tilted, tilt_axis_deg=90.0)
    np.testing.assert_allclose(local_defocus(upright, x, y)[1], 1400 * 1.5 * np.tan(np.pi / 6))
    table = particle_table(
        [(tilted, np.stack([x, y], 1), np.zeros((3, 2)))], stack="s.mrcs", box=64, pixel_size_A=3.0,
        contrast_inverted=False, seed=1,
    )  # fmt: skip
    np.testing.assert_allclose(table["defocus_u_A"] - table["defocus_v_A"], 1000.0)
    np.testing.assert_allclose(table["defocus_u_A"][2] - 15000, 150 * np.tan(np.pi / 6))


def test_table_holds_all_that_refinement_needs_and_survives_a_star_file(tmp_path):
    second = dataclasses.replace(FACTS, number=4, name="m4.mrc", defocus_u_A=20000.0)
    places = np.array([[10.4, 20.0], [30.0, 40.6]])
    shifts = np.array([[-0.4, 0.0], [0.0, 0.4]])
    parts = [(FACTS, places, shifts), (second, places + 5, shifts)]
    make = lambda seed: particle_table(  # noqa: E731
        parts, stack="Assets/s.mrcs", box=64, pixel_size_A=3.0, contrast_inverted=True, seed=seed
    )
    table = make(1)
    assert table["image_section"].tolist() == [1, 2, 3, 4]
    assert table.names_of("micrograph") == ["m3.mrc", "m3.mrc", "m4.mrc", "m4.mrc"]
    np.testing.assert_allclose(table["origin_x_A"], [-0.6, 0, -0.6, 0])
    assert table["defocus_u_A"].tolist() == [15000, 15000, 20000, 20000]
    assert table.optics[0].contrast_inverted and table.optics[0].image_size_px == 64
    assert np.ptp(table["tilt_deg"]) > 1 and np.array_equal(table["psi_deg"], make(1)["psi_deg"])
    assert not np.array_equal(table["psi_deg"], make(2)["psi_deg"])
    write_particles(table, tmp_path / "p.star")
    again = read_particles(tmp_path / "p.star")
    assert isinstance(again, ParticleTable)
    for column in ("defocus_u_A", "psi_deg", "half_set", "coordinate_x_px", "pixel_size_A", "origin_y_A"):
        np.testing.assert_allclose(again[column], table[column], atol=1e-4)


def test_default_box_is_even_and_fast():
    assert default_box(130, 1.5) == 192
    assert default_box(100, 1.0) % 2 == 0
