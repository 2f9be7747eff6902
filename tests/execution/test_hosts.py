"""Jobs on several hosts (network namespaces): who listens where, what `profiles test` says, and hosts that vanish."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.execution.toy import make_job
from tests.execution.waiting import contents, finish, undisturbed, until
from tests.support.hosts import Host, hosts, older, run
from tests.support.oracles import missing
from verglas.errors import JobError
from verglas.execution.controller import start_detached
from verglas.execution.profile_trial import try_profile
from verglas.execution.run_profile import RunCommand, RunProfile

REPOSITORY = Path(__file__).parents[2]
PORTS = (24100, 24160)
MANY = [{"id": number, "seconds": 0.3} for number in range(12)]


@pytest.fixture
def two() -> Iterator[list[Host]]:
    with hosts(2) as made:
        yield made


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr("verglas.execution.profile_trial.HOPELESS_SECONDS", 3.0)


def profile(*made: Host, inner: str = "exec $command", copies: int = 1) -> RunProfile:
    commands = tuple(RunCommand(command=host.command(inner), copies=copies) for host in made)
    return RunProfile(name="hosts", commands=commands, addresses=(made[0].gateway,), ports=PORTS)


def said(given: RunProfile, folder: Path, workers: int = 1) -> str:
    with pytest.raises(JobError) as caught:
        try_profile(given, folder, workers, 1, patience=60)
    return str(caught.value)


def test_a_job_runs_on_two_hosts_and_only_the_stated_addresses_and_ports_listen(
    two: list[Host], tmp_path: Path
) -> None:
    job = make_job(tmp_path / "hosts", MANY, workers=2, chunks=3, profile=profile(*two))
    process = start_detached(job)
    until(lambda: len(job.results()) >= 4)
    place = {}
    for host in two:
        place[host.name] = [line.split()[3] for line in host.run("ss", "-Hltn").splitlines()]
    here = [line for line in run("ss", "-Hltnp").splitlines() if f"pid={process.pid}," in line]
    command_lines = "".join(
        path.read_text(errors="replace")
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if str(job.path) in path.read_text(errors="replace")
    )
    finish(job, process)
    assert [line.split()[3] for line in here] == [f"{two[0].gateway}:{PORTS[0]}"]
    for host in two:
        (only,) = place[host.name]
        address, _, port = only.rpartition(":")
        assert address == host.address and PORTS[0] <= int(port) <= PORTS[1]
    assert "verglas.execution.worker" in command_lines, "workers were looked at"
    assert not re.search("PRIVATE|CERTIFICATE|tls:", command_lines), "no secret in a command line"
    assert contents(job) == undisturbed(tmp_path / "local", len(MANY), chunks=3)
    assert len({event.values["process"] for event in job.results().values() if "process" in event.values}) == 2


def test_a_host_that_goes_silent_is_given_up_and_its_work_is_done_elsewhere(two: list[Host], tmp_path: Path) -> None:
    items = [{"id": number, "seconds": 1.0, "mark": True} for number in range(10)]
    job = make_job(tmp_path, items, workers=2, profile=profile(*two))
    process = start_detached(job)
    until(lambda: len(job.results()) >= 2)
    two[1].unplug()
    finish(job, process)
    assert len(contents(job)) == 10


def test_a_worker_behind_a_firewall_is_let_go_and_the_other_does_the_work(two: list[Host], tmp_path: Path) -> None:
    two[1].drop("input", "tcp flags & (syn | ack) == syn")
    # Long enough for the other worker to join and be tried, which takes some seconds, while this one works.
    items = [{"id": number, "seconds": 0.6} for number in range(40)]
    job = make_job(tmp_path, items, workers=2, profile=profile(*two))
    finish(job)
    assert "joined but cannot be reached" in job.events_path.read_text()


def test_profiles_test_says_what_is_in_the_way(two: list[Host], tmp_path: Path) -> None:
    head, far = two
    head.drop("output", f"tcp dport {PORTS[0]}-{PORTS[1]}")
    words = said(profile(head), tmp_path)
    assert "firewall" in words and "--ports" in words and "no answer" in words
    run("ip", "-n", far.name, "route", "del", "default")
    words = said(profile(head, far).model_copy(update={"commands": profile(far).commands}), tmp_path)
    assert "no route back" in words and "--interface" in words


def test_profiles_test_says_that_workers_cannot_be_reached(two: list[Host], tmp_path: Path) -> None:
    two[0].drop("input", "tcp flags & (syn | ack) == syn")
    words = said(profile(two[0]), tmp_path)
    assert "firewall" in words and "controller cannot reach their ports" in words


def test_profiles_test_says_that_the_folder_is_not_shared(two: list[Host], tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    words = said(profile(two[0], inner=f"mount -t tmpfs none {hidden}; exec $command"), hidden)
    assert "folder not shared" in words and "same path" in words


def test_profiles_test_says_that_versions_differ_and_clocks(two: list[Host], tmp_path: Path) -> None:
    words = said(RunProfile(name="old", commands=(RunCommand(command=older(tmp_path)),)), tmp_path)
    assert "version mismatch" in words and "install the same" in words
    if shutil.which("faketime") is None:
        missing("faketime", "apt-get install faketime")
    late = "exec env NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f +400d $command"
    (answer,) = try_profile(profile(two[0], inner=late), tmp_path, 1, 1)
    assert answer.host == two[0].name and answer.clock_seconds == pytest.approx(400 * 86400, abs=60)


def test_profiles_test_says_that_there_is_no_scheduler(tmp_path: Path) -> None:
    command = RunCommand(command='sbatch-of-the-moon -n 1 --wrap="$command"')
    words = said(RunProfile(name="moon", commands=(command,)), tmp_path)
    assert "no scheduler" in words and "sbatch-of-the-moon" in words


def test_a_host_whose_clock_is_a_year_ahead_works_all_the_same(two: list[Host], tmp_path: Path) -> None:
    items = [{"id": number, "seconds": 0.6} for number in range(24)]
    late = "exec env NO_FAKE_STAT=1 FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f +400d $command"
    commands = (*profile(two[0]).commands, *profile(two[1], inner=late).commands)
    job = make_job(tmp_path / "hosts", items, workers=2, chunks=3,
                   profile=profile(two[0]).model_copy(update={"commands": commands}))  # fmt: skip
    finish(job)
    assert contents(job) == undisturbed(tmp_path / "local", len(items), chunks=3)
    assert len({event.values["process"] for event in job.results().values() if "process" in event.values}) == 2
