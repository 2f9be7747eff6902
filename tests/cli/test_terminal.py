"""A job in a real terminal: the bar, Ctrl-C, a terminal that is closed; results are taken in all the while."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.project.conftest import add_movies
from verglas.cli.main import cli
from verglas.execution.job_folder import JobFolder
from verglas.project import Project

REPOSITORY = Path(__file__).parents[2]
MOVIES = 8


def until(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


class Terminal:
    """A command in a pseudo-terminal of its own, which it makes its controlling terminal."""

    def __init__(self, *words: str) -> None:
        self.screen = ""
        self.keyboard, slave = os.openpty()
        os.set_blocking(self.keyboard, False)
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm", "COLUMNS": "120"}
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def read(self) -> str:
        with suppress(OSError):  # nothing new, or the command has ended
            self.screen += os.read(self.keyboard, 1 << 16).decode(errors="replace")
        return self.screen

    def close(self) -> None:
        os.close(self.keyboard)


@pytest.mark.parametrize("by", ["Ctrl-C", "closing the terminal"])
def test_the_job_outlives_its_terminal_and_what_is_done_is_taken_in(tmp_path: Path, by: str) -> None:
    folder = tmp_path / "p"
    with Project.create(folder) as project:
        add_movies(project, MOVIES)
    options = ["--project", str(folder), "--workers", "1", "--threads", "1"]
    terminal = Terminal(sys.executable, "-m", "tests.cli.slow_action", *options)

    def images() -> int:
        terminal.read()
        with Project.open(folder) as project:
            return project.count("image")

    until(lambda: images() >= 1 and "left" in terminal.screen)
    (job,) = JobFolder.all_in(folder / "Jobs")
    assert len(job.results()) < MOVIES, "taken in as they come, not at the end"
    assert "working slowly" in terminal.screen and f"/{MOVIES}" in terminal.screen
    assert "━" in terminal.screen, "a bar"
    if by == "Ctrl-C":
        os.write(terminal.keyboard, b"\x03")
        assert terminal.process.wait(timeout=300) == 130
        assert "goes on by itself" in terminal.read() and "Traceback" not in terminal.screen
        terminal.close()
    else:
        terminal.close()
        assert terminal.process.wait(timeout=300) == -signal.SIGHUP
    assert job.controller_lives()
    until(lambda: job.state().name == "done")
    listed = CliRunner().invoke(cli, ["list", "images", "--project", str(folder), "--json"])
    assert json.loads(listed.stdout)["total"] == MOVIES, "no command reads before what is done is taken in"
    assert not list(job.results_folder.iterdir())
    assert CliRunner().invoke(cli, ["project", "info", "--project", str(folder)]).stdout.count("jobs: 1") == 1


def test_a_reader_who_may_not_write_reads_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.project.conftest import make_job
    from verglas.project import mailbox
    from verglas.project.owner import Ownership

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    with Project.create(tmp_path / "p") as project:
        add_movies(project, 2)
    make_job(tmp_path / "p", [1])
    monkeypatch.setattr(Ownership, "take", refuse)
    monkeypatch.setattr(mailbox, "write_whole", refuse)
    listed = CliRunner().invoke(cli, ["list", "movies", "--project", str(tmp_path / "p"), "--json"])
    assert listed.exit_code == 0, listed.output
    assert json.loads(listed.stdout)["total"] == 2
