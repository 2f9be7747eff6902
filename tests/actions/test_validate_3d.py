"""Validate 3D: a report with a B-factor of particle numbers and views belongs to its volume."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.engine.particles import make_particles
from tests.support.recorded_refinements import record_start
from verglas.actions import prepare, project_run
from verglas.actions.validate_3d import Validate3D
from verglas.errors import InputError
from verglas.execution.job_folder import ProjectReference
from verglas.formats import write_particles
from verglas.geometry import euler_to_matrix, matrix_to_euler
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles

BOX, PIXEL_A = 32, 3.0
ANGLES = ("rot_deg", "tilt_deg", "psi_deg")


def test_a_volume_gets_a_report(tmp_path):
    table, _ = make_particles(tmp_path, 200, BOX, PIXEL_A, symmetry="D2", noise=3.0)
    write_particles(table, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as project:
        fields = ParticleFields(symmetry="D2", largest_dimension_A=60.0, mass_kDa=20.0, white_protein=False)
        import_particles(project, tmp_path / "particles.star", fields)
        project_run(project, "generate-3d", workers=1, threads=1)
        run = project_run(project, "validate-3d", volume=[1], package=[1], workers=1, threads=1)
        assert not run.failures
        assert len(project.assets("volume")) == 1
        page = (project.folder / "Assets/Volumes/validation_1_0.html").read_text()
        assert "Resolution of the halves" in page
        figures = json.loads((project.folder / "Assets/Volumes/validation_1_0.json").read_text())
        assert figures["reslog_particles"] == [200, 100, 50]
        assert figures["angular_efficiency"] > 0.85
        assert figures["hand"] == "undetermined"
        assert "undetermined" in figures["hand_by"]["Ewald sphere"]
        assert "the map may be the mirror image" in page
        live = project.dump()
        project.rebuild()
        assert project.dump() == live


def test_what_is_not_fit_is_refused():
    volume = {"id": 1, "name": "a", "n_x": 32, "n_y": 32, "n_z": 32, "pixel_size_A": 1.0, "half_map_1_path": None}
    action, defaults = Validate3D(), Validate3D.Parameters()
    with pytest.raises(InputError, match="no half maps"):
        action.estimate(defaults, {"volume": [volume]})
    halved, posed = {**volume, "half_map_1_path": "a", "half_map_2_path": "b"}, {"count": 9}
    tilted = {"tilted": [{"details": [{}]}]}
    with pytest.raises(InputError, match="two sides"):
        action.estimate(defaults, {"volume": [halved], **tilted})
    with pytest.raises(InputError, match="--tilt"):
        action.estimate(defaults, {"volume": [halved], "package": [posed], **tilted})
    with pytest.raises(InputError, match="one volume"):
        action.estimate(defaults, {"volume": [volume, volume]})


def test_a_tilt_pair_decides_the_hand(tmp_path):
    """Images of the tilted specimen are not needed: the poses of both sides are in their refinements."""
    table, _ = make_particles(tmp_path, 60, BOX, PIXEL_A, noise=1.0)
    write_particles(table, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as project:
        fields = ParticleFields(symmetry="C1", largest_dimension_A=60.0, mass_kDa=20.0, white_protein=False)
        import_particles(project, tmp_path / "particles.star", fields)
        record_start(project, "C1")
        untilted = project.asset("refinement", 1)
        poses = euler_to_matrix(*(np.deg2rad(table[name].astype(float)) for name in ANGLES))
        turned = Rotation.from_rotvec(np.deg2rad(20.0) * np.array([0.0, 1.0, 0.0])).as_matrix() @ poses
        for name, angle in zip(ANGLES, matrix_to_euler(turned), strict=True):
            table[name] = np.rad2deg(angle)
        # The same record serves as the other side, once its poses are those of the tilted specimen.
        table.save(project.folder / "tilted.npy")
        inputs = {
            "volume": [project.asset("volume", 1)], "refinement": [untilted],
            "tilted": [{**untilted, "details": [{**untilted["details"][0], "particles_path": "tilted.npy"}]}],
        }  # fmt: skip
        ready = prepare(
            Validate3D, {"tilt_deg": 20.0, "tilt_axis_deg": 90.0, "reslog": False}, inputs,
            project_folder=project.folder, project=ProjectReference(name="p", id="1"), workers=1, threads=1,
        )  # fmt: skip
        job, process = ready.start()
        assert process.wait(timeout=300) == 0, job.log_path.read_text()
        figures = json.loads(next(job.results_folder.glob("*.json")).read_text())
        assert figures["hand"] == "right"
        assert "60 pairs are turned as the specimen was, 0 the other way" in figures["hand_by"]["tilt pairs"]
