"""2D classification: shapes are told apart, poses are right, schedules and refusals are as stated."""

from __future__ import annotations

import numpy as np
import pytest

from tests.stages.classification2d.shapes import BOX, OPTICS, PIXEL_A, RADIUS_A, Shapes, density, make_shapes
from verglas.errors import InputError
from verglas.stages.classification2d import (
    Classification,
    ClassificationSettings,
    ImageResult,
    WorkingImages,
    blank_edges,
    classify_images,
    density_mask,
    suggested_classes,
)


def classify(made: Shapes, *, threads: int = 1, **options: object) -> Classification:
    settings = ClassificationSettings(
        **{"classes": 6, "mask_radius_A": RADIUS_A, "max_shift_A": 20.0, "rounds": 8, "finish_A": 12.0, **options}
    )  # type: ignore[arg-type]
    working = WorkingImages.to_limit(BOX, OPTICS, RADIUS_A, settings.finish_A)
    return classify_images(lambda rows: made.images[rows], made.defocus, working, settings, threads=threads)


@pytest.fixture(scope="module")
def made() -> Shapes:
    return make_shapes(900)


@pytest.fixture(scope="module")
def found(made: Shapes) -> Classification:
    return classify(made)


def test_shapes_and_noise_are_told_apart(made: Shapes, found: Classification) -> None:
    counts = np.array([np.bincount(made.shape[found.number == k], minlength=4) for k in range(6)])
    assert counts.sum() == 900, "the last round uses every particle"
    assert counts.max(axis=1).sum() / 900 > 0.9
    assert set(counts.argmax(axis=1)) >= {0, 1, 2}
    np.testing.assert_allclose(found.state.occupancy.sum(), 900, rtol=1e-6)


def test_averages_look_like_the_shapes_and_poses_bring_images_onto_them(made: Shapes, found: Classification) -> None:
    """Each average is compared with the sum of the true densities, turned and moved by truth and answer together."""
    place = (np.arange(BOX) - BOX // 2) * PIXEL_A
    y, x = np.meshgrid(place, place, indexing="ij")
    inside = np.hypot(x, y) < RADIUS_A
    for number in range(6):
        members = np.flatnonzero(found.number == number)
        shape = int(np.bincount(made.shape[members], minlength=4).argmax())
        members = members[made.shape[members] == shape][:80]
        if shape == 3 or len(members) < 20:
            continue
        expected = np.zeros((BOX, BOX))
        for i in members:
            c, s = np.cos(found.psi[i]), np.sin(found.psi[i])
            u = c * x + s * y + found.displacements_A[i, 0] - made.displacements_A[i, 0]
            v = -s * x + c * y + found.displacements_A[i, 1] - made.displacements_A[i, 1]
            c, s = np.cos(made.psi[i]), np.sin(made.psi[i])
            expected += density(shape, c * u - s * v, s * u + c * v)
        average = found.averages[number]
        correlation = np.corrcoef(expected[inside], average[inside])[0, 1]
        assert correlation > 0.9, f"class {number} ({len(members)} of shape {shape}): {correlation:.3f}"


def test_threads_do_not_change_the_answer(made: Shapes) -> None:
    one, two = (classify(made, threads=threads, rounds=2, classes=3) for threads in (1, 2))
    np.testing.assert_array_equal(one.number, two.number)
    np.testing.assert_allclose(one.averages, two.averages, atol=1e-5 * np.abs(one.averages).max())


def test_noise_alone_is_not_given_a_resolution() -> None:
    noise = make_shapes(300)
    noise.images[:] = np.random.Generator(np.random.Philox(3)).normal(size=noise.images.shape)
    found = classify(noise, rounds=4, classes=3)
    assert found.state.resolution_A.min() > 20.0, "halves are joined to 25 A only; what is finer must not agree"


def test_schedule() -> None:
    settings = ClassificationSettings(classes=10, mask_radius_A=50.0, max_shift_A=10.0)
    assert settings.limit_A(1) == 40.0 and settings.limit_A(15) == settings.limit_A(20) == 8.0
    parts = [settings.part_used(number, 30_000) for number in (1, 10, 11, 15, 16, 20)]
    assert parts == pytest.approx([0.1, 0.1, 0.3, 0.3, 1.0, 1.0])
    assert settings.part_used(1, 900) == 1.0
    assert [suggested_classes(n) for n in (100, 3000, 5000, 10**6)] == [5, 10, 20, 50]


@pytest.mark.parametrize(
    "wrong", [{"classes": 0}, {"finish_A": 50.0}, {"smoothing": 0.0}, {"percent_used": 101.0}, {"mask_radius_A": -1.0}]
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        ClassificationSettings(**{"classes": 3, "mask_radius_A": 50.0, "max_shift_A": 10.0, **wrong})  # type: ignore[arg-type]


def test_a_mask_without_background_is_refused() -> None:
    with pytest.raises(InputError, match="background"):
        WorkingImages.to_limit(BOX, OPTICS, 96.0, 10.0)


def test_a_classification_goes_on_from_an_earlier_one(made: Shapes, found: Classification) -> None:
    """One fine round from known classes and poses is as good as the rounds that found them; from nothing it is not."""
    options = {"rounds": 1, "start_A": 12.0, "automask": True}
    start = ImageResult(found.number, found.psi, found.displacements_A, found.log_likelihood, found.weight)
    settings = ClassificationSettings(6, RADIUS_A, 20.0, finish_A=12.0, **options)  # type: ignore[arg-type]
    working = WorkingImages.to_limit(BOX, OPTICS, RADIUS_A, 12.0)
    again = classify_images(lambda rows: made.images[rows], made.defocus, working, settings, start=start)
    assert np.mean(again.number == found.number) > 0.9, "classes keep their numbers"
    fresh = classify(made, **options)
    purities = [
        sum(np.bincount(made.shape[one.number == k]).max(initial=0) for k in range(6)) / 900 for one in (again, fresh)
    ]
    assert purities[0] > 0.9 > purities[1]


def test_the_automatic_mask_holds_the_density_and_leaves_the_rest_out() -> None:
    place = (np.arange(BOX) - BOX // 2) * PIXEL_A
    y, x = np.meshgrid(place, place, indexing="ij")
    noise = np.random.Generator(np.random.Philox(1)).normal(0, 0.05, (BOX, BOX))
    mask = density_mask(density(0, x, y) + noise, PIXEL_A, RADIUS_A)
    assert mask[density(0, x, y) > 0.3].min() > 0.99
    assert mask[(np.abs(y) > 60)].max() == 0.0 and mask.mean() < 0.5
    np.testing.assert_array_equal(density_mask(np.zeros((BOX, BOX)), PIXEL_A, RADIUS_A), 1.0)


def test_images_with_blank_edges_are_left_out(made: Shapes) -> None:
    images = made.images[:60].copy()
    images[::3, :, :7] = images[::3, :, 7:8].mean(axis=1, keepdims=True)
    images[1, -3:] = 0.3
    expected = np.arange(60) % 3 == 0
    expected[1] = True
    np.testing.assert_array_equal(blank_edges(images), expected)
    settings = ClassificationSettings(2, RADIUS_A, 20.0, rounds=1, finish_A=20.0, exclude_blank_edges=True)
    working = WorkingImages.to_limit(BOX, OPTICS, RADIUS_A, 20.0)
    found = classify_images(lambda rows: images[rows], made.defocus[:60], working, settings)
    np.testing.assert_array_equal(found.number < 0, expected)
