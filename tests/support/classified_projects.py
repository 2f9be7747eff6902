"""Projects with a classification whose classes, places and averages are known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np

from verglas.formats import ParticleTable, write_mrc
from verglas.project import Project


def add_classification(
    project: Project, package: int, number: Any, displacements_A: Any, averages: Any, *, log_likelihood: Any = 1.0,
    psi_deg: Any = 0.0, resolution_A: float = 10.0,
) -> None:  # fmt: skip
    """Give a package a classification, as if Classify 2D had made it.

    Parameters
    ----------
    project
        The project.
    package
        Number of the package.
    number
        Class of each particle, from 1; 0: none.
    displacements_A
        Where each particle lies in its image, (x, y); shape (n, 2).
    averages
        Shape (classes, box, box).
    log_likelihood, psi_deg
        Of each particle.
    resolution_A
        Of all classes.
    """
    record = project.asset("package", package)
    table = ParticleTable.load(project.folder / record["particles_path"]).copy()
    table["class_number"], table["log_likelihood"], table["psi_deg"] = number, log_likelihood, psi_deg
    table["origin_x_A"], table["origin_y_A"] = -np.asarray(displacements_A, float).T
    table["occupancy"] = 100.0
    folder = project.layout.scratch / f"classified-{project.count('classification')}"
    folder.mkdir(parents=True)
    table.save(folder / "round.npy")
    write_mrc(folder / "round.mrc", np.asarray(averages, np.float32), record["pixel_size_A"])
    classes = len(averages)
    held = np.bincount(np.asarray(table["class_number"]), minlength=classes + 1)[1:]
    values = {
        "package": package, "round": 1, "rounds": 1, "classes": classes, "particles_used": int(held.sum()),
        "limit_A": 8.0, "pixel_size_A": record["pixel_size_A"], "mask_radius_A": 70.0, "occupancy": held.tolist(),
        "resolution_A": [resolution_A] * classes, "quality": [1.0] * classes, "reasons": [[]] * classes,
    }  # fmt: skip
    project.edit({"edit": "result.take-in", "results": [{
        "job": None, "key": folder.name, "kind": "classification", "of": None, "values": values,
        "files": {role: project.layout.stored(folder / f"round{ending}")
                  for role, ending in (("averages", ".mrc"), ("particles", ".npy"))},
    }]})  # fmt: skip
