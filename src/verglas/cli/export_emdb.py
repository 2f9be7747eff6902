"""``verglas export-emdb``: what the Electron Microscopy Data Bank asks for with a map, in one folder."""

from __future__ import annotations

from pathlib import Path

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option
from verglas.errors import InputError

FIGURES = (
    "name", "resolution_A", "resolutions_A", "cutoff_A", "amplitudes", "b_factor_A2", "pixel_size_A", "symmetry",
    "mass_kDa", "inverted_hand", "mask_volume_A3",
)  # fmt: skip


@click.command("export-emdb")
@click.argument("volume", type=int)
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to make; new or empty."
)
@project_option
@json_option
def export_emdb(volume: int, output: Path, project_folder: Path | None, as_json: bool) -> None:
    """Copy a sharpened VOLUME (its number), half maps, mask, FSC (XML), picture and figures into a folder.

    Only volumes that Sharpen 3D made hold all of this.
    """
    from verglas.stages.sharpening import write_emdb_folder

    if output.exists() and any(output.iterdir()):
        raise InputError(f"{output} is not empty: choose another folder with --output.")
    with open_project(project_folder) as project:
        asset = project.asset("volume", volume)
        made = [one for one in project.results("volume", volume) if one["kind"] == "sharpened_volume"]
        if not made:
            raise InputError(f"{asset['name']} was not made by Sharpen 3D: run it first and export what it makes.")
        files = {role: project.folder / path for role, path in made[-1]["files"].items()}
        for number in (1, 2):
            if asset[f"half_map_{number}_path"]:
                files[f"half_map_{number}"] = project.folder / asset[f"half_map_{number}_path"]
        missing = [str(path) for path in files.values() if not path.exists()]
        if missing:
            raise InputError(f"{missing[0]} is not there: bring it back, or sharpen the volume again.")
        values = {name: made[-1]["values"].get(name) for name in FIGURES}
        copies = write_emdb_folder(output, files, values)
    if as_json:
        print_json({"volume": volume, "files": copies})
        return
    console().print(f"{output}: {', '.join(path.name for path in copies.values())}")
