"""Importing other programs' particles: one stack stays, several become one, what does not fit is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from verglas.errors import InputError
from verglas.formats import ParticleTable, read_stack, write_mrc, write_particles
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles
from verglas.stages.extraction import assign_half_sets

OPTICS = {"pixel_size_A": 1.5, "voltage_kV": 300.0, "spherical_aberration_mm": 2.7, "amplitude_contrast": 0.07}


@pytest.fixture
def stacks(tmp_path, rng):
    (tmp_path / "Extract").mkdir()
    images = {name: rng.standard_normal((6, 16, 16)).astype(np.float32) for name in ("a", "b")}
    for name, stack in images.items():
        write_mrc(tmp_path / "Extract" / f"{name}.mrcs", stack, 1.5)
    return images


def table_of(names, sections, **columns):
    table = ParticleTable.empty(len(names), {**OPTICS, "defocus_u_A": 12000.0, "defocus_v_A": 11000.0, **columns})
    table.set_names("image_name", [f"Extract/{name}.mrcs" for name in names])
    table.set_names("micrograph", [f"mic_{name}.mrc" for name in names])
    table["image_section"] = sections
    return table


def test_one_stack_stays_where_it_is(tmp_path, stacks):
    table = table_of(["a"] * 3, [5, 1, 3], psi_deg=[10.0, 20.0, 30.0], half_set=[2, 1, 2])
    write_particles(table, tmp_path / "run_data.star")
    with Project.create(tmp_path / "p") as project:
        fields = ParticleFields(symmetry="O", mass_kDa=440.0, largest_dimension_A=130.0, white_protein=True)
        report = import_particles(project, tmp_path / "run_data.star", fields)
        assert report.warnings == [] and report.imported == [{"id": 1, "name": "run_data"}]
        (package,) = project.assets("package")
        assert package["path"] == str(tmp_path / "Extract" / "a.mrcs")
        wanted = {"count": 3, "box_px": 16, "pixel_size_A": 1.5, "symmetry": "O", "contrast_inverted": True,
                  "start": "Imported Parameters", "largest_dimension_A": 130.0}  # fmt: skip
        assert {name: package[name] for name in wanted} == wanted
        kept = ParticleTable.load(project.folder / package["particles_path"])
        assert kept["image_section"].tolist() == [5, 1, 3] and kept["psi_deg"].tolist() == [10, 20, 30]
        assert kept["half_set"].tolist() == [2, 1, 2]
        live = project.dump()
        project.rebuild()
        assert project.dump() == live


def test_several_stacks_become_one(tmp_path, stacks):
    write_particles(table_of(["a", "b", "a"], [2, 6, 1]), tmp_path / "run_data.star")
    with Project.create(tmp_path / "p") as project:
        report = import_particles(
            project, tmp_path / "run_data.star", ParticleFields(name="both"), half_sets=assign_half_sets
        )
        assert len(report.warnings) == 2 and "half sets" in report.warnings[0] and "dark" in report.warnings[1]
        package = project.asset("package", "both")
        assert package["path"].startswith("Assets/ParticleStacks/imported_stack_")
        joined, pixel_A = read_stack(project.folder / package["path"])
        assert np.array_equal(joined, np.stack([stacks["a"][1], stacks["b"][5], stacks["a"][0]]))
        assert pixel_A == pytest.approx(1.5)
        table = ParticleTable.load(project.folder / package["particles_path"])
        assert table["image_section"].tolist() == [1, 2, 3]
        assert set(table.names_of("image_name")) == {package["path"]}
        assert (project.folder / package["star_path"]).is_file()


def test_par_files_need_their_stack_and_figures(tmp_path, stacks):
    table = table_of(["a"] * 6, [1, 2, 3, 4, 5, 6], rot_deg=np.arange(6.0))
    write_particles(table, tmp_path / "p.par")
    stack = str(tmp_path / "Extract" / "a.mrcs")
    known = {"pixel_size_A": 2.0, "voltage_kV": 200.0, "cs_mm": 2.0, "amplitude_contrast": 0.1}
    with Project.create(tmp_path / "p") as project:
        with pytest.raises(InputError, match="--stack"):
            import_particles(project, tmp_path / "p.par", ParticleFields(**known))
        with pytest.raises(InputError, match=r"voltage is not known.*--voltage"):
            import_particles(project, tmp_path / "p.par", ParticleFields(stack=stack, pixel_size_A=2.0))
        import_particles(project, tmp_path / "p.par", ParticleFields(stack=stack, **known))
        (package,) = project.assets("package")
        kept = ParticleTable.load(project.folder / package["particles_path"])
        assert kept["image_section"].tolist() == [1, 2, 3, 4, 5, 6]
        np.testing.assert_allclose(kept["rot_deg"], np.arange(6.0), atol=0.01)
        assert set(kept["voltage_kV"].tolist()) == {200.0} and package["pixel_size_A"] == 2.0


def test_what_does_not_belong_together_is_refused(tmp_path, stacks, rng):
    with Project.create(tmp_path / "p") as project:
        for names, sections, said in ((["a"], [7], "which has 6"), (["c"], [1], "is not there")):
            write_particles(table_of(names, sections), tmp_path / "x.star")
            with pytest.raises(InputError, match=said):
                import_particles(project, tmp_path / "x.star", ParticleFields())
        write_mrc(tmp_path / "Extract" / "a.mrcs", rng.standard_normal((3, 16, 18)).astype(np.float32), 1.5)
        write_particles(table_of(["a"], [1]), tmp_path / "x.star")
        with pytest.raises(InputError, match="square"):
            import_particles(project, tmp_path / "x.star", ParticleFields())
        assert project.assets("package") == [] and not list((project.folder / "Scratch").iterdir())


def test_real_relion_particles_by_the_command(tmp_path, real_data):
    folder = tmp_path / "p"
    Project.create(folder).close()
    command = [sys.executable, "-m", "verglas", "import", "particles",
               str(real_data / "particles" / "empiar_10076_7.star"), "--project", str(folder), "--json",
               "--dark-protein"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["imported"] == 1
    with Project.open(folder) as project:
        (package,) = project.assets("package")
        assert (package["count"], package["box_px"]) == (7, 320)
        assert package["pixel_size_A"] == pytest.approx(1.31, abs=0.001)
        assert package["path"].endswith("empiar_10076_7.mrc")


def test_copies_of_an_image_stay_together_or_it_is_said(tmp_path, stacks):
    """A table expanded by symmetry elsewhere: every image twice."""
    names, sections = ["a"] * 12, np.repeat(np.arange(1, 7), 2)
    with Project.create(tmp_path / "p") as project:
        write_particles(table_of(names, sections), tmp_path / "run_data.star")
        import_particles(project, tmp_path / "run_data.star", ParticleFields(name="n"), half_sets=assign_half_sets)
        table = ParticleTable.load(project.folder / project.asset("package", "n")["particles_path"])
        assert table["half_set"].tolist() == [1, 1, 2, 2] * 3
        split = table_of(names, sections, half_set=[1, 2] * 6)
        write_particles(split, tmp_path / "split_data.star")
        report = import_particles(project, tmp_path / "split_data.star", ParticleFields(), half_sets=assign_half_sets)
        assert any("6 images stand in both half sets" in text for text in report.warnings)
