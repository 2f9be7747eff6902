"""Real micrographs of apoferritin to 2D classes, by the jobs a user runs; the classes as a picture in the docs.

RELION 3.1's classification into twelve classes puts 99.96 % of these particles into one ring.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import REPOSITORY, record

from prove.picking import FERRITIN, PIXEL_A, REAL
from verglas.actions import project_run
from verglas.errors import NotFoundError
from verglas.execution.job_folder import JobFolder
from verglas.project import Project
from verglas.project.class_selections import classes_of
from verglas.project.import_others import import_micrographs

PICTURE = REPOSITORY / "docs" / "images" / "apoferritin_classes.png"
RESOURCES: dict[str, Any] = {"threads": 1, "workers": 2}


def main(micrographs: int = 12, classes: int = 12, rounds: int = 20) -> None:
    folder = REAL / "apoferritin" / "micrographs"
    if not folder.is_dir():
        raise NotFoundError(f"{folder} is not here; set VERGLAS_REAL_DATA.")
    with tempfile.TemporaryDirectory() as name, Project.create(Path(name) / "p") as project:
        files = [str(path) for path in sorted(folder.glob("*.png"))[:micrographs]]
        import_micrographs(project, files, pixel_size_A=PIXEL_A, voltage_kV=300.0, cs_mm=0.001)
        steps = (
            ("find-ctf", {"box_size": 512}),
            ("find-particles", {"picker": "ring", "save_picture": False, **FERRITIN}),
            ("create-package", {"largest_dimension_A": 130.0, "box_size": 128, "output_pixel_size_A": 3.0}),
            ("classify-2d", {"classes": classes, "rounds": rounds, "finish_resolution_A": 8.0}),
        )
        cpu = {}
        for step, options in steps:
            run = project_run(project, step, **options, **RESOURCES)
            cpu[step] = round(JobFolder(run.job.path).state().cpu_seconds or 0.0, 1)
        last = project.assets("classification")[-1]
        found = classes_of(project, last["id"])
        held = np.array([one["particles"] for one in found])
        shutil.copyfile(project.folder / last["picture_path"], PICTURE)
        figures = {
            "micrographs": len(files), "particles": project.asset("package", 1)["count"], "classes": classes,
            "rounds": rounds, "largest_class_part": round(float(held.max() / held.sum()), 4),
            "classes_with_a_twentieth": int(np.sum(held > 0.05 * held.sum())), "particles_of": held.round(1).tolist(),
            "resolution_A": [one["resolution_A"] for one in found], "quality": [one["quality"] for one in found],
            "relion_3_1_largest_class_part": 0.9996, "cpu_s": cpu,
        }  # fmt: skip
    sys.stdout.write(f"written to {record('classification2d_real', figures)}\n")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
