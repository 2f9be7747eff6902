"""Particles of RELION, cisTEM, Frealign and cryoSPARC: there and back, and with nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.formats.tables import PAR_LINES, differing, full_table
from verglas.cli.main import cli
from verglas.errors import FormatError, InputError
from verglas.formats import OpticsGroup, ParticleTable, read_particles, write_particles
from verglas.formats.frealign import read_par, write_par
from verglas.formats.relion import read_relion, write_relion
from verglas.formats.rotation_vectors import eulers_from_rotation_vectors, rotation_vectors_from_eulers
from verglas.formats.units import to_degrees, to_radians

STAR_FILES = [
    *("formats/star/T20S_10025_ctf_params", "formats/star/T20S_10025_relion2_particles"),
    *("formats/star/relion31.6opticsgroups", "formats/star/relion31", "formats/star/relion31.v2"),
    *("formats/star/relion31_corrected_micrographs", "formats/star/sample_particles_relion30"),
    *("formats/star/sample_particles_relion31", "particles/empiar_10076_7", "particles/sample_relion_data"),
    *("formats/picks/falcon_2012_06_12-14_33_35_0_applepick", "formats/picks/sample_relion_autopick"),
]


@pytest.mark.parametrize("by_way_of", ["", "relion", "cistem", "cistem binary", "cryosparc", "verglas"])
def test_the_ten_published_par_lines_come_back_byte_by_byte(tmp_path: Path, by_way_of: str) -> None:
    (tmp_path / "in.par").write_text(PAR_LINES)
    table = read_par(tmp_path / "in.par")
    assert table["psi_deg"][2] == 261.75
    assert table["origin_x_A"][0] == 8.22
    assert table["phase_shift_deg"][0] == pytest.approx(np.rad2deg(0.6))
    assert not table["active"].any()
    endings = {"cistem binary": ".cistem", "cryosparc": ".cs", "verglas": ".npy"}
    if by_way_of:
        between = tmp_path / f"between{endings.get(by_way_of, '.star')}"
        write_particles(table, between, by_way_of.split(maxsplit=1)[0])
        table = read_particles(between)
    write_par(table, tmp_path / "out.par")
    assert (tmp_path / "out.par").read_text() == PAR_LINES


@pytest.mark.parametrize(
    ("ending", "to"), [(".star", "relion"), (".star", "cistem"), (".cs", "cryosparc"), (".npy", "")]
)
def test_every_column_survives(tmp_path: Path, ending: str, to: str) -> None:
    table = full_table(30)
    table.optics = [
        OpticsGroup(1, "first", 256, 0.75, True, {"rlnMtfFileName": "k3.star"}),
        OpticsGroup(2, "second", 200, 0.75, False),
    ]
    table.add_column("vector", np.arange(60, dtype=np.float32).reshape(30, 2) / 7)
    table.add_column("uid", np.arange(30, dtype=np.uint64) + np.uint64(2**64 - 100))
    table.set_names("picker", ["template", "", "dog"] * 10)
    write_particles(table, tmp_path / f"t{ending}", to)
    again = read_particles(tmp_path / f"t{ending}")
    # cryoSPARC's own fields are in single precision
    assert differing(table, again, rtol=2e-5 if ending == ".cs" else 1e-15) == []
    if ending != ".cs":
        assert [(g.number, g.name, g.image_size_px, g.contrast_inverted) for g in again.optics] == [
            (1, "first", 256, True),
            (2, "second", 200, False),
        ]
        assert again.optics[0].extra["rlnMtfFileName"] == "k3.star"


def test_chain_through_all_packages_and_back(tmp_path: Path) -> None:
    table = full_table(12)
    for column in ("beam_tilt_x_mrad", "beam_tilt_y_mrad"):
        table[column] = table[column] / 100
    first = table.copy()
    for k, (ending, to) in enumerate([(".star", "relion"), (".star", "cistem"), (".cs", ""), (".star", "relion")]):
        write_particles(table, tmp_path / f"{k}{ending}", to)
        table = read_particles(tmp_path / f"{k}{ending}")
    assert differing(first, table, rtol=2e-5) == []


def test_angles_are_never_wrapped(tmp_path: Path) -> None:
    angles = [-720.5, -180.0, 0.0, 359.999, 1234.5]
    table = ParticleTable.empty(5, {"rot_deg": angles, "tilt_deg": angles, "psi_deg": angles})
    for ending, to in ((".star", "relion"), (".star", "cistem"), (".cistem", ""), (".par", ""), (".cs", "")):
        path = tmp_path / f"t{ending}"
        write_particles(table, path, to)
        for column in ("rot_deg", "tilt_deg", "psi_deg"):
            assert read_particles(path)[column] == pytest.approx(angles, abs=0.0051 if ending == ".par" else 1e-4)


def test_groups_that_differ_inside_are_split_for_relion_and_restored(tmp_path: Path) -> None:
    table = full_table(10)
    table["optics_group"] = [5] * 6 + [7] * 4
    table["voltage_kV"] = [300, 300, 200, 200, 300, 300, 120, 120, 120, 120]
    for column in ("pixel_size_A", "spherical_aberration_mm", "amplitude_contrast"):
        table[column] = 1.25
    table["beam_tilt_x_mrad"] = table["beam_tilt_y_mrad"] = 0.5
    table.optics = [OpticsGroup(5, "five"), OpticsGroup(7, "seven")]
    write_relion(table, tmp_path / "t.star")
    text = (tmp_path / "t.star").read_text()
    assert "\n1 five " in text
    assert "\n2 five_2 " in text
    assert "\n3 seven " in text
    again = read_relion(tmp_path / "t.star")
    assert differing(table, again) == []
    assert [(group.number, group.name) for group in again.optics] == [(5, "five"), (7, "seven")]


def test_legacy_origins_in_pixels(tmp_path: Path) -> None:
    head = "data_\nloop_\n_rlnImageName\n_rlnOriginX\n_rlnOriginY\n"
    path = tmp_path / "old.star"
    path.write_text(head + "_rlnMagnification\n_rlnDetectorPixelSize\n1@a.mrcs 2 -3 40000 5\n")
    table = read_relion(path)
    assert table["pixel_size_A"][0] == 1.25
    assert (table["origin_x_A"][0], table["origin_y_A"][0]) == (2.5, -3.75)
    path.write_text(head + "1@a.mrcs 2 -3\n")
    with pytest.raises(FormatError, match="no pixel size"):
        read_relion(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("data_particles\nloop_\n_rlnImageName\n_rlnDefocusU\n1@a nan\n", "line 5: _rlnDefocusU is nan"),
        ("data_particles\nloop_\n_rlnImageName\n_rlnDefocusU\n1@a x\n", "line 5: 'x' in column _rlnDefocusU"),
        ("data_particles\nloop_\n_rlnImageName\n_rlnClassNumber\n1@a 99999999999\n", "too large"),
        ("data_particles\nloop_\n_rlnFoo\n1\n", "no table of particles"),
        (
            "data_optics\nloop_\n_rlnOpticsGroup\n1\ndata_particles\nloop_\n_rlnImageName\n_rlnOpticsGroup\n1@a 2\n",
            "there is no optics group 2",
        ),
        (
            "data_optics\nloop_\n_rlnOpticsGroup\n_rlnImageSize\n1 abc\ndata_particles\nloop_\n_rlnImageName\n1@a\n",
            "optics group 1 is damaged",
        ),
        ("data_\nloop_\n_rlnImageName\n_rlnMagnification\n_rlnDetectorPixelSize\n1@a 0 5\n", "not positive"),
    ],
)
def test_bad_relion_files(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "b.star").write_text(text)
    with pytest.raises(FormatError, match=problem):
        read_particles(tmp_path / "b.star")


@pytest.mark.parametrize("name", STAR_FILES)
def test_real_star_files_convert_and_come_back(real_data: Path, tmp_path: Path, name: str) -> None:
    table = read_particles(real_data / f"{name}.star")
    assert len(table)
    write_particles(table, tmp_path / "r.star")
    assert differing(table, read_particles(tmp_path / "r.star")) == []
    write_particles(table, tmp_path / "c.star", "cistem")
    assert differing(table, read_particles(tmp_path / "c.star"), rtol=1e-15) == []
    write_particles(table, tmp_path / "t.cs")
    assert differing(table, read_particles(tmp_path / "t.cs"), rtol=1e-4) == []


@pytest.mark.parametrize("name", ["cryosparc_J2_particles_exported", "empiar_10076_7", "4k_dataset"])
def test_real_cs_files_come_back_field_by_field(real_data: Path, tmp_path: Path, name: str) -> None:
    path = real_data / "formats" / "cs" / f"{name}.cs"
    given = np.load(path, allow_pickle=False, max_header_size=100_000)
    write_particles(read_particles(path), tmp_path / "r.star")
    write_particles(read_particles(tmp_path / "r.star"), tmp_path / "t.cs")
    again = np.load(tmp_path / "t.cs", allow_pickle=False, max_header_size=100_000)
    assert len(given) == len(again)
    for field in given.dtype.names or ():
        if len(given):
            assert np.array_equal(given[field], again[field]), field


def test_real_particles_are_the_same_from_star_and_cs(real_data: Path) -> None:
    star = read_particles(real_data / "particles" / "empiar_10076_7.star")
    cs = read_particles(real_data / "formats" / "cs" / "empiar_10076_7.cs")
    assert star.names_of("image_name") == cs.names_of("image_name")
    assert star["image_section"].tolist() == cs["image_section"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    numbers = [name for name in star.columns if name in cs and not star.is_text(name)]
    assert [name for name in numbers if not np.allclose(star[name], cs[name], rtol=2e-7)] == []
    assert cs["defocus_u_A"].min() > 15000
    assert cs["pixel_size_A"] == pytest.approx(1.31, abs=1e-4)


def test_passthrough_is_joined_on_uid(tmp_path: Path) -> None:
    main = np.array([(30, 1.5), (10, 2.5)], dtype=[("uid", "u8"), ("blob/psize_A", "f4")])
    fields = [("uid", "u8"), ("ctf/df1_A", "f4"), ("blob/psize_A", "f4")]
    other = np.array([(10, 1e4, 9.0), (20, 2e4, 9.0), (30, 3e4, 9.0)], dtype=fields)
    for name, array in (("a.cs", main), ("b.cs", other), ("c.cs", other[:2])):
        with (tmp_path / name).open("wb") as file:
            np.save(file, array)
    table = read_particles(tmp_path / "a.cs", [tmp_path / "b.cs"])
    assert table["defocus_u_A"].tolist() == [3e4, 1e4]
    assert table["pixel_size_A"].tolist() == [1.5, 2.5]
    with pytest.raises(FormatError, match=r"c\.cs: 1 of the 2 particles"):
        read_particles(tmp_path / "a.cs", [tmp_path / "c.cs"])


def test_cryosparc_geometry_and_numbering(tmp_path: Path) -> None:
    dtype = [
        *(
            ("uid", "u8"),
            ("alignments3D/pose", "f4", 3),
            ("alignments3D/shift", "f4", 2),
            ("alignments3D/psize_A", "f4"),
        ),
        *(
            ("alignments3D/split", "u4"),
            ("location/micrograph_shape", "u4", 2),
            ("blob/path", "S9"),
            ("blob/idx", "u4"),
        ),
        *(("location/center_x_frac", "f4"), ("location/center_y_frac", "f4"), ("ctf/exp_group_id", "u4")),
    ]
    rows = [
        (1, (0, 0, np.pi / 6), (2, -3), 1.5, 0, (3000, 4000), b">J1/a.mrc", 0, 0.25, 0.5, 23),
        (2, (0, np.pi / 2, 0), (0, 0), 1.5, 1, (3000, 4000), b">J1/a.mrc", 1, 0.25, 0.5, 40),
    ]
    with (tmp_path / "a.cs").open("wb") as file:
        np.save(file, np.array(rows, dtype=dtype))
    table = read_particles(tmp_path / "a.cs")
    assert table["psi_deg"][0] == pytest.approx(30, abs=1e-4)
    assert table["tilt_deg"].tolist() == pytest.approx([0, 90], abs=1e-4)
    assert (table["origin_x_A"][0], table["origin_y_A"][0]) == (3.0, -4.5)
    assert (table["coordinate_x_px"][0], table["coordinate_y_px"][0]) == (1000, 1500)
    assert table["half_set"].tolist() == [1, 2]
    assert table["image_section"].tolist() == [1, 2]
    assert table["optics_group"].tolist() == [1, 2]
    assert table.names_of("image_name") == ["J1/a.mrc"] * 2


def relion_matrix(rot: float, tilt: float, psi: float) -> np.ndarray:
    """Return RELION's rotation matrix as its documentation writes it out."""
    (ca, cb, cg), (sa, sb, sg) = np.cos([rot, tilt, psi]), np.sin([rot, tilt, psi])
    return np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )


def test_rotation_vectors_are_the_transpose_of_relions_matrix(rng: np.random.Generator) -> None:
    angles = np.concatenate([rng.uniform(-400, 400, (300, 3)), [[10, 0, 20], [10, 180, 20], [0, 0, 0], [0, 0, 180]]])
    vectors = rotation_vectors_from_eulers(angles)
    again = eulers_from_rotation_vectors(vectors)
    for angle, vector, back in zip(angles, vectors, again):
        expected = relion_matrix(*np.deg2rad(angle))
        assert np.abs(Rotation.from_rotvec(vector).as_matrix().T - expected).max() < 1e-12
        assert np.abs(relion_matrix(*np.deg2rad(back)) - expected).max() < 1e-7


def test_radians_come_back_exactly(rng: np.random.Generator) -> None:
    radians = np.round(rng.uniform(-4, 4, 20000), 6)
    assert np.array_equal(to_radians(to_degrees(radians)), radians)


def test_par_of_16_columns_and_what_does_not_fit(tmp_path: Path) -> None:
    table = full_table(5)
    with pytest.raises(InputError, match="phase shifts"):
        write_par(table, tmp_path / "o.par", columns=16)
    table["phase_shift_deg"] = 0
    write_par(table, tmp_path / "o.par", columns=16)
    again = read_par(tmp_path / "o.par")
    assert np.allclose(again["sigma"], table["sigma"], atol=6e-5)
    assert again["micrograph"].tolist() == [-1] * 5
    table["defocus_u_A"][3] = 1e9
    with pytest.raises(InputError, match="Particle 4: a value is too large"):
        write_par(table, tmp_path / "p.par")
    assert not (tmp_path / "p.par").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no particles"),
        ("C only a comment\n", "no particles"),
        (PAR_LINES[:300], "line 3"),
        (PAR_LINES.replace("39.40", "nan  "), "not finite"),
        (PAR_LINES.replace("39.40", "abcde"), "no number"),
        (PAR_LINES.replace("    0.60", "", 1), "line 3: 17 columns"),
    ],
)
def test_bad_par_files(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "b.par").write_text(text)
    with pytest.raises(FormatError, match=problem):
        read_par(tmp_path / "b.par")


def mutate(content: bytes, rng: np.random.Generator, reach: int) -> bytes:
    raw = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        raw[int(rng.integers(0, min(reach, len(raw))))] = int(rng.integers(0, 256))
    return bytes(raw[: int(rng.integers(0, len(raw)))]) if rng.random() < 0.2 else bytes(raw)


@pytest.mark.parametrize(
    ("ending", "to"), [(".star", "relion"), (".star", "cistem"), (".cistem", ""), (".cs", ""), (".par", "")]
)
def test_a_thousand_mutations_give_a_table_or_a_clear_error(
    tmp_path: Path, rng: np.random.Generator, ending: str, to: str
) -> None:
    table = full_table(6)
    good = tmp_path / f"good{ending}"
    write_particles(table, good, to)
    content = good.read_bytes()
    bad = tmp_path / f"bad{ending}"
    refused = 0
    for _ in range(1000):
        bad.write_bytes(mutate(content, rng, 1500))
        try:
            assert len(read_particles(bad)) <= 1000
        except FormatError as error:
            refused += 1
            assert f"bad{ending}" in str(error)
    assert refused > 50


def test_absurd_counts_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.cistem"
    path.write_bytes(b"\x01\x00\x00\x00\xff\xff\xff\x7f" + (1).to_bytes(8, "little") + b"\x09")
    with pytest.raises(FormatError, match="2147483647 rows"):
        read_particles(path)
    cs = tmp_path / "a.cs"
    with cs.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": [("uid", "<u8")], "fortran_order": False, "shape": (10**14,)}
        )
    with pytest.raises(FormatError, match="announces 100000000000000"):
        read_particles(cs)


class Trap:
    """What a pickle could run."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return exec, ("raise SystemExit('a pickle ran')",)


def test_a_pickle_in_a_cs_file_is_not_run(tmp_path: Path) -> None:
    with (tmp_path / "trap.cs").open("wb") as file:
        np.save(file, np.array([(1, Trap())], dtype=[("uid", "u8"), ("x", "O")]), allow_pickle=True)
    with pytest.raises(FormatError, match="pickled Python objects"):
        read_particles(tmp_path / "trap.cs")


@given(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), st.floats(0.1, 10), st.integers(-(10**12), 10**12))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_relion_and_cistem_stars_agree_for_any_values(
    tmp_path: Path, values: list[float], pixel: float, billionths: int
) -> None:
    table = ParticleTable.empty(3, {"rot_deg": values, "origin_x_A": values, "defocus_u_A": values})
    x = billionths * 1e-9
    table["pixel_size_A"], table["phase_shift_deg"], table["coordinate_x_px"] = pixel, x, x
    for to in ("relion", "cistem"):
        write_particles(table, tmp_path / "t.star", to)
        assert differing(table, read_particles(tmp_path / "t.star"), rtol=1e-14) == []


def test_convert_command(tmp_path: Path) -> None:
    (tmp_path / "in.par").write_text(PAR_LINES)
    runner = CliRunner()
    done = runner.invoke(
        cli, ["convert", str(tmp_path / "in.par"), str(tmp_path / "o.star"), "--to", "cistem", "--json"]
    )
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    assert (said["to"], said["particles"]) == ("cistem", 10)
    assert "degrees" in said["notes"][0]
    assert "_cisTEMAnglePsi" in (tmp_path / "o.star").read_text()
    done = runner.invoke(cli, ["convert", str(tmp_path / "o.star"), str(tmp_path / "r.star")])
    assert done.exit_code == 0
    assert "_rlnAnglePsi" in (tmp_path / "r.star").read_text()
    done = runner.invoke(cli, ["convert", str(tmp_path / "o.star"), str(tmp_path / "r.par"), "--to", "relion"])
    assert isinstance(done.exception, InputError)
