"""The table of all commands: where each lives, its one-line summary, and the section of the help it stands in."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One command: ``module:attribute`` and its summary; a factory is called with the command's name."""

    target: str
    summary: str
    is_factory: bool = False


class Section(NamedTuple):
    """A heading of the help and the commands under it."""

    title: str
    commands: dict[str, Entry]


SECTIONS: tuple[Section, ...] = (
    Section(
        "Help",
        {
            "doctor": Entry("verglas.cli.doctor:doctor", "Check this machine and project, with a remedy for each finding."),
        },
    ),
)  # fmt: skip

COMMANDS: dict[str, Entry] = {name: entry for section in SECTIONS for name, entry in section.commands.items()}
