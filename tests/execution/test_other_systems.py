"""The templates for ssh (a real sshd of the test's own) and for PBS, Grid Engine and LSF (commands that pretend)."""

from __future__ import annotations

import os
import shutil
import socket
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
from verglas.execution.profile_templates import find_template
from verglas.execution.run_profile import RunCommand, RunProfile

REPOSITORY = Path(__file__).parents[2]
ITEMS = [{"id": number, "seconds": 0.2} for number in range(8)]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


# ssh


@pytest.fixture
def ssh_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start an sshd on this machine and yield the name by which ``ssh`` reaches it without a password."""
    daemon = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if daemon is None or shutil.which("ssh") is None:
        missing("sshd", "apt-get install openssh-server")
    assert daemon is not None
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    with socket.socket() as one:
        one.bind((HERE, 0))
        port = one.getsockname()[1]
    (tmp_path / "sshd").write_text(
        f"ListenAddress {HERE}\nPort {port}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        f"PasswordAuthentication no\nUsePAM no\nStrictModes no\nPidFile {tmp_path}/pid\nPermitUserEnvironment no\n"
        "PermitRootLogin prohibit-password\nAcceptEnv PYTHONPATH\n"
    )
    (tmp_path / "ssh").write_text(
        f"Host tested\n HostName {HERE}\n Port {port}\n IdentityFile {tmp_path}/user\n StrictHostKeyChecking no\n"
        f" UserKnownHostsFile {tmp_path}/known\n SendEnv PYTHONPATH\n LogLevel ERROR\n"
    )
    wrapper = tmp_path / "bin" / "ssh"  # the template's line is run as it is; only its configuration is the test's
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/ssh "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    process = subprocess.Popen([daemon, "-D", "-e", "-f", str(tmp_path / "sshd")], stderr=(tmp_path / "log").open("wb"))
    until(lambda: b"Server listening" in (tmp_path / "log").read_bytes(), 20)
    yield "tested"
    process.terminate()
    process.wait()


def test_workers_come_by_ssh_and_end_with_the_job(ssh_host: str, tmp_path: Path) -> None:
    manager, command = find_template("ssh").filled({"host": ssh_host})
    profile = RunProfile(name="ssh", manager_command=manager, addresses=(HERE,),
                         commands=(RunCommand(command=command, copies=2),))  # fmt: skip
    job = make_job(tmp_path / 'it\'s a "folder"', ITEMS, workers=2, chunks=3, profile=profile)
    finish(job)
    assert contents(job) == undisturbed(tmp_path / "local", len(ITEMS), 3)
    until(lambda: not _with(tmp_path.name), 20)  # other tests have jobs of the same name


def _with(word: str) -> list[str]:
    """Return the command lines of workers in which a word occurs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "execution.worker" in line and word in line and str(os.getpid()) != path.parent.name:
            found.append(line)
    return found


# Batch systems that pretend: what they print, and how they take their command, is what their manuals say.

QUEUE = """#!/bin/sh
# Runs the command after a second as a batch system would: elsewhere in the folders, with an output file.
number=$(($(ls {place}/taken | wc -l) + 41))
touch {place}/taken/$number
echo "$0 $*" >> {place}/asked
{take}
(sleep 1; [ -e {place}/deleted/$number ] || exec sh -c "$line") > job.$number.out 2>&1 &
{say}
"""
DELETE = '#!/bin/sh\nfor one; do touch "{place}/deleted/${{one%%.*}}"; done\necho "$0 $*" >> {place}/asked\n'
SYSTEMS = {
    "pbs": ("qsub", "qdel", "line=$(cat)", 'echo "$number.server.example"',
            {"queue": "work", "threads": "1", "GB": "1"}),
    "sge": ("qsub", "qdel",
            'while [ "${1#-}" != "$1" ]; do case $1 in -V|-cwd) shift;; -pe) shift 3;; *) shift 2;; esac; done; '
            'line="$*"',
            'echo "Your job $number (\\"toy\\") has been submitted"', {"queue": "work", "threads": "1"}),
    "lsf": ("bsub", "bkill", 'while [ "${1#-}" != "$1" ]; do shift 2; done; line="$*"',
            'echo "Job <$number> is submitted to queue <work>."', {"queue": "work", "threads": "1"}),
}  # fmt: skip


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_a_template_submits_workers_and_takes_those_that_wait_out_of_the_queue(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, delete, take, say, values = SYSTEMS[name]
    place = tmp_path / "queue"
    for folder in ("taken", "deleted", "bin"):
        (place / folder).mkdir(parents=True)
    for program, text in (
        (submit, QUEUE.format(place=place, take=take, say=say)),
        (delete, DELETE.format(place=place)),
    ):
        (place / "bin" / program).write_text(text)
        (place / "bin" / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}/bin:{os.environ['PATH']}")
    manager, command = find_template(name).filled(values)
    profile = RunProfile(name=name, manager_command=manager, addresses=(HERE,),
                         commands=(RunCommand(command=command, copies=2),))  # fmt: skip
    job = make_job(tmp_path / 'it\'s a "folder"', ITEMS, workers=2, chunks=3, profile=profile)
    process = start_detached(job)
    finish(job, process)
    assert contents(job) == undisturbed(tmp_path / "local", len(ITEMS), 3)
    asked = (place / "asked").read_text()
    assert asked.count(f"/{submit} ") == 2 and "toy" in asked and f"/{delete} 41" in asked
    time.sleep(1.2)
    assert not _with(str(tmp_path))  # other tests have jobs of the same name
