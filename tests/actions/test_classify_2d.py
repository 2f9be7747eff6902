"""Classify 2D: every round becomes a classification of the project; a killed job resumes to the same answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stages.classification2d.shapes import BOX, OPTICS, PIXEL_A, Shapes, make_shapes
from tests.support.killed_jobs import run_job
from verglas.actions import project_run
from verglas.actions.classify_2d import Classify2D, settings_of
from verglas.actions.selection import only
from verglas.errors import InputError
from verglas.formats import MrcStackWriter, OpticsGroup, ParticleTable, read_stack, write_particles
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles

# Kernels may compile here, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)

OPTIONS = {"classes": 3, "rounds": 3, "finish_resolution_A": 14.0}


def packaged_project(folder: Path, count: int = 1300) -> tuple[Project, Shapes]:
    """Make a project with one package of shapes."""
    made = make_shapes(count)
    with MrcStackWriter(folder / "shapes.mrcs", BOX, BOX, PIXEL_A) as writer:
        for image in made.images:
            writer.append(image)
    table = ParticleTable.empty(count)
    table["defocus_u_A"], table["defocus_v_A"] = made.defocus[:, 0], made.defocus[:, 1]
    table["pixel_size_A"], table["voltage_kV"] = PIXEL_A, OPTICS.voltage_kV
    table["spherical_aberration_mm"], table["amplitude_contrast"] = 2.7, 0.07
    table["image_section"] = np.arange(1, count + 1)
    table.set_names("image_name", ["shapes.mrcs"] * count)
    table.set_names("micrograph", ["one.mrc"] * count)
    table.optics = [OpticsGroup(image_size_px=BOX, contrast_inverted=False)]
    write_particles(table, folder / "shapes.star")
    project = Project.create(folder / "p")
    import_particles(project, folder / "shapes.star", ParticleFields(largest_dimension_A=104.0))
    return project, made


def test_every_round_is_a_classification(tmp_path: Path) -> None:
    project, made = packaged_project(tmp_path)
    with project:
        run = project_run(project, "classify-2d", workers=2, threads=1, **OPTIONS)
        assert not run.failures
        classifications = project.assets("classification")
        assert [one["name"] for one in classifications] == [f"Classification #{n}" for n in (1, 2, 3)]
        last = classifications[-1]
        assert last["path"] == "Assets/ClassAverages/class_averages_0003.mrc"
        assert (last["round"], last["rounds"], last["package"], last["limit_A"]) == (3, 3, 1, 14.0)
        averages, _ = read_stack(project.folder / last["path"])
        assert averages.shape == (3, BOX, BOX)
        table = ParticleTable.load(project.folder / last["particles_path"])
        assert np.bincount(table["class_number"], minlength=4)[0] == 0 and table["class_number"].max() == 3
        purity = sum(np.bincount(made.shape[table["class_number"] == k]).max() for k in (1, 2, 3)) / len(table)
        assert purity > 0.6, "three classes for three shapes and noise, after three rounds"
        assert last["picture_path"] == "Assets/ClassAverages/class_averages_0003.png"
        assert (project.folder / last["picture_path"]).exists() and (project.folder / last["star_path"]).exists()
        assert not list((project.folder / "Scratch").glob("*/*"))
        curves = project.result(last["creation"])["files"]["curves"]
        assert curves.endswith("0003_curves.png") and (project.folder / curves).exists()
        run = project_run(project, "classify-2d", workers=1, threads=1, rounds=1, finish_resolution_A=14.0,
                          continue_from="1")  # fmt: skip
        assert not run.failures
        after = project.assets("classification")[-1]
        values = project.result(after["creation"])["values"]
        first = ParticleTable.load(project.folder / classifications[0]["particles_path"])
        second = ParticleTable.load(project.folder / after["particles_path"])
        assert (after["id"], values["continued_from"], values["classes"]) == (4, 1, 3)
        same = np.mean(first["class_number"] == second["class_number"])
        assert same > 0.5, f"classes keep their numbers: {same:.2f}"
        with pytest.raises(InputError, match="3 classes"):
            project_run(project, "classify-2d", rounds=1, classes=5, continue_from="1")
        package = project.asset("package", 1)
    with pytest.raises(InputError, match="mask-radius"):
        settings_of(Classify2D.Parameters(), {**package, "largest_dimension_A": None}, 1)
    with pytest.raises(InputError, match="one package"):
        only("package", [package, package])


def test_a_killed_classification_resumes_to_the_same_answer(tmp_path: Path) -> None:
    project, _ = packaged_project(tmp_path)
    with project:
        jobs = [
            run_job(project, "classify-2d", OPTIONS, {"package": "1"}, killed_at)
            for killed_at in ((), ("scratch/round-001.npz",))
        ]
    for number in (1, 2, 3):
        first, second = (job.results_folder / f"classification_{job.number}_{number:03d}" for job in jobs)
        for ending, header in ((".mrc", 1024), (".npy", 0)):  # a map's header holds the time
            a, b = (Path(f"{one}{ending}").read_bytes() for one in (first, second))
            assert a[header:] == b[header:], f"round {number} {ending}"
