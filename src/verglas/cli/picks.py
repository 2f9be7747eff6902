"""``verglas picks``: change picks by hand, move thresholds, undo, and export coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option

image_argument = click.argument("image", type=int)
point = (float, float)


def _say(counts: dict[int, int], as_json: bool) -> None:
    if as_json:
        print_json({"picks": counts})
        return
    for image, count in counts.items():
        console().print(f"Image {image}: {count} picks.")


@click.group()
def picks() -> None:
    """Change picks: edit, threshold, undo, redo, export. Nothing is overwritten."""


@picks.command()
@image_argument
@click.option("--add", type=point, multiple=True, metavar="X Y", help="Place in A from the first pixel's centre.")
@click.option("--remove", type=point, multiple=True, metavar="X Y", help="Place in A; the nearest pick goes.")
@project_option
@json_option
def edit(image: int, project_folder: Path | None, as_json: bool, **places: Any) -> None:
    """Add picks to an IMAGE and remove others."""
    from verglas.errors import InputError
    from verglas.project.pick_edits import edit_picks

    if not places["add"] and not places["remove"]:
        raise InputError("say which places to --add or to --remove.")
    with open_project(project_folder, write=True) as project:
        _say(edit_picks(project, [image], **places), as_json)


@picks.command()
@click.argument("score", type=float)
@click.option("--images", metavar="GROUP|ID,...", help="Images [default: all that have picks].")
@project_option
@json_option
def threshold(score: float, images: str | None, project_folder: Path | None, as_json: bool) -> None:
    """Keep candidates with at least this SCORE as picks, without a new run."""
    from verglas.project.pick_edits import edit_picks

    with open_project(project_folder, write=True) as project:
        if images is not None and images.replace(",", "").isdigit():
            chosen = [int(number) for number in images.split(",")]
        else:
            picked = {one["image"] for one in project.assets("positions")}
            found = project.assets("image", group=images) if images else project.assets("image")
            chosen = [one["id"] for one in found if one["id"] in picked]
        _say(edit_picks(project, chosen, threshold=score), as_json)


@picks.command()
@click.argument("selection")
@click.option("--drop-unclassified", is_flag=True, help="Drop picks too that no classified particle belongs to.")
@click.option("--distance", "distance_A", default=20.0, show_default=True, type=click.FloatRange(0, min_open=True),
              help="How far from a pick its particle may lie, A.")  # fmt: skip
@project_option
@json_option
def learn(
    selection: str, drop_unclassified: bool, distance_A: float, project_folder: Path | None, as_json: bool
) -> None:
    """Drop picks whose particles are not in the 2D classes of SELECTION; undo takes it back, image by image."""
    from verglas.project.pick_learning import learn_picks

    with open_project(project_folder, write=True) as project:
        key = int(selection) if selection.isdigit() else selection
        found = learn_picks(project, key, keep_unclassified=not drop_unclassified, distance_A=distance_A)
    if as_json:
        print_json(found)
        return
    console().print(
        f"{found['kept']} picks are in the selected classes, {found['dropped']} in others, {found['unclassified']} in "
        f"none; {len(found['images'])} images changed."
    )
    anew = "picking again with --picker templates --template-classes scores every candidate anew."
    if found["threshold"] is not None:
        console().print(
            f"A score of {found['threshold']:.2f} tells them apart best ({found['told_apart']:.0%} right): use it with "
            f"verglas picks threshold; {anew}"
        )
    elif found["told_apart"] is not None:
        console().print(f"Their scores do not tell them apart ({found['told_apart']:.0%} right at best); {anew}")


@picks.command()
@image_argument
@project_option
@json_option
def undo(image: int, project_folder: Path | None, as_json: bool) -> None:
    """Take back the last change of an IMAGE's picks."""
    from verglas.project.pick_edits import undo_picks

    with open_project(project_folder, write=True) as project:
        _say({image: undo_picks(project, image)}, as_json)


@picks.command()
@image_argument
@project_option
@json_option
def redo(image: int, project_folder: Path | None, as_json: bool) -> None:
    """Make the last change of an IMAGE's picks again that was taken back."""
    from verglas.project.pick_edits import redo_picks

    with open_project(project_folder, write=True) as project:
        _say({image: redo_picks(project, image)}, as_json)


@picks.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format", "ending", default="star", show_default=True, help="One file an image.",
    type=click.Choice(["star", "box", "coord", "csv", "plt"]),
)  # fmt: skip
@click.option("--box", type=click.IntRange(2), help="Edge of boxes in pixels, for .box.")
@project_option
@json_option
def export(folder: Path, ending: str, box: int | None, project_folder: Path | None, as_json: bool) -> None:
    """Write the picks of every image to FOLDER, in pixels, as other programs read them."""
    import numpy as np

    from verglas.formats import write_coordinates
    from verglas.formats.npy import read_npy

    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[int, int] = {}
    with open_project(project_folder) as project:
        for positions in project.assets("positions"):
            image = project.asset("image", positions["image"])
            table = read_npy(project.folder / positions["path"])
            centres = np.stack([table["x_A"], table["y_A"]], 1).astype(np.float64) / image["pixel_size_A"]
            write_coordinates(folder / f"{image['name']}.{ending}", centres, box_px=box, image_height_px=image["n_y"])
            counts[image["id"]] = len(centres)
    _say(counts, as_json)
