"""EER: events become the counts they should, whatever their bits; tifffile and imagecodecs agree."""

import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.support.eer_writer import encode_events, write_eer
from verglas.errors import FormatError, InputError
from verglas.formats import open_movie, read_header


def random_hits(rng, n_y, n_x, n_hits, x_bits=2, y_bits=2):
    """Electrons in different detector pixels, on the finest grid, with the corners among them."""
    pixels = rng.choice(n_y * n_x, n_hits, replace=False)
    pixels[:2] = [0, n_y * n_x - 1]
    pixels = np.unique(pixels)
    y, x = pixels // n_x, pixels % n_x
    y_part, x_part = rng.integers(0, 1 << y_bits, len(pixels)), rng.integers(0, 1 << x_bits, len(pixels))
    return np.stack([(y << y_bits) + y_part, (x << x_bits) + x_part], axis=1)


def counts_of(frames, n_y, n_x, factor, x_bits=2, y_bits=2):
    image = np.zeros((n_y * factor, n_x * factor), int)
    level = factor.bit_length() - 1
    for hits in frames:
        np.add.at(image, (hits[:, 0] >> (y_bits - level), hits[:, 1] >> (x_bits - level)), 1)
    return image


@pytest.mark.parametrize("bits", [(8, 2, 2), (7, 2, 2), (6, 2, 3), (12, 3, 2)])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_events_become_counts(tmp_path, rng, bits, factor):
    n_y, n_x = 48, 40
    frames = [random_hits(rng, n_y, n_x, 60 + 5 * number, *bits[1:]) for number in range(7)]
    write_eer(tmp_path / "m.eer", frames, n_y, n_x, bits=bits, pixel_size_A=0.7)
    with open_movie(tmp_path / "m.eer", eer_frames_per_image=3, eer_super_resolution=factor) as movie:
        assert (movie.n_frames, movie.n_y, movie.n_x) == (2, n_y * factor, n_x * factor)
        assert movie.pixel_size_A == pytest.approx(0.7 / factor)
        for number in range(2):
            truth = counts_of(frames[3 * number : 3 * number + 3], n_y, n_x, factor, *bits[1:])
            assert np.array_equal(movie.read_frame(number), truth)
            into = np.empty(truth.shape, np.float32)
            assert movie.read_frame(number, into) is into
            assert np.array_equal(into, truth)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_decodes_as_imagecodecs_does(rng, tmp_path, factor):
    hits = random_hits(rng, 64, 64, 90)
    events = encode_events(hits, 64, 64, 7, 2, 2)
    level = factor.bit_length() - 1
    try:
        theirs = imagecodecs.eer_decode(events, (64 * factor,) * 2, 7, 2, 2, superres=level)
    except RuntimeError:  # it asks for a certain number of bytes after the last event
        theirs = imagecodecs.eer_decode(events + b"\0", (64 * factor,) * 2, 7, 2, 2, superres=level)
    write_eer(tmp_path / "m.eer", [hits], 64, 64)
    with open_movie(tmp_path / "m.eer", eer_super_resolution=factor) as movie:
        assert np.array_equal(movie.read_frame(0), theirs)


def test_tifffile_sees_the_same_container(rng, tmp_path):
    frames = [random_hits(rng, 32, 32, 20) for _ in range(3)]
    write_eer(tmp_path / "m.eer", frames, 32, 32)
    with tifffile.TiffFile(tmp_path / "m.eer") as tif:
        assert len(tif.pages) == 3
        assert int(tif.pages[0].compression) == 65001
    header = read_header(tmp_path / "m.eer")
    assert (header.kind, header.n_sections, header.pixel_size_A) == ("eer", 3, None)


def test_padding_after_the_events_changes_nothing(rng, tmp_path):
    hits = random_hits(rng, 32, 32, 20)
    for padding in (0, 1, 2, 3, 40):
        write_eer(tmp_path / "m.eer", [hits], 32, 32, padding=padding)
        with open_movie(tmp_path / "m.eer") as movie:
            assert np.array_equal(movie.read_frame(0), counts_of([hits], 32, 32, 1))


def test_what_cannot_be_had_is_refused(rng, tmp_path):
    write_eer(tmp_path / "m.eer", [random_hits(rng, 32, 32, 20, 0, 0)], 32, 32, bits=(8, 0, 0))
    with pytest.raises(InputError, match="super-resolution"):
        open_movie(tmp_path / "m.eer", eer_super_resolution=2)
    with pytest.raises(InputError, match="is 1, 2 or 4"):
        open_movie(tmp_path / "m.eer", eer_super_resolution=3)
    with pytest.raises(InputError, match="raw frames"):
        open_movie(tmp_path / "m.eer", eer_frames_per_image=2)


def test_damaged_events_are_an_error_that_names_the_frame(rng, tmp_path):
    write_eer(tmp_path / "m.eer", [random_hits(rng, 64, 64, 200)] * 2, 64, 64)
    good = (tmp_path / "m.eer").read_bytes()
    outcomes = set()
    for place in range(16, 400, 3):
        bad = bytearray(good)
        bad[place] ^= 0xFF
        (tmp_path / "bad.eer").write_bytes(bytes(bad))
        try:
            with open_movie(tmp_path / "bad.eer") as movie:
                assert movie.read_frame(0).shape == (64, 64)
            outcomes.add("read")
        except FormatError as error:
            assert "bad.eer" in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes
