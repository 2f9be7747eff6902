"""Sharpen 3D: a volume with halves becomes a sharpened one that knows where it comes from; nonsense is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from tests.engine.particles import make_particles
from verglas.actions import project_run
from verglas.actions.sharpen_3d import Sharpen3D
from verglas.cli.export_emdb import export_emdb
from verglas.errors import InputError
from verglas.formats import write_mrc, write_particles
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.project.import_others import import_volumes
from verglas.project.import_particles import ParticleFields, import_particles
from verglas.project.lineage import job_edges
from verglas.signal import fourier_shell_correlation, sphere_mask

BOX, PIXEL_A = 32, 3.0


def test_a_reconstruction_is_sharpened_and_exported(tmp_path):
    table, truth = make_particles(tmp_path, 150, BOX, PIXEL_A, symmetry="D2", noise=0.5)
    write_particles(table, tmp_path / "particles.star")
    folder = tmp_path / "p"
    with Project.create(folder) as project:
        fields = ParticleFields(symmetry="D2", largest_dimension_A=60.0, mass_kDa=20.0, white_protein=False)
        import_particles(project, tmp_path / "particles.star", fields)
        project_run(project, "generate-3d", workers=1, threads=1)
        run = project_run(project, "sharpen-3d", fit_from_A=20.0, workers=1, threads=1)
        assert not run.failures
        made, sharpened = project.assets("volume")
        assert sharpened["name"] == "Generated from Package #1 - Class #1 - Sharpened"
        assert (sharpened["parent_volume"], sharpened["package"], sharpened["symmetry"]) == (made["id"], 1, "D2")
        assert sharpened["half_map_1_path"] == made["half_map_1_path"]
        assert sharpened["resolution_A"] is not None
        found, _ = read_mrc_volume(folder / sharpened["path"])
        assert fourier_shell_correlation(found, truth, PIXEL_A).fsc[2:11].min() > 0.95
        mask, _ = read_mrc_volume(folder / sharpened["mask_path"])
        assert 0.0 <= mask.min() < mask.max() <= 1.0
        assert (folder / "Assets/Volumes/OrthViews/sharpened_volume_2_1.png").stat().st_size > 20_000
        statistics = json.loads((folder / "Assets/Volumes/sharpened_volume_2_1.json").read_text())
        assert "corrected" in statistics["correlation"]
        assert job_edges(project) == [(1, 2)]

        write_mrc(tmp_path / "mask.mrc", sphere_mask((BOX,) * 3, 36.0, PIXEL_A, edge_A=9.0), PIXEL_A)
        import_volumes(project, [str(tmp_path / "mask.mrc")])
        again = project_run(
            project, "sharpen-3d", volumes=[made["id"]], mask=[3], invert_hand=True, amplitudes="flatten",
            flatten_from_A=20.0, workers=1, threads=1,
        )  # fmt: skip
        assert not again.failures
        mirrored = project.assets("volume")[-1]
        half, original = (read_mrc_volume(folder / one["half_map_1_path"])[0] for one in (mirrored, made))
        assert np.array_equal(half[1:, 1:, 1:], original[:0:-1, :0:-1, :0:-1])
        with pytest.raises(InputError, match="no half maps"):
            project_run(project, "sharpen-3d", volumes=[3], workers=1, threads=1)
        alone = project_run(project, "sharpen-3d", volumes=[3], cutoff_A=8.0, workers=1, threads=1)
        assert next(iter(alone.results.values())).values["resolution_A"] is None
        live = project.dump()
        project.rebuild()
        assert project.dump() == live
    where = ["--project", str(folder), "--output"]
    done = CliRunner().invoke(export_emdb, [str(sharpened["id"]), *where, str(tmp_path / "emdb")])
    assert done.exit_code == 0, done.output
    names = {path.name for path in (tmp_path / "emdb").iterdir()}
    assert names == {"primary_map.mrc", "half_map_1.mrc", "half_map_2.mrc", "mask.mrc", "fsc.xml", "picture.png",
                     "about.json"}  # fmt: skip
    refused = CliRunner().invoke(export_emdb, ["1", *where, str(tmp_path / "no")])
    assert isinstance(refused.exception, InputError)


def test_what_is_not_fit_is_refused():
    volume = {"id": 1, "name": "a", "n_x": 64, "n_y": 64, "n_z": 64, "pixel_size_A": 1.0, "half_map_1_path": "h"}
    action, defaults = Sharpen3D(), Sharpen3D.Parameters()
    assert action.estimate(defaults, {"volumes": [volume]}).tasks == 1
    other = {**volume, "name": "b", "n_x": 32}
    with pytest.raises(InputError, match="one grid"):
        action.estimate(defaults, {"volumes": [volume], "mask": [other]})
    with pytest.raises(InputError, match="one mask"):
        action.estimate(defaults, {"volumes": [volume], "halves": [volume]})
    with pytest.raises(InputError, match="one volume"):
        action.estimate(defaults, {"volumes": [volume, volume], "halves": [volume, volume]})
    with pytest.raises(InputError, match="--cutoff"):
        action.estimate(defaults, {"volumes": [{**volume, "half_map_1_path": None}]})
