"""Running jobs: in process and on workers, failures, cancel, pause, resume, kills."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.execution.toy import make_job
from verglas.errors import JobError
from verglas.execution.controller import exit_status, run_job, start_detached
from verglas.execution.events import ProgressEvent, StateEvent
from verglas.execution.job_folder import JobFolder

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def until(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def content(job: JobFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in job.results_folder.iterdir()}


def wait_for(process: subprocess.Popen[bytes], job: JobFolder) -> int:
    try:
        return process.wait(timeout=300)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(job.log_path.read_text()[-3000:]) from None


def test_in_process(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{"id": 1}, {"id": 2, "fail": "always"}, {"id": 3, "fail": "once"}], chunks=5)
    assert run_job(job, in_process=True) == "done"
    assert list(job.results()) == ["1", "3", "sum"]
    assert list(job.failures()) == ["2"]
    assert "item 2 is bad" in job.failures()["2"].error
    assert job.state().failures == 1
    assert not job.scratch.exists()
    assert [event.state for event in job.events() if isinstance(event, StateEvent)] == ["starting", "running", "done"]
    with pytest.raises(JobError, match="run already"):
        run_job(job, in_process=True)


def test_disk_full_fails_the_job_instead_of_each_item_and_resume_goes_on(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{"id": 1}, {"id": 2, "full": True}, {"id": 3}])
    assert run_job(job, in_process=True) == "failed"
    assert "space" in job.state().message
    assert not job.failures()


def test_on_workers(tmp_path: Path) -> None:
    items = [{"id": i} for i in range(20)]
    items += [{"id": 100, "kill": "always"}, {"id": 101, "kill": "once"}, {"id": 102, "fail": "always"}]
    job = make_job(tmp_path, items, workers=2, threads=1, chunks=9)
    process = start_detached(job)
    assert wait_for(process, job) == 3, job.log_path.read_text()[-3000:]
    assert set(job.results()) == {str(i) for i in range(20)} | {"101", "sum"}
    assert set(job.failures()) == {"100", "102"}
    assert "worker died" in job.failures()["100"].error
    assert {result.values["threads"] for key, result in job.results().items() if key != "sum"} == {"1"}
    state = job.state()
    assert (state.name, state.failures) == ("done", 2)
    assert state.cpu_seconds > 1
    assert state.peak_memory_bytes is not None
    assert state.peak_memory_bytes > 50e6
    assert not (job.path / "workers").exists()
    alone = make_job(tmp_path, 0, chunks=9)
    assert run_job(alone, in_process=True) == "done"
    assert content(alone)["sum.bin"] == content(job)["sum.bin"]


def test_cancel_pause_resume_and_a_second_controller(tmp_path: Path) -> None:
    items = [{"id": i, "seconds": 0.05} for i in range(30)] + [{"id": 99, "wait": True}]
    job = make_job(tmp_path, items, workers=2)
    process = start_detached(job)
    until(lambda: len(job.results()) >= 3)
    second = start_detached(JobFolder(job.path))
    assert wait_for(second, job) == 1
    assert "run already" in job.log_path.read_text()
    process.send_signal(signal.SIGTERM)
    assert wait_for(process, job) == exit_status("paused", 0)
    assert job.state().name == "paused"
    before = len(job.results())
    assert 3 <= before < 31
    process = start_detached(job)
    until(lambda: len(job.results()) == 30)
    job.ask("cancel")
    assert wait_for(process, job) == exit_status("cancelled", 0)
    assert job.state().name == "cancelled"
    assert not job.scratch.exists()
    progress = [event for event in job.events() if isinstance(event, ProgressEvent)]
    assert max(event.done for event in progress) <= progress[0].total == 31


def test_killed_controller_and_worker_resume_to_the_bit(tmp_path: Path) -> None:
    undisturbed = make_job(tmp_path, 12, chunks=11)
    assert run_job(undisturbed, in_process=True) == "done"
    job = make_job(tmp_path, [{"id": i, "seconds": 0.02} for i in range(12)], workers=2, chunks=11)
    process = start_detached(job)
    until(lambda: len(job.results()) >= 4)
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    until(lambda: len(list(job.scratch.glob("sum/level*"))) >= 2)
    process.kill()
    process.wait()
    assert job.state().name == "interrupted"
    until(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))
    process = start_detached(job)
    assert wait_for(process, job) == 0, job.log_path.read_text()[-3000:]
    assert content(job) == content(undisturbed)
    assert not job.failures()


def test_a_small_disk_that_fills_up_stops_the_job_and_resume_completes_it(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    place = tmp_path / "small"
    place.mkdir()
    space = [unshare or "unshare", "-rm", "sh", "-c"]
    if unshare is None or subprocess.run([*space, f"mount -t tmpfs tmpfs {place}"], check=False).returncode:
        pytest.skip("a small disk needs the right to `unshare -rm`; the raised error above stands in")
    script = f"mount -t tmpfs -o size=200k tmpfs {place} && exec {sys.executable} -m tests.execution.fill {place}"
    done = subprocess.run([*space, script], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second, equal = done.stdout.split()
    assert first in {"failed", "interrupted"}
    assert (second, equal) == ("done", "True")


def test_only_loopback_is_bound(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{"id": 1, "wait": True}], workers=1)
    process = start_detached(job)
    controller = psutil.Process(process.pid)

    def sockets_of(one: psutil.Process) -> list[Any]:
        # The controller also starts commands that end at once.
        with contextlib.suppress(psutil.NoSuchProcess):
            return list(one.net_connections("inet"))
        return []

    until(lambda: any(sockets_of(child) for child in controller.children()))
    time.sleep(0.5)
    folder = job.path / "workers"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not list(folder.glob("*.json")), "a worker removes its file as soon as it has read it"
    family = [controller, *controller.children()]
    listening = [c.laddr.ip for p in family for c in sockets_of(p) if c.status == psutil.CONN_LISTEN]
    job.ask("cancel")
    assert wait_for(process, job) == 4
    assert listening
    assert set(listening) == {"127.0.0.1"}
