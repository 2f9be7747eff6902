"""Packages written for other programs read back as they were, with the contrast that each program wants."""

from __future__ import annotations

import numpy as np
import pytest

from tests.actions.test_package_from_package import ONE, add_refinement
from tests.support.picked_projects import picked_project
from verglas.actions import project_run
from verglas.errors import InputError
from verglas.formats import ParticleTable, read_particles, read_stack
from verglas.project.export_particles import export_package


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    """A project with a package of dark protein and a refinement of two classes."""
    folder = tmp_path_factory.mktemp("export")
    project, _ = picked_project(folder)
    with project:
        project_run(project, "create-package", largest_dimension_A=130.0, box_size=96, **ONE)
        add_refinement(project, 1, np.tile([[80.0, 20.0], [30.0, 70.0]], (12, 1)))
        yield project


@pytest.mark.parametrize("program", ["relion", "cistem", "frealign", "cryosparc"])
def test_what_is_written_reads_back(packaged, tmp_path, program) -> None:
    record = packaged.asset("package", 1)
    before = ParticleTable.load(packaged.folder / record["particles_path"])
    images, _ = read_stack(packaged.folder / record["path"])
    made = export_package(packaged, 1, tmp_path / "out", program)
    written, pixel_A = read_stack(made.stack)
    assert made.inverted == (program == "relion") and pixel_A == pytest.approx(2.5)
    np.testing.assert_array_equal(written, -images if made.inverted else images)
    table = read_particles(made.tables[0])
    for column in ("psi_deg", "origin_x_A", "defocus_u_A", "defocus_angle_deg"):
        np.testing.assert_allclose(np.mod(table[column], 360), np.mod(before[column], 360), atol=0.06, err_msg=column)
    if program != "frealign":
        assert {name.rsplit("/")[-1] for name in table.names_of("image_name")} == {made.stack.name}
    with pytest.raises(InputError, match="there already"):
        export_package(packaged, 1, tmp_path / "out", program)


def test_classes_are_files_of_their_own_or_each_particle_has_its_best(packaged, tmp_path) -> None:
    apart = export_package(packaged, 1, tmp_path / "f", "frealign", refinement=1, link=True)
    assert [path.name for path in apart.tables] == ["particles_1.par", "particles_2.par"] and apart.linked
    second = read_particles(apart.tables[1])
    assert set(second["psi_deg"]) == {20.0} and set(second["occupancy"]) == {20.0, 70.0}
    images, _ = read_stack(apart.stack)
    assert len(images) == 24
    best = read_particles(export_package(packaged, 1, tmp_path / "r", "relion", refinement=1).tables[0])
    assert best["psi_deg"].tolist() == [10.0, 20.0] * 12 and best["class_number"].tolist() == [1, 2] * 12
    second = export_package(packaged, 1, tmp_path / "s", "relion", refinement=1, class_number=2)
    assert set(read_particles(second.tables[0])["psi_deg"]) == {20.0}
    with pytest.raises(InputError, match="classes 1 to 2"):
        export_package(packaged, 1, tmp_path / "x", "relion", refinement=1, class_number=3)
    with pytest.raises(InputError, match="not for"):
        export_package(packaged, 1, tmp_path / "x", "eman")
