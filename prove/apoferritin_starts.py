"""How often Ab-Initio 3D finds real apoferritin: whole searches from several seeds on the particles of one project.

    python -m prove.apoferritin_starts FOLDER [SEEDS]

FOLDER is one that ``python -m prove.apoferritin FOLDER`` has filled. A map is right where its correlation with model
6z6u in the protein's shell, in the nearer hand and without the spherical average, is above 0.5 to better than 12 A.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.apoferritin_map import Map, judged, nearer_hand
from tools.measured import record

from prove.abinitio import RIGHT_A
from prove.apoferritin import BOX
from prove.picking import PIXEL_A
from verglas.actions.ab_initio import AbInitio
from verglas.actions.ab_initio_settings import settings_of
from verglas.engine import ParticleImages, ParticleStack
from verglas.formats import ParticleTable
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.signal import resize
from verglas.stages.abinitio import AbInitioSettings, maps_of_images, prepared


def run_of(images: ParticleImages, settings: AbInitioSettings, model: Map) -> dict[str, Any]:
    """Search with the seed of some settings; return what came of it."""
    began = time.process_time()
    found = maps_of_images(images, settings)
    spent = time.process_time() - began
    volume = np.asarray(resize(found.maps.volumes[0], (BOX,) * 3), np.float32)
    nearer, near, far = nearer_hand((volume, volume), model, PIXEL_A)
    reached = judged(nearer, model, PIXEL_A).figures["model_0.5_A"]
    run = {
        "seed": settings.seed, "model_0.5_A": reached, "right": reached is not None and reached < RIGHT_A,
        "mean_fsc_20_to_7_A": round(near, 3), "of_the_other_hand": round(far, 3),
        "gain_on_unseen": [round(float(one), 2) for one in found.gains], "cpu_s": round(spent, 1),
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
            "right_part": round(float(np.mean([one["right"] for one in runs])), 3),
            "median_cpu_s": float(np.median([one["cpu_s"] for one in runs])), "runs": runs,
        })  # fmt: skip
    sys.stdout.write(f"written to {path}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
