"""``verglas export``: refinement packages for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option


@click.command()
@click.argument("package")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--to", required=True, type=click.Choice(["relion", "cistem", "frealign", "cryosparc"]), help="The program."
)
@click.option("--refinement", help="Number or name of the refinement whose parameters are written.")
@click.option("--class", "class_number", type=click.IntRange(1), help="Class of it that alone is written.")
@click.option(
    "--white-protein/--dark-protein", default=None, help="Contrast of the stack [default: as the program wants it]."
)
@click.option("--link", is_flag=True, help="Link the stack instead of copying it, where it can stay as it is.")
@click.option("--name", default="particles", show_default=True, help="Name of the files.")
@project_option
@json_option
def export(
    package: str, folder: Path, to: str, refinement: str | None, class_number: int | None, white_protein: bool | None,
    link: bool, name: str, project_folder: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Write stack and parameters of PACKAGE (number or name) to FOLDER as another program reads them."""
    from verglas.project.export_particles import export_package

    def key(text: str) -> int | str:
        return int(text) if text.isdigit() else text

    with open_project(project_folder) as project:
        made = export_package(
            project, key(package), folder, to, refinement=None if refinement is None else key(refinement),
            class_number=class_number, white_protein=white_protein, link=link, name=name,
        )  # fmt: skip
    if as_json:
        print_json({"stack": made.stack, "tables": made.tables, "particles": made.particles, "linked": made.linked,
                    "inverted": made.inverted})  # fmt: skip
        return
    console().print(f"{made.particles} particles: {made.stack}{' (a link)' if made.linked else ''}"
                    f"{', contrast turned over' if made.inverted else ''}")  # fmt: skip
    for path in made.tables:
        console().print(str(path))
