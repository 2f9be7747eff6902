"""``verglas classes3d``: classes of 3D refinements, compared."""

from __future__ import annotations

from pathlib import Path

import click

from verglas.cli.common import console, json_option, open_project, print_json, project_option


@click.group()
def classes3d() -> None:
    """Compare 3D classifications."""


@classes3d.command()
@click.argument("refinements", nargs=-1, required=True, type=click.IntRange(1))
@project_option
@json_option
def compare(refinements: tuple[int, ...], project_folder: Path | None, as_json: bool) -> None:
    """Say which classes of REFINEMENTS (numbers, all of one package) hold the same particles."""
    import numpy as np

    from verglas.errors import InputError
    from verglas.formats import ParticleTable
    from verglas.stages.refinement import class_stability

    with open_project(project_folder) as project:
        records = [project.asset("refinement", number) for number in refinements]
        if len({one["package"] for one in records}) != 1:
            raise InputError("these refinements are of several packages; compare those of one.")
        occupancies = [
            np.stack([ParticleTable.load(project.folder / one["particles_path"])["occupancy"]
                      for one in record["details"]])
            for record in records
        ]  # fmt: skip
    found = class_stability(occupancies)
    classes = [
        {
            "class": k + 1,
            "agreed_percent": round(100.0 * float(found.agreed[k]), 2),
            "by_chance_percent": round(100.0 * float(found.chance[k]), 2),
            "goes_with": [int(order[k]) + 1 for order in found.order],
        }
        for k in range(len(found.agreed))
    ]
    if as_json:
        print_json({
            "refinements": list(refinements), "classes": classes,
            "adjusted_rand": [round(float(one), 4) for one in found.rand],
            "particles_agreed": int((found.core >= 0).sum()), "particles": len(found.core),
        })  # fmt: skip
        return
    for one in classes:
        console().print(
            f"class {one['class']}: {one['agreed_percent']} % of its particles in all runs "
            f"({one['by_chance_percent']} % by chance); goes with classes {one['goes_with']}"
        )
    for number, rand in zip(refinements, found.rand, strict=True):
        console().print(f"refinement {number}: adjusted Rand index {rand:.3f} with the first")
