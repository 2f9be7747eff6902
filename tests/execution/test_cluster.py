"""Who may join a job, what becomes of its workers, and what killed writers leave behind."""

from __future__ import annotations

import errno
import importlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.execution.toy import make_job
from verglas.errors import FormatError
from verglas.execution.cluster import Cluster, local_cluster
from verglas.execution.controller import run_job, start_detached
from verglas.execution.dask_setup import make_certificate, security_of
from verglas.execution.tasks import Outcome, Task, is_disk_full, run_task
from verglas.execution.worker_pools import LocalWorkers

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def until(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def worker_processes(cluster: Cluster) -> list[int]:
    assert isinstance(cluster._pool, LocalWorkers)
    return cluster._pool.processes


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = local_cluster(tmp_path / "workers", 1, 1)
    yield made
    made.close()


def test_only_who_holds_the_certificate_of_the_job_can_connect(cluster: Cluster) -> None:
    distributed: Any = importlib.import_module("distributed")
    cluster.wait_for_workers()
    address = cluster._address

    def connect(security: Any, where: str = address) -> int:
        with distributed.Client(where, security=security, timeout=4, set_as_default=False) as client:
            return len(client.scheduler_info()["workers"])

    assert connect(security_of(cluster._pem)) == 1, "who holds it can"
    with pytest.raises((OSError, TimeoutError)):
        connect(security_of(make_certificate()))
    with pytest.raises((OSError, TimeoutError)):
        connect(None, address.replace("tls://", "tcp://"))
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    host, port = address.removeprefix("tls://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        pytest.raises(ssl.SSLError, match=r"(?i)cert"),
    ):
        encrypted = nobody.wrap_socket(plain)
        while encrypted.recv(1000):
            pass


def test_workers_end_with_a_killed_controller_also_in_the_midst_of_an_item(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{"id": 1, "seconds": 600, "mark": True}])
    process = start_detached(job)
    until((job.scratch / "tried-1").exists)
    (worker,) = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    until(lambda: not worker.is_running() or worker.status() == "zombie", seconds=10)


def double(item: int, task: Task) -> int:
    del task
    return 2 * item


def test_a_worker_that_dies_with_a_result_in_its_hands_does_not_hold_up_the_job(
    cluster: Cluster, tmp_path: Path
) -> None:
    task = Task(tmp_path, tmp_path, tmp_path, tmp_path, 1, "cpu", 0)
    cluster.wait_for_workers()
    cluster.submit(double, 4, "4", task)
    (future,) = cluster._busy
    until(lambda: future.status == "finished")
    (address,) = cluster._scheduler.workers
    psutil.Process(worker_processes(cluster)[0]).kill()
    until(lambda: address not in cluster._scheduler.workers)
    outcomes: list[Outcome] = []

    def answered() -> bool:
        outcome = cluster.wait(0.1)
        if outcome is not None:
            outcomes.append(outcome)
        if outcome is not None and outcome.error is not None:
            assert "its worker died" in outcome.error
            cluster.submit(double, 4, "4", task)
        return outcome is not None and outcome.error is None

    until(answered, seconds=40)
    assert outcomes[-1].value == 8
    assert len(outcomes) <= 2


def test_a_resumed_job_removes_what_killed_writers_left(tmp_path: Path) -> None:
    job = make_job(tmp_path, 2)
    left = [job.results_folder / ".0.txt-half.txt", job.scratch / "sum" / ".level-0.npz"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert run_job(job, in_process=True) == "done"
    assert sorted(path.name for path in job.results_folder.iterdir()) == ["0.txt", "1.txt"]


def test_a_killed_worker_leaves_nothing_half_written_in_a_job_that_is_done(tmp_path: Path) -> None:
    job = make_job(tmp_path, [{"id": 0}, {"id": 1, "kill": "once", "litter": True}])
    assert start_detached(job).wait(timeout=300) == 0, job.log_path.read_text()
    assert sorted(path.name for path in job.results_folder.iterdir()) == ["0.txt", "1.txt"]


def wrap_a_full_disk(item: int, task: Task) -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError as error:
        raise FormatError("a.mrc", "it cannot be written") from error


def test_a_full_disk_is_known_also_inside_another_error(tmp_path: Path) -> None:
    task = Task(tmp_path, tmp_path, tmp_path, tmp_path, 1, "cpu", 0)
    assert run_task(wrap_a_full_disk, 1, "1", task).disk_full
    assert is_disk_full(OSError(errno.EDQUOT, "quota")) and not is_disk_full(OSError(errno.ENOENT, "gone"))


ON_NODE7 = """
import json, sys
from verglas.errors import JobError
from verglas.execution.job_folder import JobFolder
job = JobFolder(sys.argv[1])
state, lives, said = job.state().name, job.controller_lives(), ""
try:
    job.claim_control()
except JobError as error:
    said = str(error)
other = JobFolder.claim(job.path.parent, "other")
print(json.dumps({"state": state, "lives": lives, "said": said, "number": other.number}))
"""


def test_another_host_sees_the_job_run_and_does_not_start_a_second_controller(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-u", "true"], check=False, capture_output=True).returncode:
        pytest.skip("another host name needs the right to `unshare -u`")
    job = make_job(tmp_path, [{"id": 1, "wait": True}])
    process = start_detached(job)
    until(lambda: job.state().name == "running")
    elsewhere = [unshare, "-u", "sh", "-c", 'hostname node7; exec "$@"', "sh", sys.executable, "-c", ON_NODE7]
    asked = subprocess.run([*elsewhere, str(job.path)], capture_output=True, text=True, check=True)
    answer = json.loads(asked.stdout)
    assert (answer["state"], answer["lives"], answer["number"]) == ("running", True, 2)
    assert f"process {process.pid} on {os.uname().nodename}" in answer["said"]
    assert len(job.controllers()) == 1
    process.kill()
    process.wait()
    os.utime(job.heartbeat_path, (1.0, 1.0))  # as after a minute of silence
    asked = subprocess.run([*elsewhere, str(job.path)], capture_output=True, text=True, check=True)
    answer = json.loads(asked.stdout)
    assert (answer["state"], answer["said"]) == ("interrupted", ""), "a dead one is followed"
    assert len(job.controllers()) == 2
