"""Small projects with micrographs, CTFs and picks, as jobs before a refinement leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.stages.picking.fields import DEFOCUS, PIXEL_A, Field, make_field
from verglas.formats import write_mrc
from verglas.project import Project
from verglas.project.import_coordinates import import_coordinates
from verglas.project.import_others import import_micrographs

CTF = {
    "defocus_u_A": DEFOCUS[0], "defocus_v_A": DEFOCUS[1], "defocus_angle_deg": float(np.rad2deg(DEFOCUS[2])),
    "phase_shift_deg": 0.0, "amplitude_contrast": 0.07, "score": 0.2,
}  # fmt: skip


def give_ctf(project: Project, image: int) -> None:
    """Give an image a CTF as if Find CTF had found it."""
    project.edit({"edit": "result.take-in", "results": [{
        "job": None, "key": f"ctf-{image}", "kind": "ctf_estimation", "of": {"kind": "image", "id": image},
        "files": {}, "values": CTF,
    }]})  # fmt: skip


def picked_project(folder: Path, count: int = 2, particles: int = 12, **options: object) -> tuple[Project, list[Field]]:
    """Make a project of micrographs with particles at known places, picked exactly there."""
    fields = [make_field(seed, shape=(360, 400), count=particles, apart_A=140.0, contrast=0.05, **options)
              for seed in range(count)]  # fmt: skip
    project = Project.create(folder / "p")
    lines = []
    for number, field in enumerate(fields):
        write_mrc(folder / f"m{number}.mrc", field.image, PIXEL_A)
        lines += [f"m{number} {x:.4f} {y:.4f}" for x, y in field.places_A]
    import_micrographs(project, [str(folder / "m?.mrc")], voltage_kV=300.0, cs_mm=2.7)
    (folder / "picks.txt").write_text("\n".join(lines) + "\n")
    import_coordinates(project, [str(folder / "picks.txt")])
    for image in project.assets("image"):
        give_ctf(project, image["id"])
    return project, fields
