"""``verglas classes``: look at 2D classes, see who is in them, and select those to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option, table

classification_argument = click.argument("classification", default="last")
selection_argument = click.argument("selection")
classes_argument = click.argument("numbers", metavar="CLASSES")
name_option = click.option("--name", help="Name of the selection [default: Selection and its number].")


def _tell(selection: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"selection": selection})
        return
    members = ", ".join(map(str, selection["members"])) or "no class"
    console().print(f"Selection {selection['id']} ({selection['name']}): {members}")


def _key(text: str) -> int | str:
    return int(text) if text.isdigit() else text


@click.group()
def classes() -> None:
    """2D classes: show, suggest, select, change selections, look at members. Nothing is ever deleted."""


@classes.command()
@classification_argument
@project_option
@json_option
def show(classification: str, project_folder: Path | None, as_json: bool) -> None:
    """Show the classes of CLASSIFICATION (a number, or the last one), the best first, with their quality and why."""
    from verglas.project.class_selections import classes_of, find_classification

    with open_project(project_folder) as project:
        record = find_classification(project, classification)
        found = classes_of(project, record["id"])
        chosen = [one for one in project.assets("selection") if one["classification"] == record["id"]]
    if as_json:
        print_json({"classification": record, "classes": found, "selections": chosen})
        return
    made = table(">class", ">particles", ">to (A)", ">quality", "why", title=record["name"])
    for one in sorted(found, key=lambda one: -(one["quality"] or 0.0)):
        resolution = "-" if one["resolution_A"] is None else f"{one['resolution_A']:.1f}"
        made.add_row(str(one["number"]), f"{one['particles']:.0f}", resolution, f"{one['quality']:.2f}",
                     "; ".join(one["reasons"]))  # fmt: skip
    console().print(made)
    for selection in chosen:
        _tell(selection, as_json)
    console().print(f"Picture: {record['picture_path']}")


@classes.command()
@classification_argument
@click.option("--least-quality", type=click.FloatRange(0, 1), help="Least quality [default: 0.4].")
@name_option
@project_option
@json_option
def suggest(
    classification: str, least_quality: float | None, name: str | None, project_folder: Path | None, as_json: bool
) -> None:
    """Select the classes of CLASSIFICATION whose quality suffices."""
    from verglas.project.class_selections import SUGGESTED, select_classes, suggest_classes

    least = SUGGESTED if least_quality is None else least_quality
    with open_project(project_folder, write=True) as project:
        found = suggest_classes(project, classification, least)
        note = f"suggested: quality of {least:g} or more"
        made = select_classes(project, classification, found, name=name, note=note)
    _tell(made, as_json)


@classes.command()
@click.argument("classification")
@classes_argument
@name_option
@click.option("--note", help="Why, for people.")
@project_option
@json_option
def select(
    classification: str, numbers: str, name: str | None, note: str | None, project_folder: Path | None, as_json: bool
) -> None:
    """Select CLASSES (such as 1,4,7-9) of CLASSIFICATION (a number, or last)."""
    from verglas.project.class_selections import parse_classes, select_classes

    with open_project(project_folder, write=True) as project:
        made = select_classes(project, classification, parse_classes(numbers), name=name, note=note)
    _tell(made, as_json)


@classes.command()
@selection_argument
@name_option
@click.option("--to", metavar="CLASSIFICATION", help="Another round of as many classes.")
@project_option
@json_option
def copy(selection: str, name: str | None, to: str | None, project_folder: Path | None, as_json: bool) -> None:
    """Copy SELECTION."""
    from verglas.project.class_selections import copy_selection

    with open_project(project_folder, write=True) as project:
        made = copy_selection(project, _key(selection), name=name, to=to)
    _tell(made, as_json)


def _change(selection: str, project_folder: Path | None, as_json: bool, **change: Any) -> None:
    from verglas.project.class_selections import change_selection

    with open_project(project_folder, write=True) as project:
        _tell(change_selection(project, _key(selection), **change), as_json)


@classes.command()
@selection_argument
@project_option
@json_option
def invert(selection: str, project_folder: Path | None, as_json: bool) -> None:
    """Give SELECTION the classes that it does not have."""
    _change(selection, project_folder, as_json, invert=True)


@classes.command()
@selection_argument
@project_option
@json_option
def clear(selection: str, project_folder: Path | None, as_json: bool) -> None:
    """Take all classes out of SELECTION."""
    _change(selection, project_folder, as_json, clear=True)


@classes.command()
@selection_argument
@classes_argument
@project_option
@json_option
def include(selection: str, numbers: str, project_folder: Path | None, as_json: bool) -> None:
    """Put CLASSES into SELECTION."""
    from verglas.project.class_selections import parse_classes

    _change(selection, project_folder, as_json, include=parse_classes(numbers))


@classes.command()
@selection_argument
@classes_argument
@project_option
@json_option
def exclude(selection: str, numbers: str, project_folder: Path | None, as_json: bool) -> None:
    """Take CLASSES out of SELECTION."""
    from verglas.project.class_selections import parse_classes

    _change(selection, project_folder, as_json, exclude=parse_classes(numbers))


@classes.command()
@selection_argument
@click.argument("name")
@project_option
@json_option
def rename(selection: str, name: str, project_folder: Path | None, as_json: bool) -> None:
    """Rename SELECTION."""
    with open_project(project_folder, write=True) as project:
        number = project.asset("selection", _key(selection))["id"]
        project.edit({"edit": "asset.rename", "kind": "selection", "asset": number, "name": name})
        made = project.asset("selection", number)
    _tell(made, as_json)


@classes.command()
@click.argument("classification")
@click.argument("number", type=click.IntRange(1), metavar="CLASS")
@click.argument("picture", type=click.Path(dir_okay=False, path_type=Path), metavar="PNG")
@click.option("--count", default=100, show_default=True, type=click.IntRange(1, 1000), help="At most how many.")
@click.option("--worst", is_flag=True, help="Those that fit worst, instead of a sample from best to worst.")
@click.option("--low-pass", "low_pass_A", default=20.0, show_default=True, type=click.FloatRange(0), help="Filter, A.")
@project_option
@json_option
def members(
    classification: str, number: int, picture: Path, count: int, worst: bool, low_pass_A: float,
    project_folder: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Draw particles of a CLASS of CLASSIFICATION, turned and moved onto its average, into PNG."""
    from verglas.formats import ParticleTable, read_stack
    from verglas.project.class_selections import find_classification
    from verglas.stages.classification2d.members import write_members

    with open_project(project_folder) as project:
        record = find_classification(project, classification)
        folder = project.folder
    averages, _ = read_stack(folder / record["path"])
    drawn, held = write_members(
        picture, ParticleTable.load(folder / record["particles_path"]), folder, number, averages,
        count=count, worst=worst, low_pass_A=low_pass_A,
    )  # fmt: skip
    if as_json:
        print_json({"class": number, "particles": held, "drawn": drawn, "picture": str(picture)})
    else:
        console().print(f"{picture}: {drawn} of the {held} particles of class {number}.")
