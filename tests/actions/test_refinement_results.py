"""A refinement's round becomes volumes and one refinement, which says where everything lies; it survives a rebuild."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.particles import make_particles
from verglas.actions.declaration import ActionParameters
from verglas.actions.refinement_results import RefinedClass, record_refinement
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.execution.context import JobContext
from verglas.execution.job_folder import EventLog, JobFolder, ProjectReference, Request
from verglas.formats import ParticleTable, read_particles, write_particles
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles
from verglas.project.result_kinds.refinement import start_parameters

BOX, PIXEL_A = 24, 3.0


def recorded_round(project: Project, package: dict[str, Any], number: int, *, final: bool) -> JobFolder:
    """Leave a job's folder with one round of two classes."""
    job = JobFolder.claim(project.layout.jobs, "auto-refine")
    job.write_request(
        Request(
            job=job.number, action="auto-refine", entry="none:none", title=f"Auto Refine #{job.number}",
            project=ProjectReference(name="p", id="1"), created="2026-01-01T00:00:00+00:00", user="ana", host="here",
        )
    )  # fmt: skip
    table = ParticleTable.load(project.folder / package["particles_path"])
    found = reconstruct_particles(table, project.folder, "D2").finish()
    classes = []
    for occupancy in (70.0, 30.0):
        one = table.copy()
        one["occupancy"] = occupancy
        classes.append(RefinedClass(one, found))
    log = EventLog(job)

    def no_workers() -> Any:
        raise AssertionError("recording needs no workers")

    name = f"Auto #{job.number} (Rnd. {number})"
    context = JobContext(job, ActionParameters(), log, no_workers)
    record_refinement(
        context, package, classes, key=f"round-{number:03d}", name=name, volume_name=name,
        stem=f"volume_{job.number}_{number:02d}", method="auto", symmetry="D2", number=number, rounds=20, limit_A=9.0,
        particles_used=len(table), final=final, values={"policy": "halves"},
    )  # fmt: skip
    log.close()
    return job


@pytest.fixture
def project(tmp_path: Path) -> Any:
    table, _ = make_particles(tmp_path, 40, BOX, PIXEL_A, symmetry="D2", noise=0.5)
    write_particles(table, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as made:
        import_particles(made, tmp_path / "particles.star", ParticleFields(symmetry="D2", white_protein=False))
        yield made


def test_a_round_becomes_a_refinement_with_a_volume_for_each_class(project: Project) -> None:
    package = project.asset("package", 1)
    recorded_round(project, package, 2, final=True)
    assert project.take_in()["results"] == 3
    assert [one["name"] for one in project.assets("volume")] == [f"Auto #1 (Rnd. 2) - Class #{n}" for n in (1, 2)]
    (refinement,) = project.assets("refinement")
    facts = {key: refinement[key] for key in ("name", "package", "method", "classes", "round", "symmetry", "limit_A")}
    assert facts == {
        "name": "Auto #1 (Rnd. 2)", "package": 1, "method": "auto", "classes": 2, "round": 2, "symmetry": "D2",
        "limit_A": 9.0,
    }  # fmt: skip
    for detail, volume, occupancy in zip(refinement["details"], project.assets("volume"), (70.0, 30.0), strict=True):
        assert detail["volume_path"] == volume["path"]
        assert detail["half_map_1_path"] == volume["half_map_1_path"]
        for role in ("volume", "half_map_1", "half_map_2", "statistics", "particles", "star"):
            assert (project.folder / detail[f"{role}_path"]).is_file(), role
        assert read_mrc_volume(project.folder / detail["volume_path"])[0].shape == (BOX,) * 3
        table = ParticleTable.load(project.folder / detail["particles_path"])
        assert detail["average_occupancy"] == occupancy == table["occupancy"][0]
        assert len(read_particles(project.folder / detail["star_path"])) == 40
    assert refinement["path"] == "Assets/Parameters/output_par_1_1.npy"
    assert refinement["details"][1]["star_path"] == "Assets/Parameters/output_par_1_2.star"
    assert refinement["resolution_A"] == min(one["resolution_A"] for one in refinement["details"])

    recorded_round(project, package, 3, final=False)
    assert project.take_in()["results"] == 3
    assert project.asset("refinement", 2)["details"][0]["star_path"] is None
    live = project.dump()
    project.rebuild()
    assert project.dump() == live
    project.edit({"edit": "trash.add", "items": [{"kind": "package", "id": 1}]})
    assert project.count("refinement") == 0
    assert not (project.folder / refinement["path"]).exists()


def test_a_package_begins_with_its_own_parameters(project: Project) -> None:
    package = project.asset("package", 1)
    start = start_parameters(package)
    recorded_round(project, package, 1, final=False)
    project.take_in()
    refinement = project.asset("refinement", 1)
    assert set(start) == set(refinement) - {"created", "trash"}
    assert set(start["details"][0]) == set(refinement["details"][0])
    assert (start["name"], start["classes"], start["round"]) == ("Imported Parameters", 1, 0)
    table = ParticleTable.load(project.folder / start["details"][0]["particles_path"])
    assert np.ptp(table["rot_deg"]) > 90.0
