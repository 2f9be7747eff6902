"""Find Particles as an action: its statement, one micrograph on a worker, whole jobs, templates from files and maps."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stages.picking.fields import DEFOCUS, OPTICS, PIXEL_A, found_and_true, make_field
from verglas.actions import project_run
from verglas.actions.find_particles import FindParticles, pick_one
from verglas.errors import InputError
from verglas.execution.tasks import Task
from verglas.formats import write_mrc
from verglas.formats.npy import read_npy
from verglas.project import Project
from verglas.project.import_others import import_micrographs
from verglas.stages.picking import chosen

BALLS = {"radius_A": 60.0, "max_radius_A": 80.0, "edge_distance_A": 40.0}


def record_of(path: Path, image: np.ndarray) -> dict[str, Any]:
    write_mrc(path, image, PIXEL_A)
    return {
        "kind": "image", "id": 4, "name": path.stem, "path": path.name, "n_x": image.shape[1], "n_y": image.shape[0],
        "pixel_size_A": PIXEL_A, "voltage_kV": 300.0, "cs_mm": 2.7, "protein_is_white": False, "ctf_estimation": 1,
        "defocus_u_A": DEFOCUS[0], "defocus_v_A": DEFOCUS[1], "defocus_angle_deg": math.degrees(DEFOCUS[2]),
        "phase_shift_deg": 0.0, "amplitude_contrast": OPTICS.amplitude_contrast,
    }  # fmt: skip


def task_in(folder: Path) -> Task:
    (folder / "results").mkdir(exist_ok=True)
    return Task(folder, folder, folder / "results", folder, 1, "cpu", 1)


def places(path: str | Path) -> np.ndarray:
    table = read_npy(path)
    return np.stack([table["x_A"], table["y_A"]], 1)


def test_one_micrograph_becomes_files_and_figures(tmp_path):
    field = make_field(1, contrast=0.03)
    record = record_of(tmp_path / "a.mrc", field.image)
    files, values = pick_one(record, task_in(tmp_path), FindParticles.Parameters(**BALLS).model_dump())
    assert found_and_true(places(files["positions"]), field.places_A, 15.0) == (1.0, 1.0)
    candidates = read_npy(files["candidates"])
    assert values["count"] == len(field.places_A) == chosen(candidates, 6.0).sum()
    assert values["candidates"] == len(candidates) > values["count"]
    assert values["file_bytes"] == Path(files["positions"]).stat().st_size
    json.dumps(values, allow_nan=False)
    assert Path(files["diagnostic"]).read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_picked_is_refused(tmp_path):
    record = record_of(tmp_path / "a.mrc", make_field(1, count=0).image)
    task, parameters = task_in(tmp_path), FindParticles.Parameters(**BALLS).model_dump()
    with pytest.raises(InputError, match="no CTF"):
        pick_one(record | {"ctf_estimation": None}, task, parameters)
    without = FindParticles.Parameters(**BALLS, use_ctf=False, save_picture=False).model_dump()
    files, values = pick_one(record | {"ctf_estimation": None}, task, without)
    assert values["count"] == 0 and "diagnostic" not in files
    with pytest.raises(InputError, match="pixel size"):
        pick_one(record | {"pixel_size_A": None}, task, parameters)
    action = FindParticles()
    for wrong, said in (
        ({"picker": "templates"}, "takes either"),
        ({"template_images": "a.mrcs"}, "another picker"),
        ({"picker": "ring", "inner_radius_A": 90.0}, "inner radius"),
    ):
        with pytest.raises(InputError, match=said):
            action.estimate(FindParticles.Parameters(**wrong), {"images": [record]})


def test_estimate_reads_no_file_and_grows(tmp_path):
    record = record_of(tmp_path / "a.mrc", make_field(1, count=0).image) | {"path": "nowhere.mrc"}
    action, parameters = FindParticles(), FindParticles.Parameters()
    small, two = (action.estimate(parameters, {"images": [record] * count}) for count in (1, 2))
    large = action.estimate(parameters, {"images": [record | {"n_x": 4096, "n_y": 4096, "pixel_size_A": 1.0}]})
    assert (two.memory_bytes, two.tasks, two.core_seconds) == (small.memory_bytes, 2, 2 * small.core_seconds)
    assert small.memory_bytes < large.memory_bytes < 1.5e9


def test_jobs_pick_and_templates_come_from_images_or_a_map(tmp_path):
    fields = [make_field(seed, contrast=0.04, inner_A=40.0) for seed in (1, 2)]
    for number, field in enumerate(fields):
        write_mrc(tmp_path / f"m{number}.mrc", field.image, PIXEL_A)
    along = (np.arange(64) - 32) * 3.0
    distance = np.sqrt(along[:, None, None] ** 2 + along[:, None] ** 2 + along**2)
    volume = ((distance < 65) & (distance > 40)).astype(np.float32)
    write_mrc(tmp_path / "shell.mrc", volume, 3.0)
    write_mrc(tmp_path / "ring.mrcs", volume.sum(axis=0)[None], 3.0)
    with Project.create(tmp_path / "p") as project:
        import_micrographs(project, [str(tmp_path / "m?.mrc")], voltage_kV=300.0, cs_mm=2.7)
        from verglas.project.import_others import import_volumes

        import_volumes(project, [str(tmp_path / "shell.mrc")])
        columns = {**BALLS, "use_ctf": False, "save_picture": False, "workers": 1, "threads": 1, "picker": "templates",
                   "highest_resolution_A": 25.0, "rotation_step_deg": 45.0}  # fmt: skip
        run = project_run(project, "find-particles", template_images=str(tmp_path / "ring.mrcs"), **columns)
        assert not run.failures
        first = {one["image"]: one for one in project.assets("positions")}
        run = project_run(project, "find-particles", template_map=[1], template_symmetry="O", **columns)
        assert not run.failures
        for image in project.assets("image"):
            truth = fields[int(image["name"][1])].places_A
            (positions,) = (one for one in project.assets("positions") if one["image"] == image["id"])
            assert positions["id"] == first[image["id"]]["id"]
            assert positions["picking"] != first[image["id"]]["picking"]
            for path in (positions["path"], first[image["id"]]["path"]):
                precision, recall = found_and_true(places(project.folder / path), truth, 20.0)
                assert precision > 0.9 and recall > 0.9
            candidates = [one["files"]["candidates"] for one in project.results("image", image["id"])]
            assert candidates[0].endswith("_candidates.npy") and len(set(candidates)) == 2
        live = project.dump()
        project.rebuild()
        assert project.dump() == live


def test_templates_come_from_class_averages(tmp_path):
    field = make_field(1, contrast=0.04, inner_A=40.0)
    write_mrc(tmp_path / "m.mrc", field.image, PIXEL_A)
    along = (np.arange(64) - 32) * 3.0
    distance = np.sqrt(along[:, None, None] ** 2 + along[:, None] ** 2 + along**2)
    ring = ((distance < 65) & (distance > 40)).astype(np.float32).sum(axis=0)
    averages = np.stack([np.zeros_like(ring), ring, np.roll(ring, 20, axis=0)])
    with Project.create(tmp_path / "p") as project:
        import_micrographs(project, [str(tmp_path / "m.mrc")], voltage_kV=300.0, cs_mm=2.7)
        folder = project.layout.scratch / "classes"
        folder.mkdir(parents=True)
        write_mrc(folder / "round.mrc", averages, 3.0)
        np.save(folder / "round.npy", np.zeros(1))
        values = {"package": 1, "round": 1, "rounds": 1, "classes": 3, "particles_used": 9, "limit_A": 8.0,
                  "pixel_size_A": 3.0, "mask_radius_A": 70.0, "occupancy": [0, 5, 4]}  # fmt: skip
        files = {role: project.layout.stored(folder / f"round{ending}")
                 for role, ending in (("averages", ".mrc"), ("particles", ".npy"))}  # fmt: skip
        project.edit({"edit": "result.take-in", "results": [{
            "job": None, "key": "round-1", "kind": "classification", "of": None, "files": files, "values": values,
        }]})  # fmt: skip
        columns = {**BALLS, "use_ctf": False, "save_picture": False, "workers": 1, "threads": 1, "picker": "templates",
                   "highest_resolution_A": 25.0, "rotation_step_deg": 45.0, "template_classes": [1]}  # fmt: skip
        run = project_run(project, "find-particles", template_class_numbers="2", **columns)
        assert not run.failures
        (positions,) = project.assets("positions")
        precision, recall = found_and_true(places(project.folder / positions["path"]), field.places_A, 20.0)
        assert precision > 0.9 and recall > 0.9
        run = project_run(project, "find-particles", template_class_numbers="1", **columns)
        assert len(run.failures) == 1 and "nobody is in its class 1" in str(run.failures)
        with pytest.raises(InputError, match="there is no 4"):
            project_run(project, "find-particles", template_class_numbers="2-4", **columns)
