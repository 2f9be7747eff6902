"""RELION's programs and cisTEM's own compiled readers accept what we write, with equal values."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.formats.tables import PAR_LINES, differing, full_table
from tests.support.oracles import ask_oracle, program
from verglas.formats import OpticsGroup, ParticleTable, read_particles, write_mrc, write_particles

# cisTEM's class of parameters is in pycistem's compiled library, but not in its Python interface.
CISTEM = """
import ctypes, subprocess
import pycistem.core.core as core
library = ctypes.CDLL(core.__file__)
symbols = subprocess.run(['nm', '-D', '--defined-only', core.__file__], capture_output=True, text=True).stdout.split()
def function(*parts, result=None):
    found = getattr(library, next(s for s in symbols if all(part in s for part in parts)))
    found.restype = result
    return found
def wx_string(text):
    data = ctypes.create_unicode_buffer(text)
    string = (ctypes.c_uint64 * 8)(ctypes.addressof(data), len(text), len(text))
    string.keep = data
    return string
parameters = ctypes.create_string_buffer(1 << 16)
function('_ZN16cisTEMParametersC1Ev')(parameters)
reader = 'ReadFromcisTEMStarFile' if str(source).endswith('.star') else 'ReadFromcisTEMBinaryFile'
function('16cisTEMParameters', reader)(parameters, wx_string(str(source)), ctypes.c_bool(False))
answer['last'] = function('16cisTEMParameters', 'ReturnMaxPositionInStack', result=ctypes.c_int)(
    parameters, ctypes.c_bool(False))
function('16cisTEMParameters', 'WriteTocisTEMBinaryFile')(parameters, wx_string('again.cistem'), -1, -1)
function('16cisTEMParameters', 'WriteTocisTEMStarFile')(parameters, wx_string('again.star'), -1, -1, -1, -1)
"""


def cistem_table(count: int) -> ParticleTable:
    table = full_table(count)
    table.set_names("image_name", [f"stack{k % 2}.mrc" for k in range(count)])
    return table


@pytest.mark.parametrize("ending", [".star", ".cistem"])
def test_cistem_reads_what_we_write_and_we_read_what_it_writes(tmp_path: Path, ending: str) -> None:
    table = cistem_table(25)
    if ending == ".star":
        table["phase_shift_deg"] = 0
    source = tmp_path / f"t{ending}"
    write_particles(table, source, "cistem")
    found = ask_oracle(CISTEM, tmp_path, source=np.array(str(source)))
    assert int(found["last"]) == 25
    binary = read_particles(tmp_path / "again.cistem")
    assert differing(table, binary, rtol=1e-6) == []
    text = read_particles(tmp_path / "again.star")
    for name in table.columns:
        if table.is_text(name):
            assert table.names_of(name) == text.names_of(name)
        elif name == "phase_shift_deg":
            assert np.allclose(table[name], text[name], atol=0.3)
        else:
            # the widest rounding of cisTEM's star: logP to integers
            assert np.allclose(table[name], text[name], atol=0.51 if name == "log_likelihood" else 0.0501), name


def test_cistem_takes_phase_shifts_of_a_star_file_for_degrees(tmp_path: Path) -> None:
    table = ParticleTable.empty(2, {"phase_shift_deg": [90.0, 45.0], "pixel_size_A": 1.0})
    write_particles(table, tmp_path / "t.star", "cistem")
    ask_oracle(CISTEM, tmp_path, source=np.array(str(tmp_path / "t.star")))
    taken = read_particles(tmp_path / "again.cistem")["phase_shift_deg"]
    assert taken == pytest.approx(np.deg2rad([90.0, 45.0]), rel=1e-5)
    write_particles(table, tmp_path / "t.cistem")
    ask_oracle(CISTEM, tmp_path, source=np.array(str(tmp_path / "t.cistem")))
    assert read_particles(tmp_path / "again.cistem")["phase_shift_deg"] == pytest.approx([90.0, 45.0], rel=1e-6)
    assert read_particles(tmp_path / "again.star")["phase_shift_deg"] == pytest.approx([90.0, 45.0], abs=0.3)


def relion(name: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [program(name, "relion"), *arguments], cwd=folder, capture_output=True, text=True, timeout=100, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_relion_keeps_every_column_of_ours(tmp_path: Path) -> None:
    table = full_table(40)
    table.set_names("image_name", [f"stack{k % 2}.mrcs" for k in range(40)])
    table.add_column("vector", np.arange(80.0).reshape(40, 2) / 8)
    for column in ("beam_tilt_x_mrad", "beam_tilt_y_mrad"):
        table[column] = [0.25, 0.5] * 20
    table.optics = [OpticsGroup(1, "one", 64, 0.0, True), OpticsGroup(2, "two", 64, 0.0, True)]
    write_particles(table, tmp_path / "w.star")
    arguments = ["--i", "w.star", "--o", "h.star", "--select", "rlnDefocusU", "--minval", "-1e9", "--maxval", "1e9"]
    relion("relion_star_handler", *arguments, folder=tmp_path)
    again = read_particles(tmp_path / "h.star")
    # RELION writes numbers with six decimals, or seven digits
    assert differing(table, again, rtol=2e-6) == []


def test_old_star_files_read_as_relion_converts_them(tmp_path: Path, real_data: Path) -> None:
    source = real_data / "formats" / "star" / "sample_particles_relion30.star"
    relion("relion_convert_star", "--i", str(source), "--o", "new.star", folder=tmp_path)
    ours, theirs = read_particles(source), read_particles(tmp_path / "new.star")
    for name in ours.columns:
        # the pixel size of 10000 x 5 / 37369.207 A is written with four digits by relion_convert_star
        if not ours.is_text(name) and name in theirs and name != "optics_group":
            assert np.allclose(ours[name], theirs[name], rtol=1e-5, atol=2e-5), name
    assert ours["origin_x_A"][0] == pytest.approx(0.1996 * 1.338)


def test_relion_reconstructs_from_our_star_file(tmp_path: Path, rng: np.random.Generator) -> None:
    write_mrc(tmp_path / "s.mrcs", rng.normal(size=(12, 32, 32)).astype(np.float32), pixel_size_A=2.0)
    table = ParticleTable.empty(12, {"rot_deg": rng.uniform(0, 360, 12), "tilt_deg": rng.uniform(0, 180, 12)})
    table["pixel_size_A"], table["voltage_kV"], table["spherical_aberration_mm"] = 2.0, 300.0, 2.7
    table["amplitude_contrast"], table["defocus_u_A"], table["defocus_v_A"] = 0.1, 15000, 14500
    table["image_section"] = np.arange(1, 13)
    table.set_names("image_name", ["s.mrcs"] * 12)
    table.optics[0].image_size_px = 32
    write_particles(table, tmp_path / "p.star")
    relion("relion_reconstruct", "--i", "p.star", "--o", "map.mrc", "--ctf", "--pad", "1", folder=tmp_path)
    assert (tmp_path / "map.mrc").stat().st_size == 1024 + 4 * 32**3


def test_cistem_reads_the_published_par_lines_as_we_do(tmp_path: Path) -> None:
    (tmp_path / "in.par").write_text(PAR_LINES)
    write_particles(read_particles(tmp_path / "in.par"), tmp_path / "t.cistem")
    ask_oracle(CISTEM, tmp_path, source=np.array(str(tmp_path / "t.cistem")))
    write_particles(read_particles(tmp_path / "again.star"), tmp_path / "out.par")
    lines = (tmp_path / "out.par").read_text().splitlines()[1:]
    # cisTEM's own star knows neither magnification nor film; activity 0 comes back as a negative film
    assert [line[:51] + line[65:] for line in lines] == [line[:51] + line[65:] for line in PAR_LINES.splitlines()[1:]]
