"""``verglas convert``: particle tables from one package's format to another's."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--to",
    type=click.Choice(["relion", "cistem", "frealign", "cryosparc"]),
    help="Package to write for; a .star is RELION's unless told.",
)
@click.option(
    "--passthrough",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Passthrough file of a .cs file; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def convert(source: Path, target: Path, to: str | None, passthrough: tuple[Path, ...], as_json: bool) -> None:
    """Convert particles between .star (RELION, cisTEM), .cistem, .par (Frealign), .cs (cryoSPARC) and .npy (verglas).

    What the target has no place for travels under labels of verglas' own in .star and .cs files; a .par or .cistem
    file cannot hold it, and the columns left behind are listed.
    """
    from verglas.formats.conversions import not_carried, read_particles, write_particles

    table = read_particles(source, passthrough)
    package = write_particles(table, target, to or "")
    lost = not_carried(table, target) if target.suffix.lower() in {".par", ".cistem"} else []
    notes = []
    if lost:
        notes.append(f"This format has no place for: {', '.join(lost)}.")
    if package == "cistem" and target.suffix.lower() == ".star" and table["phase_shift_deg"].any():
        notes.append(
            "cisTEM writes phase shifts to its .star in radians but reads them as degrees: give it a .cistem file."
        )
    if as_json:
        found = {
            "notes": notes,
            "source": str(source),
            "target": str(target),
            "to": package,
            "particles": len(table),
            "not_carried": lost,
        }
        click.echo(json.dumps(found))
        return
    click.echo(f"{target}: {len(table)} particles for {package}, {len(table.optics)} optics group(s).")
    for note in notes:
        click.echo(note, err=True)
