"""The table of all commands: where each lives, its one-line summary, and the section of the help it stands in."""

from __future__ import annotations

from typing import NamedTuple

from verglas.actions.table import ACTIONS


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
        "Files",
        {
            "convert": Entry("verglas.cli.convert:convert", "Convert particle tables between programs."),
            "convert-movies": Entry("verglas.cli.convert_movies:convert_movies", "Convert MRC, TIFF and EER movies."),
            "export-emdb": Entry("verglas.cli.export_emdb:export_emdb", "Gather what the EMDB asks for with a map."),
        },
    ),
    Section(
        "Project",
        {
            "serve": Entry("verglas.cli.serve:serve", "Open the page in the browser."),
            "new": Entry("verglas.cli.project_commands:new", "Make a new project."),
            "open": Entry("verglas.cli.project_commands:open_command", "Check a project and take in finished results."),
            "move": Entry("verglas.cli.project_commands:move", "Move a project."),
            "copy": Entry("verglas.cli.project_commands:copy", "Copy a project under a new identity."),
            "import": Entry("verglas.cli.import_commands:import_group", "Import movies, micrographs, volumes, models."),
            "export": Entry("verglas.cli.export:export", "Write packages for RELION, cisTEM, Frealign, cryoSPARC."),
            "list": Entry("verglas.cli.project_commands:list_command", "List assets, each value with its source."),
            "show": Entry("verglas.cli.project_commands:show", "Show everything about one asset and its results."),
            "groups": Entry("verglas.cli.edit_commands:groups", "List, add, rename, remove and invert groups."),
            "picks": Entry("verglas.cli.picks:picks", "Add and remove picks, move thresholds, undo, export."),
            "classes": Entry("verglas.cli.classes:classes", "Show 2D classes and their members, select, suggest."),
            "classes3d": Entry("verglas.cli.classes3d:classes3d", "Compare 3D classifications of one package."),
            "references": Entry("verglas.cli.references:references", "Show or choose the references of a package."),
            "curate": Entry("verglas.cli.curate:curate", "Choose assets by their figures; keep the choice as groups."),
            "history": Entry("verglas.cli.project_commands:history", "Show what was done, by whom and when."),
            "trash": Entry("verglas.cli.edit_commands:trash", "Put assets into the trash and bring them back."),
            "project": Entry("verglas.cli.edit_commands:project_group", "Info, rebuild, relink, notes, disk use."),
        },
    ),
    Section(
        "Processing",
        {name: Entry("verglas.cli.actions:action_command", made.summary, True) for name, made in ACTIONS.items()},
    ),
    Section(
        "Jobs",
        {
            "jobs": Entry("verglas.cli.jobs:jobs", "List, show, follow, cancel, pause, resume and clone jobs."),
            "profiles": Entry("verglas.cli.profiles:profiles", "Say where jobs run: list, test, add, export profiles."),
            "watch": Entry("verglas.cli.watch:watch", "Process movies live, as they arrive in a folder."),
            "batch": Entry("verglas.cli.batch:batch", "Print a batch script, for those who may only submit scripts."),
        },
    ),
    Section(
        "Simulation",
        {
            "simulate": Entry("verglas.cli.simulate:simulate", "Simulate stacks, micrographs or movies from atoms."),
            "demo": Entry("verglas.cli.demo:demo", "Process simulated movies and report how far the truth is."),
        },
    ),
    Section(
        "Help",
        {
            "doctor": Entry("verglas.cli.doctor:doctor", "Check this machine and project; a remedy with each finding."),
        },
    ),
)  # fmt: skip

COMMANDS: dict[str, Entry] = {name: entry for section in SECTIONS for name, entry in section.commands.items()}
