"""A shared folder that is gone for one host, gone for all for a while, or hangs: no item is set aside for it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.execution.toy import make_job
from tests.execution.waiting import contents, finish, undisturbed, until
from tests.support.oracles import missing
from verglas.execution.addresses import HERE
from verglas.execution.controller import start_detached
from verglas.execution.run_profile import RunCommand, RunProfile

REPOSITORY = Path(__file__).parents[2]
PLAIN = RunCommand(command="env HOST=good $command", copies=1)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def allowed(*words: str) -> None:
    """Skip where the kernel does not let us do something, and say what."""
    if shutil.which(words[0]) is None:
        missing(words[0], "apt-get install util-linux")
    tried = subprocess.run(words, check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"this needs the right to `{' '.join(words)}`: {tried.stderr}")


def test_a_host_that_loses_the_folder_is_let_go_and_no_item_with_it(tmp_path: Path) -> None:
    """Such a host fails all it is given, and fast: it would draw in and set aside the whole job."""
    allowed("unshare", "-m", "true")
    project, gone = tmp_path / "project", tmp_path / "gone"
    hide = f"(until [ -e {gone} ]; do sleep 0.1; done; mount -t tmpfs none {project}) & exec $command"
    loses = RunCommand(command=f'unshare -m sh -c "{hide}"', copies=1)
    items = [{"id": number, "seconds": 0.4} for number in range(30)]
    job = make_job(project, items, workers=2, chunks=3,
                   profile=RunProfile(name="two", commands=(PLAIN, loses), addresses=(HERE,)))  # fmt: skip
    process = start_detached(job)
    until(lambda: len({one.values["process"] for one in job.results().values() if "process" in one.values}) == 2)
    gone.touch()
    finish(job, process)
    assert contents(job) == undisturbed(tmp_path / "local", len(items), chunks=3)
    assert "does not see the job's folder any more" in job.events_path.read_text()


def test_a_folder_that_is_gone_for_all_for_a_while_ends_in_a_job_that_goes_on(tmp_path: Path) -> None:
    project, away = tmp_path / "project", tmp_path / "away"
    items = [{"id": number, "seconds": 0.4} for number in range(20)]
    job = make_job(project, items, workers=2, chunks=3,
                   profile=RunProfile(name="two", commands=(PLAIN, PLAIN), addresses=(HERE,)))  # fmt: skip
    process = start_detached(job)
    until(lambda: len(job.results()) >= 4)
    project.rename(away)
    time.sleep(6)
    away.rename(project)
    process.wait(timeout=300)
    if job.state().name != "done":
        assert job.state().name in {"failed", "interrupted"}, job.state()
        process = start_detached(job)
    finish(job, process)
    assert contents(job) == undisturbed(tmp_path / "local", len(items), chunks=3)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Make a file system that can be frozen, as a server that does not answer."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as stream:
        stream.truncate(64 * 2**20)
    allowed("mkfs.ext4", "-q", str(image))
    allowed("mount", "-o", "loop", str(image), str(place))
    yield place
    subprocess.run(["fsfreeze", "-u", str(place)], check=False, capture_output=True)
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_folder_that_hangs_and_is_slow_is_waited_for(disk: Path, tmp_path: Path) -> None:
    allowed("fsfreeze", "-f", str(disk))
    allowed("fsfreeze", "-u", str(disk))
    items = [{"id": number, "seconds": 0.2} for number in range(30)]
    job = make_job(disk / "project", items, workers=2, chunks=3,
                   profile=RunProfile(name="two", commands=(PLAIN, PLAIN), addresses=(HERE,)))  # fmt: skip
    process = start_detached(job)
    until(lambda: len(job.results()) >= 4)
    for seconds in (6.0, 0.8, 0.8):
        subprocess.run(["fsfreeze", "-f", str(disk)], check=True)
        time.sleep(seconds)
        subprocess.run(["fsfreeze", "-u", str(disk)], check=True)
        time.sleep(0.4)
    finish(job, process)
    assert contents(job) == undisturbed(tmp_path / "local", len(items), chunks=3)
