"""MRC: every mode, byte order and axis order as mrcfile and RELION have it, and written files that they read."""

import bz2
import gzip
import struct
import subprocess
import warnings

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.oracles import program
from verglas.errors import FormatError, InputError
from verglas.formats import MrcStack, MrcStackWriter, read_header, read_image, read_stack, read_volume, write_mrc


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_reads_what_mrcfile_writes(tmp_path, rng, dtype, order):
    data = rng.integers(-100 if dtype[0] != "u" else 0, 100, (3, 5, 7)).astype(dtype)
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(data)
        mrc.voxel_size = 1.31
    if order == ">":
        swapped = swap_bytes((tmp_path / "a.mrc").read_bytes(), data.dtype)
        (tmp_path / "a.mrc").write_bytes(swapped)
    with MrcStack(tmp_path / "a.mrc") as stack:
        assert stack.shape == data.shape
        assert stack.dtype == data.dtype
        assert stack.pixel_size_A == pytest.approx(1.31, rel=1e-6)
        for number in range(3):
            assert np.array_equal(stack.section(number), data[number])
        assert np.array_equal(stack.read([2, 0, 2]), data[[2, 0, 2]].astype(np.float32))


def swap_bytes(content, dtype):
    """Turn a little-endian MRC file into a big-endian one, word by word."""
    head = bytearray(np.frombuffer(content[:1024], "<u4").astype(">u4").tobytes())
    head[104:108], head[208:216] = content[104:108], b"MAP \x11\x11\0\0"
    head[224:] = content[224:1024]
    data = np.frombuffer(content[1024:], dtype.newbyteorder("<")).astype(dtype.newbyteorder(">"))
    return bytes(head) + data.tobytes()


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
@pytest.mark.parametrize("is_volume", [True, False])
def test_mrcfile_reads_what_is_written(tmp_path, rng, dtype, is_volume):
    data = rng.integers(-90 if dtype[0] != "u" else 0, 90, (4, 6, 9)).astype(dtype)
    write_mrc(tmp_path / "a.mrc", data, 0.834, is_volume=is_volume, origin_A=(1.5, -2.0, 3.0))
    if dtype != "float16":  # mrcfile sums the mean of half floats in half floats
        assert mrcfile.validate(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        assert np.array_equal(mrc.data, data)
        assert mrc.data.dtype == data.dtype
        assert mrc.is_volume() == is_volume
        assert float(mrc.voxel_size.x) == pytest.approx(0.834, rel=1e-6)
        assert tuple(mrc.header.origin.tolist()) == (1.5, -2.0, 3.0)
        values = data.astype(np.float64)
        assert float(mrc.header.dmean) == pytest.approx(values.mean(), abs=1e-4)
        assert float(mrc.header.rms) == pytest.approx(values.std(), rel=1e-5)
        assert (float(mrc.header.dmin), float(mrc.header.dmax)) == (values.min(), values.max())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    dtype=st.sampled_from(["int8", "int16", "uint16", "float16", "float32"]),
    seed=st.integers(0, 2**32 - 1), pixel_size_A=st.floats(0.1, 50),
)  # fmt: skip
def test_round_trip(tmp_path, shape, dtype, seed, pixel_size_A):
    data = np.frombuffer(np.random.default_rng(seed).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype)
    data = np.nan_to_num(data, nan=1, posinf=2, neginf=3).reshape(shape)
    write_mrc(tmp_path / "a.mrcs", data, pixel_size_A)
    with MrcStack(tmp_path / "a.mrcs") as stack:
        assert stack.pixel_size_A == pytest.approx(pixel_size_A, rel=2e-6)
        assert np.array_equal([stack.section(number) for number in range(len(stack))], data)


@pytest.mark.parametrize(("stamp", "flags", "version", "highest", "signed"), [
    (1146047817, 1, 0, 0, True), (1146047817, 0, 20140, 0, False), (0, 0, 20140, 0, True), (0, 0, 0, 0, False),
    (0, 0, 20141, 200, False),
])  # fmt: skip
def test_signs_of_bytes(tmp_path, stamp, flags, version, highest, signed):
    write_mrc(tmp_path / "a.mrc", np.full((4, 4), -56, np.int8), 1.0)
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    struct.pack_into("<2f", content, 76, 0, highest)
    struct.pack_into("<i", content, 108, version)
    struct.pack_into("<2i", content, 152, stamp, flags)
    (tmp_path / "a.mrc").write_bytes(content)
    assert np.all(read_image(tmp_path / "a.mrc")[0] == (-56 if signed else 200))


@pytest.mark.parametrize("n_x", [6, 7])
def test_four_bits(tmp_path, rng, n_x):
    pixels = rng.integers(0, 16, (3, 4, n_x)).astype(np.uint8)
    padded = np.pad(pixels, ((0, 0), (0, 0), (0, n_x % 2)))
    packed = padded[..., 0::2] | padded[..., 1::2] << 4
    write_mrc(tmp_path / "a.mrcs", np.zeros((3, 4, n_x), np.float32), 1.0)
    head = bytearray((tmp_path / "a.mrcs").read_bytes()[:1024])
    struct.pack_into("<i", head, 12, 101)
    (tmp_path / "a.mrcs").write_bytes(bytes(head) + packed.tobytes())
    with mrcfile.open(tmp_path / "a.mrcs", permissive=True, header_only=True) as mrc:
        assert int(mrc.header.mode) == 101
    assert np.array_equal(read_stack(tmp_path / "a.mrcs")[0], pixels)


def test_extended_header_is_passed_over(tmp_path, rng):
    data = rng.normal(size=(2, 5, 6)).astype(np.float32)
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(data)
        mrc.set_extended_header(np.zeros(3, "V768"))
        mrc.header.exttyp = b"FEI1"
    assert np.array_equal(read_stack(tmp_path / "a.mrc")[0], data)


@pytest.mark.parametrize("axes", [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)])
def test_axis_orders(tmp_path, rng, axes):
    volume = rng.normal(size=(4, 5, 6)).astype(np.float32)  # z, y, x
    # file axes slowest first: sections, rows, columns run along axes[2], axes[1], axes[0]
    stored = volume.transpose([3 - axis for axis in axes[::-1]])
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(np.ascontiguousarray(stored))
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = axes
        mrc.header.mx, mrc.header.my, mrc.header.mz = 6, 5, 4
        mrc.header.cella.x, mrc.header.cella.y, mrc.header.cella.z = 9.0, 7.5, 6.0
    found, voxel_A = read_volume(tmp_path / "a.mrc")
    assert voxel_A == pytest.approx(1.5)
    assert np.array_equal(found, volume)


@pytest.mark.parametrize(("pack", "ending"), [(gzip.compress, "gz"), (bz2.compress, "bz2")])
def test_compressed(tmp_path, rng, pack, ending):
    data = rng.normal(size=(3, 8, 9)).astype(np.float32)
    write_mrc(tmp_path / "a.mrc", data, 2.0)
    content = pack((tmp_path / "a.mrc").read_bytes())
    (tmp_path / f"a.mrc.{ending}").write_bytes(content)
    found, pixel_size_A = read_volume(tmp_path / f"a.mrc.{ending}")
    assert np.array_equal(found, data)
    assert pixel_size_A == 2.0
    (tmp_path / f"b.mrc.{ending}").write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match=f"b.mrc.{ending}"):
        read_stack(tmp_path / f"b.mrc.{ending}")


def test_relion_reads_what_is_written(tmp_path, rng):
    data = rng.normal(3, 2, size=(2, 16, 16)).astype(np.float32)
    write_mrc(tmp_path / "a.mrcs", data, 1.7)
    tool = program("relion_image_handler", "relion")
    done = subprocess.run([tool, "--i", "a.mrcs", "--o", "b.mrcs", "--multiply_constant", "2"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    # relion_image_handler treats each section by itself and writes the stack
    twice, pixel_size_A = read_stack(tmp_path / "b.mrcs")
    assert np.array_equal(twice, 2 * data)
    assert pixel_size_A == pytest.approx(1.7, rel=1e-6)


def test_real_files_equal_what_mrcfile_reads(real_data):
    paths = [*real_data.glob("formats/mrc/*"), *real_data.glob("maps/*.mrc"), *real_data.glob("particles/*.mrc*")]
    assert len(paths) >= 9
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mrc = mrcfile.open(path, permissive=True)
        with mrc:
            theirs = mrc.data.reshape((-1, *mrc.data.shape[-2:])).astype(np.float32)
        assert np.array_equal(read_stack(path)[0], theirs), path
        assert read_header(path).n_sections == len(theirs)


def test_values_that_do_not_fit_are_refused(tmp_path):
    for data, dtype in [([[300]], "int8"), ([[-1]], "uint16"), ([[0.5]], "int16"), ([[1e6]], "float16"),
                        ([[2**24 + 1]], "float32"), ([[np.nan]], "int16")]:  # fmt: skip
        with pytest.raises(InputError, match="do not fit"):
            write_mrc(tmp_path / "a.mrc", np.array(data), 1.0, dtype=dtype)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_mrc(tmp_path / "a.mrcs", np.ones((1, 4, 4), np.float32), 1.0)
    old = (tmp_path / "a.mrcs").read_bytes()
    with pytest.raises(RuntimeError), MrcStackWriter(tmp_path / "a.mrcs", 4, 4, 1.0) as writer:
        writer.append(np.zeros((4, 4)))
        raise RuntimeError
    with pytest.raises(InputError, match="no section"), MrcStackWriter(tmp_path / "a.mrcs", 4, 4, 1.0):
        pass
    with pytest.raises(InputError, match="sections of 4 x 4"), MrcStackWriter(tmp_path / "a.mrcs", 4, 4, 1.0) as writer:
        writer.append(np.zeros((4, 5)))
    assert (tmp_path / "a.mrcs").read_bytes() == old
    assert [path.name for path in tmp_path.iterdir()] == ["a.mrcs"]


def test_partial_reads_refuse_what_is_not_there(tmp_path):
    write_mrc(tmp_path / "a.mrcs", np.ones((2, 4, 4), np.float32), 1.0)
    with MrcStack(tmp_path / "a.mrcs") as stack:
        with pytest.raises(InputError, match="no section 2"):
            stack.read([0, 2])
        with pytest.raises(InputError, match="no section -1"):
            stack.section(-1)
    with pytest.raises(InputError, match="closed"):
        stack.section(0)
