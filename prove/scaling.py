"""What running a job on 1 to 64 workers costs, a model of it checked on a real job, and what follows for 1,000.

Items that wait for 5 s and for 1 s show what the engine adds; items that wait for nothing show how many a controller
can hand out in a second; an Auto Refine on one worker gives the costs of a round's parts, from which the model says
what two workers take, which is then measured.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from tools.measured import REPOSITORY, record

from verglas.actions.auto_refine import USUAL_ROUNDS, AutoRefine
from verglas.actions.launch import prepare
from verglas.actions.refinement_rounds import MOST_CHUNKS, chunk_size
from verglas.execution.addresses import HERE
from verglas.execution.context import JobContext
from verglas.execution.controller import run_job
from verglas.execution.durable import write_whole
from verglas.execution.events import ProgressEvent, ResultEvent, StateEvent
from verglas.execution.job_folder import JobFolder, ProjectReference, Request, Resources
from verglas.execution.run_profile import RunCommand, RunProfile
from verglas.execution.tasks import Task

COUNTS = (1, 2, 4, 8, 16, 32, 64)
LONG_COUNTS = (1, 8, 64)
LONG, SHORT = (5.0, 6), (1.0, 5)
"""Seconds of an item, and items of each worker."""
EMPTY_ITEMS = 1000
A_PROCESS = 16
BOX, PIXEL_A, PARTICLES, MADE = 64, 2.0, 4000, 100
ROUNDS = 2
CORES = (1, 4, 16, 64, 256, 1024)
FAR = {"particles": 3_000_000, "box_px": 256, "box_measured": BOX}


class WaitingParameters(BaseModel):
    """How long each item waits, and how many there are."""

    workers: int
    items: int
    seconds: float


class Waiting:
    """Items that only wait, each with a result file as a real one has."""

    Parameters = WaitingParameters

    def run(self, context: JobContext) -> None:
        """Wait for all workers, then time the items."""
        asked = context.parameters
        together = [{"number": number, "count": asked.workers} for number in range(asked.workers)]
        for _ in context.map(gather, together, key=lambda one: f"gather-{one['number']}"):
            pass
        began, cpu = time.perf_counter(), time.process_time()
        for item, path in context.map(
            wait, [(n, asked.seconds) for n in range(asked.items)], key=lambda one: str(one[0])
        ):
            context.result(str(item[0]), "waited", {"text": path})
        values = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        context.result("took", "took", values=values)


def gather(item: dict[str, int], task: Task) -> None:
    """Wait until all workers are here, so that their start is not counted."""
    (task.scratch / f"here-{item['number']}").touch()
    while len(list(task.scratch.glob("here-*"))) < item["count"]:
        time.sleep(0.05)


def wait(item: tuple[int, float], task: Task) -> Path:
    time.sleep(item[1])
    path = task.results / f"{item[0]}.txt"
    write_whole(path, b"waited\n")
    return path


def waiting_profile(workers: int) -> RunProfile:
    processes = math.ceil(workers / A_PROCESS)
    command = f"{sys.executable} -m prove.waiting_workers {workers // processes} $command"
    one = RunCommand(command=command, copies=processes, total_workers=workers)
    return RunProfile(name="waiting", commands=(one,), addresses=(HERE,))


def waited(folder: Path, workers: int, seconds: float, items: int) -> dict[str, float]:
    """Return wall seconds and the controller's CPU seconds of a job of waiting items, workers' start not counted."""
    job = JobFolder.claim(folder / "Jobs", "waiting")
    job.write_request(
        Request(job=job.number, action="waiting", entry="prove.scaling:Waiting", title="Waiting",
                parameters={"workers": workers, "items": items, "seconds": seconds},
                project=ProjectReference(name="p", id="1"),
                resources=Resources(workers=workers, threads=1), profile=waiting_profile(workers),
                created="2026-01-01T12:00:00+00:00", user="prove", host="here")
    )  # fmt: skip
    assert run_job(job) == "done", job.state()
    return job.results()["took"].values


def real_job(folder: Path, workers: int, project: Any) -> dict[str, Any]:
    """Run a small Auto Refine and return the seconds of the parts of its rounds, means over the rounds."""
    inputs = {"package": [project.asset("package", 1)], "reference": [project.asset("volume", 1)]}
    options = {"rounds": ROUNDS, "mask_radius_A": 45.0, "auto_mask": False, "search_first": False}
    ready = prepare(AutoRefine, options, inputs, project_folder=folder, project=ProjectReference(name="p", id="1"),
                    workers=workers, threads=1)  # fmt: skip
    job, process = ready.start()
    assert process.wait() == 0, job.log_path.read_text()
    chunks = adding = finishing = 0.0
    begun = added = ended = 0.0
    phase = ""
    for event in job.events():
        if isinstance(event, ProgressEvent) and event.phase != phase:
            phase = event.phase
            if "adding up" not in phase and phase.startswith("round"):
                begun = event.t
            elif "adding up" in phase and not added:
                added = event.t
                chunks += added - begun
        if isinstance(event, ProgressEvent) and "adding up" in event.phase:
            ended = event.t
        if isinstance(event, ResultEvent) and event.kind == "refinement":
            adding += ended - added
            finishing += event.t - ended
            added = 0.0
    states = [event.t for event in job.events() if isinstance(event, StateEvent)]
    return {
        "workers": workers, "chunks_s": chunks / ROUNDS, "adding_s": adding / ROUNDS, "finish_s": finishing / ROUNDS,
        "round_s": (chunks + adding + finishing) / ROUNDS, "whole_job_s": states[-1] - states[0],
        "cpu_s": job.state().cpu_seconds,
    }  # fmt: skip


def make_project(folder: Path) -> Any:
    """Make a project of particles (a few images, many times) and a start."""
    import mrcfile
    import numpy as np
    from tests.engine.particles import make_particles

    from verglas.formats import write_mrc, write_particles
    from verglas.project import Project
    from verglas.project.import_particles import ParticleFields, import_particles

    table, truth = make_particles(folder, MADE, BOX, PIXEL_A, symmetry="D2", noise=2.0)
    with mrcfile.open(folder / "particles.mrcs") as stack:
        images = np.tile(stack.data, (PARTICLES // MADE, 1, 1))
    with mrcfile.new(folder / "particles.mrcs", images, overwrite=True) as stack:
        stack.voxel_size = PIXEL_A
    many = table.select(np.tile(np.arange(MADE), PARTICLES // MADE))
    many["image_section"] = many["position"] = np.arange(1, PARTICLES + 1)
    write_particles(many, folder / "particles.star")
    project = Project.create(folder / "p")
    fields = ParticleFields(symmetry="D2", largest_dimension_A=75.0, white_protein=False)
    import_particles(project, folder / "particles.star", fields)
    write_mrc(project.folder / "start.mrc", truth, PIXEL_A)
    project.edit({"edit": "asset.import", "kind": "volume",
                  "records": [{"name": "start", "path": "start.mrc", "pixel_size_A": PIXEL_A}]})  # fmt: skip
    return project


def round_model(one: dict[str, Any], chunks: int, workers: int) -> dict[str, float]:
    """Return what the parts of a round take on so many workers, from what they took on one."""
    chunk, pair = one["chunks_s"] / chunks, one["adding_s"] / max(1, chunks - 1)
    levels, left = 0.0, chunks
    while left > 1:
        left = math.ceil(left / 2)
        levels += math.ceil(left / workers) * pair
    parts = {"chunks_s": math.ceil(chunks / workers) * chunk, "adding_s": levels, "finish_s": one["finish_s"]}
    return {**parts, "round_s": sum(parts.values())}


def far(one: dict[str, Any], cores: int) -> dict[str, Any]:
    """Extrapolate a round to many particles in large boxes on so many cores: as workers, then as threads of workers.

    Per particle the work grows with the pixels of its image; adding up and the maps grow with the voxels. Threads are
    taken to share a chunk without loss, and not to help with adding up or with the maps.
    """
    particles, growth = FAR["particles"], FAR["box_px"] / BOX
    chunks = math.ceil(particles / chunk_size(particles))
    workers = min(cores, chunks)
    threads = cores // workers
    small_chunks = math.ceil(PARTICLES / chunk_size(PARTICLES))
    scaled = {
        "chunks_s": one["chunks_s"] * particles / PARTICLES * growth**2 / threads,
        "adding_s": one["adding_s"] / max(1, small_chunks - 1) * (chunks - 1) * growth**3,
        "finish_s": one["finish_s"] * growth**3,
    }
    parts = round_model(scaled, chunks, workers)
    alone = sum(scaled.values()) + scaled["chunks_s"] * (threads - 1)
    return {
        "cores": cores, "workers": workers, "threads": threads, **{k: round(v, 1) for k, v in parts.items()},
        "hours_of_9_rounds": round(USUAL_ROUNDS * parts["round_s"] / 3600, 2),
        "efficiency": round(alone / (cores * parts["round_s"]), 3),
    }  # fmt: skip


def main() -> None:
    os.chdir(REPOSITORY)
    os.environ["PYTHONPATH"] = f"{REPOSITORY}"
    rows = []
    with tempfile.TemporaryDirectory(prefix="verglas-scaling-") as name:
        folder = Path(name)
        empty = waited(folder, A_PROCESS, 0.0, EMPTY_ITEMS)
        item_cpu, item_wall = empty["cpu_s"] / EMPTY_ITEMS, empty["wall_s"] / EMPTY_ITEMS
        trip = 0.0
        for workers in COUNTS:
            row: dict[str, Any] = {"workers": workers}
            for label, (seconds, each) in (("1_s", SHORT), ("5_s", LONG)):
                if label == "5_s" and workers not in LONG_COUNTS:
                    continue
                took = waited(folder, workers, seconds, each * workers)
                if workers == 1 and label == "1_s":
                    trip = (took["wall_s"] - each * seconds) / each
                model = each * (seconds + trip) + workers * item_wall  # the last of a wave begins so much later
                row |= {
                    f"overhead_percent_{label}": round(100 * (took["wall_s"] / (each * seconds) - 1), 2),
                    f"model_percent_{label}": round(100 * (model / (each * seconds) - 1), 2),
                    f"wall_s_{label}": round(took["wall_s"], 3), f"controller_cpu_s_{label}": round(took["cpu_s"], 3),
                }  # fmt: skip
            rows.append(row)
            sys.stdout.write(f"{row}\n")
        project = make_project(folder)
        jobs = [real_job(project.folder, workers, project) for workers in (1, 2)]
        project.close()
    chunks = math.ceil(PARTICLES / chunk_size(PARTICLES))
    path = record(
        "scaling",
        {
            "waiting": rows,
            "round_trip_s": round(trip, 4),
            "empty_items": {
                "items": EMPTY_ITEMS, "workers": A_PROCESS, "wall_ms_each": round(1e3 * item_wall, 3),
                "controller_cpu_ms_each": round(1e3 * item_cpu, 3), "items_a_second": round(1 / item_wall, 1),
            },
            "workers_a_process": f"up to {A_PROCESS}: they only wait, and share an interpreter to fit into memory",
            "real_job": {
                "action": f"auto-refine, {PARTICLES} particles of {BOX} px, {chunks} chunks, {ROUNDS} rounds, 1 thread",
                "measured": jobs, "model_of_two": round_model(jobs[0], chunks, 2),
                "round_s_two_over_model": round(jobs[1]["round_s"] / round_model(jobs[0], chunks, 2)["round_s"], 3),
            },
            "far": {**FAR, "most_chunks": MOST_CHUNKS, "rows": [far(jobs[0], cores) for cores in CORES]},
        },
    )  # fmt: skip
    sys.stdout.write(path.read_text())
    worst = max(row.get("overhead_percent_5_s", 0.0) for row in rows)
    assert worst < 3.0, f"items of 5 s cost {worst} % more"


if __name__ == "__main__":
    main()
