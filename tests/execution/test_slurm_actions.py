"""Align Movies and Auto Refine on a real Slurm, each way: the same files as on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from tests.engine.particles import make_particles
from tests.execution.on_slurm import VALUES, profile, queue
from tests.execution.waiting import until
from tests.support.movies import make_movie
from verglas.execution.job_folder import JobFolder
from verglas.execution.profile_store import save_profile
from verglas.formats import write_mrc, write_particles, write_tiff_movie
from verglas.project import Project
from verglas.project.import_particles import ParticleFields, import_particles

PARTICLES, MADE, BOX, PIXEL_A, MOVIES = 1100, 50, 32, 3.0, 3
VERGLAS = str(Path(sys.executable).parent / "verglas")
JOBS = (
    ("align-movies",),
    ("auto-refine", "--package", "1", "--reference", "1", "--rounds", "2", "--mask-radius", "36", "--no-auto-mask",
     "--no-search-first"),
)  # fmt: skip
"""In this order in one project: the second has two chunks of particles, so that two workers share a round."""


def make_template(folder: Path) -> Path:
    """Make a project with movies and with particles, to be copied for each way."""
    random = np.random.Generator(np.random.Philox(3))
    table, truth = make_particles(folder, MADE, BOX, PIXEL_A, symmetry="D2")
    with mrcfile.open(folder / "particles.mrcs") as stack:
        images = np.tile(stack.data, (PARTICLES // MADE, 1, 1))
    images += images.std() * random.standard_normal(images.shape).astype(np.float32)
    with mrcfile.new(folder / "particles.mrcs", images, overwrite=True) as stack:
        stack.voxel_size = PIXEL_A
    many = table.select(np.tile(np.arange(MADE), PARTICLES // MADE))
    many["image_section"] = many["position"] = np.arange(1, PARTICLES + 1)
    write_particles(many, folder / "particles.star")
    place = folder / "project"
    with Project.create(place) as project:
        fields = ParticleFields(symmetry="D2", largest_dimension_A=60.0, white_protein=False)
        import_particles(project, folder / "particles.star", fields)
        write_mrc(project.folder / "start.mrc", truth, PIXEL_A)
        record = {"name": "start", "path": "start.mrc", "pixel_size_A": PIXEL_A}
        project.edit({"edit": "asset.import", "kind": "volume", "records": [record]})
    files = [folder / f"m{number}.tif" for number in range(MOVIES)]
    for file in files:
        write_tiff_movie(file, iter(make_movie(random, shape=(256, 256), frames=8, contrast=0.2).frames))
    write_mrc(folder / "gain.mrc", np.ones((256, 256), np.float32), 1.0)
    options = [
        "--gain",
        str(folder / "gain.mrc"),
        "--pixel-size",
        "1.0",
        "--voltage",
        "300",
        "--cs",
        "2.7",
        "--dose-per-frame",
        "1.0",
    ]
    run("import", "movies", *map(str, files), *options, "--project", str(place))
    return place


def run(*words: str) -> None:
    done = subprocess.run([VERGLAS, *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def results(project: Path) -> dict[str, bytes]:
    """Return what all jobs have made, less the headers of maps, which hold the time."""
    found = {}
    for job in JobFolder.all_in(project / "Jobs"):
        assert job.state().name == "done" and not job.failures()
        for event in job.results().values():
            found |= {f"{job.action} {event.key} values": repr(sorted(event.values.items())).encode()}
    for path in sorted((project / "Assets").rglob("*")):
        if path.suffix in {".mrc", ".npy"}:
            found[str(path.relative_to(project))] = path.read_bytes()[1024 if path.suffix == ".mrc" else 0 :]
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Return a project without any job, and what the jobs make of it on this machine alone."""
    folder = tmp_path_factory.mktemp("ways")
    template = make_template(folder)
    shutil.copytree(template, folder / "alone")
    for words in JOBS:
        run(*words, "--workers", "1", "--threads", "1", "--project", str(folder / "alone"))
    return template, results(folder / "alone")


@pytest.mark.timeout(300, func_only=True)  # a dozen programs start, and a busy machine is slow at it
@pytest.mark.usefixtures("on_slurm")
@pytest.mark.parametrize("way", [*VALUES, "batch"])
def test_movies_and_a_refinement_give_the_same_by_each_way(
    way: str, alone: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    template, expected = alone
    project = tmp_path / 'it\'s a "project"'
    shutil.copytree(template, project)
    place = ("--project", str(project))
    if way != "batch":
        save_profile(profile(way))
    for words in JOBS:
        if way == "batch":
            asked = [VERGLAS, "batch", "--workers", "2", "--memory", "0.5", "--time", "00:30:00", *place, "--", *words]
            script = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
            output = f"--output={tmp_path}/out.txt"
            done = subprocess.run(["sbatch", "--wait", output], input=script, text=True, check=False, timeout=200)
            assert done.returncode == 0, (tmp_path / "out.txt").read_text()
        else:
            run(*words, "--profile", way, "--workers", "2", "--threads", "1", *place)
    found = results(project)
    assert found.keys() == expected.keys() and len(found) > 10
    assert [name for name in found if found[name] != expected[name]] == []
    until(lambda: not queue(), 30)
