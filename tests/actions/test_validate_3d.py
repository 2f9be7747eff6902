"""Validate 3D: a report with a B-factor of particle numbers and views belongs to its volume."""

from __future__ import annotations

import json

import pytest

from tests.engine.particles import make_particles
from verglas.actions import project_run
from verglas.actions.validate_3d import Validate3D
from verglas.errors import InputError
from verglas.formats import write_particles
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles

BOX, PIXEL_A = 32, 3.0


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
        live = project.dump()
        project.rebuild()
        assert project.dump() == live


def test_what_is_not_fit_is_refused():
    volume = {"id": 1, "name": "a", "n_x": 32, "n_y": 32, "n_z": 32, "pixel_size_A": 1.0, "half_map_1_path": None}
    action, defaults = Validate3D(), Validate3D.Parameters()
    with pytest.raises(InputError, match="no half maps"):
        action.estimate(defaults, {"volume": [volume]})
    with pytest.raises(InputError, match="one volume"):
        action.estimate(defaults, {"volume": [volume, volume]})
