"""Defocus, astigmatism, phase shift and quality of micrographs whose truth is known."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from tests.stages.ctf_estimation.rings import ringed_noise
from verglas.errors import InputError
from verglas.formats.ctffind import read_avrot, read_ctffind, write_avrot, write_ctffind
from verglas.formats.images import read_image
from verglas.stages.ctf_estimation import SearchSettings, estimate_ctf
from verglas.stages.ctf_estimation.pictures import diagnostic_image, write_picture


def test_eight_micrographs_of_known_defocus():
    random = np.random.Generator(np.random.Philox(7))
    errors, parts, pulls = [], [], []
    for seed in range(8):
        mean, half = random.uniform(4000, 45000), random.uniform(0, 500)
        angle, cs, pixel = random.uniform(-90, 90), (2.7, 0.01)[seed % 2], random.uniform(0.8, 1.5)
        image = ringed_noise(
            mean + half, mean - half, angle, cs_mm=cs, pixel=pixel, b_A2=random.uniform(50, 150),
            ice=0.5 * (seed % 3 == 0), seed=seed,
        )  # fmt: skip
        found = estimate_ctf(image, pixel, spherical_aberration_mm=cs)
        twice = 2 * np.deg2rad(angle)
        errors.append(found.values.mean_A - mean)
        pulls.append(errors[-1] / found.mean_defocus_error_A)
        parts.append(found.values.cosine_part_A - half * np.cos(twice))
        parts.append(found.values.sine_part_A - half * np.sin(twice))
    # One megapixel of weak rings: sixteen times less than a micrograph has, so errors are four times larger.
    assert np.median(np.abs(errors)) < 80
    assert np.max(np.abs(errors)) < 400
    assert np.median(np.abs(parts)) < 80
    assert np.median(np.abs(pulls)) < 2.0, "the standard errors tell how large the errors are"


def test_small_defocus_is_not_taken_for_background():
    found = estimate_ctf(ringed_noise(3600, 3400, 20, snr=0.5), 1.2, settings=SearchSettings(min_defocus_A=1500))
    assert found.values.mean_A == pytest.approx(3500, abs=100)


def test_small_defocus_of_weak_rings_beats_narrow_rings_of_noise():
    """Two wide rings, most of whose power looks like background, win against many narrow ones that fit noise."""
    settings = SearchSettings(min_defocus_A=3000)
    image = ringed_noise(3700, 3100, 60, snr=0.16, b_A2=115, pixel=1.3, seed=11)
    assert estimate_ctf(image, 1.3, settings=settings).values.mean_A == pytest.approx(3400, abs=250)


def test_large_astigmatism_is_found():
    found = estimate_ctf(ringed_noise(15500, 14500, -35, snr=1.0, seed=4), 1.2)
    assert found.defocus_u_A == pytest.approx(15500, abs=80)
    assert found.defocus_v_A == pytest.approx(14500, abs=80)
    assert found.defocus_angle_deg == pytest.approx(-35, abs=3)


def test_phase_shift_is_searched():
    image = ringed_noise(12100, 11900, 60, phase_deg=75, snr=0.6, seed=2)
    settings = SearchSettings(max_phase_shift=np.pi)
    found = estimate_ctf(image, 1.2, settings=settings)
    assert found.phase_shift_deg == pytest.approx(75, abs=15)
    assert found.values.mean_A == pytest.approx(12000, abs=200)


def test_a_restraint_holds_astigmatism_of_weak_rings():
    image = ringed_noise(20000, 20000, 0, snr=0.02, n=512, seed=5)
    loose = estimate_ctf(image, 1.2)
    tight = estimate_ctf(image, 1.2, settings=SearchSettings(astigmatism_tolerance_A=20.0))
    assert tight.values.half_astigmatism_A <= loose.values.half_astigmatism_A
    assert tight.values.half_astigmatism_A < 40


def test_quality_tells_how_far_rings_reach_and_ice():
    far = estimate_ctf(ringed_noise(15000, 14600, 10, b_A2=20, seed=1), 1.2)
    near = estimate_ctf(ringed_noise(15000, 14600, 10, b_A2=400, seed=1), 1.2)
    assert far.quality.fit_resolution_A < near.quality.fit_resolution_A - 1
    assert far.quality.fit_resolution_A < 4
    assert far.quality.iciness < 0.3
    icy = estimate_ctf(ringed_noise(15000, 14600, 10, b_A2=80, ice=1.5, seed=1), 1.2)
    assert icy.quality.iciness > 1
    assert icy.values.mean_A == pytest.approx(14800, abs=60)


def test_aliasing_begins_where_a_ring_is_two_pixels():
    found = estimate_ctf(ringed_noise(40000, 40000, 0, b_A2=20, seed=3, pixel=1.4), 1.4, box=256)
    step = 1 / (256 * found.spectrum.pixel_size_A)
    k = np.arange(1, 128) * step
    turns = 0.0196875 * found.values.mean_A * k**2 - 0.5 * 2.7e7 * 0.0196875**3 * k**4
    narrow = k[np.abs(np.gradient(turns)) > 0.5]
    assert 1 / found.quality.aliasing_resolution_A == pytest.approx(narrow[0], abs=1.5 * step)
    assert found.fit_is_aliased


def test_files_are_ctffinds_and_pictures_show_the_rings(tmp_path):
    found = estimate_ctf(ringed_noise(15300, 14700, 25, snr=1.5, seed=6, b_A2=30), 1.2)
    write_ctffind(found.as_ctffind("a.mrc"), tmp_path / "a.txt")
    write_avrot([found.as_radial_curves()], tmp_path / "a_avrot.txt")
    back, curves = read_ctffind(tmp_path / "a.txt").fits[0], read_avrot(tmp_path / "a_avrot.txt")[0]
    assert back.defocus_u_A == pytest.approx(found.defocus_u_A, abs=1e-3)
    assert back.defocus_angle_deg == pytest.approx(found.defocus_angle_deg, abs=1e-3)
    assert len(curves.fit) == found.spectrum.box // 2
    shown = diagnostic_image(found)
    box = len(shown)
    y, x = np.indices(shown.shape) - box // 2
    band = (x < -5) & (np.abs(y) > 5) & (np.hypot(y, x) < box / 6) & (np.hypot(y, x) > box / 16)
    opposite = np.roll(shown[::-1, ::-1], (1, 1), (0, 1))  # through the origin
    left, right = shown[band], opposite[band]
    assert np.corrcoef(left, right)[0, 1] > 0.2
    write_picture(tmp_path / "a.png", found, "a")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_simulated_micrographs_of_another_code_path(tmp_path):
    from verglas.formats.star import read_star
    from verglas.stages.simulation import MicrographParameters, simulate_micrographs

    asked = MicrographParameters(
        movies=1, width=768, height=768, frames=2, dose_per_frame_e_A2=20, particles=15, pixel_size_A=1.3, seed=5
    )
    simulate_micrographs(asked, tmp_path)
    table = next(block for block in read_star(tmp_path / "micrographs.star") if block.name == "micrographs").loops[0]
    image, pixel = read_image(tmp_path / table.word("rlnMicrographName", 0))
    assert pixel is not None
    found = estimate_ctf(image, pixel)
    u, v = table.floats("rlnDefocusU")[0], table.floats("rlnDefocusV")[0]
    assert found.values.mean_A == pytest.approx((u + v) / 2, abs=150)


def test_real_micrographs_beside_ctffind(real_data):
    folder = real_data / "apoferritin"
    with (folder / "ctf_ctffind5.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))[::4]
    differences = []
    for row in rows:
        date, numbers = row["micrograph"].split("_", 1)
        image, _ = read_image(folder / "micrographs" / f"{date}_{numbers.replace('_', '.')}.bin_avg.png")
        found = estimate_ctf(image, 1.5, spherical_aberration_mm=0.001)
        differences.append(found.values.mean_A - (float(row["defocusU_A"]) + float(row["defocusV_A"])) / 2)
        assert found.quality.fit_resolution_A <= float(row["fit_to_A"]) + 0.3
    assert np.median(np.abs(differences)) < 150


@pytest.mark.parametrize(
    ("image", "pixel", "words"),
    [
        (np.zeros((256, 256), np.float32), 1.0, "alike"),
        (np.full((256, 256), np.nan, np.float32), 1.0, "no numbers"),
        (np.zeros((64, 64), np.float32), 1.0, "at least 128"),
        (np.zeros((256, 256), np.float32), 0.0, "pixel size"),
    ],
)
def test_what_cannot_be_fitted_is_refused(image, pixel, words):
    with pytest.raises(InputError, match=words):
        estimate_ctf(image, pixel)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="finer"):
        SearchSettings(coarsest_A=3.0, finest_A=4.0)
    with pytest.raises(InputError, match="smallest defocus"):
        SearchSettings(min_defocus_A=5000, max_defocus_A=4000)
