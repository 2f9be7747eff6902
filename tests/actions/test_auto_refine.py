"""Auto Refine: every round is a refinement of the project; a killed job resumes to the same answer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles
from tests.stages.ctf_refinement.scene import PIXEL_A as CTF_PIXEL_A
from tests.stages.ctf_refinement.scene import RADIUS_A, TILT_MRAD, make_scene
from tests.support.killed_jobs import run_job
from verglas.actions.auto_refine import AutoRefine, given_limit_A, initial_volumes, settings_of
from verglas.actions.sharpen_3d import Sharpen3D
from verglas.errors import InputError
from verglas.execution.job_folder import JobFolder
from verglas.formats import ParticleTable, write_mrc, write_particles
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles

BOX, PIXEL_A = 32, 3.0
OPTIONS = {"rounds": 2, "mask_radius_A": 36.0, "auto_mask": False, "search_first": False}


def contents(path: Path) -> bytes:
    """Return a result without its header, which holds dates."""
    return path.read_bytes()[1024:]


def difference(one: Path, two: Path) -> str:
    """Return what differs in two results, so that a rare failure tells where it came from."""
    if one.suffix == ".npy":
        tables = [ParticleTable.load(path).particles for path in (one, two)]
        columns = [name for name in tables[0].dtype.names if not np.array_equal(tables[0][name], tables[1][name])]
        rows = {name: int(np.sum(tables[0][name] != tables[1][name])) for name in columns}
        return f"rows that differ by column: {rows}"
    maps = [read_mrc_volume(path)[0].astype(np.float64) for path in (one, two)]
    away = np.abs(maps[0] - maps[1])
    return f"{np.count_nonzero(away)} voxels differ, by {away.max():g} of {np.abs(maps[0]).max():g}"


@pytest.mark.parametrize(
    ("classes", "killed_at", "results"), [(1, "round-001.npz", 8), (2, "round-001-classes-0.npz", 10)]
)
def test_a_killed_refinement_resumes_to_the_same_answer(
    tmp_path: Path, classes: int, killed_at: str, results: int
) -> None:
    """Killed after a round, and where one of the half sets has found its classes."""
    table, truth = make_particles(tmp_path, 60, BOX, PIXEL_A, symmetry="D2", noise=1.0)
    write_particles(table, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as project:
        fields = ParticleFields(symmetry="D2", largest_dimension_A=60.0, white_protein=False)
        import_particles(project, tmp_path / "particles.star", fields)
        write_mrc(project.folder / "start.mrc", truth, PIXEL_A)
        record = {"name": "start", "path": "start.mrc", "pixel_size_A": PIXEL_A}
        project.edit({"edit": "asset.import", "kind": "volume", "records": [record]})
        # At the start, between two rounds, when classes are found, and in the midst of recording a round.
        kills = ("scratch/round-000.npz", f"scratch/{killed_at}", "results/*_02_1_map1.mrc")
        jobs = [
            run_job(project, "auto-refine", OPTIONS | {"classes": classes}, {"package": "1", "reference": "1"}, names)
            for names in ((), kills)
        ]
        # Round 1 has one class, whatever is wanted.
        for number, k in [(1, 1), *((2, k) for k in range(1, classes + 1))]:
            for ending in (f"_par_{k}.npy", f"_{k}_map1.mrc", f"_{k}.mrc"):
                name = f"{number:02d}{ending}"
                one, two = (job.results_folder / f"volume_{job.number}_{name}" for job in jobs)
                assert contents(one) == contents(two), f"{name}: {difference(one, two)}"
        assert project.take_in()["results"] == results
        # What is made of a refined map knows what its halves began with.
        (volume,) = Sharpen3D.fill_in(project, {"volumes": project.assets("volume")[-1:]})["volumes"]
        assert volume["shared_to_A"] == 20.0
        names = [one["name"] for one in project.assets("refinement")]
        assert names == [f"Auto #{job} (Rnd. {number})" for job in (1, 2) for number in (1, 2)]


def test_rounds_go_on_with_a_refined_ctf_and_resume_alike(tmp_path: Path) -> None:
    """Beam tilt and planes of defocus that the table lacks are found between two rounds, whatever is killed when."""
    made = make_scene(tmp_path, 150, 1.5, scatter_A=20.0)
    write_particles(made.given, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as project:
        fields = ParticleFields(symmetry="D2", largest_dimension_A=60.0, white_protein=False)
        import_particles(project, tmp_path / "particles.star", fields)
        start = 0.5 * (made.half_maps[0] + made.half_maps[1])
        write_mrc(project.folder / "start.mrc", start, CTF_PIXEL_A)
        record = {"name": "start", "path": "start.mrc", "pixel_size_A": CTF_PIXEL_A}
        project.edit({"edit": "asset.import", "kind": "volume", "records": [record]})
        options = {**OPTIONS, "mask_radius_A": RADIUS_A, "initial_resolution_A": 4.0, "rounds": 3}

        def new_job(refine_ctf: bool, killed_at: tuple[str, ...] = ()) -> JobFolder:
            chosen = {**options, "refine_ctf": refine_ctf}
            return run_job(project, "auto-refine", chosen, {"package": "1", "reference": "1"}, killed_at)

        kills = ("scratch/ctf-particles-0.npy", "scratch/defocus.npz", "scratch/ctf-table.npy")
        plain, once, again = new_job(False), new_job(True), new_job(True, kills)
        for ending in ("03_par_1.npy", "03_1_map1.mrc", "03_1.mrc"):
            one, two = (job.results_folder / f"volume_{job.number}_{ending}" for job in (once, again))
            assert contents(one) == contents(two), f"{ending}: {difference(one, two)}"
        project.take_in()
        last = [one for one in project.assets("refinement") if one["round"] == 3]
        tables = [ParticleTable.load(project.folder / one["path"]) for one in last]
        np.testing.assert_array_equal(tables[0]["beam_tilt_x_mrad"], 0.0)
        np.testing.assert_allclose(tables[0]["defocus_u_A"], made.given["defocus_u_A"])
        for name, true in zip(("beam_tilt_x_mrad", "beam_tilt_y_mrad"), TILT_MRAD, strict=True):
            np.testing.assert_allclose(tables[1][name], true, atol=0.05)
        lacking = [made.lacking_A - (one["defocus_u_A"] - made.given["defocus_u_A"]) for one in tables]
        assert np.std(lacking[1]) < 0.5 * np.std(lacking[0])
        assert np.mean(tables[1]["score"]) > np.mean(tables[0]["score"])
        assert list((project.folder / "Assets/PhaseDifferenceImages").glob("*_ctf.png"))
        said = [event.text for event in once.events() if event.event == "message"]
        assert any("The CTF was refined after round 2" in text for text in said)
        assert not any("CTF was refined" in event.text for event in plain.events() if event.event == "message")


def test_a_ctf_that_cannot_be_refined_stays_and_rounds_go_on(tmp_path: Path) -> None:
    """Pixels of 6 A: halves cannot agree beyond 12 A, which says too little of a CTF."""
    table, truth = make_particles(tmp_path, 60, 24, 6.0, symmetry="D2", noise=1.0)
    write_particles(table, tmp_path / "particles.star")
    with Project.create(tmp_path / "p") as project:
        fields = ParticleFields(symmetry="D2", largest_dimension_A=90.0, white_protein=False)
        import_particles(project, tmp_path / "particles.star", fields)
        write_mrc(project.folder / "start.mrc", truth, 6.0)
        record = {"name": "start", "path": "start.mrc", "pixel_size_A": 6.0}
        project.edit({"edit": "asset.import", "kind": "volume", "records": [record]})
        options = {**OPTIONS, "mask_radius_A": 54.0, "rounds": 3, "refine_ctf": True}
        job = run_job(project, "auto-refine", options, {"package": "1", "reference": "1"})
        said = [event.text for event in job.events() if event.event == "message"]
        assert any("too little to refine the CTF" in text for text in said)
        project.take_in()
        (last,) = [one for one in project.assets("refinement") if one["round"] == 3]
        (result,) = project.results("refinement", last["id"])
        assert result["values"]["ctf_refined"] is False
        found = ParticleTable.load(project.folder / last["details"][0]["particles_path"])
        np.testing.assert_allclose(found["defocus_u_A"], table["defocus_u_A"], rtol=1e-6)


PACKAGE = {"id": 1, "name": "a", "box_px": 64, "pixel_size_A": 2.0, "largest_dimension_A": None, "symmetry": "C1",
           "classes": 1, "count": 10}  # fmt: skip


def test_shells_and_blurring_reach_the_rounds() -> None:
    package = {**PACKAGE, "largest_dimension_A": 80.0}
    options = {"inner_radius_A": 20.0, "likelihood_blurring": True, "smoothing": 0.5}
    settings = settings_of(AutoRefine.Parameters.model_validate(options), {"package": [package]}, 1)
    assert settings.mask.inner_radius_A == 20.0 and settings.switches.blurring == 0.5
    assert settings_of(AutoRefine.Parameters(), {"package": [package]}, 1).switches.blurring == 0.0
    # Poses that stay know what halves were once aligned to.
    carried = {"package": [{**package, "shared_to_A": 5.0}]}
    assert given_limit_A(AutoRefine.Parameters(), carried) == math.inf
    assert given_limit_A(AutoRefine.Parameters(search_first=False), carried) == 5.0
    with pytest.raises(InputError, match="leaves nothing"):
        settings_of(AutoRefine.Parameters(inner_radius_A=60.0), {"package": [package]}, 1)


def test_what_is_missing_is_asked_for() -> None:
    package = PACKAGE
    with pytest.raises(InputError, match="mask-radius"):
        settings_of(AutoRefine.Parameters(), {"package": [package]}, 1)
    with pytest.raises(InputError, match="--reference"):
        initial_volumes({"package": [package]}, 1)
