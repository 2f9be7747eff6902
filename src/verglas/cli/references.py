"""``verglas references``: the volume that each class of a package begins its next refinement with."""

from __future__ import annotations

from pathlib import Path

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option


@click.command()
@click.argument("package", type=click.IntRange(1))
@click.option("--class", "number", type=click.IntRange(1), help="Class whose reference is chosen.")
@click.option("--volume", type=click.IntRange(1), help="Number of the volume that it begins with.")
@project_option
@json_option
def references(
    package: int, number: int | None, volume: int | None, project_folder: Path | None, as_json: bool
) -> None:  # fmt: skip
    """Show the active reference of each class of PACKAGE (its number), or choose one."""
    from verglas.project.references import active_references

    if (number is None) != (volume is None):
        raise click.UsageError("give both --class and --volume to choose a reference.")
    with open_project(project_folder) as project:
        project.asset("package", package)
        if number is not None:
            project.edit({"edit": "references.set", "package": package, "class": number, "volume": volume})
        found = active_references(project, package)
    if as_json:
        print_json({"package": package, "classes": found})
        return
    for one in found:
        what = f"volume {one['volume']}, {one['name']}" if one["volume"] else "none: made from the parameters"
        console().print(f"class {one['class']}: {what}{' (chosen)' if one['chosen'] else ''}")
