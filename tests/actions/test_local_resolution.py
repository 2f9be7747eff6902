"""Local Resolution: a volume becomes a map of resolutions and a filtered map, which know where they come from."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.actions import project_run
from verglas.actions.local_resolution import LocalResolution
from verglas.errors import InputError
from verglas.formats import write_particles
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles
from verglas.signal import fourier_shell_correlation

BOX, PIXEL_A = 32, 3.0


def test_a_volume_becomes_two(tmp_path):
    table, truth = make_particles(tmp_path, 100, BOX, PIXEL_A, symmetry="D2", noise=0.5)
    write_particles(table, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as project:
        fields = ParticleFields(symmetry="D2", largest_dimension_A=60.0, mass_kDa=20.0, white_protein=False)
        import_particles(project, tmp_path / "particles.star", fields)
        project_run(project, "generate-3d", workers=1, threads=1)
        run = project_run(project, "local-resolution", window_A=25.0, b_factor_A2=0.0, workers=1, threads=1)
        assert not run.failures
        made, resolved, filtered = project.assets("volume")
        assert [one["name"].rsplit(" - ")[-1] for one in (resolved, filtered)] == [
            "Local Resolution",
            "Locally Filtered",
        ]
        assert resolved["path"] == "Assets/Volumes/local_resolution_2_1.mrc"
        assert (filtered["parent_volume"], filtered["half_map_1_path"]) == (made["id"], made["half_map_1_path"])
        assert resolved["half_map_1_path"] is None
        values, _ = read_mrc_volume(project.folder / resolved["path"])
        assert values.max() == 40.0
        assert 2 * PIXEL_A < np.percentile(values, 1) < 12.0
        found, _ = read_mrc_volume(project.folder / filtered["path"])
        assert fourier_shell_correlation(found, truth, PIXEL_A).fsc[1:10].min() > 0.9
        live = project.dump()
        project.rebuild()
        assert project.dump() == live


def test_what_is_not_fit_is_refused():
    volume = {"id": 1, "name": "a", "n_x": 64, "n_y": 64, "n_z": 64, "pixel_size_A": 1.0, "half_map_1_path": "h",
              "half_map_2_path": "k"}  # fmt: skip
    action, defaults = LocalResolution(), LocalResolution.Parameters()
    assert action.estimate(defaults, {"volumes": [volume]}).tasks == 1
    with pytest.raises(InputError, match="no half maps"):
        action.estimate(defaults, {"volumes": [{**volume, "half_map_1_path": None}]})
    with pytest.raises(InputError, match="window"):
        action.estimate(LocalResolution.Parameters(coarsest_A=8.0, finest_A=7.0), {"volumes": [volume]})
    with pytest.raises(InputError, match="one grid"):
        action.estimate(defaults, {"volumes": [volume], "mask": [{**volume, "n_x": 32}]})
