"""Imports: headers and references are checked, values carry their source, bad files do not stop good ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from verglas.errors import InputError
from verglas.formats.mrc import write_mrc
from verglas.project import Project
from verglas.project.import_coordinates import import_coordinates
from verglas.project.import_movies import MovieFields, import_movies
from verglas.project.import_others import import_micrographs, import_models, import_volumes
from verglas.project.moving import relink

ALL = MovieFields(pixel_size_A=1.1, voltage_kV=300.0, cs_mm=2.7, dose_per_frame_e_A2=1.5)


def write_movie(path: Path, shape: tuple[int, int, int] = (4, 24, 32), pixel_size_A: float = 1.1) -> Path:
    write_mrc(path, np.ones(shape, dtype=np.float32), pixel_size_A=pixel_size_A)
    return path


def test_movies_with_all_fields(project: Project, tmp_path: Path) -> None:
    for number in range(3):
        write_movie(tmp_path / f"m{number}.mrc")
    (tmp_path / "broken.mrc").write_bytes(b"no header at all")
    write_movie(tmp_path / "small.mrc", (4, 12, 32))
    gain = write_movie(tmp_path / "gain.mrc", (1, 24, 32))
    fields = MovieFields(
        voltage_kV=300.0, cs_mm=2.7, dose_per_frame_e_A2=1.5, gain=str(gain), output_pixel_size_A=2.2,
        mag_distortion_angle_deg=10.0, mag_distortion_major=1.01, mag_distortion_minor=0.99, protein_is_white=True,
    )  # fmt: skip
    report = import_movies(project, [str(tmp_path / "[mbs]*.mrc")], fields)
    assert [asset["name"] for asset in report.imported] == ["m0", "m1", "m2"]
    assert sorted(Path(name).name for name in report.problems) == ["broken.mrc", "small.mrc"]
    assert "32 x 12" in report.problems[str(tmp_path / "small.mrc")]
    movie = project.asset("movie", "m0")
    assert (movie["n_x"], movie["n_y"], movie["n_frames"]) == (32, 24, 4)
    assert movie["pixel_size_A"] == pytest.approx(1.1) and movie["output_binning"] == pytest.approx(2.0)
    assert movie["sources"] | {"pixel_size_A": "header", "voltage_kV": "user"} == movie["sources"]
    assert (movie["gain_path"], movie["protein_is_white"]) == (str(gain), True)

    again = import_movies(project, [str(tmp_path / "m?.mrc")], fields)
    assert (len(again.imported), len(again.skipped)) == (0, 3)
    folder = import_movies(project, [str(tmp_path)], fields)
    assert (len(folder.imported), len(folder.skipped)) == (0, 3) and "gain reference" in folder.warnings[-1]


def test_values_are_remembered_and_say_so(project: Project, tmp_path: Path) -> None:
    write_movie(tmp_path / "a.mrc")
    with pytest.raises(InputError, match="no such file"):
        import_movies(project, [str(tmp_path / "nothing*")], ALL)
    report = import_movies(project, [str(tmp_path / "a.mrc")], MovieFields(cs_mm=2.7, dose_per_frame_e_A2=1.0))
    assert "--voltage" in report.problems[str(tmp_path / "a.mrc")]
    import_movies(project, [str(tmp_path / "a.mrc")], ALL)
    write_movie(tmp_path / "b.mrc", pixel_size_A=0.5)
    import_movies(project, [str(tmp_path / "b.mrc")], MovieFields())
    movie = project.asset("movie", "b")
    assert (movie["voltage_kV"], movie["pixel_size_A"]) == (300.0, pytest.approx(0.5))
    assert movie["sources"]["voltage_kV"] == "remembered" and movie["sources"]["pixel_size_A"] == "header"
    write_movie(tmp_path / "c.mrc", pixel_size_A=0.5)
    warned = import_movies(project, [str(tmp_path / "c.mrc")], ALL)
    assert project.asset("movie", "c")["pixel_size_A"] == 1.1 and "header says 0.5" in warned.warnings[0]


def test_nonsense_is_refused(project: Project, tmp_path: Path) -> None:
    write_movie(tmp_path / "a.mrc")
    for fields, words in (
        (MovieFields(eer_super_resolution=3), "1, 2 or 4"),
        (MovieFields(mag_distortion_major=1.01), "all three"),
    ):
        with pytest.raises(InputError, match=words):
            import_movies(project, [str(tmp_path / "a.mrc")], fields)
    finer = MovieFields(voltage_kV=300.0, cs_mm=2.7, dose_per_frame_e_A2=1.0, output_pixel_size_A=0.5)
    report = import_movies(project, [str(tmp_path / "a.mrc")], finer)
    assert "only made coarser" in report.problems[str(tmp_path / "a.mrc")] and project.count("movie") == 0


def test_micrographs_and_volumes(project: Project, tmp_path: Path) -> None:
    write_movie(tmp_path / "micrograph.mrc", (1, 24, 32), 1.5)
    write_movie(tmp_path / "movie.mrc")
    report = import_micrographs(project, [str(tmp_path)], voltage_kV=200.0, cs_mm=0.001)
    assert [asset["name"] for asset in report.imported] == ["micrograph"]
    assert "4 sections" in report.problems[str(tmp_path / "movie.mrc")]
    assert project.asset("image", 1)["pixel_size_A"] == pytest.approx(1.5)
    write_mrc(tmp_path / "map.mrc", np.zeros((20, 20, 20), dtype=np.float32), pixel_size_A=2.0)
    import_volumes(project, [str(tmp_path / "map.mrc")], pixel_size_A=2.5)
    volume = project.asset("volume", "map")
    assert (volume["n_z"], volume["pixel_size_A"], volume["sources"]) == (20, 2.5, {"pixel_size_A": "user"})


def test_models(project: Project, real_data: Path) -> None:
    model = next(path for path in sorted((real_data / "models").rglob("*")) if "5ni1" in path.name.lower())
    report = import_models(project, [str(model)])
    assert not report.problems
    found = project.asset("model", 1)
    assert 55 < found["mass_kDa"] < 70, "haemoglobin with its haems weighs some 64 kDa"
    assert 4000 < found["n_atoms"] < 10000 and 40 < found["size_x_A"] < 90


def test_relink_checks_what_it_finds(project: Project, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    for name in "abc":
        write_movie(old / f"{name}.mrc")
    import_movies(project, [str(old)], ALL)
    old.rename(new)
    (new / "b.mrc").unlink()
    write_movie(new / "c.mrc", (4, 32, 24))
    report = relink(project, str(old), str(new))
    assert report.changed == [str(new / "a.mrc")] and report.missing == [str(new / "b.mrc")]
    assert "24 x 32" in report.different[str(new / "c.mrc")]
    assert [movie["path"] for movie in project.assets("movie")] == [
        str(new / "a.mrc"),
        str(old / "b.mrc"),
        str(old / "c.mrc"),
    ]


MDOC = """\
T = SerialEM: Digitized on Titan

[FrameSet = 0]
PixelSpacing = 2.5
Voltage = 200
ExposureDose = 40
TiltAngle = 0.01
StagePosition = 12.5 -3.25
"""


def test_values_come_from_the_mdoc_when_nothing_better_is_there(project: Project, tmp_path: Path) -> None:
    write_movie(tmp_path / "a.mrc", pixel_size_A=1.25)
    (tmp_path / "a.mrc.mdoc").write_text(MDOC)
    report = import_movies(project, [str(tmp_path / "a.mrc")], MovieFields(cs_mm=2.7))
    assert not report.problems
    movie = project.asset("movie", "a")
    assert (movie["voltage_kV"], movie["dose_per_frame_e_A2"], movie["pixel_size_A"]) == (200.0, 10.0, 1.25)
    assert movie["sources"] == {
        "pixel_size_A": "header", "voltage_kV": "mdoc", "cs_mm": "user", "dose_per_frame_e_A2": "mdoc",
    }  # fmt: skip
    assert movie["metadata"]["StagePosition"] == "12.5 -3.25"


def test_scaled_copies_show_the_same_picture(project: Project, tmp_path: Path) -> None:
    y, x = np.mgrid[:1500, :2400]
    image = np.exp(-(((x - 600) / 40.0) ** 2) - ((y - 900) / 40.0) ** 2).astype(np.float32)
    write_mrc(tmp_path / "big.mrc", image, pixel_size_A=1.0)
    write_movie(tmp_path / "small.mrc", (1, 24, 32), 1.0)
    report = import_micrographs(project, [str(tmp_path)], voltage_kV=300.0, cs_mm=2.7, scaled_copies=True)
    assert not report.problems
    assert project.asset("image", "small")["scaled_path"] is None
    from verglas.formats.images import read_header, read_image

    scaled = project.folder / project.asset("image", "big")["scaled_path"]
    header, (found, _) = read_header(scaled), read_image(scaled)
    assert found.shape == (750, 1200) and header.pixel_size_A == pytest.approx(2.0)
    peak = np.unravel_index(found.argmax(), found.shape)
    assert abs(peak[0] - 450) <= 1 and abs(peak[1] - 300) <= 1
    assert list(project.layout.scratch.iterdir()) == []


def test_coordinates(project: Project, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_movie(tmp_path / f"{name}.mrc", (1, 240, 320), 2.0)
    import_micrographs(project, [str(tmp_path)], voltage_kV=300.0, cs_mm=2.7)
    (tmp_path / "list.txt").write_text("# image x y\n1 10 20\none.mrc 30.5 40\ntwo 700 5\nthree 1 2\n1 a b\n")
    report = import_coordinates(project, [str(tmp_path / "list.txt")])
    assert len(report.problems) == 2 and "outside" in report.warnings[0]
    (first,) = project.assets("positions", name="one*")
    table = np.load(project.folder / first["path"])
    assert first["path"] == "Assets/ParticlePosition/one_COOS_1_0.npy" and first["count"] == 2
    np.testing.assert_allclose(table["x_A"], [10, 30.5])
    (tmp_path / "one_autopick.coord").write_text("100 50\n7 8\n9 9\n")
    (tmp_path / "unknown.coord").write_text("100 50\n")
    report = import_coordinates(project, [str(tmp_path / "one_autopick.coord"), str(tmp_path / "unknown.coord")])
    assert list(report.problems) == [str(tmp_path / "unknown.coord")]
    (again,) = project.assets("positions", name="one*")
    assert (again["id"], again["count"]) == (first["id"], 3), "the new set is the image's active one"
    np.testing.assert_allclose(np.load(project.folder / again["path"])["x_A"], [200, 14, 18])
    assert (project.folder / first["path"]).is_file(), "the earlier set stays"
