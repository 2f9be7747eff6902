"""Workers that commands start: what they say when they cannot join, and what becomes of those that never come."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.execution.toy import make_job
from verglas.execution import commanded_workers
from verglas.execution.addresses import HERE
from verglas.execution.batch_systems import BATCH_SYSTEMS
from verglas.execution.commanded_workers import CommandedWorkers
from verglas.execution.controller import run_job
from verglas.execution.dask_setup import make_certificate
from verglas.execution.run_profile import RunCommand, RunProfile
from verglas.execution.worker_pools import Joining

REPOSITORY = Path(__file__).parents[2]


def closed_port() -> int:
    with socket.socket() as one:
        one.bind((HERE, 0))
        return int(one.getsockname()[1])


def joining(folder: Path, patience: float = 2.0) -> Joining:
    folder.mkdir(mode=0o700)
    return Joining(f"tls://{HERE}:{closed_port()}", make_certificate(), folder, patience)


def start_worker(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "verglas.execution.worker", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_worker_of_another_version_refuses_and_says_which(tmp_path: Path) -> None:
    file = joining(tmp_path / "workers").write("worker-0001", 1, None)
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": "99.1"}))
    done = start_worker(file)
    (said,) = tmp_path.glob("workers/*.said")
    assert done.returncode == 1 and "99.1" in said.read_text() and "install the same" in said.read_text()


def test_a_worker_that_cannot_reach_the_scheduler_says_so(tmp_path: Path) -> None:
    file = joining(tmp_path / "workers").write("worker-0001", 1, None)
    start_worker(file)
    (said,) = tmp_path.glob("workers/*.said")
    assert "cannot reach" in said.read_text() and "firewall" in said.read_text()


def test_a_worker_whose_job_has_ended_says_so(tmp_path: Path) -> None:
    done = start_worker(tmp_path / "workers" / "worker-0001.json")
    assert done.returncode == 1 and "the job has ended" in done.stderr


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = joining(tmp_path / "workers").write("worker-0001", 1, None)
    assert file.stat().st_mode & 0o077 == 0
    file.chmod(0o640)
    done = start_worker(file)
    assert done.returncode == 1 and "0600" in done.stderr


def test_commands_that_start_nobody_fail_the_job_with_their_own_words(tmp_path: Path) -> None:
    command = RunCommand(command="echo the moon is full; false $command", copies=2)
    job = make_job(tmp_path, 2, profile=RunProfile(name="moon", commands=(command,), addresses=(HERE,)))
    assert run_job(job) == "failed"
    assert "the moon is full" in job.state().message


def test_submitted_jobs_that_end_without_joining_are_noticed_by_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanded_workers, "ASK_SECONDS", 0.0)
    slurm = replace(BATCH_SYSTEMS[0], alive=("echo", "7"), cancel=("true",))
    monkeypatch.setattr("verglas.execution.batch_systems.BATCH_SYSTEMS", (slurm,))
    command = RunCommand(
        command='echo "Submitted batch job $((6 + $(ls *.out | wc -l)))"; : $command', copies=2, delay_ms=0
    )
    pool = CommandedWorkers(RunProfile(name="queue", commands=(command,)), 2)
    pool.open(joining(tmp_path / "workers"))
    end = time.monotonic() + 240
    while not pool.trouble:
        pool.look_after(set())
        time.sleep(0.05)
        assert time.monotonic() < end
    pool.close()
    assert "could not be started" in pool.trouble
    record = (tmp_path / "workers" / commanded_workers.BATCH_RECORD).read_text().splitlines()
    assert record[0] == "Slurm\t7" and len(record) > 5, "7 is there and is waited for; all others were given up"


def test_what_is_lost_is_ended_and_begun_anew_and_names_are_not_mixed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commanded_workers, "GONE_SECONDS", 0.2)
    monkeypatch.setattr(commanded_workers, "HASTY_SECONDS", 0.0)
    profile = RunProfile(name="sleep", commands=(RunCommand(command="sleep 600; : $command", copies=1),))
    pool = CommandedWorkers(profile, 1)
    pool.open(joining(tmp_path / "workers"))
    pool.look_after(set())
    first = pool._launches[0]
    pool.look_after({"worker-0001-host-1"})
    assert pool.news()[-1] == "1 of 1 worker(s) have joined"
    time.sleep(0.3)
    pool.look_after({"worker-00010-host-1"})
    assert first.process.poll() is not None, "what is left of it is ended"
    time.sleep(0.05)
    pool.look_after(set())
    assert [one.name for one in pool._launches] == ["worker-0002"]
    pool.close()
    assert pool._launches[0].process.poll() is not None
