"""Coordinates, models, statistics, CTFFIND's text, mdoc and motion files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.oracles import ask_oracle
from verglas.errors import FormatError, InputError
from verglas.formats import (
    CtfFit,
    CtfResults,
    FrameMotion,
    ResolutionStatistics,
    read_avrot,
    read_coordinates,
    read_ctffind,
    read_mdoc,
    read_model,
    read_motion_star,
    read_statistics,
    write_avrot,
    write_coordinates,
    write_ctffind,
    write_mdoc,
    write_motion_star,
    write_statistics,
)


@pytest.mark.parametrize("ending", [".star", ".box", ".coord", ".txt", ".csv", ".plt"])
def test_coordinates_come_back(tmp_path: Path, ending: str, rng: np.random.Generator) -> None:
    centres = np.round(rng.uniform(0, 4000, (50, 2)), 3)
    path = tmp_path / f"c{ending}"
    write_coordinates(path, centres, box_px=256, image_height_px=4096)
    assert np.allclose(read_coordinates(path, image_height_px=4096), centres, atol=1e-9)


def test_plt_counts_rows_from_the_other_edge_and_from_one(tmp_path: Path) -> None:
    write_coordinates(tmp_path / "c.plt", np.array([[10.0, 20.0]]), image_height_px=100)
    assert (tmp_path / "c.plt").read_text() == "81.0 11.0 1.0\n"
    with pytest.raises(InputError, match="height"):
        read_coordinates(tmp_path / "c.plt")


def test_real_coordinates(real_data: Path, tmp_path: Path) -> None:
    picks = real_data / "formats" / "picks"
    coord = read_coordinates(picks / "beta-gal_10017_143335.coord")
    box = read_coordinates(picks / "beta-gal_10017_143335_eman.box")
    csv = read_coordinates(picks / "cryoppp_10017_Falcon_143335.csv")
    star = read_coordinates(picks / "falcon_2012_06_12-14_33_35_0_applepick.star")
    assert coord[0].tolist() == [3523, 2905]
    assert box[0].tolist() == [3523 + 128, 2905 + 128]
    assert len(box) == len(coord)
    assert csv[0].tolist() == [3752, 693]
    assert star[0].tolist() == [2063, 151]
    for name, centres in (("a.star", coord), ("b.csv", csv), ("c.coord", star), ("d.box", box)):
        write_coordinates(tmp_path / name, centres, box_px=256)
        assert np.array_equal(read_coordinates(tmp_path / name), centres)


def test_ctffind_of_both_versions(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "formats" / "ctf"
    old = read_ctffind(folder / "ctffind4.1.14_output.txt")
    new = read_ctffind(folder / "May08_06_30_43_d.txt")
    assert old.fits[0].phase_shift_deg == pytest.approx(np.rad2deg(0.035256))
    assert np.isnan(old.fits[0].thickness_A)
    assert (new.fits[0].defocus_u_A, new.fits[0].defocus_angle_deg) == (25166.671875, -50.771076)
    assert (new.pixel_size_A, new.voltage_kV, new.amplitude_contrast) == (1.5, 300.0, 0.07)
    write_ctffind(new, tmp_path / "o.txt")
    again = read_ctffind(tmp_path / "o.txt")
    assert again.fits[0].score == new.fits[0].score
    assert again == new
    curves = read_avrot(folder / "May08_06_30_43_d_avrot.txt")
    assert len(curves) == 1
    assert curves[0].frequency_per_A[-1] == pytest.approx(np.sqrt(2) / 3.0, rel=0.001)
    write_avrot(curves, tmp_path / "a.txt")
    assert np.allclose(read_avrot(tmp_path / "a.txt")[0].quality, curves[0].quality, atol=1e-6)


def test_mdoc_as_mdocfile_reads_it(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "formats" / "mdoc" / "serialem_TS_01.mrc.mdoc"
    mdoc = read_mdoc(path)
    assert mdoc.entries["ImageFile"] == "TS_01.mrc"
    assert mdoc.sections[0].numbers("StagePosition") == [20.7936, 155.287]
    write_mdoc(mdoc, tmp_path / "o.mdoc")
    assert read_mdoc(tmp_path / "o.mdoc") == mdoc
    found = ask_oracle(
        """
        import mdocfile
        table = mdocfile.read(str(path))
        answer['tilt'], answer['dose'] = table['TiltAngle'].to_numpy(float), table['ExposureTime'].to_numpy(float)
        """,
        tmp_path,
        path=np.array(str(path)),
    )
    assert np.array_equal(found["tilt"], [section.numbers("TiltAngle")[0] for section in mdoc.sections])
    assert np.array_equal(found["dose"], [section.numbers("ExposureTime")[0] for section in mdoc.sections])


@pytest.mark.parametrize("name", ["1oel.pdb.gz", "5ni1.cif.gz"])
def test_models_hold_all_atoms_of_the_file(real_data: Path, name: str) -> None:
    model = read_model(real_data / "models" / name, waters=True)
    with gzip.open(real_data / "models" / name, "rt") as file:
        lines = [line for line in file if line.startswith(("ATOM", "HETATM"))]
    if name.endswith("pdb.gz"):
        rows = [[line[30:38], line[38:46], line[46:54], line[60:66]] for line in lines if line[76:78].strip() != "H"]
    else:
        words = [line.split() for line in lines]
        rows = [[*word[10:13], word[14]] for word in words if word[2] != "H"]
    expected = np.array(rows, dtype=float)
    found = np.column_stack([model.positions_A, model.b_factors_A2])
    assert len(model.chains) == len(model.residues) == len(model.atom_names) == len(model) == len(rows)
    assert np.allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-4)
    assert np.allclose(found[:100], expected[:100], atol=1e-4)


def test_statistics_come_back(tmp_path: Path) -> None:
    x = np.linspace(0.02, 0.5, 30)
    statistics = ResolutionStatistics(1 / x, x, np.exp(-x), np.exp(-x / 2), 5 * (1 - x), 9 * (1 - x))
    write_statistics(statistics, tmp_path / "s.txt")
    again = read_statistics(tmp_path / "s.txt")
    for name in ("resolution_A", "ring_radius", "fsc", "particle_fsc", "particle_ssnr", "reconstruction_ssnr"):
        assert np.allclose(getattr(again, name), getattr(statistics, name), atol=6e-3)


def test_motion_comes_back(tmp_path: Path) -> None:
    motion = FrameMotion(np.array([[0.0, 0.0], [1.25, -2.5]]), {"rlnImageSizeX": "4096"}, 3)
    write_motion_star(motion, tmp_path / "m.star")
    again = read_motion_star(tmp_path / "m.star")
    assert np.array_equal(again.shift_px, motion.shift_px)
    assert (again.items, again.first_frame) == (motion.items, 3)
    assert again.local_model_px is None


def test_local_motion_comes_back_and_is_evaluated(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    model = rng.standard_normal((2, 6, 3))
    rows = np.array([[1, 340.0, 512.0, 0.25, -0.5], [2, 340.0, 512.0, 0.5, -1.0]])
    motion = FrameMotion(np.array([[0.0, 0.0], [1.25, -2.5], [2.0, 1.0]]), {}, 1, model, rows)
    write_motion_star(motion, tmp_path / "m.star")
    again = read_motion_star(tmp_path / "m.star")
    np.testing.assert_allclose(again.local_model_px, model, rtol=1e-5)
    np.testing.assert_allclose(again.local_shifts, rows)
    x, y, z = 0.25, -0.5, 2.0
    terms = np.outer([1, x, x * x, y, y * y, x * y], [z, z * z, z**3])
    shifts = motion.shifts_at(np.array([x]), np.array([y]))
    np.testing.assert_allclose(shifts[2, :, 0], motion.shift_px[2] + np.sum(model * terms, axis=(1, 2)))
    assert (shifts[0, :, 0] == 0).all()


READERS: list[tuple[str, Callable[[Path], object]]] = [
    *((f"a{ending}", read_coordinates) for ending in (".star", ".box", ".coord", ".csv")),
    *(("a.txt", reader) for reader in (read_statistics, read_ctffind, read_avrot)),
    *(("a.mdoc", read_mdoc), ("a.pdb", read_model), ("a.cif", read_model), ("a.star", read_motion_star)),
]


@pytest.mark.parametrize(("name", "reader"), READERS)
@pytest.mark.parametrize("content", [b"", b"\0\1\2\xff\xfe", b"hello world\n", b"1 nan 3 4 5 6 7\n", b"12 13 x\n"])
def test_bad_small_files(tmp_path: Path, name: str, reader: Callable[[Path], object], content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError) as caught:
        reader(tmp_path / name)
    assert name in str(caught.value)


def test_ctf_results_need_a_header(tmp_path: Path) -> None:
    results = CtfResults(1.5, 300.0, 2.7, 0.07, (CtfFit(1e4, 9e3, 10.0, 90.0, 0.1, 4.0),))
    write_ctffind(results, tmp_path / "a.txt")
    text = (tmp_path / "a.txt").read_text()
    assert read_ctffind(tmp_path / "a.txt").fits[0].phase_shift_deg == pytest.approx(90, abs=1e-4)
    (tmp_path / "b.txt").write_text(text.replace("Pixel size", "Size"))
    with pytest.raises(FormatError, match="header"):
        read_ctffind(tmp_path / "b.txt")


def test_ctffind_results_come_back_with_what_is_unknown_still_unknown(tmp_path: Path) -> None:
    fits = (CtfFit(9982.5, 9000.25, -12.5, 30.0, 0.5, 3.9), CtfFit(12000.0, 11000.0, 45.0, 0.0, 0.25, 4.5))
    results = CtfResults(1.06051, 200.0, 2.261, 0.075, fits, "a b.mrc")
    write_ctffind(results, tmp_path / "c.txt")
    again = read_ctffind(tmp_path / "c.txt")
    assert (again.pixel_size_A, again.spherical_aberration_mm, again.amplitude_contrast) == (1.06051, 2.261, 0.075)
    assert again.input_file == "a b.mrc"
    assert [fit.defocus_u_A for fit in again.fits] == [9982.5, 12000.0]
    assert np.isnan([(fit.tilt_axis_deg, fit.tilt_angle_deg, fit.thickness_A) for fit in again.fits]).all()
    assert "version 4" in (tmp_path / "c.txt").read_text()
