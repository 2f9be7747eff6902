"""Bad days on a real Slurm: walltimes, the death of a node, clocks, a full disk, GPUs of each worker, secrets left."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.execution.on_slurm import profile, queue
from tests.execution.toy import make_job
from tests.execution.waiting import contents, finish, undisturbed, until
from tests.support.oracles import missing
from tests.support.slurm import GPUS
from verglas.execution.addresses import HERE
from verglas.execution.controller import start_detached
from verglas.execution.job_folder import JobFolder
from verglas.execution.profile_templates import find_template
from verglas.execution.profile_trial import try_profile
from verglas.execution.run_profile import RunCommand, RunProfile

pytestmark = pytest.mark.usefixtures("on_slurm")


def marked(project: Path, count: int, way: str = "slurm-workers", seconds: float = 1.0) -> JobFolder:
    items = [{"id": number, "seconds": seconds, "mark": True} for number in range(count)]
    return make_job(project, items, workers=2, chunks=3, profile=profile(way))


def end_walltime(number: str, seconds: int = 2) -> None:
    """Have a job meet its walltime soon; Slurm itself knows no shorter one than a minute."""
    end = datetime.datetime.now() + datetime.timedelta(seconds=seconds)
    subprocess.run(["scontrol", "update", f"JobId={number}", f"EndTime={end:%Y-%m-%dT%H:%M:%S}"], check=True)


def test_a_worker_that_meets_its_walltime_is_replaced(tmp_path: Path) -> None:
    job = marked(tmp_path / "p", 20)
    process = start_detached(job)
    until((job.scratch / "tried-1").exists)
    first = queue()[0]
    end_walltime(first)
    until(lambda: first not in queue(), 90)
    finish(job, process)
    assert contents(job) == undisturbed(tmp_path / "local", 20, 3)
    until(lambda: not queue(), 30)


@pytest.mark.timeout(300)  # Slurm looks at walltimes every half minute, so the work must last longer
def test_an_allocation_that_meets_its_walltime_leaves_a_job_that_goes_on(tmp_path: Path) -> None:
    job = marked(tmp_path / "p", 80, "slurm-allocation")
    process = start_detached(job)
    until((job.scratch / "tried-1").exists)
    end_walltime(queue()[0])
    process.wait(timeout=300)
    until(lambda: not job.state().is_active, 90)
    assert job.state().name in {"paused", "interrupted"}, job.state()
    assert len(job.results()) < 80
    until(lambda: not queue(), 30)
    finish(job)
    assert contents(job) == undisturbed(tmp_path / "local", 80, 3)
    until(lambda: not queue(), 30)


def kill_node(conf: Path, node: str) -> None:
    """Kill a node's daemon with all that runs on it, as a power cut does."""
    daemon = psutil.Process(int((conf.parent / "run" / f"slurmd-{node}.pid").read_text()))
    steps = [one for one in psutil.process_iter(["name"]) if one.info["name"] == "slurmstepd"]
    own = [
        one
        for one in steps
        if f"-{node}" in " ".join(one.cmdline()) or node in one.environ().get("SLURMD_NODENAME", "")
    ]
    for one in own or _steps_of(steps, node):
        for child in one.children(recursive=True):
            child.kill()
        one.kill()
    daemon.kill()


def _steps_of(steps: list[psutil.Process], node: str) -> list[psutil.Process]:
    """Return the steps whose programs say that they run on a node."""
    return [
        step for step in steps
        if any(child.environ().get("SLURMD_NODENAME") == node for child in step.children(recursive=True))
    ]  # fmt: skip


def test_the_death_of_a_node_is_survived(on_slurm: Path, tmp_path: Path) -> None:
    def node_of(number: str) -> str:
        said = subprocess.run(["squeue", "-h", "-j", number, "-o", "%N"], capture_output=True, text=True, check=False)
        return said.stdout.strip()

    job = marked(tmp_path / "p", 24)
    process = start_detached(job)
    until((job.scratch / "tried-1").exists)
    node = node_of(queue()[0])
    try:
        kill_node(on_slurm, node)
        finish(job, process)
    finally:
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        subprocess.run(["scancel", "--me"], check=False)
        subprocess.run(["slurmd", "-f", str(on_slurm), "-N", node, "-c"], check=True, env=environment)
    assert contents(job) == undisturbed(tmp_path / "local", 24, 3)
    until(lambda: not queue(), 60)


def test_a_killed_controller_leaves_a_job_that_can_be_resumed_no_key_and_nothing_in_the_queue(tmp_path: Path) -> None:
    job = marked(tmp_path / "p", 12)
    process = start_detached(job)
    until((job.scratch / "tried-1").exists)
    folder = job.path / "workers"
    assert folder.stat().st_mode & 0o777 == 0o700
    until(lambda: not list(folder.glob("*.json")), 30)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert job.state().name == "interrupted"
    kept = [path for path in job.path.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert not kept
    until(lambda: not queue(), 30)
    finish(job)
    assert contents(job) == undisturbed(tmp_path / "local", 12, 3)


def test_a_worker_whose_clock_is_wrong_works_all_the_same(tmp_path: Path) -> None:
    if shutil.which("faketime") is None:
        missing("faketime", "apt-get install faketime")
    wrong = "env NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f -3h $command"
    late = profile("slurm-workers", 1)
    commands = (late.commands[0], late.commands[0].model_copy(
        update={"command": late.commands[0].command.replace("$command", wrong)}))  # fmt: skip
    job = make_job(tmp_path / "p", [{"id": n, "seconds": 0.6} for n in range(30)], workers=2, chunks=3,
                   profile=late.model_copy(update={"commands": commands}))  # fmt: skip
    finish(job)
    assert contents(job) == undisturbed(tmp_path / "local", 30, 3)
    assert "2 of 2" in job.events_path.read_text(), job.log_path.read_text()
    assert len({event.values["process"] for event in job.results().values() if "process" in event.values}) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if tried.returncode:
        pytest.skip("a small disk needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_job_and_resume_completes_it(small_disk: Path, tmp_path: Path) -> None:
    job = marked(small_disk / "p", 12, seconds=0.5)
    process = start_detached(job)
    until((job.scratch / "tried-1").exists)
    filler = small_disk / "filler"
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="space"):
        while True:
            os.write(handle, b"x" * 4096)
    os.close(handle)
    process.wait(timeout=300)
    until(lambda: not job.state().is_active, 30)
    assert job.state().name in {"failed", "interrupted"} and not job.failures()
    until(lambda: not queue(), 30)
    filler.unlink()
    finish(job)
    assert contents(job) == undisturbed(tmp_path / "local", 12, 3)


def test_each_worker_has_gpus_of_its_own(on_slurm: Path, tmp_path: Path) -> None:
    if not (on_slurm.parent / "run" / "gpu0").exists():
        pytest.skip("pretended GPUs need the right to make device files (mknod)")
    values = {"threads": "1", "GB": "1", "partition": "debug", "gpus": "1"}
    manager, command = find_template("slurm-gpu").filled(values)
    by_slurm = RunProfile(name="g", manager_command=manager, addresses=(HERE,),
                          commands=(RunCommand(command=f"{command} -w n1", copies=2, gpus=1),))  # fmt: skip
    assert sorted(str(one.gpus) for one in try_profile(by_slurm, tmp_path, 2, 1)) == ["0", "1"]
    shared = f'sbatch -n 1 -c 2 --mem 1G -w n2 --gres=gpu:{GPUS} --wrap="srun -n 2 --overlap --mem 0 $command"'
    by_rank = RunProfile(name="r", addresses=(HERE,),
                         commands=(RunCommand(command=shared, copies=1, total_workers=2, gpus=1),))  # fmt: skip
    assert sorted(str(one.gpus) for one in try_profile(by_rank, tmp_path, 2, 1)) == ["0", "1"]
