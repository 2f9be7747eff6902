"""Boxes: places, edges, outliers, normalisation and resampling; the same as relion_preprocess makes."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from tests.support.oracles import program
from verglas.errors import InputError
from verglas.formats import Block, Loop, TextColumn, read_stack, write_coordinates, write_mrc, write_star
from verglas.stages.extraction import BoxSettings, cut_boxes, extract_particles, prepare_boxes


def test_boxes_are_centred_and_say_how_far_off_they_are(rng):
    image = rng.standard_normal((90, 120)).astype(np.float32)
    boxes, shifts = cut_boxes(image, [[50.0, 40.0], [50.4, 39.7], [60.5, 20.5]], 16)
    assert np.array_equal(boxes[0], image[32:48, 42:58]) and np.array_equal(boxes[0], boxes[1])
    np.testing.assert_allclose(shifts, [[0, 0], [-0.4, 0.3], [0.5, 0.5]], atol=1e-9)
    edge = np.concatenate([image[[0, -1]].ravel(), image[:, [0, -1]].ravel()]).mean()
    (corner,), _ = cut_boxes(image, [[2.0, 88.0]], 16)
    assert np.array_equal(corner[:10, 6:], image[80:90, 0:10])
    assert np.allclose(corner[10:], edge) and np.allclose(corner[:, :6], edge)
    with pytest.raises(InputError, match="outside the micrograph"):
        cut_boxes(image, [[50.0, 40.0], [400.0, 40.0]], 16)


def test_background_is_normalised_and_outliers_go(rng):
    y, x = np.indices((3, 64, 64))[1:]
    boxes = (500 + 3 * rng.standard_normal((3, 64, 64)) + 0.2 * x - 0.1 * y).astype(np.float32)
    boxes[0, 10, 10] = 9000.0
    made = prepare_boxes(boxes.copy(), BoxSettings(64, background_radius_px=24))
    outside = np.hypot(y[0] - 32, x[0] - 32) > 24
    background = made[:, outside]
    np.testing.assert_allclose(background.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(background.std(axis=1), 1, rtol=1e-5)
    assert abs(np.polyfit(x[0][outside], made[1][outside], 1)[0]) < 2e-3, "no slope is left"
    assert np.abs(made).max() < 6
    inverted = prepare_boxes(boxes.copy(), BoxSettings(64, background_radius_px=24, invert_contrast=True))
    assert np.array_equal(inverted, -made)
    raw = prepare_boxes(boxes[1:].copy(), BoxSettings(64, normalise=False))
    np.testing.assert_allclose(raw, boxes[1:] - boxes[1:].mean(axis=(1, 2), keepdims=True), atol=1e-3)
    with pytest.raises(InputError, match="constant"):
        prepare_boxes(np.ones((1, 64, 64), np.float32), BoxSettings(64))


def test_resampling_keeps_the_centre_and_chunks_change_nothing(rng):
    y, x = np.indices((200, 200))
    image = np.exp(-((x - 100) ** 2 + (y - 90) ** 2) / (2 * 6.0**2)) + 0.01 * rng.standard_normal((200, 200))
    settings = BoxSettings(80, output_box=40, outlier_sigmas=50.0)
    ((images, shifts),) = extract_particles(image.astype(np.float32), np.array([[100.0, 90.0]]), settings)
    assert images.shape == (1, 40, 40) and np.all(shifts == 0)
    assert np.unravel_index(images[0].argmax(), (40, 40)) == (20, 20)
    centres = rng.uniform(40, 160, (9, 2))
    whole = np.concatenate([one for one, _ in extract_particles(image.astype(np.float32), centres, settings)])
    single = [next(extract_particles(image.astype(np.float32), centre[None], settings))[0][0] for centre in centres]
    np.testing.assert_array_equal(whole, np.array(single))


@pytest.mark.parametrize(
    ("box", "background", "said"), [(63, None, "even"), (64, 40.0, "larger box"), (4, None, "at least 8")]
)
def test_boxes_that_make_no_sense_are_refused(box, background, said):
    with pytest.raises(InputError, match=said):
        BoxSettings(box, background_radius_px=background)


def below_nyquist(images):
    n = images.shape[-1]
    inside = (np.abs(np.fft.fftfreq(n)[:, None]) < 0.5) & (np.fft.rfftfreq(n) < 0.5)
    return np.fft.irfft2(np.fft.rfft2(images) * inside)


@pytest.mark.parametrize(("output_box", "ramp"), [(None, True), (None, False), (48, True)])
def test_images_equal_those_of_relion_preprocess(tmp_path, rng, output_box, ramp):
    y, x = np.indices((300, 320))
    image = (rng.standard_normal((300, 320)) + 0.01 * x + 0.005 * y).astype(np.float32)
    centres = np.stack([rng.integers(50, 270, 12), rng.integers(50, 250, 12)], 1).astype(float)
    write_mrc(tmp_path / "m.mrc", image, 1.5)
    write_coordinates(tmp_path / "m_picks.star", centres)
    optics = Loop({
        "rlnOpticsGroupName": TextColumn(np.zeros(1, np.int32), ["a"]), "rlnOpticsGroup": np.array([1]),
        "rlnMicrographOriginalPixelSize": np.array([1.5]), "rlnVoltage": np.array([300.0]),
        "rlnSphericalAberration": np.array([2.7]), "rlnAmplitudeContrast": np.array([0.1]),
        "rlnMicrographPixelSize": np.array([1.5]),
    })  # fmt: skip
    listed = Loop({
        "rlnMicrographName": TextColumn(np.zeros(1, np.int32), ["m.mrc"]), "rlnOpticsGroup": np.array([1]),
        "rlnDefocusU": np.array([10000.0]), "rlnDefocusV": np.array([10000.0]), "rlnDefocusAngle": np.array([0.0]),
    })  # fmt: skip
    write_star(tmp_path / "mics.star", [Block("optics", loops=[optics]), Block("micrographs", loops=[listed])])
    made_box = output_box or 80
    radius = 30.0 * made_box / 80
    words = "--i mics.star --coord_suffix _picks.star --coord_dir ./ --part_dir out/ --part_star out/p.star --extract"
    command = [program("relion_preprocess", "relion"), *words.split(), "--extract_size", "80", "--norm"]
    command += ["--bg_radius", str(round(radius))]
    command += ["--scale", str(output_box)] if output_box else []
    command += [] if ramp else ["--no_ramp"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs, _ = read_stack(next((tmp_path / "out").rglob("m.mrcs")))
    settings = BoxSettings(80, output_box=output_box, background_radius_px=30.0, ramp=ramp, outlier_sigmas=100.0)
    mine = np.concatenate([images for images, _ in extract_particles(image, centres, settings)])
    if output_box:  # at the Nyquist frequency itself, which stands for two, RELION keeps one sign
        mine, theirs = below_nyquist(mine), below_nyquist(theirs)
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(mine, theirs, strict=True)]
    assert min(correlations) > 0.999, correlations
    np.testing.assert_allclose(mine.std(axis=(1, 2)), theirs.std(axis=(1, 2)), rtol=0.05 if output_box else 0.01)
    assert np.corrcoef(mine[0].ravel(), theirs[1].ravel())[0, 1] < 0.3
