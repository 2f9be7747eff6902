"""``verglas profiles``, as scripts and people see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from verglas.cli.main import cli
from verglas.errors import InputError


def test_list_and_show() -> None:
    listed = json.loads(CliRunner().invoke(cli, ["profiles", "list", "--json"]).stdout)
    assert [profile["name"] for profile in listed["profiles"]] == ["Default Local", "Slurm Allocation"]
    assert listed["default"] == "Default Local"
    shown = json.loads(CliRunner().invoke(cli, ["profiles", "show", "Default Local", "--json"]).stdout)
    assert shown["profile"] == listed["profiles"][0] and shown["cores"] >= 1
    assert "127.0.0.1" in CliRunner().invoke(cli, ["profiles", "show"]).stdout
    with pytest.raises(InputError, match="moon"):
        CliRunner().invoke(cli, ["profiles", "show", "moon"], catch_exceptions=False)


def test_test_starts_workers_and_each_answers() -> None:
    done = CliRunner().invoke(cli, ["profiles", "test", "--workers", "2", "--threads", "3", "--json"])
    assert done.exit_code == 0, done.output
    answers = json.loads(done.stdout)["answers"]
    assert len({answer["process"] for answer in answers}) == 2
    assert [answer["threads"] for answer in answers] == [3, 3]


def test_profiles_are_added_from_templates_exchanged_and_removed(tmp_path: Path) -> None:
    def call(*words: str) -> str:
        return CliRunner().invoke(cli, ["profiles", *words], catch_exceptions=False).stdout

    assert "slurm-workers" in call("templates")
    filled = ["--set", "partition=cpu", "--set", "GB=4", "--set", "threads=2"]
    said = call("add", "mine", "--template", "slurm-workers", *filled, "--copies", "5")
    assert "profiles test 'mine'" in said.replace("\n", " ")
    shown = json.loads(call("show", "mine", "--json"))["profile"]
    assert shown["worker_memory_bytes"] == 4e9 and shown["commands"][0]["threads"] == 2
    assert "5 worker(s) of 2 thread(s)" in call("show", "mine").replace("\n", " ")
    for file in (tmp_path / "mine.json", tmp_path / "cistem.txt"):
        call("export", str(file), "mine")
        call("remove", "mine")
        call("import", str(file))
        again = json.loads(call("show", "mine", "--json"))["profile"]
        assert again["commands"] == shown["commands"]
    for wrong in (["--ports", "3000"], ["--manager-command", "true"]):
        with pytest.raises(InputError):
            call("add", "wrong", *wrong)


def test_a_batch_script_is_printed(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    folder.mkdir()
    words = ["batch", "--workers", "3", "--partition", "cpu", "--project", str(folder), "--", "align-movies"]
    script = CliRunner().invoke(cli, [*words, "--max-shift", "30"], catch_exceptions=False).stdout
    assert "#SBATCH --ntasks=3" in script and "--max-shift 30 --profile 'Slurm Allocation' --workers 3" in script
    with pytest.raises(InputError, match="no action"):
        CliRunner().invoke(cli, ["batch", "--", "list"], catch_exceptions=False)
