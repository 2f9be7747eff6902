"""Ab-Initio 3D as a job: a killed one resumes to the same map; maps can be taken early; noise claims no resolution."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.particles import make_particles
from tests.support.classified_projects import add_classification
from verglas.actions import project_run
from verglas.actions.ab_initio import AbInitio
from verglas.actions.ab_initio_settings import leg_ends, settings_of
from verglas.actions.launch import prepare
from verglas.errors import InputError, JobError
from verglas.execution import job_control
from verglas.execution.controller import start_detached
from verglas.execution.job_folder import JobFolder, ProjectReference
from verglas.formats import MrcStackWriter, write_particles
from verglas.project import Project
from verglas.project.class_selections import select_classes
from verglas.project.import_particles import ParticleFields, import_particles

# Jobs compile kernels in processes of their own, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)

BOX, PIXEL_A, COUNT = 32, 4.0, 60
OPTIONS: dict[str, Any] = {
    "rounds": 24, "starts": 2, "finish_rounds": 2, "initial_resolution_A": 20.0, "middle_resolution_A": 15.0,
    "final_resolution_A": 12.0,
}  # fmt: skip


def project_with_particles(folder: Path, *, noise_only: bool = False) -> Project:
    table, _ = make_particles(folder, COUNT, BOX, PIXEL_A, symmetry="D2", noise=1.0)
    if noise_only:
        random = np.random.Generator(np.random.Philox(2))
        with MrcStackWriter(folder / "particles.mrcs", BOX, BOX, PIXEL_A) as writer:
            for _ in range(COUNT):
                writer.append(random.standard_normal((BOX, BOX)).astype(np.float32))
    write_particles(table, folder / "particles.star")
    project = Project.create(folder / "p")
    fields = ParticleFields(symmetry="D2", largest_dimension_A=80.0, white_protein=False)
    import_particles(project, folder / "particles.star", fields)
    return project


def start(project: Project, **changed: Any) -> tuple[JobFolder, Any]:
    ready = prepare(
        AbInitio, {**OPTIONS, **changed}, {"package": [project.asset("package", 1)]}, project_folder=project.folder,
        project=ProjectReference(name="p", id="1"), workers=1, threads=1,
    )  # fmt: skip
    return ready.start()


def wait_for(condition: Any) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_search_resumes_to_the_same_map(tmp_path: Path) -> None:
    with project_with_particles(tmp_path) as project:
        maps = []
        for killed in (False, True):
            job, process = start(project)
            if killed:
                wait_for(lambda job=job: any(job.scratch.glob("start-00-*.npz")))
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                process = start_detached(job)
            assert process.wait(timeout=300) == 0, job.log_path.read_text()
            maps.append((job.results_folder / f"startup_volume_{job.number}_1.mrc").read_bytes())
        assert maps[0][1024:] == maps[1][1024:]
        project.take_in()
        names = [one["name"] for one in project.assets("volume")]
        assert names == ["Volume From Startup #1 - Class #1", "Volume From Startup #2 - Class #1"]
        assert (project.folder / "Assets/Volumes/startup_volume_1_1.mrc").exists()
        assert (project.folder / "Assets/Volumes/OrthViews/startup_volume_1_1.png").exists()


def test_maps_can_be_taken_before_the_end_and_noise_claims_no_resolution(tmp_path: Path) -> None:
    with project_with_particles(tmp_path, noise_only=True) as project:
        job, process = start(project, rounds=2000)
        wait_for(lambda: any(job.scratch.glob("start-01-*.npz")))
        assert "end with the maps" in job_control.take(job, "take-current")
        assert process.wait(timeout=300) == 0, job.log_path.read_text()
        with pytest.raises(JobError, match="not running"):
            job_control.take(job, "take-current")
        (result,) = job.results().values()
        assert result.kind == "reconstruction" and result.values["resolution_A"] is None
        assert result.values["name"] == "Volume From Startup #1 - Class #1"
        assert result.values["limit_A"] >= 15.0
        project.take_in()
        assert project.assets("volume")[0]["resolution_A"] is None


def test_averages_of_selected_classes_are_its_images(tmp_path: Path) -> None:
    with project_with_particles(tmp_path) as project:
        add_classification(
            project, 1, 1 + np.arange(COUNT) // 5, np.zeros((COUNT, 2)), np.zeros((COUNT // 5, BOX, BOX)), psi_deg=30.0
        )  # fmt: skip
        selection = select_classes(project, 1, range(1, COUNT // 5), name="good")
        run = project_run(
            project, "ab-initio", selection="good", average_size=2, **{**OPTIONS, "rounds": 4}, workers=1, threads=1
        )  # fmt: skip
        assert not run.failures
        volume = project.asset("volume", 1)
        values = project.results("volume", volume["id"])[0]["values"]
        assert (values["selection"], values["package"]) == (selection["id"], 1)
        # Each class of 5 makes 2 averages, and the last class is not selected.
        messages = [getattr(one, "text", "") for one in JobFolder.all_in(project.layout.jobs)[-1].events()]
        assert any("22 averages of 55 particles in 11 classes" in one for one in messages)
        import_particles(
            project, tmp_path / "particles.star", ParticleFields(largest_dimension_A=80.0, white_protein=False)
        )  # fmt: skip
        with pytest.raises(InputError, match="is of classes of package 1"):
            project_run(project, "ab-initio", selection="good", package="2", workers=1, threads=1)


def test_what_is_missing_is_asked_for() -> None:
    package = {"id": 1, "name": "a", "box_px": 64, "pixel_size_A": 2.0, "largest_dimension_A": None, "symmetry": "C1",
               "classes": 1, "count": 10, "mass_kDa": None}  # fmt: skip
    with pytest.raises(InputError, match="mask-radius"):
        settings_of(AbInitio.Parameters(), package, 1)
    known = {**package, "largest_dimension_A": 80.0}
    found = settings_of(AbInitio.Parameters(rounds=45), known, 1)
    assert found.radius_A == pytest.approx(44.0) and leg_ends(found) == [20, 40, 45]
    with pytest.raises(InputError, match="does not fit"):
        settings_of(AbInitio.Parameters(mask_radius_A=100.0), known, 1)
    assert AbInitio().estimate(AbInitio.Parameters(), {"package": [known]}).memory_bytes > 3e8
