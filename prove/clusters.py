"""Align Movies and Auto Refine of the demo set by each way of cisTEM's FAQ and by a batch script, on a real Slurm.

``python -m prove.clusters [DEMO]``: the demo is made once, unless there is one already; each way gets a copy of its
project, aligns its movies again and refines its package from a volume, and all files of both jobs are compared with
those of a run on this machine alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.execution.on_slurm import VALUES, profile, queue
from tests.support.slurm import CPUS, NODES, slurm
from tools.measured import REPOSITORY, record

from verglas.execution.job_folder import JobFolder
from verglas.execution.profile_store import FOLDER_VARIABLE, save_profile
from verglas.project import Project

VERGLAS = str(Path(sys.executable).parent / "verglas")
WORKERS, ROUNDS = 2, 3


def run(*words: str, project: Path) -> float:
    """Run a verglas command on a project and return the seconds it took."""
    began = time.perf_counter()
    done = subprocess.run([VERGLAS, *words, "--project", str(project)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.perf_counter() - began


def by_batch(folder: Path, *words: str, project: Path) -> float:
    """Submit the script that ``verglas batch`` prints, and wait for it."""
    began = time.perf_counter()
    limits = ["--workers", str(WORKERS), "--memory", "1", "--time", "00:30:00", "--project", str(project)]
    asked = [VERGLAS, "batch", *limits, "--", *words]
    script = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    done = subprocess.run(["sbatch", "--wait", f"--output={folder}/out.txt"], input=script, text=True, check=False)
    assert done.returncode == 0, (folder / "out.txt").read_text()
    return time.perf_counter() - began


def contents(project: Path, first: int) -> dict[str, bytes]:
    """Return what jobs from a number on have made: values, and files less the headers of maps, which hold the time."""
    found = {}
    for job in JobFolder.all_in(project / "Jobs"):
        if job.number < first:
            continue
        assert job.state().name == "done" and not job.failures(), job.state()
        for event in job.results().values():
            found[f"{job.action} {event.key}"] = repr(sorted(event.values.items())).encode()
    for path in sorted((project / "Assets").rglob("*")):
        if path.suffix in {".mrc", ".npy"}:
            found[str(path.relative_to(project))] = path.read_bytes()[1024 if path.suffix == ".mrc" else 0 :]
    return found


def main(made: Path | None = None) -> None:
    os.chdir(REPOSITORY)
    with tempfile.TemporaryDirectory(prefix="vc") as name, slurm(Path(name) / "s") as conf:
        folder = Path(name)
        os.environ |= {
            "SLURM_CONF": str(conf),
            FOLDER_VARIABLE: str(folder / "profiles"),
            "PYTHONPATH": str(REPOSITORY),
        }
        if made is None:
            made = folder / "demo"
            subprocess.run([VERGLAS, "demo", "--output", str(made)], check=True, capture_output=True)
        template = folder / "template"
        shutil.copytree(made / "project", template)
        start = sorted((made / "true-poses").glob("*.mrc"))[0]  # Auto Refine low-passes it to 20 A
        run("import", "volumes", str(start), project=template)
        with Project.open(template) as project:
            volume, package = project.assets("volume")[-1], project.assets("package")[-1]
            movies = len(project.assets("movie"))
        first = max(job.number for job in JobFolder.all_in(template / "Jobs")) + 1
        jobs = (
            ("align-movies",),
            ("auto-refine", "--package", str(package["id"]), "--reference", str(volume["id"]), "--rounds", str(ROUNDS)),
        )
        alone = folder / "alone"
        shutil.copytree(template, alone)
        seconds = [run(*words, "--workers", "1", "--threads", "1", project=alone) for words in jobs]
        expected = contents(alone, first)
        rows: list[dict[str, Any]] = [
            {"way": "this machine alone, 1 worker", "seconds": [round(s, 1) for s in seconds]}
        ]
        for way in (*VALUES, "batch"):
            place = folder / 'it\'s a "project"'
            shutil.copytree(template, place)
            if way == "batch":
                seconds = [by_batch(folder, *words, project=place) for words in jobs]
            else:
                save_profile(profile(way))
                options = ["--profile", way, "--workers", str(WORKERS), "--threads", "1"]
                seconds = [run(*words, *options, project=place) for words in jobs]
            found = contents(place, first)
            different = sorted(key for key in found.keys() | expected if found.get(key) != expected.get(key))
            end = time.monotonic() + 30
            while queue() and time.monotonic() < end:
                time.sleep(0.5)
            rows.append(
                {"way": way, "seconds": [round(s, 1) for s in seconds], "files_and_results_compared": len(expected),
                 "different": different, "left_in_queue": len(queue())}
            )  # fmt: skip
            sys.stdout.write(f"{rows[-1]}\n")
            shutil.rmtree(place)
    path = record(
        "clusters",
        {
            "slurm": f"{len(NODES)} nodes of {CPUS} cores on this host, started by the proof",
            "demo": {"movies": movies, "package_particles": package["count"], "rounds": ROUNDS, "workers": WORKERS},
            "seconds_are_of": ["align-movies", "auto-refine"], "ways": rows,
        },
    )  # fmt: skip
    sys.stdout.write(path.read_text())
    assert not any(row.get("different") or row.get("left_in_queue") for row in rows)


if __name__ == "__main__":
    main(*(Path(word).absolute() for word in sys.argv[1:]))
