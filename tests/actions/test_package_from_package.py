"""Package From Package: a 3D refinement's classes go over with their particles, images and starting parameters."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.picked_projects import picked_project
from verglas.actions import project_run
from verglas.errors import InputError
from verglas.formats import ParticleTable, read_stack
from verglas.project import Project

ONE = {"workers": 1, "threads": 1}


def add_refinement(project: Project, package: int, occupancies: np.ndarray) -> None:
    record = project.asset("package", package)
    folder = project.layout.scratch / "refined"
    folder.mkdir(parents=True)
    files, details = {}, []
    for number, column in enumerate(occupancies.T, start=1):
        table = ParticleTable.load(project.folder / record["particles_path"]).copy()
        table["occupancy"], table["psi_deg"] = column, 10.0 * number
        table.save(folder / f"{number}.npy")
        files[f"particles_{number}"] = project.layout.stored(folder / f"{number}.npy")
        details.append({"volume_path": None, "half_map_1_path": None, "half_map_2_path": None,
                        "statistics_path": None, "volume_key": None, "resolution_A": None,
                        "average_occupancy": float(column.mean())})  # fmt: skip
    values = {"package": package, "method": "auto", "symmetry": "C1", "classes": len(details), "round": 1, "rounds": 1,
              "particles_used": len(occupancies), "limit_A": 8.0, "resolution_A": 9.0, "details": details}  # fmt: skip
    project.edit({"edit": "result.take-in", "results": [
        {"job": None, "key": "r", "kind": "refinement", "of": None, "files": files, "values": values},
    ]})  # fmt: skip


def test_classes_go_over_with_their_particles(tmp_path) -> None:
    project, _ = picked_project(tmp_path)
    with project:
        project_run(project, "create-package", largest_dimension_A=130.0, box_size=96, **ONE)
        winner = np.arange(24) % 3
        occupancies = np.full((24, 3), 10.0)
        occupancies[np.arange(24), winner] = 80.0
        add_refinement(project, 1, occupancies)
        run = project_run(
            project, "package-from-package", refinement=[1], class_map="1:1,3:2", carry="mapped", symmetry="O",
            output_pixel_size_A=5.0, package_name="two", **ONE,
        )  # fmt: skip
        assert not run.failures
        package = project.asset("package", "two")
        rows = np.flatnonzero(winner != 1)
        assert (package["count"], package["classes"], package["symmetry"]) == (16, 2, "O")
        assert (package["box_px"], package["pixel_size_A"], package["start"]) == (48, 5.0, "Starting Parameters")
        old, _ = read_stack(project.folder / project.asset("package", 1)["path"])
        new, _ = read_stack(project.folder / package["path"])
        for place, row in enumerate(rows):
            binned = old[row].reshape(48, 2, 48, 2).mean(axis=(1, 3))
            assert np.corrcoef(new[place].ravel(), binned.ravel())[0, 1] > 0.6
        start = project.assets("refinement")[-1]
        assert (start["package"], start["classes"], start["method"]) == (package["id"], 2, "start")
        tables = [ParticleTable.load(project.folder / one["particles_path"]) for one in start["details"]]
        np.testing.assert_allclose(tables[0]["occupancy"] + tables[1]["occupancy"], 100)
        assert (tables[1]["occupancy"][winner[rows] == 2] > 80).all() and set(tables[1]["psi_deg"]) == {30.0}
        assert set(tables[0].names_of("image_name")) == {package["path"]}
        best = ParticleTable.load(project.folder / package["particles_path"])
        assert best["class_number"].tolist() == (winner[rows] // 2 + 1).tolist()
        live = project.dump()
        project.rebuild()
        assert project.dump() == live


def test_a_new_package_may_start_from_what_a_package_began_with(tmp_path) -> None:
    project, _ = picked_project(tmp_path)
    with project:
        project_run(project, "create-package", largest_dimension_A=130.0, box_size=96, **ONE)
        project_run(
            project, "package-from-package", classes=3, occupancies="randomise", remove_duplicates_A=20.0, **ONE
        )
        new = project.asset("package", 2)
        assert (new["count"], new["classes"], new["start"]) == (24, 3, "Random Parameters")
        assert project.assets("refinement")[0]["classes"] == 3
        project_run(project, "package-from-package", package=[2], class_map="1:1,3:1", carry="mapped", **ONE)
        merged, start = project.asset("package", 3), project.assets("refinement")[-1]
        occupancies = [
            ParticleTable.load(project.folder / one["particles_path"])["occupancy"]
            for one in project.assets("refinement")[0]["details"]
        ]
        assert merged["count"] == int(np.sum(occupancies[1] < 50.0)) and (merged["classes"], start["classes"]) == (1, 1)
        add_refinement(project, 1, np.full((24, 2), 50.0))
        with pytest.raises(InputError, match="refinement of package 1"):
            project_run(project, "package-from-package", package=[2], refinement=[3], **ONE)
        with pytest.raises(InputError, match="one package"):
            project_run(project, "package-from-package", **ONE)
