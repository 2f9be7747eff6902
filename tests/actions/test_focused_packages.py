"""Subtract Signal, Expand Symmetry and Substitute Noise as jobs: what their packages hold, killed and resumed alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.engine.particles import make_particles, molecule
from tests.support.killed_jobs import run_job
from tests.support.recorded_refinements import record_start
from verglas.actions import project_run
from verglas.engine import ParticleStack, normalise
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.errors import InputError
from verglas.formats import ParticleTable, write_particles
from verglas.geometry import euler_to_matrix
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles
from verglas.signal import fourier_shell_correlation, resize

BOX, PIXEL_A = 32, 3.0
CENTRE_A = np.array([14.0, -10.0, 8.0])
EULER = ("rot_deg", "tilt_deg", "psi_deg")


def new_project(folder: Path, symmetry: str) -> Project:
    """Return a project with one package, of the particles in a folder, and one refinement of it."""
    project = Project.create(folder / "p")
    fields = ParticleFields(symmetry=symmetry, largest_dimension_A=60.0, mass_kDa=20.0, white_protein=False)
    import_particles(project, folder / "particles.star", fields)
    record_start(project, symmetry)
    return project


def made_package(project: Project, job: int) -> tuple[dict[str, object], ParticleTable]:
    """Return the package that a job has made."""
    (package,) = [one for one in project.assets("package") if f"particle_stack_{job}." in one["particles_path"]]
    return package, ParticleTable.load(project.folder / package["particles_path"])


def test_what_is_left_of_images_is_the_region(tmp_path: Path) -> None:
    points = molecule(BOX, PIXEL_A, seed=7)
    far = np.linalg.norm(points - CENTRE_A, axis=1)
    points = points[(far < 11.0) | (far > 22.0)]
    near = np.linalg.norm(points - CENTRE_A, axis=1) < 12.0
    assert 2 < near.sum() < len(points) - 10
    count = 1100
    table, _ = make_particles(tmp_path, count, BOX, PIXEL_A, points=points)
    (tmp_path / "part").mkdir()
    alone, _ = make_particles(tmp_path / "part", count, BOX, PIXEL_A, points=points[near])
    write_particles(table, tmp_path / "particles.star")
    x, y, z = CENTRE_A + BOX // 2 * PIXEL_A
    with new_project(tmp_path, "C1") as project:
        options = {"focus_x_A": x, "focus_y_A": y, "focus_z_A": z, "focus_radius_A": 16.0, "mask_radius_A": 44.0}
        choices = {"package": "1", "refinement": "1"}
        jobs = [
            run_job(project, "subtract-signal", options, choices, killed_at)
            for killed_at in ((), ("scratch/part-000000000.mrcs",))
        ]
        stacks = [next(job.results_folder.glob("*.mrcs")).read_bytes()[1024:] for job in jobs]
        assert stacks[0] == stacks[1]
        centred = run_job(project, "subtract-signal", {**options, "recentre": True, "box_size": 20}, choices)
        project.take_in()
        package, made = made_package(project, jobs[0].number)
        assert package["count"] == count and package["symmetry"] == "C1" and package["box_px"] == BOX
        for name in (*EULER, "origin_x_A", "half_set", "defocus_u_A"):
            np.testing.assert_allclose(made[name], table[name], atol=1e-3, err_msg=name)
        places = np.arange(0, count, 5)
        with (
            ParticleStack(made, project.folder) as left,
            ParticleStack(table, tmp_path) as before,
            ParticleStack(alone, tmp_path / "part") as wanted,
        ):
            low = [
                resize(one, (24, 24))
                for one in (wanted.read(places), normalise(before.read(places), 44.0, PIXEL_A), left.read(places))
            ]
        likeness = [
            np.median([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(one, low[0], strict=True)])
            for one in low[1:]
        ]
        assert likeness[0] < 0.7 < 0.9 < likeness[1]
        # Cut around the region, the images make its map in the middle of the smaller box.
        package, made = made_package(project, centred.number)
        assert package["box_px"] == 20 and package["pixel_size_A"] == PIXEL_A
        volume = reconstruct_particles(made, project.folder).finish().map
        along = (np.arange(20) - 10) * PIXEL_A
        dense = np.maximum(volume - 0.3 * volume.max(), 0.0)
        middle = [dense.sum(axis=axes) @ along / dense.sum() for axes in ((0, 1), (0, 2), (1, 2))]
        np.testing.assert_allclose(middle, points[near].mean(axis=0) - CENTRE_A, atol=4.0)
        starts = [one for one in project.assets("refinement") if one["method"] == "start"]
        assert [one["package"] for one in starts] == [2, 3, 4]
        live = project.dump()
        project.rebuild()
        assert project.dump() == live
        with pytest.raises(InputError, match="--recentre"):
            project_run(project, "subtract-signal", **options, box_size=20, package=[1], refinement=[1])


def test_copies_by_symmetry_share_image_and_half(tmp_path: Path) -> None:
    count = 1500
    table, _ = make_particles(tmp_path, count, BOX, PIXEL_A, symmetry="D2")
    write_particles(table, tmp_path / "particles.star")
    with new_project(tmp_path, "D2") as project:
        choices = {"package": "1", "refinement": "1"}
        jobs = [
            run_job(project, "expand-symmetry", {}, choices, killed_at)
            for killed_at in ((), ("results/particle_stack_*.npy",))
        ]
        tables = [next(job.results_folder.glob("particle_stack_*.npy")) for job in jobs]
        for name in ParticleTable.load(tables[0]).particles.dtype.names:
            np.testing.assert_array_equal(*(ParticleTable.load(path)[name] for path in tables), err_msg=name)
        project.take_in()
        package, made = made_package(project, jobs[0].number)
        assert (package["count"], package["symmetry"]) == (4 * count, "C1")
        assert package["path"] == project.asset("package", 1)["path"]
        of = np.repeat(np.arange(count), 4)
        for name in ("half_set", "image_section", "defocus_u_A", "origin_x_A"):
            np.testing.assert_allclose(made[name], np.repeat(table[name], 4), atol=1e-3, err_msg=name)
        rotations, true = (
            np.asarray(euler_to_matrix(*(np.deg2rad(one[name]) for name in EULER))) for one in (made, table)
        )
        # Each copy is its particle's pose times a half turn about an axis, or that pose itself.
        turns = np.einsum("nji,njk->nik", true[of], rotations)
        np.testing.assert_allclose(np.abs(turns), np.broadcast_to(np.eye(3), turns.shape), atol=1e-4)
        assert len({tuple(np.diagonal(one).round().astype(int)) for one in turns[:4]}) == 4
        whole = reconstruct_particles(table, tmp_path, "D2").finish().map
        again = reconstruct_particles(made, project.folder, "C1").finish().map
        assert fourier_shell_correlation(whole, again, PIXEL_A).fsc[1:14].min() > 0.999
        live = project.dump()
        project.rebuild()
        assert project.dump() == live


def test_noise_takes_the_place_of_fine_detail_alone(tmp_path: Path) -> None:
    count, beyond_A = 1100, 12.0
    table, _ = make_particles(tmp_path, count, BOX, PIXEL_A, symmetry="D2", noise=2.0)
    write_particles(table, tmp_path / "particles.star")
    with new_project(tmp_path, "D2") as project:
        choices = {"package": "1", "refinement": "1"}
        jobs = [
            run_job(project, "substitute-noise", {"beyond_A": beyond_A}, choices, killed_at)
            for killed_at in ((), ("scratch/part-000000000.mrcs",))
        ]
        stacks = [next(job.results_folder.glob("*.mrcs")).read_bytes()[1024:] for job in jobs]
        assert stacks[0] == stacks[1]
        project.take_in()
        _, made = made_package(project, jobs[0].number)
        places = np.arange(0, count, 10)
        with ParticleStack(made, project.folder) as left, ParticleStack(table, tmp_path) as before:
            one, two = (np.fft.rfft2(images.read(places)) for images in (before, left))
        k = np.hypot(np.fft.fftfreq(BOX, PIXEL_A)[:, None], np.fft.rfftfreq(BOX, PIXEL_A))
        inside, outside = k < 0.98 / beyond_A, (k > 1.02 / beyond_A) & (k < 0.45 / PIXEL_A)
        np.testing.assert_allclose(two[:, inside], one[:, inside], atol=1e-2)
        np.testing.assert_allclose(np.abs(two[:, outside]), np.abs(one[:, outside]), atol=1e-2)
        likeness = np.sum(np.conj(one[:, outside]) * two[:, outside]).real / np.sum(np.abs(one[:, outside]) ** 2)
        assert abs(likeness) < 0.05
        # The same refinement of both: with a reference for each half set, noise does not agree, and the report says so.
        refined = {"high_resolution_A": 7.0, "mask_radius_A": 40.0, "auto_mask": False}
        for package in (1, 2):
            project_run(project, "manual-refine", package=[package], references=[1], **refined, workers=1, threads=1)
        volumes = {one["name"]: one["id"] for one in project.assets("volume")}
        given, noise = (next(id for name, id in volumes.items() if f"Local #{job} " in name) for job in (4, 5))
        run = project_run(project, "validate-3d", volume=[given], substituted=[noise], workers=1, threads=1)
        (result,) = run.results.values()
        assert result.values["noise_beyond_A"] == beyond_A
        assert not result.values["overfitted"]
        assert any("not made by overfitting" in one.text for one in run.job.events() if one.event == "message")
        with pytest.raises(InputError, match="substitute-noise"):
            project_run(project, "validate-3d", volume=[given], substituted=[1], workers=1, threads=1)
        with pytest.raises(InputError, match="nothing beyond"):
            project_run(project, "substitute-noise", package=[1], beyond_A=5.0)
