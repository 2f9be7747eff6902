"""``verglas doctor`` finds what is wrong, names a remedy, and is quiet about what is right."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from verglas.cli import doctor as module
from verglas.cli.main import cli


def test_report_of_this_machine(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["doctor", "--project", str(tmp_path), "--json"])
    found = {finding["topic"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert set(found) == {
        "Python", "Packages", "Kernel cache", "Threads", "Memory", "Disk", "File system", "Lock", "Browser port", "GPU",
        "Scheduler",
    }  # fmt: skip
    assert found["Lock"]["verdict"] == "ok"
    assert found["Python"]["verdict"] == "ok"
    for finding in found.values():
        assert finding["verdict"] == "ok" or finding["remedy"], finding
    assert not list(tmp_path.iterdir()), "the doctor leaves nothing behind"


def test_a_lock_that_does_not_lock_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_CHILD", "import sys; sys.exit(0)")
    finding = module.check_lock(tmp_path)
    assert finding.verdict == "problem"
    assert "--database" in finding.remedy


def test_a_folder_that_cannot_be_written_is_a_problem() -> None:
    finding = module.check_lock(Path("/proc"))
    assert finding.verdict == "problem"
    assert "/proc" in finding.text


def test_a_taken_port_is_noticed() -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        finding = module.check_browser_port(port)
    assert finding.verdict == "warning"
    assert "--port" in finding.remedy


def test_a_problem_gives_exit_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> module.Finding:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(module, "check_gpu", broken)
    result = CliRunner().invoke(cli, ["doctor", "--project", str(tmp_path)])
    assert result.exit_code == 1
    assert "RuntimeError: no such thing" in result.output


def test_little_space_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: type("U", (), {"free": 10**9, "total": 10**12})())
    assert module.check_disk(tmp_path).verdict == "warning"
