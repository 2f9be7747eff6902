"""Jobs on a real Slurm of three nodes: the FAQ's three ways, and what becomes of a job when things go wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.execution.on_slurm import VALUES, profile, queue
from tests.execution.toy import make_job
from tests.execution.waiting import contents, until
from verglas.execution.controller import start_detached
from verglas.execution.job_folder import JobFolder
from verglas.execution.profile_store import ALLOCATION_PROFILE, find_profile
from verglas.execution.quoting import start_command

ITEMS = [{"id": number, "seconds": 0.1} for number in range(8)]
pytestmark = pytest.mark.usefixtures("on_slurm")


@pytest.mark.parametrize("way", list(VALUES))
def test_each_way_gives_what_a_local_run_gives(way: str, tmp_path: Path) -> None:
    alone = make_job(tmp_path / "local", ITEMS, chunks=3)
    assert start_detached(alone).wait(timeout=300) == 0
    job = make_job(tmp_path / 'it\'s a "project"', ITEMS, workers=2, chunks=3, profile=profile(way))
    assert start_detached(job).wait(timeout=300) == 0, job.log_path.read_text()
    assert contents(job) == contents(alone)
    assert not (job.path / "workers").exists(), "keys are removed"
    until(lambda: not queue())


def test_a_batch_script_runs_a_job_in_its_own_allocation(tmp_path: Path) -> None:
    """Those who may only submit scripts: the controller runs in the script, the workers in steps beside it."""
    job = make_job(tmp_path, ITEMS, workers=3, profile=find_profile(ALLOCATION_PROFILE))
    script = "\n".join(
        [
            "#!/bin/sh", "#SBATCH --ntasks=3", "#SBATCH --cpus-per-task=1", "#SBATCH --mem-per-cpu=500M",
            f"exec {start_command('verglas.execution.controller', job.path)}",
        ]
    )  # fmt: skip
    subprocess.run(
        ["sbatch", "--wait", f"--output={tmp_path}/out.txt"], input=script, text=True, check=True, timeout=90
    )
    assert job.state().name == "done" and len(contents(job)) == len(ITEMS)
    assert len({event.values["process"] for event in job.results().values()}) > 1


def test_faqs_third_way_as_printed_waits_for_ever_and_so_a_flag_is_added(tmp_path: Path) -> None:
    """On a modern Slurm a step has its cores for itself: the manager's step leaves none of one core to a worker's."""
    manager = 'salloc -N 1 -c 1 -p debug srun -N 1 -n 1 -c 1 sh -c "{}"'
    inner = "timeout -s INT 4 srun -N 1 -n 1 -c 1 hostname"
    printed = subprocess.run(manager.format(inner), shell=True, capture_output=True, text=True, check=False)
    assert printed.returncode != 0 and not printed.stdout.strip()
    ours = manager.replace("srun -N", "srun --overlap -N").format(inner.replace("srun -N", "srun --exact -N"))
    shared = subprocess.run(ours, shell=True, capture_output=True, text=True, check=False)
    assert shared.returncode == 0 and shared.stdout.strip()


def test_a_cancelled_worker_is_replaced(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{"id": i, "seconds": 1.0, "mark": True} for i in range(10)], workers=2,
                   profile=profile("slurm-workers"))  # fmt: skip
    process = start_detached(job)
    until((job.scratch / "tried-1").exists)
    subprocess.run(["scancel", queue()[0]], check=True)
    assert process.wait(timeout=300) == 0, job.log_path.read_text()
    assert len(contents(job)) == 10


def test_a_drained_node_and_the_loss_of_all_workers_are_survived(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{"id": i, "seconds": 1.0, "mark": True} for i in range(8)], workers=2,
                   profile=profile("slurm-workers"))  # fmt: skip
    process = start_detached(job)
    until((job.scratch / "tried-1").exists)
    try:
        subprocess.run(["scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=test"], check=True)
        subprocess.run(["scancel", "--me"], check=True)
        assert process.wait(timeout=300) == 0, job.log_path.read_text()
    finally:
        subprocess.run(["scontrol", "update", "NodeName=n1", "State=RESUME"], check=True)
    assert len(contents(job)) == 8


def test_workers_that_wait_in_the_queue_are_taken_out_when_the_job_ends(tmp_path: Path) -> None:
    job = make_job(tmp_path, ITEMS, workers=40, profile=profile("slurm-workers", copies=40))
    assert start_detached(job).wait(timeout=300) == 0, job.log_path.read_text()
    until(lambda: not queue(), 30)


def test_the_same_job_started_twice_runs_once(tmp_path: Path) -> None:
    job = make_job(tmp_path, ITEMS, workers=2, profile=profile("slurm-manager"))
    first, second = start_detached(job), start_detached(JobFolder(job.path))
    first.wait(timeout=300)
    second.wait(timeout=300)
    assert job.state().name == "done" and len(contents(job)) == len(ITEMS)
    assert len(job.controllers()) == 1


def test_scancel_of_the_manager_leaves_a_job_that_can_be_resumed(tmp_path: Path) -> None:
    items = [{"id": i, "seconds": 0.5, "mark": True} for i in range(12)]
    job = make_job(tmp_path, items, workers=2, profile=profile("slurm-manager"))
    process = start_detached(job)
    until((job.scratch / "tried-1").exists)
    subprocess.run(["scancel", "--me"], check=True)
    process.wait(timeout=300)
    until(lambda: not job.state().is_active, 90)
    assert job.state().name in {"paused", "interrupted"}, job.state()
    assert start_detached(job).wait(timeout=300) == 0, job.log_path.read_text()
    assert len(contents(job)) == 12
