"""Manual Refine: classes from random occupancies in a focus; a job killed in either half of a round resumes alike."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.particles import make_particles
from tests.stages.refinement.domains import with_and_without
from tests.support.killed_jobs import run_job
from verglas.actions.launch import prepare
from verglas.actions.manual_refine import ManualRefine
from verglas.actions.manual_refine_settings import settings_of
from verglas.actions.selection import select_inputs
from verglas.errors import InputError
from verglas.execution.job_folder import JobFolder, ProjectReference
from verglas.formats import ParticleTable, write_mrc, write_particles
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles
from verglas.project.references import active_references

BOX, PIXEL_A = 32, 3.0
OPTIONS: dict[str, Any] = {
    "high_resolution_A": 9.0, "classification_resolution_A": 9.0, "mask_radius_A": 40.0, "search_range_x_A": 9.0,
    "search_range_y_A": 9.0, "auto_mask": False,
}  # fmt: skip
PACKAGE = {"id": 1, "name": "a", "box_px": 64, "pixel_size_A": 2.0, "largest_dimension_A": 90.0, "symmetry": "C1",
           "classes": 1, "count": 10, "particles_path": "a.npy", "star_path": None, "start": None}  # fmt: skip


def new_project(folder: Path, count: int, **made: Any) -> tuple[Project, ParticleTable, np.ndarray]:
    table, truth = make_particles(folder, count, BOX, PIXEL_A, **made)
    write_particles(table, folder / "particles.star")
    project = Project.create(folder / "p")
    fields = ParticleFields(symmetry="C1", largest_dimension_A=70.0, white_protein=False)
    import_particles(project, folder / "particles.star", fields)
    write_mrc(project.folder / "start.mrc", truth, PIXEL_A)
    record = {"name": "start", "path": "start.mrc", "pixel_size_A": PIXEL_A}
    project.edit({"edit": "asset.import", "kind": "volume", "records": [record]})
    return project, table, truth


def run(project: Project, options: dict[str, Any], killed_at: tuple[str, ...] = (), **choices: Any) -> JobFolder:
    """Run a job; kill it each time a file of its Scratch is there that is named, and resume it."""
    return run_job(project, "manual-refine", {**OPTIONS, **options}, choices, [f"scratch/{name}" for name in killed_at])


def test_killed_in_any_part_of_a_round_it_resumes_to_the_same_answer(tmp_path: Path) -> None:
    project, _, _ = new_project(tmp_path, 40, noise=1.0)
    with project:
        options = {"rounds": 2, "mode": "global", "percent": 80.0}
        kills = ("round-001-weights.npz", "round-002-sums")
        jobs = [run(project, options, killed_at, references="1") for killed_at in ((), kills)]
        for ending in ("_1.mrc", "_1_map1.mrc", "_par_1.npy"):
            for number in (1, 2):
                made = [
                    (job.results_folder / f"volume_{job.number}_{number:02d}{ending}").read_bytes()[1024:]
                    for job in jobs
                ]
                assert all(one == made[0] for one in made), f"round {number} {ending}"
        project.take_in()
        names = [one["name"] for one in project.assets("refinement")][:2]
        assert names == ["Global Search #1 (Rnd. 1)", "Global Search #1 (Rnd. 2)"]
        assert "Global #1 (Rnd. 2) - Class #1" in [one["name"] for one in project.assets("volume")]
        (active,) = active_references(project, 1)
        assert active["name"] == "Global #2 (Rnd. 2) - Class #1" and not active["chosen"]
        project.edit({"edit": "references.set", "package": 1, "class": 1, "volume": 1})
        (active,) = active_references(project, 1)
        assert active == {"class": 1, "volume": 1, "name": "start", "chosen": True}
        inputs = select_inputs(project, ManualRefine, {})
        assert [one["id"] for one in inputs["references"]] == [1]
        assert inputs["refinement"][0]["name"] == "Global Search #2 (Rnd. 2)"
        with pytest.raises(InputError, match="classes 1 to 1"):
            project.edit({"edit": "references.set", "package": 1, "class": 2, "volume": 1})
    with Project.open_rebuilt(tmp_path / "p")[0] as again:
        assert active_references(again, 1) == [active]
        # Both halves began with one map at 9 A, and what goes on from their half maps says so.
        (volume,) = ManualRefine.fill_in(again, {**inputs, "references": [again.assets("volume")[-1]]})["references"]
        assert volume["shared_to_A"] == 9.0


def test_classes_from_random_occupancies_and_no_reference(tmp_path: Path) -> None:
    centre = (12.0, -9.0, 6.0)
    molecules = with_and_without(BOX, PIXEL_A, centre, 8.0, 10)
    project, table, _ = new_project(tmp_path, 400, noise=2.0, molecules=molecules)
    with project:
        from verglas.actions.package_from_package import PackageFromPackage

        inputs = select_inputs(project, PackageFromPackage, {"package": "1"})
        ready = prepare(
            PackageFromPackage, {"classes": 2, "occupancies": "randomise"}, inputs, project_folder=project.folder,
            project=ProjectReference(name="p", id="1"), workers=1, threads=1,
        )  # fmt: skip
        assert ready.start()[1].wait(timeout=300) == 0
        project.take_in()
        x, y, z = (one + BOX // 2 * PIXEL_A for one in centre)
        held = {f"refine_{name}": False for name in ("psi", "theta", "phi", "x", "y")}
        options = {**held, "rounds": 8, "focus": True, "focus_x_A": x, "focus_y_A": y, "focus_z_A": z,
                   "focus_radius_A": 12.0}  # fmt: skip
        job = run(project, options, package="2")
        project.take_in()
        last = project.assets("refinement")[-1]
        assert last["classes"] == 2 and last["name"] == "Local Refinement #2 (Rnd. 8)"
        made = [ParticleTable.load(project.folder / one["particles_path"]) for one in last["details"]]
        label = np.asarray(table["class_number"]) - 1
        found = np.stack([one["occupancy"] for one in made]).argmax(axis=0)
        share = float(np.mean(found == label))
        assert max(share, 1.0 - share) > 0.9
        np.testing.assert_allclose(sum(one["occupancy"] for one in made), 100.0)
        assert "Start Params #2 - Class #2" in [one["name"] for one in project.assets("volume")]
        figures = [one.values for one in job.events() if one.event == "figures"]
        assert [one["round"] for one in figures] == list(range(1, 9)) and "cpu_ms_per_particle" in figures[0]
        assert figures[-1]["percent_changing_class"] < 5.0 < figures[0]["percent_changing_class"]


def test_what_makes_no_sense_is_said() -> None:
    inputs = {"package": [PACKAGE], "refinement": [], "references": []}

    def with_options(**values: Any) -> Any:
        return settings_of(ManualRefine.Parameters.model_validate(values), inputs, 1)

    assert with_options().classes == 1
    with pytest.raises(InputError, match="first voxel"):
        with_options(focus=True, focus_x_A=500.0)
    with pytest.raises(InputError, match="choose local"):
        with_options(mode="global", refine_psi=False)
    with pytest.raises(InputError, match="does not fit"):
        with_options(mask_radius_A=100.0)
    assert with_options(inner_radius_A=10.0).mask.inner_radius_A == 10.0
    # Given poses know what halves were once aligned to, but where a search takes their place.
    inputs["package"] = [{**PACKAGE, "shared_to_A": 5.0}]
    one = {"policy": "one-reference", "high_resolution_A": 8.0}
    searched = {"mode": "global", "also_refine_input": False}
    found = [with_options(**options).start_A for options in ({}, searched, one, {**one, **searched})]
    assert found == [5.0, math.inf, 5.0, 8.0]
    inputs["package"] = [PACKAGE]
    with pytest.raises(InputError, match="leaves nothing"):
        with_options(inner_radius_A=50.0, mask_radius_A=50.0)
    ready = ManualRefine.Parameters()
    with pytest.raises(InputError, match="a reference each"):
        ManualRefine().estimate(ready, {**inputs, "references": [{"id": 1}, {"id": 2}]})
