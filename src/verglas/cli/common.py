"""What every command shares: ``--project``, ``--json``, opening the project, and printing one JSON object."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from verglas.execution.plain_json import as_plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from verglas.project import Project

F = TypeVar("F", bound=Callable[..., Any])
UNIT_ENDINGS = ("_e_per_A2", "_e_A2", "_per_A", "_A2", "_A", "_degrees", "_deg", "_kV", "_mm", "_mrad", "_um")


def option_flag(name: str) -> str:
    """Return the option of a parameter: ``max_shift_A`` becomes ``--max-shift``; the unit stands in the help."""
    for ending in UNIT_ENDINGS:
        if name.endswith(ending):
            name = name.removesuffix(ending)
            break
    return "--" + name.replace("_", "-").lower()


def project_option(function: F) -> F:
    """Add ``--project DIR`` (default: the folder one stands in, or the nearest one above it that is a project)."""
    return click.option(
        "--project",
        "project_folder",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        metavar="DIR",
        help="Project folder [default: the one you stand in].",
    )(function)


def json_option(function: F) -> F:
    """Add ``--json``: one JSON object on standard output instead of words for people."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")(function)


@contextlib.contextmanager
def open_project(folder: Path | None, *, write: bool = False, take_in: bool = True) -> Iterator[Project]:
    """Open the project that a command is about, and close it afterwards.

    Parameters
    ----------
    folder
        The value of ``--project``; with none, the current folder or the nearest project above it.
    write
        Whether the command edits. It then owns the project where nobody else does, and sends its edits to the owner
        where somebody does.
    take_in
        Take in first what jobs have finished; not for commands that do so themselves and tell of it.
    """
    from verglas.errors import ProjectError
    from verglas.project import Project, find_project

    project = Project.open(folder if folder is not None else find_project(Path.cwd()), "rw" if write else "r")
    if take_in and project.is_waiting():
        project.close()
        project = Project.open(project.folder, "rw")
        with contextlib.suppress(ProjectError):  # who may not write reads what is there
            project.take_in()
    try:
        yield project
    finally:
        project.close()


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(as_plain(content), ensure_ascii=False) + "\n")


def console() -> Console:
    """Return the terminal that words for people go to; lines into a file or a pipe are not folded at 80 columns.

    Brackets and colons are printed as they are: file names have them.
    """
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 160)


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table with these headings; a heading that starts with ``>`` is right-aligned."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return made
