"""Particles at known places, with every picker; noise, ice and carbon without them; real apoferritin."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from tests.stages.picking.fields import DEFOCUS, OPTICS, PIXEL_A, found_and_true, make_field, projected_shell
from verglas.errors import InputError
from verglas.formats import read_coordinates, read_image
from verglas.microscopy import Optics
from verglas.stages.picking import (
    AreaSettings,
    PickingSettings,
    chosen,
    map_projections,
    neighbour_distances,
    pick_particles,
    template_images,
)
from verglas.stages.picking.candidates import CANDIDATES

AREAS = AreaSettings(edge_distance_A=40.0)
BALLS = PickingSettings(radius_A=60.0, max_radius_A=80.0, areas=AREAS)


@pytest.mark.parametrize("white", [False, True])
def test_disc_finds_balls_of_either_contrast(white):
    field = make_field(1, white=white)
    found = pick_particles(field.image, PIXEL_A, OPTICS, DEFOCUS, settings=BALLS, protein_is_white=white)
    assert found_and_true(found.positions_A, field.places_A, 15.0) == (1.0, 1.0)
    distance = np.min(np.hypot(*(found.positions_A[:, None] - field.places_A[None]).transpose(2, 0, 1)), axis=1)
    assert np.median(distance) < 6.0, "half a pixel of the small image"
    clean = make_field(1, white=white, contrast=0.2)
    exact = pick_particles(clean.image, PIXEL_A, OPTICS, DEFOCUS, settings=BALLS, protein_is_white=white)
    errors = [place - clean.places_A[np.argmin(np.hypot(*(clean.places_A - place).T))] for place in exact.positions_A]
    assert np.abs(np.mean(errors, axis=0)).max() < 0.4, "places are not off to one side"
    wrong = pick_particles(field.image, PIXEL_A, OPTICS, DEFOCUS, settings=BALLS, protein_is_white=not white)
    assert found_and_true(wrong.positions_A, field.places_A, 15.0)[1] < 0.2


@pytest.mark.parametrize("shape", ["ring", "log"])
def test_ring_finds_shells_and_log_finds_balls(shape):
    inner = 40.0 if shape == "ring" else 0.0
    field = make_field(2, inner_A=inner, contrast=0.02)
    settings = PickingSettings(
        shape=shape, radius_A=65.0, inner_radius_A=inner, max_radius_A=80.0, highest_resolution_A=25.0,
        threshold=5.0, areas=AREAS,
    )  # fmt: skip
    found = pick_particles(field.image, PIXEL_A, OPTICS, DEFOCUS, settings=settings)
    precision, recall = found_and_true(found.positions_A, field.places_A, 15.0)
    assert precision > 0.93 and recall > 0.93


def test_noise_scores_its_standard_deviation_and_is_not_picked():
    field = make_field(3, count=0)
    found = pick_particles(field.image, PIXEL_A, OPTICS, DEFOCUS, settings=BALLS)
    # The quietest boxes are chosen to measure the noise, so it is a little louder on the whole.
    assert 0.95 < found.scores.score.std() < 1.35
    assert np.median(found.scores.background) == pytest.approx(1.0, abs=0.15)
    assert len(found.positions_A) == 0


def test_moving_the_threshold_equals_picking_with_it():
    field = make_field(4, contrast=0.014)
    low = pick_particles(field.image, PIXEL_A, OPTICS, DEFOCUS, settings=BALLS)
    high = pick_particles(
        field.image, PIXEL_A, OPTICS, DEFOCUS, settings=PickingSettings(radius_A=60.0, max_radius_A=80.0, threshold=7.0,
        areas=AREAS),
    )  # fmt: skip
    assert 0 < len(high.positions_A) < len(low.positions_A) < len(low.candidates)
    assert np.array_equal(low.candidates[chosen(low.candidates, 7.0)], high.candidates[high.chosen])
    again = pick_particles(field.image, PIXEL_A, OPTICS, DEFOCUS, settings=BALLS, threads=2)
    assert np.array_equal(again.candidates, low.candidates)


def test_picks_keep_their_distance_and_neighbours_are_known():
    field = make_field(5, count=40, apart_A=140.0)
    found = pick_particles(field.image, PIXEL_A, OPTICS, DEFOCUS, settings=BALLS)
    distances = neighbour_distances(found.candidates)
    assert distances.min() >= 159.0
    lonely = chosen(found.candidates, 6.0, min_neighbour_A=200.0)
    assert 0 < lonely.sum() < found.chosen.sum()
    assert not np.any(lonely & ~found.chosen)


def test_ice_and_carbon_are_not_picked():
    field = make_field(6)
    y, x = np.indices(field.image.shape) * PIXEL_A
    rng = np.random.Generator(np.random.Philox(60))
    ice = np.hypot(x - 500, y - 600) < 260
    carbon = x > 1600 - 0.2 * y
    image = field.image - 6.0 * ice - 1.5 * carbon
    rough = rng.standard_normal((45, 50)).repeat(16, 0).repeat(16, 1)
    image = (image + rough * (4.0 * ice + 2.0 * carbon)).astype(np.float32)
    found = pick_particles(image, PIXEL_A, OPTICS, DEFOCUS, settings=BALLS)
    px, py = np.rint(found.positions_A / PIXEL_A).astype(int).T
    assert not np.any((ice | carbon)[py, px])
    tx, ty = np.rint(field.places_A / PIXEL_A).astype(int).T
    clear = field.places_A[(np.hypot(*(field.places_A - [500, 600]).T) > 450) & ~carbon[ty, np.minimum(tx + 60, 799)]]
    assert found_and_true(found.positions_A, clear, 15.0)[1] > 0.85, "what lies well outside is still picked"
    careless = AreaSettings(high_variance=None, abnormal_mean=None, edge_distance_A=40.0)
    taken = pick_particles(
        image, PIXEL_A, OPTICS, DEFOCUS, settings=PickingSettings(radius_A=60.0, max_radius_A=80.0, areas=careless)
    )
    px, py = np.rint(taken.positions_A / PIXEL_A).astype(int).T
    assert np.any((ice | carbon)[py, px]), "without avoidance they would be"


def test_images_in_all_rotations_and_views_of_a_map_are_found():
    """Bars at known angles: the disc sees them hardly, their picture tells place and angle."""
    rng = np.random.Generator(np.random.Philox(8))
    shape, box = (600, 640), 80
    along = (np.arange(box) - box // 2) * PIXEL_A
    yy, xx = along[:, None], along[None]
    bar = (np.abs(xx) < 75) & (np.abs(yy) < 18)
    image = rng.standard_normal(shape).astype(np.float32)
    y, x = np.indices(shape) * PIXEL_A
    places, angles = [], rng.uniform(0, np.pi, 12)
    for number, angle in enumerate(angles):
        place = np.array([250.0 + 360 * (number % 4), 250.0 + 450 * (number // 4)])
        places.append(place)
        u = (x - place[0]) * np.cos(angle) + (y - place[1]) * np.sin(angle)
        v = -(x - place[0]) * np.sin(angle) + (y - place[1]) * np.cos(angle)
        image -= 0.9 * ((np.abs(u) < 75) & (np.abs(v) < 18))
    settings = PickingSettings(shape="templates", radius_A=75, max_radius_A=80, highest_resolution_A=25.0, areas=AREAS)

    def bars(pixel_size_A):
        return template_images(bar.astype(np.float32), PIXEL_A, pixel_size_A, rotation_step_deg=10.0, symmetry=2)

    found = pick_particles(image, PIXEL_A, settings=settings, make_templates=bars)
    assert found_and_true(found.positions_A, np.array(places), 15.0) == (1.0, 1.0)
    picks = found.candidates[found.chosen]
    nearest = [int(np.argmin(np.hypot(*(np.array(places) - [p["x_A"], p["y_A"]]).T))) for p in picks]
    turned = np.abs((picks["psi"] - angles[nearest] + np.pi / 2) % np.pi - np.pi / 2)
    mirrored = np.abs((-picks["psi"] - angles[nearest] + np.pi / 2) % np.pi - np.pi / 2)
    assert min(turned.max(), mirrored.max()) < np.deg2rad(11)

    rod = (np.abs(along[:, None, None]) < 75) & (np.hypot(yy, xx)[None] < 18)

    def views(pixel_size_A):
        return map_projections(rod.astype(np.float32), PIXEL_A, pixel_size_A, step_deg=30.0)

    seen = pick_particles(image, PIXEL_A, settings=settings, make_templates=views)
    assert found_and_true(seen.positions_A, np.array(places), 20.0) == (1.0, 1.0)


def test_a_map_of_a_shell_answers_like_the_shell():
    field = make_field(9, inner_A=40.0, contrast=0.02)
    along = (np.arange(40) - 20) * 5.0
    distance = np.sqrt(along[:, None, None] ** 2 + along[:, None] ** 2 + along**2)
    volume = ((distance < 65) & (distance > 40)).astype(np.float32)
    settings = PickingSettings(
        shape="templates", radius_A=65, max_radius_A=80, highest_resolution_A=25.0, areas=AREAS
    )  # fmt: skip
    found = pick_particles(
        field.image, PIXEL_A, OPTICS, DEFOCUS, settings=settings,
        make_templates=lambda size: map_projections(volume, 5.0, size, step_deg=60.0, symmetry="O"),
    )  # fmt: skip
    assert found_and_true(found.positions_A, field.places_A, 15.0) == (1.0, 1.0)
    assert projected_shell(np.array([0.0]), 65, 40)[0] == 50.0


@pytest.mark.parametrize(
    ("image", "settings", "said"),
    [
        (np.zeros((300, 300), np.float32), BALLS, "constant"),
        (np.full((300, 300), np.nan, np.float32), BALLS, "finite"),
        (np.ones((3, 30, 30), np.float32), BALLS, "two axes"),
        (make_field(1, count=0, shape=(20, 20)).image, BALLS, "too small"),
        (make_field(1, count=0).image, PickingSettings(shape="templates"), "templates"),
    ],
)
def test_what_cannot_be_picked_is_refused(image, settings, said):
    with pytest.raises(InputError, match=said):
        pick_particles(image, PIXEL_A, settings=settings)
    with pytest.raises(InputError, match="inner radius"):
        pick_particles(
            make_field(1, count=0).image, PIXEL_A, settings=PickingSettings(shape="ring", inner_radius_A=90.0)
        )


def test_real_apoferritin_against_people(real_data):
    folder = real_data / "apoferritin"
    rows = list(csv.DictReader((folder / "ctf_ctffind5.tsv").open(), delimiter="\t"))[1:3]
    settings = PickingSettings(
        shape="ring", radius_A=62.0, inner_radius_A=36.0, max_radius_A=65.0, min_distance_A=90.0,
        highest_resolution_A=20.0, areas=AreaSettings(edge_distance_A=0.0),
    )  # fmt: skip
    for row in rows:
        stem = row["micrograph"].replace("May08_", "May08#").replace("_", ".").replace("#", "_")
        image = read_image(folder / "micrographs" / f"{stem}.bin_avg.png")[0]
        defocus = float(row["defocusU_A"]), float(row["defocusV_A"]), math.radians(float(row["azimuth_deg"])), 0.0
        found = pick_particles(image, 1.5, Optics(300.0, 0.001, 0.07, 1.5), defocus, settings=settings)
        people = read_coordinates(folder / "picks" / f"{stem}.star") * 1.5
        precision, recall = found_and_true(found.positions_A, people, 22.5)
        assert 2 * precision * recall / (precision + recall) > 0.9


def test_blobs_darker_than_any_particle_are_left_out():
    candidates = np.zeros(12, CANDIDATES)
    candidates["peak_height"] = [11, 9, 10, 12, 25, 8, 42, 10, 11, 15, 5, 10]
    candidates["background"] = 1.0
    candidates["x_A"] = 200.0 * np.arange(12)
    assert chosen(candidates, 6.0, score_factor=None).sum() == 11
    kept = candidates["peak_height"][chosen(candidates, 6.0, score_factor=2.0)]
    assert sorted(kept) == [8, 9, 10, 10, 10, 11, 11, 12, 15]
    assert not chosen(candidates, 50.0, score_factor=2.0).any()
