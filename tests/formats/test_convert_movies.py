"""Movies converted between formats keep every value, the order of rows and the pixel size."""

import json

import mrcfile
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from tests.support.eer_writer import write_eer
from verglas.cli.convert_movies import convert_movies
from verglas.errors import InputError
from verglas.formats import convert_movie, open_movie, read_header, write_mrc


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd", None])
@pytest.mark.parametrize("threads", [1, 3])
def test_mrc_to_tif_and_back(tmp_path, rng, dtype, compression, threads):
    data = rng.integers(0, 90, (5, 20, 30)).astype(dtype)
    write_mrc(tmp_path / "a.mrcs", data, 0.6575)
    made = convert_movie(tmp_path / "a.mrcs", tmp_path / "a.tif", compression=compression, threads=threads)
    assert (made.n_frames, made.dtype) == (5, dtype)
    # row 0 of an MRC file is the last row of the TIFF file, as IMOD's mrc2tif writes it
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif")[:, ::-1], data)
    convert_movie(tmp_path / "a.tif", tmp_path / "b.mrc")
    with mrcfile.open(tmp_path / "b.mrc") as mrc:
        assert np.array_equal(mrc.data, data)
        assert mrc.data.dtype == data.dtype
        assert float(mrc.voxel_size.x) == pytest.approx(0.6575, rel=1e-6)


def test_eer_to_tif_and_mrc(tmp_path, rng):
    frames = [np.unique(rng.integers(0, 4 * 32, (50, 2)) // 4, axis=0) * 4 for _ in range(6)]
    write_eer(tmp_path / "a.eer", frames, 32, 32, pixel_size_A=0.9)
    with pytest.raises(InputError, match="raw frames make one"):
        convert_movie(tmp_path / "a.eer", tmp_path / "a.tif")
    for name in ("a.tif", "a.mrcs"):
        convert_movie(tmp_path / "a.eer", tmp_path / name, eer_frames_per_image=2, eer_super_resolution=2)
        with (
            open_movie(tmp_path / "a.eer", eer_frames_per_image=2, eer_super_resolution=2) as ours,
            open_movie(tmp_path / name) as theirs,
        ):
            assert theirs.pixel_size_A == pytest.approx(0.45, rel=1e-6)
            assert theirs.n_frames == 3
            for number in range(3):
                assert np.array_equal(ours.read_frame(number), theirs.read_frame(number))


def test_bytes_become_words_in_mrc_and_wide_integers_are_checked(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((2, 4, 4), 200, np.uint8), photometric="minisblack")
    convert_movie(tmp_path / "a.tif", tmp_path / "a.mrcs")
    assert read_header(tmp_path / "a.mrcs").dtype == "uint16"
    tifffile.imwrite(tmp_path / "b.tif", np.full((2, 4, 4), 2**24 + 1, np.uint32), photometric="minisblack")
    with pytest.raises(InputError, match="do not fit"):
        convert_movie(tmp_path / "b.tif", tmp_path / "b.mrcs")
    assert not (tmp_path / "b.mrcs").exists()


def test_counting_movies_shrink(tmp_path, rng):
    write_mrc(tmp_path / "a.mrcs", (rng.poisson(0.05, (4, 256, 256))).astype(np.float32), 1.0)
    made = convert_movie(tmp_path / "a.mrcs", tmp_path / "a.tif")
    assert made.target_bytes < made.source_bytes / 5


def test_what_is_there_is_not_replaced(tmp_path):
    write_mrc(tmp_path / "a.mrcs", np.ones((2, 4, 4), np.float32), 1.0)
    before = (tmp_path / "a.mrcs").read_bytes()
    with pytest.raises(InputError, match="there already"):
        convert_movie(tmp_path / "a.mrcs", tmp_path / "a.mrcs", overwrite=True)
    with pytest.raises(InputError, match=r"\.tif or \.mrc"):
        convert_movie(tmp_path / "a.mrcs", tmp_path / "a.jpg")
    assert (tmp_path / "a.mrcs").read_bytes() == before


def test_command(tmp_path, rng):
    data = rng.integers(0, 9, (3, 8, 8)).astype(np.uint16)
    write_mrc(tmp_path / "a.mrcs", data, 1.5)
    (tmp_path / "bad.mrcs").write_bytes(b"nothing")
    arguments = [str(tmp_path / "a.mrcs"), "--to", "tif", "--output", str(tmp_path / "out"), "--threads", "2", "--json"]
    result = CliRunner().invoke(convert_movies, arguments)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)
    assert answer["failed"] == []
    assert answer["converted"][0]["frames"] == 3
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "a.tif")[:, ::-1], data)
    again = CliRunner().invoke(convert_movies, [str(tmp_path / "bad.mrcs"), *arguments, "--overwrite"])
    assert again.exit_code == 3
    answer = json.loads(again.output)
    assert "bad.mrcs" in answer["failed"][0]["error"]
    assert len(answer["converted"]) == 1
    words = CliRunner().invoke(convert_movies, [*arguments[:-1], "--overwrite"])
    assert words.exit_code == 0
    assert "uint16" in words.output
