"""One owner at a time, across processes and hosts; no edit is lost, whoever dies when."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project.conftest import add_movies, make_job
from verglas.errors import InputError, ProjectLockedError
from verglas.execution import liveness
from verglas.project import Project
from verglas.project.owner import Ownership, current_owner

HAMMER = """
import sys
from verglas.project import Project
folder, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(count):
    with Project.open(folder, "rw") as project:
        project.edit({"edit": "note.add", "text": f"{name} {number}"})
    sys.stdout.write(f"{name} {number}\\n")
    sys.stdout.flush()
"""


def hammer(folder: Path, name: str, count: int, *prefix: str) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-c", HAMMER, str(folder), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def texts(folder: Path) -> list[str]:
    with Project.open(folder, "rw") as project:
        return [note["text"] for note in project.notes()]


def test_two_processes_lose_no_write(project: Project, rebuilt_equals_live: Callable[[Path], None]) -> None:
    project.close()
    workers = [hammer(project.folder, name, 12) for name in "ab"]
    for worker in workers:
        _, complaints = worker.communicate(timeout=300)
        assert worker.returncode == 0, complaints
    found = texts(project.folder)
    assert sorted(found) == sorted(f"{name} {number}" for name in "ab" for number in range(12))
    rebuilt_equals_live(project.folder)


def test_a_killed_process_loses_nothing_it_had_confirmed(
    project: Project, rebuilt_equals_live: Callable[[Path], None]
) -> None:
    project.close()
    dice, confirmed = random.Random(7), []
    for attempt in range(4):
        worker = hammer(project.folder, f"k{attempt}", 1000)
        assert worker.stdout is not None
        confirmed.append(worker.stdout.readline().strip())
        time.sleep(dice.uniform(0.0, 0.15))
        worker.send_signal(signal.SIGKILL)
        confirmed += worker.communicate()[0].splitlines()
    found = texts(project.folder)
    assert set(confirmed) <= set(found)
    assert len(found) == len(set(found)) <= len(confirmed) + 4, "at most the edit in flight was not confirmed"
    rebuilt_equals_live(project.folder)


def test_edits_go_through_a_living_owner_and_its_refusals_come_back(project: Project) -> None:
    add_movies(project, 2)
    with Project.open(project.folder, "rw") as other:
        assert not other.is_owner
        assert f"process {os.getpid()}" in str(other.owner_words)
        line = other.edit({"edit": "group.add", "kind": "movie", "name": "g", "members": [2]})
        assert (line["group"], other.groups("movie")[1]["size"]) == (1, 1)
        with pytest.raises(InputError, match="already"):
            other.edit({"edit": "group.add", "kind": "movie", "name": "g"})
        make_job(project.folder, [1, 2])
        assert other.take_in()["results"] == 2 == other.count("image")
        with pytest.raises(ProjectLockedError, match="in use by"):
            other.rebuild()
    assert list(project.layout.mailbox.iterdir()) == []


def test_a_letter_is_carried_out_once(project: Project) -> None:
    assert project._store is not None
    first = project._store.commit({"edit": "note.add", "text": "once"}, "letter")
    assert project._store.commit({"edit": "note.add", "text": "once"}, "letter") == first
    assert len(project.notes()) == 1


def test_an_owner_that_dies_while_letters_wait_is_followed(project: Project) -> None:
    project.close()
    child = os.fork()
    if child == 0:
        owner = Ownership.take(project.layout.hidden, "sleeper")  # owns, but answers no letter
        time.sleep(60)
        owner.release()
        os._exit(0)
    while current_owner(project.layout.hidden) is None:
        time.sleep(0.01)
    with Project.open(project.folder, "rw") as other:
        assert not other.is_owner
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert other.edit({"edit": "note.add", "text": "after its death"})["note"] == 1


def on_another_host(folder: Path, name: str) -> subprocess.Popen[str]:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-u", "true"], check=False, capture_output=True).returncode:
        pytest.skip("another host name needs the right to `unshare -u`")
    quoted = '"$@"'
    return hammer(folder, name, 3, unshare, "-u", "sh", "-c", f"hostname node7; exec {quoted}", "sh")


def test_two_hosts_share_a_project(project: Project) -> None:
    add_movies(project, 1)
    other = on_another_host(project.folder, "far")
    _, complaints = other.communicate(timeout=300)
    assert other.returncode == 0, complaints
    assert [note["text"] for note in project.notes()] == ["far 0", "far 1", "far 2"]
    assert project.is_owner and {row["host"] for row in project.history()} == {project.history()[0]["host"]}


def test_a_silent_owner_on_another_host_is_followed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.close()
    owner = Ownership.take(project.layout.hidden, "far away")
    owner._stop.set()
    monkeypatch.setattr(liveness.platform, "node", lambda: "another-host")
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.2)
    claim = current_owner(project.layout.hidden)
    assert claim is not None and not claim.process.is_local
    assert not claim.lives(watch_seconds=0.5)
    follower = Ownership.take(project.layout.hidden, "follower", checked_dead=claim.generation)
    with pytest.raises(ProjectLockedError, match="taken over"):
        owner.check()
    follower.check()
    follower.release()
    assert current_owner(project.layout.hidden) is None


def test_a_file_system_without_links_will_do(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.close()

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with Project.open(project.folder, "rw") as again, Project.open(project.folder, "rw") as other:
        assert again.is_owner and not other.is_owner
