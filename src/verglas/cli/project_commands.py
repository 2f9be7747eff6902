"""Commands about whole projects: new, open, move, copy, list, show, history."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option, table

KINDS = {
    "movies": "movie", "images": "image", "micrographs": "image", "positions": "positions",
    "volumes": "volume", "models": "model", "packages": "package",
    "classifications": "classification", "refinements": "refinement",
    "selections": "selection",
}  # fmt: skip
COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "movie": (
        ("X", "n_x"), ("Y", "n_y"), ("frames", "n_frames"), ("pixel (A)", "pixel_size_A"), ("kV", "voltage_kV"),
        ("Cs (mm)", "cs_mm"), ("dose/frame", "dose_per_frame_e_A2"), ("bin", "output_binning"), ("gain", "gain_path"),
    ),
    "image": (
        ("X", "n_x"), ("Y", "n_y"), ("pixel (A)", "pixel_size_A"), ("kV", "voltage_kV"), ("Cs (mm)", "cs_mm"),
        ("movie", "parent_movie"), ("alignment", "alignment"), ("CTF", "ctf_estimation"), ("u (A)", "defocus_u_A"),
        ("v (A)", "defocus_v_A"), ("fit to (A)", "ctf_fit_resolution_A"),
    ),
    "positions": (("image", "image"), ("particles", "count"), ("picking", "picking")),
    "volume": (("X", "n_x"), ("Y", "n_y"), ("Z", "n_z"), ("pixel (A)", "pixel_size_A")),
    "model": (("PDB", "pdb_id"), ("atoms", "n_atoms"), ("kDa", "mass_kDa"), ("mean B (A^2)", "mean_b_factor_A2")),
    "package": (
        ("particles", "count"), ("box", "box_px"), ("pixel (A)", "pixel_size_A"), ("symmetry", "symmetry"),
        ("kDa", "mass_kDa"), ("size (A)", "largest_dimension_A"), ("classes", "classes"),
    ),
    "classification": (
        ("package", "package"), ("round", "round"), ("of", "rounds"), ("classes", "classes"),
        ("particles", "particles_used"), ("to (A)", "limit_A"),
    ),
    "refinement": (
        ("package", "package"), ("method", "method"), ("round", "round"), ("classes", "classes"),
        ("symmetry", "symmetry"), ("particles", "particles_used"), ("to (A)", "limit_A"),
        ("resolution (A)", "resolution_A"),
    ),
    "selection": (("classification", "classification"), ("classes", "members"), ("note", "note")),
}  # fmt: skip
kind_argument = click.argument("kind", type=click.Choice(list(KINDS)))


def cell(record: dict[str, Any], column: str) -> str:
    """Return a value for a table, with its source where it is not the user's own."""
    value = record[column]
    if value is None:
        return "-"
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    source = (record.get("sources") or {}).get(column)
    return f"{text} ({source})" if source not in {None, "user"} else text


def when(seconds: float) -> str:
    """Return a time for people."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the project [default: that of the folder].")
@click.option(
    "--database", type=click.Path(dir_okay=False, path_type=Path),
    help="File for the database, where FOLDER is on Lustre: take a path on NFS or a local disk.",
)  # fmt: skip
@json_option
def new(folder: Path, name: str | None, database: Path | None, as_json: bool) -> None:
    """Make a new project in FOLDER."""
    from verglas.project import Project
    from verglas.project.filesystems import describe
    from verglas.project.recent import remember

    with Project.create(folder, name, database) as project:
        place = project.layout.database(project.file)
        content = {"project": project.name, "id": project.id, "folder": project.folder, "database": place}
        remember(project.folder)
    if as_json:
        print_json(content)
        return
    console().print(f"Made the project {content['project']} in {folder}.")
    console().print(f"Database: {place}, on {describe(place).words}.")
    console().print("Next: go there and import your data, for example `verglas import movies /data/*.tif`.")


@click.command(name="open")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), required=False)
@json_option
def open_command(folder: Path | None, as_json: bool) -> None:
    """Check a project, take in finished results and say how it stands."""
    from verglas.project.recent import remember

    with open_project(folder, write=True, take_in=False) as project:
        taken = project.take_in()
        remember(project.folder)
        counts = {plural: project.count(kind) for plural, kind in KINDS.items() if plural != "micrographs"}
        content = {
            "project": project.name, "id": project.id, "folder": project.folder, "assets": counts,
            "owner": None if project.is_owner else project.owner_words, "taken_in": taken, **project.totals(),
        }  # fmt: skip
    if as_json:
        print_json(content)
        return
    say = console().print
    say(f"{content['project']} in {content['folder']}", style="bold")
    if content["owner"]:
        say(f"In use by {content['owner']}; what you edit goes through it.")
    say("  ".join(f"{count} {plural}" for plural, count in counts.items()))
    say(f"{content['jobs']} jobs, {content['cpu_hours']:.2f} CPU hours; {taken['results']} results taken in now.")
    for problem in taken["problems"]:
        say(problem, style="red")
    if not any(counts.values()):
        say("Next: import data, for example `verglas import movies /data/*.tif`.")
    elif counts["movies"] and not counts["images"]:
        say("Next: `verglas align-movies`.")


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@project_option
@json_option
def move(target: Path, project_folder: Path | None, as_json: bool) -> None:
    """Move the project to TARGET, a folder that does not exist yet."""
    from verglas.project import find_project
    from verglas.project.moving import move_project

    place = move_project(project_folder or find_project(Path.cwd()), target)
    if as_json:
        print_json({"folder": place})
    else:
        console().print(f"The project is now in {place}.")


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the copy [default: that of its folder].")
@click.option("--database", type=click.Path(dir_okay=False, path_type=Path), help="File for the copy's database.")
@project_option
@json_option
def copy(target: Path, name: str | None, database: Path | None, project_folder: Path | None, as_json: bool) -> None:
    """Copy the project to TARGET under a new identity."""
    from verglas.project import find_project
    from verglas.project.moving import copy_project

    place = copy_project(project_folder or find_project(Path.cwd()), target, name=name, database=database)
    if as_json:
        print_json({"folder": place})
    else:
        console().print(f"The copy is in {place}.")


@click.command(name="list")
@kind_argument
@click.option("--group", default="0", help="Name or number of a group [default: all].")
@click.option("--name", help="Only names that fit this pattern (* and ?).")
@click.option("--limit", type=click.IntRange(1), help="At most how many.")
@click.option("--offset", type=click.IntRange(0), default=0, help="How many to leave out first.")
@project_option
@json_option
def list_command(
    kind: str, group: str, name: str | None, limit: int | None, offset: int, project_folder: Path | None, as_json: bool
) -> None:
    """List assets; each value shows where it came from, unless you gave it."""
    asset_kind = KINDS[kind]
    with open_project(project_folder) as project:
        found = project.assets(asset_kind, group=group, name=name, limit=limit, offset=offset)
        total = project.count(asset_kind, group=group, name=name)
    if as_json:
        print_json({"kind": asset_kind, "total": total, "assets": found})
        return
    made = table(">ID", "name", *(f">{title}" for title, _ in COLUMNS[asset_kind]), title=f"{total} {kind}")
    for record in found:
        made.add_row(str(record["id"]), record["name"], *(cell(record, key) for _, key in COLUMNS[asset_kind]))
    console().print(made)


@click.command()
@kind_argument
@click.argument("asset")
@project_option
@json_option
def show(kind: str, asset: str, project_folder: Path | None, as_json: bool) -> None:
    """Show everything about one asset: its fields with their sources, its results, and which is active."""
    with open_project(project_folder) as project:
        record = project.asset(KINDS[kind], int(asset) if asset.isdigit() else asset)
        results = project.results(record["kind"], record["id"])
    if as_json:
        print_json({"asset": record, "results": results})
        return
    made = table("field", "value", title=f"{record['kind']} {record['id']}: {record['name']}")
    for key, value in record.items():
        if key not in {"kind", "id", "name", "sources", "trash"} and value not in (None, {}):
            made.add_row(key, when(value) if key == "created" else cell(record, key))
    console().print(made)
    for result in results:
        mark = ", active" if result["active"] else ""
        console().print(f"result {result['id']}: {result['kind']} by job {result['job']}{mark}")


@click.command()
@click.option(
    "--limit", type=click.IntRange(1), default=30, show_default=True, help="At most how many, the latest first."
)
@project_option
@json_option
def history(limit: int, project_folder: Path | None, as_json: bool) -> None:
    """Show what was done in the project, by whom and when."""
    with open_project(project_folder) as project:
        lines = project.history(limit)
    if as_json:
        print_json({"history": lines})
        return
    made = table(">n", "when", "who", "what")
    for line in lines:
        made.add_row(str(line["n"]), when(line["t"]), f"{line['user']}@{line['host']}", line["summary"])
    console().print(made)
