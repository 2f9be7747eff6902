"""How often Ab-Initio 3D finds real apoferritin: whole searches from several seeds on the particles of one project.

    python -m prove.apoferritin_starts FOLDER [SEEDS]

FOLDER is one that ``python -m prove.apoferritin FOLDER`` has filled. A map is right where its correlation with model
6z6u in the protein's shell, in the nearer hand and without the spherical average, is above 0.5 to better than 12 A.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.apoferritin_map import Map, judged, nearer_hand
from tools.measured import record

from prove.abinitio import RIGHT_A, searched
from prove.apoferritin import BOX
from prove.picking import PIXEL_A
from verglas.actions.ab_initio import AbInitio
from verglas.actions.ab_initio_settings import settings_of
from verglas.engine import ParticleImages, ParticleStack
from verglas.formats import ParticleTable
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.signal import resize
from verglas.stages.abinitio import AbInitioSettings, prepared

RIGHT_FSC = 0.4
"""Of a start's map, before the finish: wrong ones came to 0.21 at most. One on its way, at 0.40, does not count."""


def measured(volume: Map, model: Map) -> dict[str, Any]:
    """Return how a map agrees with the model, in the nearer hand."""
    whole = np.asarray(resize(volume, (BOX,) * 3), np.float32)
    nearer, near, far = nearer_hand((whole, whole), model, PIXEL_A)
    reached = judged(nearer, model, PIXEL_A).figures["model_0.5_A"]
    return {
        "model_0.5_A": reached, "right": reached is not None and reached < RIGHT_A,
        "mean_fsc_20_to_7_A": round(near, 3), "of_the_other_hand": round(far, 3),
    }  # fmt: skip


def run_of(images: ParticleImages, settings: AbInitioSettings, model: Map) -> dict[str, Any]:
    """Search with the seed of some settings; return what came of it, and of each start."""
    search = searched(images, settings)
    run = {
        "seed": settings.seed, **measured(search.found.maps.volumes[0], model),
        "gain_on_unseen": [round(float(one), 2) for one in search.found.gains],
        "mean_fsc_of_starts": [measured(one, model)["mean_fsc_20_to_7_A"] for one in search.starts],
        "cpu_s": round(search.cpu_s, 1),
    }  # fmt: skip
    sys.stdout.write(f"{run}\n")
    sys.stdout.flush()
    return run


def main(name: str, seeds: str | int = 10) -> None:
    """Measure."""
    folder = Path(name)
    model = np.asarray(read_mrc_volume(folder / "model.mrc")[0], np.float32)
    with Project.open(folder / "project") as project:
        package = project.asset("package", 2)
        settings = settings_of(AbInitio.Parameters(symmetry="O"), package, 1)
        table = ParticleTable.load(project.folder / package["particles_path"])
        with ParticleStack(table, project.folder) as stack:
            images = prepared(stack, np.arange(len(stack)), settings, settings.finish_A)
    runs: list[dict[str, Any]] = []
    for seed in range(1, int(seeds) + 1):
        runs.append(run_of(images, replace(settings, seed=seed), model))
        path = record("abinitio_apoferritin_real", {
            "particles": len(images), "symmetry": "O", "model": "6z6u", "starts": settings.starts,
            "rounds": settings.rounds, "seeds": len(runs),
            "right_part_of_starts": round(float(np.mean(
                [fsc > RIGHT_FSC for one in runs for fsc in one["mean_fsc_of_starts"]]
            )), 3),
            "right_part": round(float(np.mean([one["right"] for one in runs])), 3),
            "median_cpu_s": float(np.median([one["cpu_s"] for one in runs])), "runs": runs,
        })  # fmt: skip
    sys.stdout.write(f"written to {path}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
