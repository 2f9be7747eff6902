"""Local resolution where it is known: two halves of a map damped unequally, judged region by region and by RELION."""

from __future__ import annotations

import subprocess

import mrcfile
import numpy as np
import pytest

from tests.engine.particles import density, molecule
from tests.support.oracles import program
from verglas import signal
from verglas.engine.half_maps import judge_halves, spherical_shell_mask
from verglas.errors import InputError
from verglas.stages.local_resolution import (
    Bands,
    local_filter,
    local_resolution,
    resolution_values,
    write_filtered,
    write_resolution,
)

BOX, PIXEL_A = 64, 2.2
APART_A = 20.0


@pytest.fixture(scope="module")
def scene():
    """Return truth, halves, mask, and the soft masks and voxels of the fine and the coarse region."""
    points = np.concatenate([molecule(BOX, PIXEL_A, seed=seed) for seed in range(20)])
    sharp = signal.apply_filter(density(points, BOX, PIXEL_A), PIXEL_A, signal.b_factor(-4 * 4.8 * PIXEL_A**2))
    x = (np.arange(BOX) - BOX // 2) * PIXEL_A + np.zeros((BOX, BOX, 1))
    right = 1 / (1 + np.exp(-x / 5.0))
    fine, coarse = (signal.apply_filter(sharp, PIXEL_A, signal.b_factor(b)) for b in (150.0, 900.0))
    truth = (fine * right + coarse * (1 - right)).astype(np.float32)
    random = np.random.Generator(np.random.Philox(2))
    noise = 1.2 * truth.std() * random.standard_normal((2, BOX, BOX, BOX), dtype=np.float32)
    mask = spherical_shell_mask(BOX, 48.0, PIXEL_A, edge_A=8.0)
    regions = {}
    for name, side in (("fine", 1), ("coarse", -1)):
        soft = (mask / (1 + np.exp(-(side * x - APART_A) / 4.0))).astype(np.float32)
        regions[name] = soft, (side * x > APART_A) & (mask > 0.5)
    return truth, truth + noise[0], truth + noise[1], mask, regions


def test_each_region_has_its_own_resolution(scene, tmp_path):
    truth, first, second, mask, regions = scene
    found = local_resolution(first, second, mask, PIXEL_A)
    for soft, voxels in regions.values():
        expected = judge_halves(first, second, soft, PIXEL_A).resolution_A
        assert np.median(found.resolution_A[voxels]) == pytest.approx(expected, rel=0.12)
    fine, coarse = (np.median(found.resolution_A[voxels]) for _, voxels in regions.values())
    assert coarse > 1.5 * fine
    mean = (first + second) / 2
    filtered = local_filter(mean, found, PIXEL_A)
    for _, voxels in regions.values():
        before, after = (np.corrcoef(one[voxels], truth[voxels])[0, 1] for one in (mean, filtered))
        assert after > before
    sharpened = local_filter(mean, found, PIXEL_A, b_factor_A2=-150.0)
    assert np.abs(np.diff(sharpened, axis=2)).mean() > np.abs(np.diff(filtered, axis=2)).mean()
    values = resolution_values(found)
    assert values["percentiles_A"]["5"] < values["percentiles_A"]["95"]
    for files in (
        write_resolution(found, mean, tmp_path, "r", PIXEL_A, 8.0), write_filtered(filtered, mean, tmp_path, "f", 2.2),
    ):  # fmt: skip
        assert files["picture"].stat().st_size > 20_000
        with mrcfile.open(files["views"]) as file:
            assert file.data.shape == (2 * BOX, 3 * BOX)


def test_as_relion_finds_it(scene, tmp_path):
    _, first, second, mask, regions = scene
    for name, array in (("half1_class001_unfil", first), ("half2_class001_unfil", second), ("mask", mask)):
        with mrcfile.new(tmp_path / f"{name}.mrc", array) as file:
            file.voxel_size = PIXEL_A
    command = [program("relion_postprocess", "relion"), "--i", "half1_class001_unfil.mrc", "--o", "post", "--mask"]
    command += ["mask.mrc", "--angpix", str(PIXEL_A), "--locres", "--adhoc_bfac", "0"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=110, check=False)  # ends badly without a PDF
    theirs = mrcfile.read(tmp_path / "post_locres.mrc")
    ours = local_resolution(first, second, mask, PIXEL_A).resolution_A
    # Its windows reach 37 A, so that fine density speaks far into the coarse region.
    for (_, voxels), tolerance in zip(regions.values(), (0.05, 0.2), strict=True):
        assert np.median(ours[voxels]) == pytest.approx(float(np.median(theirs[voxels])), rel=tolerance)


def test_bands_share_out_the_whole_transform():
    bands = Bands.spanning(40.0, 5.0, 20.0)
    frequency = np.linspace(0.0, 0.3, 500, dtype=np.float32)
    total = sum(bands.share(number, frequency) for number in range(len(bands)))
    assert total == pytest.approx(np.ones(500), abs=1e-5)


def test_noise_has_no_resolution_and_nonsense_is_refused(scene):
    mask = scene[3]
    random = np.random.Generator(np.random.Philox(5))
    first, second = random.standard_normal((2, BOX, BOX, BOX), dtype=np.float32)
    found = local_resolution(first, second, mask, PIXEL_A)
    assert np.percentile(found.resolution_A[found.inside], 10) > 12.0
    with pytest.raises(InputError, match="empty"):
        local_resolution(first, second, 0 * mask, PIXEL_A)
    with pytest.raises(InputError, match="cubes"):
        local_resolution(first, second[:-1], mask, PIXEL_A)
    with pytest.raises(InputError, match="window"):
        Bands.spanning(10.0, 9.0, 20.0)
