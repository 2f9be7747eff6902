"""RELION 3.1's ``relion_refine_mpi --auto_refine`` on a stack of ours, followed and ended after its time.

Its two workers' CPU seconds are written to ``cpu.json`` in its folder after each iteration, so that what a run had
used can be read while it goes on, and after it was ended. The leader, which waits in a busy loop, is not counted.

    python -m tests.support.relion_refine FOLDER PARTICLE_DIAMETER_A START_A SYMMETRY SECONDS
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from tests.support.oracles import program
from verglas.formats import MrcStackWriter, ParticleTable, read_particles, read_stack, write_mrc, write_particles
from verglas.formats.mrc import read_mrc_volume
from verglas.geometry import euler_to_matrix

POSE = ("rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A")
CPU, LOG, OVER = "cpu.json", "log.txt", "over"
OPTIONS = (
    "--auto_refine", "--split_random_halves", "--i", "in.star", "--o", "./run", "--ref", "start.mrc", "--firstiter_cc",
    "--ctf", "--ctf_corrected_ref", "--flatten_solvent", "--zero_mask", "--norm", "--scale", "--oversampling", "1",
    "--healpix_order", "2", "--auto_local_healpix_order", "4", "--offset_range", "5", "--offset_step", "2",
    "--low_resol_join_halves", "40", "--pad", "2", "--dont_combine_weights_via_disc", "--pool", "30", "--j", "1",
    "--random_seed", "1",
)  # fmt: skip
"""What its own page sets by default: 7.5 degrees at first, 1.8 from where searches are local, 5 pixels."""


@dataclass(frozen=True)
class RelionRun:
    """What a run has come to.

    Attributes
    ----------
    cpu_s
        Of its workers, after each iteration ("it003") and at the end ("end").
    ended
        It came to its own end.
    half_maps
        Unfiltered at the end; those of the last iteration before.
    rotations
        Of the particles, in their order in the stack, shape (n, 3, 3).
    resolution_A
        As it says itself.
    """

    cpu_s: dict[str, float]
    ended: bool
    half_maps: tuple[NDArray[np.float32], NDArray[np.float32]]
    rotations: NDArray[np.float64]
    resolution_A: float

    @property
    def spent_s(self) -> float:
        """CPU seconds of the workers, as far as there is a result of them."""
        return max(self.cpu_s.values())

    @property
    def ratio_is(self) -> str:
        """What a ratio with these seconds is."""
        if self.ended:
            return "of both to their ends"
        return "a lower bound: RELION was ended before its end, and counts until its last whole iteration"

    @property
    def figures(self) -> dict[str, Any]:
        """What is recorded of it."""
        return {
            "program": "relion_refine_mpi 3.1.3", "came_to_its_end": self.ended,
            "iterations": max(int(name[2:]) for name in self.cpu_s if name.startswith("it")),
            "cpu_s_of_workers": self.spent_s, "cpu_s_of_workers_after": self.cpu_s,
            "resolution_it_says_A": self.resolution_A,
        }  # fmt: skip


def without_poses(table: ParticleTable) -> ParticleTable:
    """Return a table that says nothing of poses."""
    blind = table.copy()
    for name in POSE:
        blind[name] = 0.0
    return blind


def prepare(folder: Path, table: ParticleTable, stack: Path, start: NDArray[np.float32], pixel_size_A: float) -> None:
    """Write the particles of a stack, in its order and protein white, and the initial map, as RELION reads them."""
    folder.mkdir()
    pixels, _ = read_stack(stack)
    box, count = pixels.shape[-1], len(table)
    with MrcStackWriter(folder / "white.mrcs", box, box, pixel_size_A) as writer:
        for image in pixels[np.asarray(table["image_section"]) - 1]:
            writer.append(-image)
    blind = without_poses(table)
    blind.set_names("image_name", ["white.mrcs"] * count)
    blind["image_section"] = 1 + np.arange(count)
    blind.optics[0].contrast_inverted = True
    write_particles(blind, folder / "in.star")
    write_mrc(folder / "start.mrc", start, pixel_size_A)


def refine(folder: Path, diameter_A: float, start_A: float, symmetry: str, seconds: float) -> None:
    """Refine what :func:`prepare` has written, for so many seconds at most; a run that was ended is gone on with."""
    command = [
        "mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1", "-n", "3",
        program("relion_refine_mpi", "relion"),
    ]  # fmt: skip
    done = spent_before(folder)
    last = max(done, default="it000")
    if last > "it000":
        command += ["--continue", f"run_{last}_optimiser.star", "--o", "./run", "--j", "1", "--pool", "30",
                    "--dont_combine_weights_via_disc"]  # fmt: skip
    else:
        command += [*OPTIONS, "--ini_high", f"{start_A:g}", "--particle_diameter", f"{diameter_A:g}", "--sym", symmetry]
    (folder / OVER).unlink(missing_ok=True)
    with (folder / LOG).open("a") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        follow(process, folder, seconds)
    (folder / OVER).touch()


def spent_before(folder: Path) -> dict[str, float]:
    """Return the CPU seconds after each iteration of a run so far; nothing where there was none."""
    path = folder / CPU
    return dict(json.loads(path.read_text())["after"]) if path.exists() else {}


def workers_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU seconds of a run's workers so far."""
    spent = 0.0
    for one in psutil.Process(process.pid).children(recursive=True):
        if one.environ().get("OMPI_COMM_WORLD_RANK") in {"1", "2"}:
            spent += sum(one.cpu_times()[:2])
    return spent


def follow(process: subprocess.Popen[bytes], folder: Path, seconds: float) -> None:
    """Wait for a run, or end it after its time, and keep its figures."""
    after = spent_before(folder)
    before = max(after.values(), default=0.0)
    began, spent = time.monotonic(), before
    while process.poll() is None:
        if time.monotonic() - began > seconds:
            for one in psutil.Process(process.pid).children(recursive=True):
                one.kill()
            process.kill()
            process.wait()
            return
        with suppress(psutil.Error):
            spent = max(spent, before + workers_seconds(process))
        for path in folder.glob("run_it*_half2_model.star"):
            name = f"it{int(path.name[6:9]):03d}"
            if name not in after:
                after[name] = round(spent, 1)
                (folder / CPU).write_text(json.dumps({"after": after, "ended": False}))
        time.sleep(0.5)
    if process.returncode == 0:
        (folder / CPU).write_text(json.dumps({"after": {**after, "end": round(spent, 1)}, "ended": True}))


def start(folder: Path, diameter_A: float, start_A: float, symmetry: str, seconds: float) -> None:
    """Start :func:`refine` in the background, at the lowest priority."""
    subprocess.Popen(
        ["nice", "-n", "19", sys.executable, "-m", "tests.support.relion_refine", str(folder), f"{diameter_A:g}",
         f"{start_A:g}", symmetry, f"{seconds:g}"],
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait(folder: Path) -> RelionRun:
    """Wait until a run that was started in a folder has ended, or was ended, and read what it has come to."""
    while not (folder / OVER).exists():
        time.sleep(5.0)
    return result(folder)


def result(folder: Path) -> RelionRun:
    """Read what a run has come to, ended or not."""
    found = json.loads((folder / CPU).read_text())
    after, ended = found["after"], bool(found["ended"])
    last = max(name for name in after if name.startswith("it"))
    if ended:
        maps = [folder / f"run_half{number}_class001_unfil.mrc" for number in (1, 2)]
        table, model = folder / "run_data.star", folder / "run_model.star"
    else:
        maps = [folder / f"run_{last}_half{number}_class001.mrc" for number in (1, 2)]
        table, model = folder / f"run_{last}_data.star", folder / f"run_{last}_half1_model.star"
    first, second = (np.asarray(read_mrc_volume(path)[0], np.float32) for path in maps)
    particles = read_particles(table)
    rotations = np.empty((len(particles), 3, 3))
    angles = (np.deg2rad(particles[name]) for name in POSE[:3])
    rotations[np.asarray(particles["image_section"]) - 1] = euler_to_matrix(*angles)
    said = next(line.split()[1] for line in model.read_text().splitlines() if line.startswith("_rlnCurrentResolution"))
    return RelionRun(after, ended, (first, second), rotations, round(float(said), 3))


def main() -> None:
    """Refine in a folder."""
    refine(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4], float(sys.argv[5]))


if __name__ == "__main__":
    main()
