"""The command table is complete, its help comes without importing any science, and errors become one line."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from click.testing import CliRunner

from verglas.cli.commands import COMMANDS
from verglas.cli.main import cli


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_target_can_be_imported(name: str) -> None:
    module, attribute = COMMANDS[name].target.split(":")
    assert hasattr(importlib.import_module(module), attribute)


def test_help_imports_no_science() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from verglas.cli.main import cli; "
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0; "
        "heavy = {'numpy', 'scipy', 'numba', 'pydantic', 'sqlite3', 'dask', 'distributed', 'fastapi', 'tifffile'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_of_every_command_imports_no_science() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from verglas.cli.main import cli; "
        "from verglas.cli.commands import COMMANDS; "
        "failed = [name for name in COMMANDS if CliRunner().invoke(cli, [name, '--help']).exit_code]; "
        "heavy = {'numpy', 'scipy', 'numba', 'sqlite3', 'dask', 'distributed', 'fastapi', 'tifffile', 'matplotlib'}; "
        "sys.exit(', '.join(failed + sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_command_is_refused() -> None:
    result = CliRunner().invoke(cli, ["no-such-command"])
    assert result.exit_code == 2


def test_an_expected_error_is_one_line(tmp_path: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "verglas", "list", "movies", "--project", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("verglas: ")
    assert "Traceback" not in done.stderr
