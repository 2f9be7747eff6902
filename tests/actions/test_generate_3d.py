"""Generate 3D: the map of a package is the truth, a volume with halves; what is not fit is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.actions import project_run
from verglas.actions.generate_3d import Generate3D
from verglas.errors import InputError
from verglas.formats import write_particles
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles
from verglas.signal import fourier_shell_correlation

BOX, PIXEL_A = 32, 3.0


def test_a_package_becomes_a_volume(tmp_path):
    table, truth = make_particles(tmp_path, 150, BOX, PIXEL_A, symmetry="D2", noise=0.5)
    write_particles(table, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as project:
        fields = ParticleFields(symmetry="D2", largest_dimension_A=55.0, mass_kDa=40.0, white_protein=False)
        import_particles(project, tmp_path / "particles.star", fields)
        run = project_run(project, "generate-3d", workers=1, threads=1)
        assert not run.failures
        (volume,) = project.assets("volume")
        assert volume["name"] == "Generated from #1 - Class #1"
        assert (volume["n_x"], volume["pixel_size_A"]) == (BOX, pytest.approx(PIXEL_A))
        assert volume["path"] == "Assets/Volumes/generate3d_volume_1_1.mrc"
        found, pixel_size_A = read_mrc_volume(project.folder / volume["path"])
        assert pixel_size_A == pytest.approx(PIXEL_A)
        assert fourier_shell_correlation(found, truth, PIXEL_A).fsc[1:13].min() > 0.97
        halves = [read_mrc_volume(project.folder / volume[f"half_map_{n}_path"])[0] for n in (1, 2)]
        assert 0.5 < np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1] < 0.9999
        curves = json.loads((project.folder / "Assets/Volumes/generate3d_volume_1_1.json").read_text())
        assert min(curves["part_fsc"][1:12]) > 0.9
        assert (project.folder / "Assets/Volumes/OrthViews/generate3d_volume_1_1.png").stat().st_size > 5000
        live = project.dump()
        project.rebuild()
        assert project.dump() == live

        again = project_run(
            project, "generate-3d", symmetry="C1", ewald_sphere="correct", oversampling=1, mask_radius_A=40.0,
            score_weight_A2=0.0, workers=1, threads=1,
        )  # fmt: skip
        assert not again.failures
        assert len(project.assets("volume")) == 2


def test_what_is_needed_is_stated_and_what_is_not_fit_refused():
    package = {"id": 1, "name": "a", "box_px": 256, "count": 25_000, "symmetry": "D7"}
    action = Generate3D()
    stated = action.estimate(Generate3D.Parameters(), {"packages": [package]})
    assert stated.tasks == 3
    assert 2e9 < stated.memory_bytes < 8e9
    coarse = action.estimate(Generate3D.Parameters(oversampling=1), {"packages": [package]})
    assert coarse.memory_bytes < stated.memory_bytes
    with pytest.raises(InputError, match="no point group"):
        action.estimate(Generate3D.Parameters(symmetry="Q5"), {"packages": [package]})
    with pytest.raises(InputError, match="create-package"):
        action.estimate(Generate3D.Parameters(), {"packages": []})
