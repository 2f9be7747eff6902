"""The ``verglas`` command: finds the asked-for command and imports nothing else, so that help is instant."""

from __future__ import annotations

import importlib
import sys

import click

from verglas import __version__
from verglas.cli.commands import COMMANDS, SECTIONS


class LazyGroup(click.Group):
    """A group whose commands are imported only when one of them is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all command names in the order in which help shows them."""
        return [name for section in SECTIONS for name in section.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, attribute = entry.target.split(":")
        found = getattr(importlib.import_module(module), attribute)
        command: click.Command = found(cmd_name) if entry.is_factory else found
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section from the table alone, without importing any."""
        for section in filter(lambda one: one.commands, SECTIONS):
            with formatter.section(section.title):
                formatter.write_dl([(name, COMMANDS[name].summary) for name in section.commands])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="verglas")
def cli() -> None:
    """Single-particle cryo-EM from movies to a sharpened 3D map."""


def main() -> None:
    """Run the command line; an error that verglas raises on purpose becomes one line and exit status 1."""
    from verglas.errors import VerglasError

    try:
        cli(prog_name="verglas")
    except VerglasError as error:
        sys.stderr.write(f"verglas: {error}\n")
        sys.exit(1)
