"""Real apoferritin, EMPIAR-10146: twelve micrographs to a map by nothing but our own jobs, beside model and RELION.

CTF, picks at one setting of a ring, 2D classes and a selection by their quality, Ab-Initio 3D in O, Auto Refine. RELION
3.1 refines the same particles, and so does Auto Refine once more from where RELION starts: the model's density,
low-passed to 15 A. At 20 A and coarser apoferritin is a round shell that says nothing of poses. What is finer than 15 A
is the particles' own.

    python -m prove.apoferritin FOLDER [SECONDS]

keeps everything in a folder, and goes on there from the last job that was done. RELION runs in the background, at the
lowest priority and for SECONDS at most, from when its particles are there; it is waited for at the end.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tests.support import relion_refine
from tests.support.apoferritin_map import Map, draw, judged, nearer_hand
from tools.measured import REPOSITORY, record

from prove.picking import FERRITIN, PIXEL_A, REAL
from verglas.actions import project_run
from verglas.execution.job_folder import JobFolder
from verglas.formats import ParticleTable, write_mrc
from verglas.formats.mrc import read_mrc_volume
from verglas.project import Project
from verglas.project.class_selections import classes_of, select_classes, suggest_classes
from verglas.project.import_others import import_micrographs, import_volumes
from verglas.stages.refinement import AutoRefineSettings, refine_particles
from verglas.stages.simulation import make_density, read_atoms
from verglas.stages.simulation.parameters import SpecimenParameters

IMAGES = REPOSITORY / "docs" / "images"
BOX, SIZE_A, MASS_KDA = 120, 130.0, 474.0
RADIUS_A, START_A, DIAMETER_A = 66.0, 15.0, 150.0
"""Of our masks; of the low-pass of the model; of RELION's mask on images."""
RELION_SECONDS = 5400.0
RESOURCES: dict[str, Any] = {"threads": 1, "workers": 1}
AB_INITIO: dict[str, Any] = {}
REFINE = {"symmetry": "O", "mask_radius_A": RADIUS_A, "initial_resolution_A": START_A}


class Chain:
    """The jobs of a project, each run once: where one is done already its results are taken.

    Attributes
    ----------
    cpu_s
        CPU seconds of each step.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.cpu_s: dict[str, float] = {}

    def run(self, step: str, action: str, **options: Any) -> JobFolder:
        """Run a step, or find the job that was it: jobs are told apart by their order."""
        done = sorted(path for path in (self.project.folder / "Jobs").glob(f"{len(self.cpu_s) + 1:06d}-*"))
        job = JobFolder(done[0]) if done else project_run(self.project, action, **options, **RESOURCES).job
        state = job.state()
        if action not in job.path.name or state.name != "done":
            raise RuntimeError(f"{job.path} is {state.name}; remove the folder to begin anew.")
        self.cpu_s[step] = round(state.cpu_seconds or 0.0, 1)
        sys.stdout.write(f"   {step}: {self.cpu_s[step]} CPU-s\n")
        sys.stdout.flush()
        return job


def opened(folder: Path) -> Project:
    """Return the project in a folder, with the micrographs in it."""
    if folder.is_dir():
        return Project.open(folder)
    project = Project.create(folder)
    files = sorted((REAL / "apoferritin" / "micrographs").glob("*.png"))
    import_micrographs(project, [str(one) for one in files], pixel_size_A=PIXEL_A, voltage_kV=300.0, cs_mm=0.001)
    return project


def to_particles(chain: Chain) -> dict[str, Any]:
    """Go from micrographs to the package of particles in good classes; return figures of the selection."""
    project = chain.project
    chain.run("ctf", "find-ctf", box_size=512)
    chain.run("picks", "find-particles", picker="ring", save_picture=False, **FERRITIN)
    chain.run(
        "stack", "create-package", largest_dimension_A=SIZE_A, box_size=BOX, symmetry="O", molecular_weight_kDa=MASS_KDA
    )
    chain.run("classes", "classify-2d", package="1", classes=12, rounds=20, finish_resolution_A=8.0)
    classes = classes_of(project, "last")
    if not project.assets("selection"):
        select_classes(project, "last", suggest_classes(project, "last"), name="suggested", note="by their quality")
    chosen = project.assets("selection")[-1]["members"]
    chain.run("selected", "package-from-classes", symmetry="O", remove_duplicates_A=60.0)
    picked, kept = (project.asset("package", number)["count"] for number in (1, 2))
    return {
        "picked": picked, "classes": len(classes), "classes_selected": len(chosen), "particles": kept,
        "selected_part": round(sum(one["particles"] for one in classes if one["number"] in chosen) / picked, 4),
    }  # fmt: skip


def start_relion(folder: Path, project: Project, model: Map, seconds: float) -> None:
    """Start RELION on the selected particles in the background, where it has not been started yet."""
    if folder.is_dir():
        return
    package = project.asset("package", 2)
    table = ParticleTable.load(project.folder / package["particles_path"])
    relion_refine.prepare(folder, table, project.folder / package["path"], model, PIXEL_A)
    relion_refine.start(folder, DIAMETER_A, START_A, "O", seconds)


def newest_volume(project: Project, beginning: str) -> dict[str, Any]:
    """Return the last volume whose name begins so."""
    found: dict[str, Any] = [one for one in project.assets("volume") if one["name"].startswith(beginning)][-1]
    return found


def refined(chain: Chain, step: str, volume: dict[str, Any]) -> tuple[tuple[Map, Map], dict[str, Any]]:
    """Refine the selected particles from a volume; return half maps and figures of the job."""
    job = chain.run(step, "auto-refine", package="2", reference=str(volume["id"]), **REFINE)
    rounds = [one for one in chain.project.assets("volume") if one["name"].startswith(f"Auto #{job.number} (")]
    first, second = (
        np.asarray(read_mrc_volume(chain.project.folder / rounds[-1][f"half_map_{number}_path"])[0], np.float32)
        for number in (1, 2)
    )
    return (first, second), {
        "cpu_s": chain.cpu_s[step], "rounds": len(rounds), "resolution_A": round(rounds[-1]["resolution_A"], 3)
    }  # fmt: skip


def alone(project: Project, model: Map) -> float:
    """Return the CPU seconds of the refinement from the model without what a job does around it.

    RELION is counted likewise: its workers alone. A job also starts processes, keeps and draws every round, and asks at
    the end what speaks against symmetry, mask and hand.
    """
    package = project.asset("package", 2)
    table = relion_refine.without_poses(ParticleTable.load(project.folder / package["particles_path"]))
    settings = AutoRefineSettings(
        mask_radius_A=RADIUS_A, symmetry="O", start_A=START_A, low_A=1.5 * SIZE_A, search_range_A=0.15 * SIZE_A
    )
    began = time.process_time()
    refine_particles(table, project.folder, model, settings)
    return round(time.process_time() - began, 1)


def measure(folder: Path, seconds: float) -> None:
    """Measure and record."""
    if not (REAL / "apoferritin").is_dir():
        raise FileNotFoundError(f"{REAL} is not there: set VERGLAS_REAL_DATA to the folder of real data.")
    folder.mkdir(exist_ok=True)
    specimen = SpecimenParameters(model=str(next((REAL / "models").glob("6z6u*"))))
    model = make_density(read_atoms(specimen, specimen.conformations[0]), BOX, PIXEL_A)
    with opened(folder / "project") as project:
        chain = Chain(project)
        selection = to_particles(chain)
        start_relion(folder / "relion", project, model, seconds)
        chain.run("ab initio", "ab-initio", package="2", symmetry="O", **AB_INITIO)
        startup = newest_volume(project, "Volume From Startup")
        found = np.asarray(read_mrc_volume(project.folder / startup["path"])[0], np.float32)
        from_nothing, of_nothing = refined(chain, "auto refine", startup)
        if not (folder / "model.mrc").exists():
            write_mrc(folder / "model.mrc", model, PIXEL_A)
            import_volumes(project, [str(folder / "model.mrc")])
        from_model, of_model = refined(chain, "auto refine from the model", newest_volume(project, "model"))
        of_model["cpu_s_without_the_job"] = alone(project, model)
    run = relion_refine.wait(folder / "relion")
    maps, measured = {}, {}
    for name, halves in (
        ("ab initio", (found, found)), ("from nothing", from_nothing), ("from the model", from_model),
        ("RELION", run.half_maps),
    ):  # fmt: skip
        maps[name], near, far = nearer_hand(halves, model, PIXEL_A)
        measured[name] = judged(maps[name], model, PIXEL_A).figures | {
            "mean_fsc_20_to_7_A": round(near, 3), "of_the_other_hand": round(far, 3)
        }  # fmt: skip
    # Halves of one map agree anyway, and those of an iteration are filtered.
    for name in ("ab initio",) if run.ended else ("ab initio", "RELION"):
        del measured[name]["halves_0.143_A"]
    pictures(maps, model, run.ended)
    cpu_s = chain.cpu_s
    record("apoferritin", {
        "micrographs": 12, "symmetry": "O", "model": "6z6u", "box": BOX, "pixel_size_A": PIXEL_A, **selection,
        "cpu_s": cpu_s,
        "cpu_s_from_micrographs_to_map": round(sum(cpu_s.values()) - cpu_s["auto refine from the model"], 1),
        "ab_initio": {"settings": AB_INITIO, **measured["ab initio"]},
        "auto_refine_from_ab_initio": {**of_nothing, **measured["from nothing"]},
        "auto_refine_from_the_model": {"start_A": START_A, **of_model, **measured["from the model"]},
        "relion_from_the_model": {"start_A": START_A, **run.figures, **measured["RELION"]},
        "relion_cpu_over_verglas": {
            "refinement_alone": round(run.spent_s / of_model["cpu_s_without_the_job"], 1),
            "whole_job": round(run.spent_s / of_model["cpu_s"], 1),
            "is": run.ratio_is,
        },
    })  # fmt: skip


def pictures(maps: dict[str, tuple[Map, Map]], model: Map, ended: bool) -> None:
    """Draw the maps beside the model, all low-passed alike, and their curves."""
    curves = {name: judged(halves, model, PIXEL_A) for name, halves in maps.items()}
    shown = {
        "verglas, from ab initio": maps["from nothing"], "verglas, from the model at 15 A": maps["from the model"],
        "RELION 3.1, likewise" + ("" if ended else ", as far as it came"): maps["RELION"], "6z6u": (model, model),
    }  # fmt: skip
    draw(
        IMAGES / "auto_refine_apoferritin.png",
        {title: np.asarray(0.5 * (first + second), np.float32) for title, (first, second) in shown.items()},
        model, curves["from the model"].figures["halves_0.143_A"] or START_A,
        {f"{name}, and model": one.model for name, one in curves.items()}
        | {"from the model, halves": curves["from the model"].halves},
        PIXEL_A,
    )  # fmt: skip


def main(name: str | None = None, seconds: str | float = RELION_SECONDS) -> None:
    """Measure in a folder; where none is named, in one that is not kept."""
    if name is not None:
        measure(Path(name), float(seconds))
    else:
        with tempfile.TemporaryDirectory() as made:
            measure(Path(made), float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
