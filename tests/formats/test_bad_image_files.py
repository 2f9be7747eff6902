"""Damaged image files end in an error that names the file: no crash, no hang, no memory, no warning."""

import struct
import subprocess
import sys
import textwrap

import imagecodecs
import numpy as np
import pytest

from tests.support.dm_writer import write_dm
from tests.support.eer_writer import write_eer
from verglas.errors import FormatError
from verglas.formats import read_header, read_stack, read_volume, write_mrc, write_tiff_movie

MAKERS = {
    "a.mrc": lambda path, data: write_mrc(path, data.astype(np.float32), 1.1),
    "b.tif": lambda path, data: write_tiff_movie(path, data, pixel_size_A=1.1),
    "c.tif": lambda path, data: write_tiff_movie(path, data, compression="deflate", n_bytes_at_most=1000),
    "d.tif": lambda path, data: write_tiff_movie(path, data, compression="zstd"),
    "e.tif": lambda path, data: write_tiff_movie(path, data, compression=None),
    "f.eer": lambda path, data: write_eer(path, [np.array([[4, 8], [60, 4]])] * 2, 16, 16, pixel_size_A=1.1),
    "g.dm3": lambda path, data: write_dm(path, [data[0]]),
    "h.dm4": lambda path, data: write_dm(path, [data[0]], version=4, order=">"),
    "i.png": lambda path, data: path.write_bytes(imagecodecs.png_encode(data[0])),
}


@pytest.fixture
def sound_files(tmp_path, rng):
    data = rng.integers(0, 5, (3, 16, 18)).astype(np.uint8)
    for name, make in MAKERS.items():
        make(tmp_path / name, data)
    return tmp_path


@pytest.mark.parametrize("name", list(MAKERS))
def test_empty_missing_cut_and_foreign(sound_files, name):
    path = sound_files / name
    good = path.read_bytes()
    read_stack(path)
    # a PNG's and a DM file's last bytes, and an EER file's, hold no pixels
    for n_bytes in (0, 1, 3, 15, 40, len(good) // 3, len(good) // 2):
        path.write_bytes(good[:n_bytes])
        with pytest.raises(FormatError, match=name):
            read_stack(path)
    for foreign in (b"hello, this is text\n" * 200, bytes(4000), b"\xff" * 4000, b"\x80\x04pickle" * 300):
        path.write_bytes(foreign)
        with pytest.raises(FormatError, match=name):
            read_stack(path)
    path.unlink()
    with pytest.raises(FormatError, match="not there"):
        read_header(path)
    path.mkdir()
    with pytest.raises(FormatError, match="not a file"):
        read_header(path)


@pytest.mark.parametrize(("offset", "code", "values"), [
    (0, "3i", (2**31 - 1, 2**31 - 1, 2**31 - 1)), (0, "3i", (100000, 100000, 1)), (0, "3i", (-4, 4, 4)),
    (0, "3i", (0, 4, 4)), (12, "i", (5,)), (12, "i", (-1,)), (40, "3f", (np.nan, 1, 1)), (40, "3f", (np.inf, 1, 1)),
    (64, "3i", (1, 1, 2)), (64, "3i", (7, 8, 9)), (92, "i", (-5,)), (92, "i", (2**31 - 1,)), (196, "f", (np.nan,)),
])  # fmt: skip
def test_absurd_mrc_headers(tmp_path, offset, code, values):
    write_mrc(tmp_path / "a.mrc", np.ones((4, 4, 4), np.float32), 1.0)
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    struct.pack_into("<" + code, content, offset, *values)
    (tmp_path / "a.mrc").write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.mrc"):
        read_header(tmp_path / "a.mrc")


def test_maps_without_size_or_with_bricks_for_voxels(tmp_path):
    write_mrc(tmp_path / "a.mrc", np.ones((4, 4, 4), np.float32), 0)
    with pytest.raises(FormatError, match="how large its voxels"):
        read_volume(tmp_path / "a.mrc")
    write_mrc(tmp_path / "a.mrc", np.ones((4, 4, 4), np.float32), 1.0)
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    struct.pack_into("<f", content, 44, 8.0)
    (tmp_path / "a.mrc").write_bytes(content)
    with pytest.raises(FormatError, match="not cubes"):
        read_volume(tmp_path / "a.mrc")


def test_complex_files_are_named_for_what_they_are(tmp_path):
    write_mrc(tmp_path / "a.mrc", np.ones((4, 4, 8), np.float32), 1.0)
    content = bytearray((tmp_path / "a.mrc").read_bytes())
    struct.pack_into("<4i", content, 0, 4, 4, 4, 4)
    (tmp_path / "a.mrc").write_bytes(content)
    assert read_header(tmp_path / "a.mrc").dtype == "complex64"
    with pytest.raises(FormatError, match="complex"):
        read_stack(tmp_path / "a.mrc")


SCRIPT = """
import resource, sys, warnings
from pathlib import Path
import numpy as np
from verglas.errors import FormatError
from verglas.formats import read_stack
warnings.simplefilter("error")
folder, n_mutations = Path(sys.argv[1]), int(sys.argv[2])
paths = sorted(path for path in folder.iterdir() if path.is_file())
for path in paths:
    read_stack(path)  # everything is imported and compiled before memory is limited
with open("/proc/self/statm") as status:
    used = int(status.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), used + (1 << 29)))
WORDS = [b"\\xff\\xff\\xff\\x7f", b"\\xff\\xff\\xff\\xff", bytes(4), b"\\0\\0\\xc0\\x7f"]
rng = np.random.Generator(np.random.Philox(7))
refused = 0
for path in paths:
    good = path.read_bytes()
    bad_path = folder / ("bad" + path.suffix)
    for number in range(n_mutations):
        bad = bytearray(good)
        reach = min(len(bad), 1024) if number % 2 else len(bad)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(min(reach, len(bad))))
            choice = rng.integers(4)
            if choice == 0:
                bad[place] ^= 1 << int(rng.integers(8))
            elif choice == 1:
                bad[place] = int(rng.integers(256))
            elif choice == 2:
                bad[place : place + 4] = WORDS[rng.integers(len(WORDS))]
            else:
                del bad[place : place + int(rng.integers(1, 9))]
        bad_path.write_bytes(bytes(bad))
        try:
            read_stack(bad_path)
        except FormatError as error:
            assert bad_path.name in str(error), error
            refused += 1
print(refused)
"""


def test_thousands_of_mutations_within_bounded_memory(sound_files):
    n_mutations = 500
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), sound_files, str(n_mutations)],
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    assert int(done.stdout) > len(MAKERS) * n_mutations / 10
