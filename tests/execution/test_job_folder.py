"""Job folders: numbers, torn lines, derived states, one controller."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from verglas.errors import FormatError, JobError
from verglas.execution.durable import AppendOnlyFile, whole_file
from verglas.execution.events import FailureEvent, MessageEvent, ProgressEvent, ResultEvent, StateEvent
from verglas.execution.job_folder import EventLog, JobFolder, ProjectReference, Request
from verglas.execution.liveness import ProcessRecord


def make_job(project: Path, action: str = "align-movies") -> JobFolder:
    job = JobFolder.claim(project / "Jobs", action)
    job.write_request(
        Request(job=job.number, action=action, entry="a.b:C", title="T", project=ProjectReference(name="p", id="1"),
                created="2026-01-01T12:00:00+00:00", user="ana", host="node1")
    )  # fmt: skip
    return job


def claim_many(arguments: tuple[str, int]) -> list[int]:
    jobs, which = arguments
    return [JobFolder.claim(jobs, f"action-{which}").number for _ in range(20)]


def test_numbers_are_given_once_whoever_asks(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        numbers = [n for part in pool.map(claim_many, [(str(tmp_path), i) for i in range(3)]) for n in part]
    assert sorted(numbers) == list(range(1, 61))


def test_a_deleted_job_leaves_its_number_taken(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.path.rename(tmp_path / "gone")
    assert make_job(tmp_path).number == 2
    assert [found.number for found in JobFolder.all_in(tmp_path / "Jobs")] == [2]
    with pytest.raises(JobError, match="no job 1"):
        JobFolder.find(tmp_path / "Jobs", 1)


def test_request_comes_back_and_a_folder_without_one_is_no_job(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    JobFolder.claim(tmp_path / "Jobs", "find-ctf")
    assert job.request().user == "ana"
    assert JobFolder.all_in(tmp_path / "Jobs")[0].path == job.path
    assert len(JobFolder.all_in(tmp_path / "Jobs")) == 1
    newer = json.loads(job.request_path.read_text()) | {"format": 99}
    job.request_path.write_text(json.dumps(newer))
    with pytest.raises(FormatError, match="newer"):
        job.request()


def test_events_survive_a_torn_last_line_which_the_next_writer_cuts_off(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    log = EventLog(job)
    log.append(ResultEvent(key="a", kind="image", files={"sum": "results/a.mrc"}, values={"x": 1.5}))
    log.append(MessageEvent(text="ü" * 100_000))
    log.close()
    with job.events_path.open("ab") as stream:
        stream.write(b'{"event":"result","t":1.0,"key":"b","ki')
    assert list(job.results()) == ["a"]
    log = EventLog(job)
    log.append(ResultEvent(key="c", kind="image"))
    log.close()
    assert list(job.results()) == ["a", "c"]
    assert job.results()["a"].values == {"x": 1.5}


def test_a_damaged_line_inside_is_told_and_a_newer_kind_is_passed_over(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.events_path.write_text('{"event":"hologram","t":1}\n{"event":"message","t":1,"text":"x"}\n')
    assert [type(event) for event in job.events()] == [MessageEvent]
    job.events_path.write_text('{"event":"mess\n{"event":"message","t":1,"text":"x"}\n')
    with pytest.raises(FormatError, match="damaged"):
        list(job.events())


def test_following_goes_on_where_it_stopped(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    log = EventLog(job)
    log.append(ProgressEvent(done=1, total=3))
    (_, offset), = job.events_from(0)  # fmt: skip
    log.append(ProgressEvent(done=2, total=3))
    assert [event.done for event, _ in job.events_from(offset) if isinstance(event, ProgressEvent)] == [2]
    progress = job.progress()
    assert progress is not None
    assert progress.done == 2
    log.close()


def test_failures_end_with_a_result(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    log = EventLog(job)
    for key in "ab":
        log.append(FailureEvent(key=key, error="no", attempts=2))
    log.append(ResultEvent(key="a", kind="image"))
    log.close()
    assert list(job.failures()) == ["b"]


def test_states(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    assert job.state().name == "queued"
    dead = subprocess.run(
        [sys.executable, "-c", "import sys; from verglas.execution.job_folder import JobFolder;"
         "print(JobFolder(sys.argv[1]).claim_control())", job.path],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert dead.stdout.strip() == "1"
    assert job.state().name == "interrupted"
    assert job.claim_control() == 2
    assert job.state().name == "starting"
    log = EventLog(job)
    log.append(StateEvent(state="running"))
    assert job.state().is_active
    log.append(StateEvent(state="paused", cpu_seconds=2.0))
    log.append(StateEvent(state="done", failures=3, cpu_seconds=1.5, peak_memory_bytes=7))
    log.close()
    state = job.state()
    assert (state.name, state.failures, state.cpu_seconds, state.peak_memory_bytes) == ("done", 3, 3.5, 7)


def test_a_second_controller_is_refused(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.claim_control()
    with pytest.raises(JobError, match=f"process {os.getpid()}"):
        JobFolder(job.path).claim_control()


def test_a_controller_elsewhere_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    record = ProcessRecord(host="elsewhere", process=1, process_started=1.0)
    (job.path / "controller-0001.json").write_text(record.model_dump_json())
    EventLog(job).append(StateEvent(state="running"))
    assert job.state().name == "interrupted"
    job.heartbeat_path.touch()
    assert job.state().name == "running"
    os.utime(job.heartbeat_path, (1.0, 1.0))
    assert job.state().name == "interrupted"
    assert not record.is_seen_alive(job.heartbeat_path, watch_seconds=0.6)


def test_whole_file_leaves_the_old_content_when_the_writer_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="full"), whole_file(target) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_an_append_that_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    import resource
    import signal

    lines = AppendOnlyFile(tmp_path / "lines")
    lines.append(b"first", durable=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        with pytest.raises(OSError, match="large"):
            lines.append(b"second that is too long", durable=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    lines.append(b"third", durable=True)
    lines.close()
    assert (tmp_path / "lines").read_bytes() == b"first\nthird\n"
