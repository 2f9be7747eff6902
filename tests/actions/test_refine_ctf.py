"""Refine CTF: a refinement becomes another one with its beam tilt known; a killed job resumes to the same answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.ctf_refinement.scene import PIXEL_A, RADIUS_A, TILT_MRAD, make_scene
from tests.support.killed_jobs import run_job
from tests.support.recorded_refinements import record_start
from verglas.actions.refine_ctf import RefineCTF, settings_of, title_of
from verglas.errors import InputError
from verglas.formats import MrcStack, ParticleTable, write_particles
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles
from verglas.project.references import shared_limit, shared_limit_of_package

LIMIT_A = 3.4
OPTIONS = {"high_resolution_A": LIMIT_A, "mask_radius_A": RADIUS_A, "auto_mask": False}


def test_a_killed_job_resumes_to_the_same_answer(tmp_path: Path) -> None:
    made = make_scene(tmp_path, 100, 1.5)
    write_particles(made.given, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as project:
        import_particles(project, tmp_path / "particles.star", ParticleFields(symmetry="D2", white_protein=False))
        record_start(project, "D2", shared_to_A=30.0)
        jobs = [
            run_job(project, "refine-ctf", OPTIONS, {"refinement": "1"}, killed_at)
            for killed_at in ((), ("scratch/defocus.npz",))
        ]
        for ending in ("_1.mrc", "_1_map1.mrc", "_par_1.npy"):
            one, two = ((job.results_folder / f"volume_{job.number}_ctf{ending}").read_bytes() for job in jobs)
            assert one[1024:] == two[1024:], ending
        assert project.take_in()["results"] == 4
        found = project.asset("refinement", 2)
        assert (found["name"], found["method"]) == ("Defocus & Beam Tilt Refinement #2", "ctf")
        table = ParticleTable.load(project.folder / found["details"][0]["particles_path"])
        assert table["beam_tilt_x_mrad"][0] == pytest.approx(TILT_MRAD[0], abs=0.05)
        assert table["beam_tilt_y_mrad"][0] == pytest.approx(TILT_MRAD[1], abs=0.05)
        folder = project.folder / "Assets/PhaseDifferenceImages"
        with MrcStack(folder / "output_par_2_phase_difference_1.mrc") as phases:
            assert phases.shape == (2, 64, 64)
        assert (folder / "output_par_2_ctf.png").is_file()
        said = [event.text for event in jobs[0].events() if event.event == "message"]
        assert any("the halves agree to" in text for text in said)
        assert project.assets("volume")[1]["name"] == "CTF Refine #2 - Class #1"
        # What is made of it, and of that, still knows what the halves were once aligned to.
        run_job(project, "generate-3d", {}, {"refinements": "2"})
        project.take_in()
        assert [shared_limit(project, one) for one in project.assets("volume")] == [30.0] * 4
        # So do the poses of a package that carries them over, and of one made of that.
        run_job(project, "package-from-package", {}, {"package": "1", "refinement": "2"})
        project.take_in()
        run_job(project, "combine-packages", {}, {"packages": "2"})
        project.take_in()
        limits = [shared_limit_of_package(project, one) for one in project.assets("package")]
        assert limits == [None, 30.0, 30.0]
        run_job(project, "generate-3d", {}, {"packages": "3"})
        project.take_in()
        assert shared_limit(project, project.assets("volume")[-1]) == 30.0


def test_what_is_missing_is_asked_for() -> None:
    package = {"name": "a", "pixel_size_A": PIXEL_A, "largest_dimension_A": None, "box_px": 64, "count": 9}
    detail = {"half_map_1_path": "h.mrc"}
    record = {"id": 1, "name": "r", "details": [detail], "parent": package, "resolution_A": None, "classes": 1}
    with pytest.raises(InputError, match="mask-radius"):
        settings_of(RefineCTF.Parameters(), {"refinement": [record]})
    with pytest.raises(InputError, match="high-resolution"):
        settings_of(RefineCTF.Parameters(mask_radius_A=40.0), {"refinement": [record]})
    detail["half_map_1_path"] = ""
    with pytest.raises(InputError, match="no half maps"):
        settings_of(RefineCTF.Parameters(mask_radius_A=40.0), {"refinement": [record]})


def test_a_refinement_is_named_by_what_it_refines() -> None:
    assert title_of(RefineCTF.Parameters(beam_tilt=False)) == "Defocus Refinement"
    assert title_of(RefineCTF.Parameters(defocus=False)) == "Beam Tilt Refinement"
    assert title_of(RefineCTF.Parameters(beam_tilt=False, trefoil=True)) == "Defocus & Aberration Refinement"
