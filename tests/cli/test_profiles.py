"""``verglas profiles``, as scripts and people see it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from verglas.cli.main import cli
from verglas.errors import InputError


def test_list_and_show() -> None:
    listed = json.loads(CliRunner().invoke(cli, ["profiles", "list", "--json"]).stdout)
    assert [profile["name"] for profile in listed["profiles"]] == [listed["default"]] == ["Default Local"]
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
