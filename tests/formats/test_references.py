"""Gain and dark references: turned as RELION turns them, sized for the movie, estimated to a known truth."""

import subprocess

import numpy as np
import pytest
import tifffile

from tests.support.dm_writer import write_dm
from tests.support.oracles import program
from verglas.errors import FormatError, InputError
from verglas.formats import (
    defect_mask,
    estimate_gain,
    load_dark,
    load_gain,
    read_image,
    turn_reference,
    write_mrc,
    write_tiff_movie,
)

STAR = """
data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnVoltage #4
_rlnSphericalAberration #5
_rlnAmplitudeContrast #6
one 1 1.0 300 2.7 0.1

data_movies

loop_
_rlnMicrographMovieName #1
_rlnOpticsGroup #2
m.mrcs 1
"""


@pytest.mark.parametrize(("rotation", "flip"), [(0, 1), (0, 2), (1, 0), (1, 1), (2, 2), (3, 0), (3, 2)])
def test_turns_as_relion_does(tmp_path, rng, rotation, flip):
    gain = np.arange(1, 1 + 64 * 64, dtype=np.float32).reshape(64, 64)
    write_mrc(tmp_path / "gain.mrc", gain, 1.0)
    write_mrc(tmp_path / "m.mrcs", rng.poisson(2, (3, 64, 64)).astype(np.int8), 1.0)
    (tmp_path / "m.star").write_text(STAR)
    subprocess.run(
        [program("relion_run_motioncorr", "relion"), "--i", "m.star", "--o", "out/", "--use_own", "--gainref",
         "gain.mrc", "--gain_rot", str(rotation), "--gain_flip", str(flip)],
        cwd=tmp_path, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert np.array_equal(
        read_image(tmp_path / "out" / "gain.mrc")[0], turn_reference(gain, rotation=rotation, flip=flip)
    )


def test_every_format_gives_the_same_gain(tmp_path, rng):
    gain = rng.uniform(0.5, 1.5, (12, 16)).astype(np.float32)
    gain[3, 4] = 0
    write_mrc(tmp_path / "gain.mrc", gain, 0)
    tifffile.imwrite(tmp_path / "gain.tif", gain[::-1])  # a TIFF file holds the rows turned round
    tifffile.imwrite(tmp_path / "camera.gain", gain[::-1])
    write_dm(tmp_path / "gain.dm4", [gain], version=4)
    for name in ("gain.mrc", "gain.tif", "camera.gain", "gain.dm4"):
        assert np.array_equal(load_gain(tmp_path / name, (12, 16)), gain)
    assert np.array_equal(load_gain(tmp_path / "gain.mrc", (16, 12), rotation=1), np.rot90(gain, -1))
    assert np.array_equal(defect_mask(gain), gain == 0)


def test_eer_gains_follow_relion(tmp_path, rng):
    gain = rng.uniform(0.5, 1.5, (12, 16)).astype(np.float32)
    tifffile.imwrite(tmp_path / "camera.gain", gain)  # EER rows are not turned round, nor is this
    assert np.array_equal(load_gain(tmp_path / "camera.gain", (12, 16), for_eer=True), gain)
    write_mrc(tmp_path / "counts.mrc", gain, 0)  # anything else is divided by
    assert np.allclose(load_gain(tmp_path / "counts.mrc", (12, 16), for_eer=True), gain.mean() / gain, rtol=1e-6)
    finer = load_gain(tmp_path / "camera.gain", (24, 32), for_eer=True)
    assert np.array_equal(finer, np.kron(gain, np.ones((2, 2), np.float32)))
    coarser = load_gain(tmp_path / "camera.gain", (6, 8), for_eer=True)
    assert np.allclose(coarser, gain.reshape(6, 2, 8, 2).mean((1, 3)))


def test_wrong_references_are_refused(tmp_path):
    write_mrc(tmp_path / "gain.mrc", np.ones((12, 16), np.float32), 0)
    with pytest.raises(InputError, match="rotation 1 or 3"):
        load_gain(tmp_path / "gain.mrc", (16, 12))
    with pytest.raises(InputError, match=r"gain reference is 16 x 12.*frames are 10 x 10"):
        load_gain(tmp_path / "gain.mrc", (10, 10))
    with pytest.raises(InputError, match="dark reference"):
        load_dark(tmp_path / "gain.mrc", (10, 10))
    with pytest.raises(InputError, match="0 to 3"):
        load_gain(tmp_path / "gain.mrc", rotation=4)
    for value in (-1.0, np.nan, 0.0):
        write_mrc(tmp_path / "bad.mrc", np.full((4, 4), value, np.float32), 0)
        with pytest.raises(FormatError, match="no gain reference"):
            load_gain(tmp_path / "bad.mrc")


def test_dark_reference(tmp_path, rng):
    dark = rng.normal(size=(12, 16)).astype(np.float32)
    write_mrc(tmp_path / "dark.mrc", dark, 0)
    assert np.array_equal(load_dark(tmp_path / "dark.mrc", (12, 16), flip=1), dark[::-1])


def test_defect_rectangles(tmp_path):
    (tmp_path / "defects.txt").write_text("# x y width height\n2 1 3 2\n\n0 5 1 1\n")
    truth = np.zeros((6, 8), bool)
    truth[1:3, 2:5] = truth[5, 0] = True
    assert np.array_equal(defect_mask(path=tmp_path / "defects.txt", shape=(6, 8)), truth)
    write_mrc(tmp_path / "defects.mrc", truth.astype(np.int8), 0)
    assert np.array_equal(defect_mask(path=tmp_path / "defects.mrc"), truth)
    (tmp_path / "defects.txt").write_text("2 1 30 2\n")
    with pytest.raises(InputError, match="line 1 lies outside"):
        defect_mask(path=tmp_path / "defects.txt", shape=(6, 8))
    (tmp_path / "defects.txt").write_text("2 1 -3 2\n")
    with pytest.raises(FormatError, match="line 1"):
        defect_mask(path=tmp_path / "defects.txt", shape=(6, 8))


def test_estimated_gain_is_the_true_one(tmp_path, rng):
    gain = rng.uniform(0.8, 1.25, (24, 32))
    for number in range(4):
        frames = rng.poisson(40 / gain, (25, 24, 32)).astype(np.uint8)
        frames[:, 5, 6], frames[:, 7, 8] = 0, 255
        write_tiff_movie(tmp_path / f"{number}.tif", frames)
    found, n_frames = estimate_gain(sorted(tmp_path.glob("*.tif")))
    assert n_frames == 100
    assert found[5, 6] == found[7, 8] == 0
    sound = found > 0
    assert sound.sum() == 24 * 32 - 2
    ratio = found[sound] / gain[sound]
    assert ratio.std() / ratio.mean() < 2 / np.sqrt(4000)  # 4,000 electrons a pixel
    assert found[sound].mean() == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="no movie"):
        estimate_gain([])
