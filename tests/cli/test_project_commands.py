"""The commands about projects, as scripts see them: JSON and exit statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from verglas.cli.main import cli
from verglas.formats.mrc import write_mrc


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for number in range(3):
        write_mrc(tmp_path / f"m{number}.mrc", np.ones((2, 8, 8), dtype=np.float32), pixel_size_A=1.0)
    verglas("new", tmp_path / "apo")
    monkeypatch.chdir(tmp_path / "apo")
    return tmp_path / "apo"


def verglas(*words: object, status: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(cli, [*map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == status, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


VALUES = ("--voltage", "300", "--cs", "2.7", "--dose-per-frame", "1.2")


def test_from_new_to_history(folder: Path) -> None:
    answer = verglas("import", "movies", "../m*.mrc", *VALUES)
    assert (answer["imported"], answer["ids"], answer["problems"]) == (3, [1, 2, 3], {})
    listed = verglas("list", "movies", "--name", "m[12]")
    assert listed["total"] == 2 and listed["assets"][0]["sources"]["pixel_size_A"] == "header"
    verglas("groups", "add", "movies", "good", "1", "3")
    verglas("groups", "invert", "movies", "good")
    assert [asset["id"] for asset in verglas("list", "movies", "--group", "good")["assets"]] == [2]
    assert verglas("groups", "list", "movies")["groups"][1] == {"id": 1, "name": "good", "size": 1}
    verglas("trash", "add", "movies", "2")
    assert verglas("open")["assets"]["movies"] == 2
    verglas("trash", "restore", verglas("trash", "list")["trash"][0]["id"])
    assert verglas("project", "notes", "--add", "a fine grid")["notes"][0]["text"] == "a fine grid"
    assert verglas("project", "rebuild")["lines"] == 7
    assert verglas("show", "movies", "m2")["asset"]["id"] == 3
    assert verglas("project", "info")["project"] == "apo"
    assert "Assets" in verglas("project", "disk")["folders"]
    assert [line["edit"] for line in verglas("history")["history"]][-1] == "project.create"
    assert verglas("copy", "../twin")["folder"] == str(folder.parent / "twin")
    assert verglas("list", "movies", "--project", "../twin")["total"] == 3


def test_files_left_out_are_exit_status_3(folder: Path) -> None:
    (folder.parent / "m9.mrc").write_bytes(b"broken")
    answer = verglas("import", "movies", "../m*.mrc", *VALUES, status=3)
    assert answer["imported"] == 3 and list(answer["problems"]) == [str(folder.parent / "m9.mrc")]


@pytest.mark.parametrize(
    "words",
    [
        ("list", "movies"), ("show", "movies", "1"), ("groups", "list", "movies"), ("history",), ("trash", "list"),
        ("open",), ("project", "info"), ("project", "disk"), ("project", "notes"), ("project", "rebuild"),
    ],
)  # fmt: skip
def test_words_for_people(folder: Path, words: tuple[str, ...]) -> None:
    verglas("import", "movies", "../m*.mrc", *VALUES)
    verglas("project", "notes", "--add", "seen")
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.strip() or words == ("trash", "list")
