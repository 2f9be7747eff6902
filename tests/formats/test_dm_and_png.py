"""DM3, DM4 and PNG: the right image, types and pixel size; damaged files are errors."""

import imagecodecs
import numpy as np
import pytest

from tests.support.dm_writer import PIXEL_TYPES, write_dm
from verglas.errors import FormatError
from verglas.formats import read_header, read_image, read_stack


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", list(PIXEL_TYPES))
def test_dm_image_beside_its_icon(tmp_path, rng, version, order, dtype):
    icon = rng.integers(0, 200, (4, 5)).astype("u1")
    image = rng.integers(0, 100, (9, 12)).astype(dtype)
    path = tmp_path / f"gain.dm{version}"
    write_dm(path, [icon, image], version=version, order=order, pixel_size_nm=0.125)
    found, pixel_size_A = read_image(path)
    assert np.array_equal(found, image)
    assert pixel_size_A == pytest.approx(1.25)
    header = read_header(path)
    assert (header.kind, header.dtype, header.n_x, header.n_y) == ("dm", np.dtype(dtype).name, 12, 9)


def test_dm_stack_and_a_name_without_ending(tmp_path, rng):
    stack = rng.integers(0, 9, (3, 9, 12)).astype("u2")
    write_dm(tmp_path / "noname", [stack], version=4)
    assert np.array_equal(read_stack(tmp_path / "noname", [2, 0])[0], stack[[2, 0]])


@pytest.mark.parametrize("bits", [8, 16])
def test_png(tmp_path, rng, bits):
    image = rng.integers(0, 1 << bits, (20, 30)).astype(f"u{bits // 8}")
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(image))
    assert np.array_equal(read_image(tmp_path / "a.png")[0], image)
    header = read_header(tmp_path / "a.png")
    assert (header.kind, header.n_x, header.n_y, header.dtype) == ("png", 30, 20, f"uint{bits}")


def test_png_in_colour_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(FormatError, match="grey"):
        read_image(tmp_path / "a.png")


def test_real_png_micrographs(real_data):
    paths = sorted(real_data.glob("apoferritin/micrographs/*.png"))
    assert len(paths) == 12
    image, pixel_size_A = read_image(paths[0])
    assert image.shape == (1200, 1240)
    assert pixel_size_A is None
    assert abs(image.mean() / 32768 - 1) < 0.05  # mean and five deviations were mapped to 0..65535
    assert image.std() / 6553.6 == pytest.approx(1, abs=0.05)
