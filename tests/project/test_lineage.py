"""What came from what."""

from __future__ import annotations

import json

from click.testing import CliRunner

from tests.project.conftest import add_movies, make_job
from verglas.cli.main import cli
from verglas.execution.job_folder import JobFolder, ProjectReference, Request
from verglas.project import Project
from verglas.project.lineage import job_edges


def work_on_images(project: Project) -> JobFolder:
    job = JobFolder.claim(project.layout.jobs, "find-ctf")
    job.write_request(
        Request(
            job=job.number, action="find-ctf", entry="none:none", title=f"Find CTF #{job.number}",
            inputs={"images": project.assets("image")}, project=ProjectReference(name="p", id="1"),
            created="2026-01-01T00:00:00+00:00", user="ana", host="here",
        )
    )  # fmt: skip
    return job


def test_edges_lead_from_the_results_that_were_active(project: Project) -> None:
    add_movies(project, 2)
    make_job(project.folder, [1, 2])
    project.take_in()
    assert work_on_images(project).number == 2
    make_job(project.folder, [1])
    project.take_in()
    assert work_on_images(project).number == 4
    expected = [(1, 2), (1, 4), (3, 4)]
    assert job_edges(project) == expected, "job 2 worked on images of job 1 only, though 3 made one of them anew"
    project.edit({"edit": "trash.add", "items": [{"kind": "image", "id": 2}]})
    project.edit({"edit": "trash.add", "items": [{"kind": "job", "id": 3}]})
    assert job_edges(project) == expected
    project.close()

    def graph(*words: str) -> str:
        return CliRunner().invoke(cli, ["jobs", "graph", "--project", str(project.folder), *words]).stdout

    answer = json.loads(graph("--json"))
    assert answer["edges"] == [list(edge) for edge in expected]
    assert [job["title"] for job in answer["jobs"]] == [
        "Align Movies #1", "Find CTF #2", "job 3 (deleted)", "Find CTF #4"
    ]  # fmt: skip
    assert "  3 -> 4;\n" in graph("--dot") and '4 [label="Find CTF #4"]' in graph("--dot")
    lines = [line.strip(" │├└─") for line in graph().splitlines() if line.strip()]
    assert lines == [
        "imported data", "Align Movies #1", "Find CTF #2", "Find CTF #4", "job 3 (deleted)", "Find CTF #4",
    ]  # fmt: skip
