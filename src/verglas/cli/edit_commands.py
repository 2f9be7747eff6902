"""Commands that edit a project: groups, trash, and what stands under ``verglas project``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option, table
from verglas.cli.project_commands import KINDS, kind_argument, when

members_argument = click.argument("members", nargs=-1, type=int, metavar="[ID]...")


def _edit(project_folder: Path | None, as_json: bool, request: dict[str, Any], words: str) -> None:
    with open_project(project_folder, write=True) as project:
        line = project.edit(request)
    if as_json:
        print_json({"edit": line})
    else:
        console().print(words)


@click.group()
def groups() -> None:
    """Groups of assets: list, add, rename, remove, invert, join, leave."""


@groups.command(name="list")
@kind_argument
@project_option
@json_option
def list_groups(kind: str, project_folder: Path | None, as_json: bool) -> None:
    """List the groups of a kind with their sizes."""
    with open_project(project_folder) as project:
        found = project.groups(KINDS[kind])
    if as_json:
        print_json({"groups": found})
        return
    made = table(">ID", "name", ">size")
    for group in found:
        made.add_row(str(group["id"]), group["name"], str(group["size"]))
    console().print(made)


@groups.command()
@kind_argument
@click.argument("name")
@members_argument
@click.option("--from-parent", help="Also take what was made from this group of parents (images from movies, ...).")
@project_option
@json_option
def add(
    kind: str, name: str, members: tuple[int, ...], from_parent: str | None, project_folder: Path | None, as_json: bool
) -> None:
    """Make a group of these assets."""
    request = {"edit": "group.add", "kind": KINDS[kind], "name": name, "members": list(members)}
    _edit(project_folder, as_json, {**request, "parent_group": from_parent}, f"Group {name} added.")


@groups.command()
@kind_argument
@click.argument("group")
@click.argument("name")
@project_option
@json_option
def rename(kind: str, group: str, name: str, project_folder: Path | None, as_json: bool) -> None:
    """Rename a group."""
    request = {"edit": "group.rename", "kind": KINDS[kind], "group": group, "name": name}
    _edit(project_folder, as_json, request, f"Group {group} is now {name}.")


def _simple(command: str, summary: str) -> None:
    @groups.command(name=command, help=summary)
    @kind_argument
    @click.argument("group")
    @project_option
    @json_option
    def run(kind: str, group: str, project_folder: Path | None, as_json: bool) -> None:
        request = {"edit": f"group.{command}", "kind": KINDS[kind], "group": group}
        _edit(project_folder, as_json, request, f"Done: {command} group {group}.")


def _with_members(command: str, summary: str) -> None:
    @groups.command(name=command, help=summary)
    @kind_argument
    @click.argument("group")
    @members_argument
    @project_option
    @json_option
    def run(kind: str, group: str, members: tuple[int, ...], project_folder: Path | None, as_json: bool) -> None:
        request = {"edit": f"group.{command}", "kind": KINDS[kind], "group": group, "members": list(members)}
        _edit(project_folder, as_json, request, f"Done: {len(members)} assets {command} group {group}.")


_simple("remove", "Remove a group; its members stay in the project.")
_simple("invert", "Give a group the members that it does not have.")
_with_members("join", "Put assets into a group.")
_with_members("leave", "Take assets out of a group.")


@click.group()
def trash() -> None:
    """The trash: list, add, job, restore, empty."""


@trash.command(name="list")
@project_option
@json_option
def list_trash(project_folder: Path | None, as_json: bool) -> None:
    """List what lies in the trash."""
    with open_project(project_folder) as project:
        found = project.trash()
    if as_json:
        print_json({"trash": found})
        return
    made = table(">number", "when", "what")
    for entry in found:
        made.add_row(str(entry["id"]), when(entry["created"]), entry["summary"])
    console().print(made)


@trash.command(name="add")
@kind_argument
@click.argument("assets", nargs=-1, required=True, type=int, metavar="ID...")
@project_option
@json_option
def add_trash(kind: str, assets: tuple[int, ...], project_folder: Path | None, as_json: bool) -> None:
    """Put assets into the trash, with their files inside the project and what was made from them."""
    request = {"edit": "trash.add", "items": [{"kind": KINDS[kind], "id": number} for number in assets]}
    _edit(
        project_folder, as_json, request, f"{len(assets)} {kind} are in the trash; `verglas trash restore` undoes it."
    )


@trash.command()
@click.argument("number", type=int)
@project_option
@json_option
def restore(number: int, project_folder: Path | None, as_json: bool) -> None:
    """Bring back what lies in the trash under NUMBER, with everything."""
    _edit(project_folder, as_json, {"edit": "trash.restore", "trash": number}, "Restored.")


@trash.command()
@click.argument("number", type=int)
@project_option
@json_option
def empty(number: int, project_folder: Path | None, as_json: bool) -> None:
    """Delete for good what lies in the trash under NUMBER."""
    _edit(project_folder, as_json, {"edit": "trash.empty", "trash": number}, "Deleted for good.")


@trash.command()
@click.argument("number", type=int)
@project_option
@json_option
def job(number: int, project_folder: Path | None, as_json: bool) -> None:
    """Put the folder of job NUMBER, which has ended, into the trash; its results stay."""
    request = {"edit": "trash.add", "items": [{"kind": "job", "id": number}]}
    _edit(project_folder, as_json, request, f"Job {number} is in the trash; `verglas trash restore` undoes it.")


@click.group(name="project")
def project_group() -> None:
    """The project itself: info, rebuild, relink, activate, notes, disk."""


@project_group.command()
@project_option
@json_option
def info(project_folder: Path | None, as_json: bool) -> None:
    """Say what the project is, who owns it and where its database lies."""
    from verglas.project.filesystems import describe

    with open_project(project_folder) as project:
        database = project.layout.database(project.file)
        content = {
            "project": project.name, "id": project.id, "folder": project.folder, "database": database,
            "database_file_system": describe(database).words, "owner": project.owner_words, **project.totals(),
        }  # fmt: skip
    if as_json:
        print_json(content)
        return
    for key, value in content.items():
        console().print(f"{key}: {value}")


@project_group.command()
@project_option
@json_option
def rebuild(project_folder: Path | None, as_json: bool) -> None:
    """Make the database again from the journal, then take in results that are not yet in it."""
    from verglas.project import Project, find_project

    project, lines = Project.open_rebuilt(project_folder or find_project(Path.cwd()))
    with project:
        taken = project.take_in()
    if as_json:
        print_json({"lines": lines, "taken_in": taken})
    else:
        console().print(f"The database was made again from {lines} edits; {taken['results']} results taken in.")


@project_group.command()
@click.argument("old")
@click.argument("new")
@project_option
@json_option
def relink(old: str, new: str, project_folder: Path | None, as_json: bool) -> None:
    """Find imported data again that was below OLD and now is below NEW; sizes and headers are checked."""
    from verglas.project.moving import relink as find_again

    with open_project(project_folder, write=True) as project:
        report = find_again(project, old, new)
    if as_json:
        print_json({"changed": report.changed, "missing": report.missing, "different": report.different})
    else:
        console().print(f"{len(report.changed)} files found again.")
        for path in report.missing:
            console().print(f"missing: {path}", style="red")
        for path, problem in report.different.items():
            console().print(f"{path}: {problem}", style="red")
    if report.missing or report.different:
        click.get_current_context().exit(3)


@project_group.command()
@click.argument("result", type=int)
@project_option
@json_option
def activate(result: int, project_folder: Path | None, as_json: bool) -> None:
    """Make RESULT the active one of its asset (`verglas show` lists an asset's results)."""
    _edit(project_folder, as_json, {"edit": "result.activate", "result": result}, f"Result {result} is active.")


@project_group.command()
@click.option("--add", "text", help="Write this note.")
@click.option("--remove", type=int, help="Remove the note of this number.")
@project_option
@json_option
def notes(text: str | None, remove: int | None, project_folder: Path | None, as_json: bool) -> None:
    """Show the project's notes; write or remove one."""
    with open_project(project_folder, write=text is not None or remove is not None) as project:
        if text is not None:
            project.edit({"edit": "note.add", "text": text})
        if remove is not None:
            project.edit({"edit": "note.remove", "note": remove})
        found = project.notes()
    if as_json:
        print_json({"notes": found})
        return
    for note in found:
        console().print(f"{note['id']}  {when(note['created'])}  {note['text']}")


@project_group.command()
@project_option
@json_option
def disk(project_folder: Path | None, as_json: bool) -> None:
    """Say how much disk the project and each of its jobs take."""
    with open_project(project_folder) as project:
        use = project.disk_use()
    if as_json:
        print_json(use)
        return
    made = table("what", ">GB")
    for name, size in {**use["folders"], "database": use["database"], **use["jobs"]}.items():
        made.add_row(name, f"{size / 1e9:.3f}")
    console().print(made)
