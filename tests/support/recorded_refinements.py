"""A refinement that a test's project holds as if a job had made it: maps at the poses of a package's own table."""

from __future__ import annotations

from typing import Any

from verglas.actions.declaration import ActionParameters
from verglas.actions.refinement_results import RefinedClass, record_refinement
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.execution.context import JobContext
from verglas.execution.job_folder import EventLog, JobFolder, ProjectReference, Request
from verglas.formats import ParticleTable
from verglas.project import Project


def record_start(project: Project, symmetry: str, shared_to_A: float | None = None) -> None:
    """Record a refinement of package 1 as round 1 of an Auto Refine, from a map low-passed to a resolution."""
    package = project.asset("package", 1)
    job = JobFolder.claim(project.layout.jobs, "auto-refine")
    job.write_request(
        Request(
            job=job.number, action="auto-refine", entry="none:none", title="Auto Refine #1",
            project=ProjectReference(name="p", id="1"), created="2026-01-01T00:00:00+00:00", user="ana", host="here",
        )
    )  # fmt: skip
    table = ParticleTable.load(project.folder / package["particles_path"])
    found = reconstruct_particles(table, project.folder, symmetry).finish()
    log = EventLog(job)

    def no_workers() -> Any:
        raise AssertionError("recording needs no workers")

    record_refinement(
        JobContext(job, ActionParameters(), log, no_workers), package, [RefinedClass(table, found)], key="round-001",
        name="Auto #1 (Rnd. 1)", volume_name="Auto #1 (Rnd. 1)", stem="volume_1_01", method="auto", symmetry=symmetry,
        number=1, rounds=1, limit_A=4.0, particles_used=len(table),
        values={"shared_to_A": shared_to_A},
    )  # fmt: skip
    log.close()
    project.take_in()
