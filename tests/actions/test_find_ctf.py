"""Find CTF as an action: its statement, one micrograph on a worker, whole jobs, and which result is active."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.project.conftest import add_movies, make_job
from tests.stages.ctf_estimation.rings import ringed_noise
from verglas.actions import project_run
from verglas.actions.find_ctf import FindCtf, find_one
from verglas.errors import InputError
from verglas.execution.job_folder import JobFolder, ProjectReference, Request
from verglas.execution.tasks import Task
from verglas.formats import read_image, write_mrc, write_tiff_movie
from verglas.formats.ctffind import read_avrot, read_ctffind
from verglas.project import Project
from verglas.project.import_others import import_micrographs
from verglas.project.lineage import job_edges

PIXEL_A = 1.4


def write_micrograph(path: Path, mean_A: float, seed: int = 1) -> None:
    write_mrc(path, ringed_noise(mean_A + 150, mean_A - 150, 30, n=512, pixel=PIXEL_A, snr=1.0, seed=seed), PIXEL_A)


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    write_micrograph(tmp_path / "a.mrc", 15000)
    return {
        "kind": "image", "id": 4, "name": "a", "path": "a.mrc", "n_x": 512, "n_y": 512, "pixel_size_A": PIXEL_A,
        "voltage_kV": 300.0, "cs_mm": 2.7,
    }  # fmt: skip


def task_in(folder: Path) -> Task:
    (folder / "results").mkdir()
    return Task(folder, folder, folder / "results", folder, 1, "cpu", 1)


def test_one_micrograph_becomes_files_and_figures(record, tmp_path):
    files, values = find_one(record, task_in(tmp_path), FindCtf.Parameters().model_dump())
    assert values["defocus_u_A"] == pytest.approx(15150, abs=120)
    assert values["defocus_v_A"] == pytest.approx(14850, abs=120)
    assert (values["voltage_kV"], values["amplitude_contrast"], values["box"]) == (300.0, 0.07, 512)
    json.dumps(values, allow_nan=False)
    text = read_ctffind(files["fit"])
    assert text.fits[0].defocus_u_A == pytest.approx(values["defocus_u_A"], abs=1e-3)
    assert text.input_file == "a.mrc"
    assert len(read_avrot(files["avrot"])[0].frequency_per_A) == 256
    assert read_image(files["diagnostic"])[0].shape == (512, 512)
    assert Path(files["picture"]).read_bytes().startswith(b"\x89PNG")


def test_options_reach_the_fit(record, tmp_path):
    chosen = FindCtf.Parameters(
        additional_phase_shift=True, max_phase_shift_deg=120.0, box_size=256, amplitude_contrast=0.1,
        resample_if_pixel_too_small=False, restrain_astigmatism=True, tolerated_astigmatism_A=10.0,
    )  # fmt: skip
    _, values = find_one(record | {"pixel_size_A": 1.2}, task_in(tmp_path), chosen.model_dump())
    assert (values["box"], values["spectrum_pixel_size_A"], values["amplitude_contrast"]) == (256, 1.2, 0.1)
    assert 0 <= values["phase_shift_deg"] <= 120
    with pytest.raises(InputError, match="finer"):
        FindCtf().estimate(FindCtf.Parameters(min_resolution_A=4.0), {"images": [record]})


def test_a_micrograph_of_unknown_voltage_is_refused(record, tmp_path):
    with pytest.raises(InputError, match="voltage_kV is not known"):
        find_one(record | {"voltage_kV": None}, task_in(tmp_path), FindCtf.Parameters().model_dump())


def test_estimate_reads_no_file_and_grows_with_the_micrograph(record):
    action, parameters, gone = FindCtf(), FindCtf.Parameters(), record | {"path": "nowhere.mrc"}
    small, two = (action.estimate(parameters, {"images": [gone] * count}) for count in (1, 2))
    large = action.estimate(parameters, {"images": [gone | {"n_x": 4096, "n_y": 4096, "pixel_size_A": 1.0}]})
    assert (two.memory_bytes, two.tasks, two.core_seconds) == (small.memory_bytes, 2, 2 * small.core_seconds)
    assert small.memory_bytes < large.memory_bytes < 2e9


def test_a_job_sets_bad_micrographs_aside_and_the_last_result_is_active(tmp_path):
    for number in range(2):
        write_micrograph(tmp_path / f"m{number}.mrc", 12000 + 3000 * number, number)
    write_mrc(tmp_path / "empty.mrc", np.zeros((512, 512), np.float32), PIXEL_A)
    with Project.create(tmp_path / "p") as project:
        import_micrographs(project, [str(tmp_path / "*.mrc")], voltage_kV=300.0, cs_mm=2.7)
        run = project_run(project, "find-ctf", workers=1, threads=1)
        names = {image["name"]: image for image in project.assets("image")}
        assert set(run.failures) == {str(names["empty"]["id"])}
        assert "alike" in run.failures[str(names["empty"]["id"])].error
        assert names["empty"]["ctf_estimation"] is None
        for number in range(2):
            image = names[f"m{number}"]
            mean = (image["defocus_u_A"] + image["defocus_v_A"]) / 2
            assert mean == pytest.approx(12000 + 3000 * number, abs=60)
            assert image["ctf_fit_resolution_A"] < 5
        first = next(one for one in project.results("image", names["m0"]["id"]))
        stem = f"Assets/CTF/m0_CTF_{names['m0']['id']}_0"
        assert first["files"] == {
            "fit": f"{stem}.txt", "avrot": f"{stem}_avrot.txt", "diagnostic": f"{stem}.mrc", "picture": f"{stem}.png",
        }  # fmt: skip
        assert all((project.folder / path).is_file() for path in first["files"].values())

        project_run(project, "find-ctf", images=[names["m0"]["id"]], max_defocus_A=9000.0)
        again = project.asset("image", "m0")
        assert (again["id"], again["path"]) == (names["m0"]["id"], names["m0"]["path"])
        assert again["ctf_estimation"] != names["m0"]["ctf_estimation"]
        assert again["defocus_u_A"] < 10000
        project.edit({"edit": "result.activate", "result": first["id"]})
        assert project.asset("image", "m0") == names["m0"]
        live = project.dump()
        project.rebuild()
        assert project.dump() == live


def test_an_aligned_sum_keeps_its_fit_and_jobs_know_what_came_from_what(tmp_path):
    with Project.create(tmp_path / "p") as project:
        add_movies(project, 1)
        make_job(project.folder, [1])
        project.take_in()
        image = project.asset("image", 1)
        write_micrograph(project.folder / image["path"], 20000)
        run = project_run(project, "find-ctf", workers=1, threads=1)
        assert not run.failures
        fitted = project.asset("image", 1)
        assert fitted["alignment"] == image["alignment"] and fitted["parent_movie"] == 1
        assert job_edges(project) == [(1, 2)]


def test_a_fit_that_comes_while_its_image_is_in_the_trash_stays_the_images_own(tmp_path):
    write_micrograph(tmp_path / "m0.mrc", 12000)
    with Project.create(tmp_path / "p") as project:
        import_micrographs(project, [str(tmp_path / "m0.mrc")], voltage_kV=300.0, cs_mm=2.7)
        project.edit({"edit": "trash.add", "items": [{"kind": "image", "id": 1}]})
        job = JobFolder.claim(project.folder / "Jobs", "find-ctf")
        job.write_request(
            Request(
                job=job.number, action="find-ctf", entry="none:none", title="Find CTF #1",
                project=ProjectReference(name="p", id="1"), created="2026-01-01T00:00:00+00:00", user="a", host="h",
            )
        )  # fmt: skip
        (job.results_folder / "1.txt").write_text("fit")
        values = {"defocus_u_A": 12000.0, "defocus_v_A": 11000.0}
        event = {
            "event": "result", "t": 2.0, "key": "1", "kind": "ctf_estimation", "files": {"fit": "results/1.txt"},
            "values": values, "of": {"kind": "image", "id": 1},
        }  # fmt: skip
        job.events_path.write_text(json.dumps(event) + "\n")
        assert project.take_in()["problems"] == []
        project.edit({"edit": "trash.restore", "trash": 1})
        (image,) = project.assets("image")
        assert (image["name"], image["defocus_u_A"], image["ctf_estimation"]) == ("m0", 12000.0, 1)


def test_the_command_states_and_runs(tmp_path):
    write_micrograph(tmp_path / "m0.mrc", 12000)
    folder = tmp_path / "p"
    Project.create(folder).close()

    def verglas(*words: str) -> Any:
        command = [sys.executable, "-m", "verglas", *words, "--project", str(folder), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    verglas("import", "micrographs", "--voltage", "300", "--cs", "2.7", str(tmp_path / "m0.mrc"))
    summary = verglas("find-ctf", "--max-defocus", "30000", "--workers", "1")
    assert (summary["state"], summary["taken_in"], summary["failures"]) == ("done", 1, [])
    assert summary["parameters"]["max_defocus_A"] == 30000.0
    assert summary["peak_memory_bytes"] < summary["estimate"]["memory_bytes"]
    (image,) = verglas("list", "images")["assets"]
    assert image["defocus_u_A"] == pytest.approx(12150, abs=80)


def test_movies_are_fitted_in_groups_of_frames(tmp_path):
    rng = np.random.default_rng(5)
    rings = ringed_noise(15150, 14850, 30, n=512, pixel=PIXEL_A, snr=1.0, seed=9)
    rate = np.maximum(20.0 + 4.0 * rings / rings.std(), 0.0)
    frames = []
    for number in range(7):  # it moves from frame to frame: the plain sum has lost its fine rings
        frames.append(rng.poisson(np.roll(rate, (5 * number, -7 * number), (0, 1))).astype(np.uint8))
    gain = np.exp(0.3 * rng.standard_normal((512, 512))).astype(np.float32)
    gain[100:104] = 0.0
    safe = np.where(gain > 0, gain, 1.0)
    raw = np.rint(np.minimum(np.stack(frames) / safe, 255)).astype(np.uint8)
    raw[:, 300, 300] = 255
    write_tiff_movie(tmp_path / "m.tif", iter(raw))
    write_mrc(tmp_path / "gain.mrc", gain, PIXEL_A)
    write_mrc(tmp_path / "a.mrc", rng.standard_normal((512, 512)).astype(np.float32), PIXEL_A)
    movie = {
        "kind": "movie", "id": 2, "name": "m", "path": "m.tif", "gain_path": "gain.mrc", "n_x": 512, "n_y": 512,
        "n_frames": 7, "pixel_size_A": PIXEL_A, "dark_path": None, "eer_frames_per_image": None,
    }  # fmt: skip
    image = {
        "kind": "image", "id": 4, "name": "a", "path": "a.mrc", "n_x": 512, "n_y": 512, "pixel_size_A": 2 * PIXEL_A,
        "voltage_kV": 300.0, "cs_mm": 2.7, "parent_movie": 2,
    }  # fmt: skip
    parameters = FindCtf.Parameters(frames_to_average=1)
    _, values = find_one(image, task_in(tmp_path), parameters.model_dump(), {2: movie})
    assert values["fitted_to"] == "movie" and values["pixel_size_A"] == PIXEL_A
    assert (values["defocus_u_A"] + values["defocus_v_A"]) / 2 == pytest.approx(15000, abs=60)
    with pytest.raises(InputError, match="not among those chosen"):
        find_one(image | {"parent_movie": 3}, Task(tmp_path, tmp_path, tmp_path, tmp_path, 1, "cpu", 1),
                 parameters.model_dump(), {2: movie})  # fmt: skip
    stated = [FindCtf().estimate(parameters, {"images": [image], **more}) for more in ({}, {"movies": [movie]})]
    assert stated[1].memory_bytes > stated[0].memory_bytes and stated[1].core_seconds > stated[0].core_seconds
