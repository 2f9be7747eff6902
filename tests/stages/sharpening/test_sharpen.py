"""Sharpened maps: the B-factor that was taken away is found and given back, as RELION does; masks are judged."""

from __future__ import annotations

import json

import mrcfile
import numpy as np
import pytest

from tests.engine.particles import density, molecule
from tests.support.half_maps import noisy_halves, relion_postprocess
from verglas import signal
from verglas.engine.half_maps import judge_halves, mask_warnings, particle_mask, spherical_shell_mask
from verglas.errors import InputError
from verglas.stages.sharpening import (
    SharpenSettings,
    inverted_hand,
    result_values,
    sharpen_halves,
    sharpen_map,
    write_emdb_folder,
    write_sharpened,
)

BOX, PIXEL_A = 64, 1.5
DAMPED_A2 = 120.0


@pytest.fixture(scope="module")
def scene():
    """Return a map of points with flat amplitudes, damped halves with noise, and a mask."""
    points = np.concatenate([molecule(BOX, PIXEL_A, seed=seed) for seed in range(8)])
    sharp = signal.apply_filter(density(points, BOX, PIXEL_A), PIXEL_A, signal.b_factor(-4 * 4.8 * PIXEL_A**2))
    damped = signal.apply_filter(sharp, PIXEL_A, signal.b_factor(DAMPED_A2))
    first, second = noisy_halves(damped, 0.5)
    mask = spherical_shell_mask(BOX, 32.0, PIXEL_A, edge_A=9.0)
    return sharp, damped, first, second, mask


def test_the_b_factor_comes_back(scene):
    sharp, _, first, second, mask = scene
    found = sharpen_halves(first, second, mask, PIXEL_A)
    assert found.b_factor_A2 == pytest.approx(-DAMPED_A2, abs=20.0)
    assert found.cutoff_A == found.curves.resolution_A
    assert 3.0 < found.cutoff_A < 4.5
    assert found.map.std() == pytest.approx(0.03, rel=1e-4)
    to_truth = signal.fourier_shell_correlation(found.masked, sharp * mask, PIXEL_A)
    before = signal.fourier_shell_correlation((first + second) * mask, sharp * mask, PIXEL_A)
    shells = slice(2, int(BOX * PIXEL_A / found.cutoff_A) - 1)
    assert np.abs(to_truth.fsc - before.fsc)[shells].max() < 0.02  # a filter leaves correlations by shell alone
    whole = [np.corrcoef((one * mask).ravel(), (sharp * mask).ravel())[0, 1] for one in (first + second, found.map)]
    assert whole[1] > whole[0]


def test_amplitudes_are_flattened_from_where_they_should(scene):
    _, _, first, second, mask = scene
    settings = SharpenSettings(amplitudes="flatten", flatten_from_A=10.0, weighting=False, cutoff_A=4.5, edge_A=100.0)
    found = sharpen_halves(first, second, mask, PIXEL_A, settings)
    assert found.b_factor_A2 == -90.0
    amplitude = signal.shell_amplitudes(signal.rfft(found.masked), found.masked.shape)
    flat = amplitude[int(BOX * PIXEL_A / 9.0) : int(BOX * PIXEL_A / 5.0)]
    assert flat.std() / flat.mean() < 0.05
    falling = sharpen_halves(
        first, second, mask, PIXEL_A,
        SharpenSettings(amplitudes="flatten", flatten_from_A=10.0, weighting=False, cutoff_A=4.5, edge_A=100.0,
                        b_factor_beyond_A2=80.0),
    )  # fmt: skip
    other = signal.shell_amplitudes(signal.rfft(falling.masked), falling.masked.shape)
    k2 = signal.shell_frequencies((BOX,), PIXEL_A) ** 2
    shells = slice(int(BOX * PIXEL_A / 9.0), int(BOX * PIXEL_A / 5.0))
    slope = np.polyfit(k2[shells], np.log(other[shells] / amplitude[shells]), 1)[0]
    assert slope == pytest.approx(-20.0, abs=1.0)


def test_as_relion_postprocess(scene, tmp_path):
    _, _, first, second, mask = scene
    mtf = np.linspace(1.0, 0.35, 65)
    frequency = np.linspace(0.0, 0.5, 65)
    rows = "".join(f"{k:.5f} {value:.5f}\n" for k, value in zip(frequency, mtf, strict=True))
    (tmp_path / "mtf.star").write_text(
        f"\ndata_\n\nloop_\n_rlnResolutionInversePixel #1\n_rlnMtfValue #2\n{rows}\n"
    )  # fmt: skip
    relion = relion_postprocess(
        first, second, mask, PIXEL_A, tmp_path, "--auto_bfac", "--autob_highres", "4", "--mtf", "mtf.star",
        "--mtf_angpix", str(PIXEL_A),
    )  # fmt: skip
    finest_A = float(relion["FinalResolution"])
    found = sharpen_halves(
        first, second, mask, PIXEL_A,
        SharpenSettings(mtf=(frequency / PIXEL_A, mtf), fit_to_A=4.0, cutoff_A=finest_A,
                        edge_A=BOX * PIXEL_A / 2),
    )  # fmt: skip
    shell_A = BOX * PIXEL_A
    assert abs(shell_A / found.curves.resolution_A - shell_A / finest_A) <= 1.0
    assert found.b_factor_A2 == pytest.approx(float(relion["BfactorUsedForSharpening"]), abs=1.0)
    with mrcfile.open(tmp_path / "post.mrc") as file:
        theirs = np.array(file.data)
    same = signal.fourier_shell_correlation(found.map, theirs, PIXEL_A).fsc[1 : int(shell_A / finest_A) - 1]
    assert same.min() > 0.999
    ratio = signal.shell_amplitudes(signal.rfft(found.map), theirs.shape) / np.maximum(
        signal.shell_amplitudes(signal.rfft(theirs), theirs.shape), 1e-12
    )
    ratio = ratio[2 : int(shell_A / finest_A) - 2]
    assert ratio.std() / ratio.mean() < 0.05


def test_what_is_written_can_be_deposited(scene, tmp_path):
    _, _, first, second, mask = scene
    found = sharpen_halves(first, second, mask, PIXEL_A, molecular_mass_kDa=60.0)
    files = write_sharpened(found, first, tmp_path, "map", PIXEL_A)
    with mrcfile.open(files["views"]) as file:
        assert file.data.shape == (2 * BOX, 3 * BOX)
    curves = json.loads(files["statistics"].read_text())["correlation"]
    assert max(curves["part_fsc"]) > 0.9
    assert files["fsc_xml"].read_text().count("<coordinate>") == BOX // 2 + 1
    assert files["picture"].stat().st_size > 20_000
    made = write_emdb_folder(tmp_path / "emdb", files, result_values(found, PIXEL_A))
    assert {"map", "mask", "fsc_xml", "picture", "about"} == set(made)
    assert json.loads(made["about"].read_text())["resolutions_A"]["part_fsc"] > 2.9


def test_the_mirror_image_keeps_the_origin(scene):
    sharp = scene[0]
    turned = inverted_hand(sharp)
    assert turned[BOX // 2, BOX // 2, BOX // 2] == sharp[BOX // 2, BOX // 2, BOX // 2]
    assert turned[BOX // 2 + 3, BOX // 2 - 5, 9] == sharp[BOX // 2 - 3, BOX // 2 + 5, BOX - 9]
    odd = np.arange(27.0, dtype=np.float32).reshape(3, 3, 3)
    assert np.array_equal(inverted_hand(odd), odd[::-1, ::-1, ::-1])
    _, _, first, second, mask = scene
    plain, other = (
        sharpen_halves(first, second, mask, PIXEL_A, SharpenSettings(invert_hand=hand)) for hand in (False, True)
    )
    assert np.array_equal(inverted_hand(plain.map), other.map)


def test_masks_are_found_and_bad_ones_named(scene):
    _, damped, first, second, _ = scene
    mask = particle_mask((first + second) / 2, PIXEL_A)
    assert (damped * (mask < 0.5)).std() < 0.1 * damped.std()
    assert 0.05 < mask.mean() < 0.6
    mass_kDa = 0.81e-3 * float(mask.sum()) * PIXEL_A**3 / 2
    curves = judge_halves(first, second, mask, PIXEL_A, molecular_mass_kDa=mass_kDa)
    assert mask_warnings(first, second, mask, PIXEL_A, curves, molecular_mass_kDa=mass_kDa) == []
    small = spherical_shell_mask(BOX, 14.0, PIXEL_A, edge_A=6.0)
    curves = judge_halves(first, second, small, PIXEL_A)
    said = " ".join(mask_warnings(first, second, small, PIXEL_A, curves, molecular_mass_kDa=mass_kDa))
    assert "too small" in said
    assert "cuts the particle" in said


def test_noise_alone_is_not_sharpened(scene):
    _, _, _, _, mask = scene
    random = np.random.Generator(np.random.Philox(1))
    first, second = random.standard_normal((2, BOX, BOX, BOX), dtype=np.float32)
    curves = judge_halves(first, second, mask, PIXEL_A)
    assert curves.resolution_A is None or curves.resolution_A > 12.0
    with pytest.raises(InputError, match="cut-off"):
        sharpen_map(first, mask, PIXEL_A, SharpenSettings())
    same = judge_halves(first, first, mask, PIXEL_A)
    assert same.resolution.kind == "never below"
    assert same.randomised_from_A == 0.0
