"""TIFF: every flavour that tifffile writes is read to the bit, rows turned round; what is written, tifffile reads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from verglas.errors import FormatError, InputError
from verglas.formats import open_movie, read_header, read_stack, write_mrc, write_tiff_movie


def frames_of(path):
    with open_movie(path) as movie:
        return np.stack(list(movie.frames()))


def data_of(rng, dtype, shape=(3, 45, 70)):
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, 100, shape).astype(dtype) - (50 if np.dtype(dtype).kind == "i" else 0)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}, {"bigtiff": True}])
def test_reads_layouts(tmp_path, rng, dtype, order, layout):
    data = data_of(rng, np.dtype(dtype))
    big = layout.pop("bigtiff", False) if "bigtiff" in layout else False
    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=order, bigtiff=big) as writer:
        for frame in data:
            writer.write(frame.astype(data.dtype.newbyteorder(order)), contiguous=False, metadata=None,
                         photometric="minisblack", **layout)  # fmt: skip
    if big:
        layout["bigtiff"] = True
    found = frames_of(tmp_path / "a.tif")
    assert found.dtype == data.dtype
    assert np.array_equal(found[:, ::-1], data)


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "packbits", None])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_compressions(tmp_path, rng, compression, dtype, predictor, order):
    if predictor and compression in (None, "packbits"):
        return
    data = data_of(rng, np.dtype(dtype))
    tifffile.imwrite(
        tmp_path / "a.tif", data.astype(data.dtype.newbyteorder(order)), compression=compression, byteorder=order,
        predictor=predictor, photometric="minisblack", rowsperstrip=11,
    )  # fmt: skip
    assert np.array_equal(frames_of(tmp_path / "a.tif")[:, ::-1], tifffile.imread(tmp_path / "a.tif"))
    assert np.array_equal(frames_of(tmp_path / "a.tif")[:, ::-1], data)


@pytest.mark.parametrize("n_x", [8, 9])
def test_four_bits_as_tifffile_reads_them(tmp_path, rng, n_x):
    packed = rng.integers(0, 256, (5, (n_x + 1) // 2)).astype(np.uint8)
    # a hand-made directory: tifffile reads 4 bits but writes them only packed by itself
    tags = [(256, n_x), (257, 5), (258, 4), (259, 1), (262, 1), (273, 8), (277, 1), (278, 5), (279, packed.size)]
    entries = b"".join(
        np.array([tag, 3], "<u2").tobytes() + np.array([1, value], "<u4").tobytes() for tag, value in tags
    )
    body = packed.tobytes() + bytes(packed.size % 2)
    head = b"II*\0" + np.uint32(8 + len(body)).tobytes()
    count = np.uint16(len(tags)).tobytes()
    (tmp_path / "a.tif").write_bytes(head + body + count + entries + bytes(4))
    assert np.array_equal(frames_of(tmp_path / "a.tif")[0, ::-1], tifffile.imread(tmp_path / "a.tif"))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
    dtype=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4"]),
    compression=st.sampled_from(["lzw", "deflate", "zstd", None]),
    seed=st.integers(0, 2**32 - 1), pixel_size_A=st.floats(0.1, 50),
)  # fmt: skip
def test_round_trip(tmp_path, shape, dtype, compression, seed, pixel_size_A):
    data = np.frombuffer(np.random.default_rng(seed).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype)
    data = data.reshape(shape)
    write_tiff_movie(tmp_path / "a.tif", data, compression=compression, pixel_size_A=pixel_size_A)
    header = read_header(tmp_path / "a.tif")
    assert (header.n_sections, header.n_y, header.n_x) == shape
    assert header.pixel_size_A == pytest.approx(pixel_size_A, rel=1e-8)
    assert frames_of(tmp_path / "a.tif").tobytes() == data.tobytes()
    theirs = tifffile.imread(tmp_path / "a.tif").reshape(shape)[:, ::-1]
    assert theirs.tobytes() == data.tobytes()


def test_writes_small_classic_and_large_big_files_with_a_sample_format(tmp_path):
    frames = np.ones((2, 8, 8), np.uint8)
    for bound, big in ((1000, False), (5_000_000_000, True), (None, True)):
        write_tiff_movie(tmp_path / "a.tif", frames, n_bytes_at_most=bound)
        with tifffile.TiffFile(tmp_path / "a.tif") as tif:
            assert tif.is_bigtiff == big
            assert tif.pages[0].tags[339].value == 1  # cisTEM refuses files without it


def test_printing_resolutions_are_not_pixel_sizes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), resolution=(300, 300), resolutionunit="INCH")
    assert read_header(tmp_path / "a.tif").pixel_size_A is None


def test_threads_read_the_same_frames(tmp_path, rng):
    data = data_of(rng, np.dtype("u1"), (12, 200, 300))
    write_tiff_movie(tmp_path / "a.tif", data)
    barrier = threading.Barrier(4)
    with open_movie(tmp_path / "a.tif") as movie, ThreadPoolExecutor(4) as pool:

        def read_all(start):
            barrier.wait()
            return [movie.read_frame((start + number) % 12) for number in range(12)]

        for start, frames in enumerate(pool.map(read_all, range(4))):
            for number, frame in enumerate(frames):
                assert np.array_equal(frame, data[(start + number) % 12])


def test_out_is_filled_whatever_its_type(tmp_path, rng):
    data = data_of(rng, np.dtype("u1"))
    write_tiff_movie(tmp_path / "a.tif", data)
    write_mrc(tmp_path / "a.mrcs", data, 1.0)
    for name in ("a.tif", "a.mrcs"):
        with open_movie(tmp_path / name) as movie:
            into = np.empty(data.shape[1:], np.float32)
            assert movie.read_frame(1, into) is into
            assert np.array_equal(into, data[1])
            with pytest.raises(InputError, match="out is"):
                movie.read_frame(1, np.empty((3, 3), np.float32))
            with pytest.raises(InputError, match="no frame 3"):
                movie.read_frame(3)


def test_unlike_frames_and_colours_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.zeros((8, 8), np.uint8))
        writer.write(np.zeros((8, 9), np.uint8))
    with pytest.raises(FormatError, match="frame 2"):
        open_movie(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(FormatError, match="colours"):
        read_stack(tmp_path / "b.tif")
    with pytest.raises(InputError, match="frame 2"):
        write_tiff_movie(tmp_path / "c.tif", [np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.int8)])
    with pytest.raises(InputError, match="no frame"):
        write_tiff_movie(tmp_path / "c.tif", [])
    assert not (tmp_path / "c.tif").exists()
