"""Generate 3D: the map of a package is the truth, a volume with halves; what is not fit is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.actions.test_refinement_results import recorded_round
from tests.engine.particles import make_particles
from verglas.actions import project_run
from verglas.actions.generate_3d import Generate3D
from verglas.engine.reconstruct_particles import adjusted_scores
from verglas.errors import InputError
from verglas.formats import read_image, read_statistics, write_mrc, write_particles
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.project.import_others import import_volumes
from verglas.project.import_particles import ParticleFields, import_particles
from verglas.signal import fourier_shell_correlation, sphere_mask

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
        assert volume["name"] == "Generated from Package #1 - Class #1"
        assert (volume["n_x"], volume["pixel_size_A"]) == (BOX, pytest.approx(PIXEL_A))
        assert volume["path"] == "Assets/Volumes/generate3d_volume_1_package_1_1.mrc"
        found, pixel_size_A = read_mrc_volume(project.folder / volume["path"])
        assert pixel_size_A == pytest.approx(PIXEL_A)
        assert fourier_shell_correlation(found, truth, PIXEL_A).fsc[1:13].min() > 0.97
        halves = [read_mrc_volume(project.folder / volume[f"half_map_{n}_path"])[0] for n in (1, 2)]
        assert 0.5 < np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1] < 0.9999
        curves = json.loads((project.folder / "Assets/Volumes/generate3d_volume_1_package_1_1.json").read_text())
        assert min(curves["part_fsc"][1:12]) > 0.9
        assert (project.folder / "Assets/Volumes/OrthViews/generate3d_volume_1_package_1_1.png").stat().st_size > 5000
        live = project.dump()
        project.rebuild()
        assert project.dump() == live

        again = project_run(
            project, "generate-3d", symmetry="C1", ewald_sphere="correct", oversampling=1, mask_radius_A=40.0,
            score_weight_A2=0.0, workers=1, threads=1,
        )  # fmt: skip
        assert not again.failures
        assert len(project.assets("volume")) == 2


def test_a_refinement_becomes_a_volume_for_each_class(tmp_path):
    table, truth = make_particles(tmp_path, 80, 24, PIXEL_A, symmetry="D2", noise=0.5)
    write_particles(table, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as project:
        fields = ParticleFields(symmetry="D2", largest_dimension_A=45.0, mass_kDa=20.0, white_protein=False)
        import_particles(project, tmp_path / "particles.star", fields)
        recorded_round(project, project.asset("package", 1), 2, final=False)
        project.take_in()
        before = len(project.assets("volume"))
        write_mrc(tmp_path / "mask.mrc", sphere_mask((24,) * 3, 25.0, PIXEL_A, edge_A=9.0), PIXEL_A)
        import_volumes(project, [str(tmp_path / "mask.mrc")])
        run = project_run(project, "generate-3d", refinements=[1], mask=[before + 1], workers=1, threads=1)
        assert not run.failures
        made = project.assets("volume")[before + 1 :]
        assert [one["name"] for one in made] == [f"Generated from #1 - Class #{n}" for n in (1, 2)]
        assert made[1]["path"] == "Assets/Volumes/generate3d_volume_2_1_2.mrc"
        assert (made[0]["symmetry"], made[0]["package"], made[0]["mass_kDa"]) == ("D2", 1, 20.0)
        views, _ = read_image(project.folder / "Assets/Volumes/OrthViews/generate3d_volume_2_1_2.mrc")
        assert views.shape == (48, 72)
        shells = read_statistics(project.folder / "Assets/Volumes/generate3d_volume_2_1_1_statistics.txt")
        assert shells.resolution_A[0] == pytest.approx(24 * PIXEL_A)
        assert shells.fsc[:6].min() > 0.8
        found, _ = read_mrc_volume(project.folder / made[0]["path"])
        assert fourier_shell_correlation(found, truth, PIXEL_A).fsc[1:9].min() > 0.9


def test_scores_lose_their_trend_over_defocus(tmp_path):
    table, _ = make_particles(tmp_path, 60, 16, PIXEL_A)
    random = np.random.Generator(np.random.Philox(1))
    own = random.standard_normal(60)
    table["score"] = 20.0 + own + 1e-3 * table["defocus_u_A"]
    adjusted = adjusted_scores(table)
    assert np.corrcoef(adjusted, own)[0, 1] > 0.9 > np.corrcoef(table["score"], own)[0, 1]
    assert adjusted.mean() == pytest.approx(float(table["score"].mean()), rel=1e-4)


def test_what_is_needed_is_stated_and_what_is_not_fit_refused():
    package = {"id": 1, "name": "a", "box_px": 256, "count": 25_000, "symmetry": "D7", "particles_path": "a.npy"}
    action = Generate3D()
    stated = action.estimate(Generate3D.Parameters(), {"packages": [package]})
    assert stated.tasks == 3
    assert 2e9 < stated.memory_bytes < 8e9
    coarse = action.estimate(Generate3D.Parameters(oversampling=1), {"packages": [package]})
    assert coarse.memory_bytes < stated.memory_bytes
    with pytest.raises(InputError, match="no point group"):
        action.estimate(Generate3D.Parameters(symmetry="Q5"), {"packages": [package]})
    refinement = {"id": 2, "name": "Auto #1", "package": 9, "symmetry": "C1", "details": []}
    with pytest.raises(InputError, match="package 9"):
        action.estimate(Generate3D.Parameters(), {"packages": [package], "refinements": [refinement]})
    with pytest.raises(InputError, match="create-package"):
        action.estimate(Generate3D.Parameters(), {"packages": []})
