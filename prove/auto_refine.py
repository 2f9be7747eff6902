"""Auto Refine beside RELION's 3D auto-refine: the same particles from the same low-passed start, CPU and resolution.

RELION takes hours for 5,000 particles on two cores, so both are compared on a smaller part of one stack; ours then
refines the whole stack. RELION is ended after VERGLAS_RELION_SECONDS; what its workers had used by then, against ours
to the end, is a lower bound of the ratio. Pixels are large, so that RELION comes to an end; a signal-to-noise ratio of
0.08 in them is one of 0.04 in pixels of 2 A.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tests.support.oracles import program
from tools.measured import record

from verglas.formats import MrcStackWriter, ParticleTable, read_stack, write_particles
from verglas.formats.mrc import read_mrc_volume, write_mrc
from verglas.geometry import euler_to_matrix, point_group
from verglas.signal import apply_filter, b_factor, fourier_shell_correlation, resolution_at, soft_edge
from verglas.stages.refinement import AutoRefineSettings, refine_particles
from verglas.stages.simulation import StackParameters, make_density, read_atoms, simulate_stack

BOX, PIXEL_A, SNR = 80, 2.8, 0.08
PARTICLES, COMPARED = 5000, 300
RELION_SECONDS = float(os.environ.get("VERGLAS_RELION_SECONDS", "36000"))
RADIUS_A, START_A, SYMMETRY = 100.0, 20.0, "D2"
ANGLES = ("rot_deg", "tilt_deg", "psi_deg")
WRONG_DEG = 8.0
WANTED_RATIO = 10.0


@dataclass(frozen=True)
class Scene:
    """A stack, its truth, the map that a perfect reconstruction would be, and a mask around it."""

    folder: Path
    truth: ParticleTable
    density: np.ndarray
    mask: np.ndarray


def scene(folder: Path, particles: int) -> Scene:
    """Simulate the stack."""
    parameters = StackParameters(
        model="beta-galactosidase", particles=particles, box=BOX, pixel_size_A=PIXEL_A, snr=SNR, shift_sigma_A=4.0,
        seed=21, padding=1.5,
    )  # fmt: skip
    atoms = read_atoms(parameters, parameters.conformations[0])
    density = apply_filter(make_density(atoms, BOX, PIXEL_A), PIXEL_A, b_factor(parameters.envelope_b_A2))
    made = simulate_stack(parameters, folder, threads=1)
    low = apply_filter(density, PIXEL_A, b_factor(800.0))
    return Scene(folder, made.truth, density, soft_edge(low > 0.1 * low.max(), 6.0, extend_pixels=2.0))


def without_poses(table: ParticleTable) -> ParticleTable:
    """Return a table that says nothing of poses."""
    blind = table.copy()
    for name in (*ANGLES, "origin_x_A", "origin_y_A"):
        blind[name] = 0.0
    return blind


def judged(half_maps: Any, of: Scene) -> dict[str, float]:
    """Return where half maps agree to 0.143 and their mean with the truth to 0.5, within the truth's mask."""
    first, second = half_maps
    halves = fourier_shell_correlation(first, second, PIXEL_A, mask=of.mask)
    truth = fourier_shell_correlation(0.5 * (first + second), of.density, PIXEL_A, mask=of.mask)
    return {
        "halves_0.143_A": round(resolution_at(halves.frequency_per_A, halves.fsc).resolution_A, 3),
        "truth_0.5_A": round(resolution_at(truth.frequency_per_A, truth.fsc, 0.5).resolution_A, 3),
    }


def poses_judged(rotations: np.ndarray, truth: ParticleTable) -> dict[str, float]:
    """Return the errors of poses."""
    true = euler_to_matrix(*(np.deg2rad(truth[name]) for name in ANGLES))
    away = np.rad2deg(point_group(SYMMETRY).distance(rotations, true))
    return {"median_error_deg": round(float(np.median(away)), 3),
            "beyond_8_deg_percent": round(100.0 * float(np.mean(away > WRONG_DEG)), 2)}  # fmt: skip


def ours(of: Scene, count: int) -> dict[str, Any]:
    """Refine the first particles with Auto Refine."""
    some = without_poses(of.truth.select(np.arange(count)))
    some["half_set"] = 1 + np.arange(count) % 2
    settings = AutoRefineSettings(mask_radius_A=RADIUS_A, symmetry=SYMMETRY, start_A=START_A)
    rounds: list[dict[str, float]] = []

    def note(state: Any, rows: Any, maps: Any) -> None:
        rounds.append({"limit_A": round(state.before_A, 2), "resolution_A": round(maps[0].resolution_A, 2),
                       "used": int(rows.used.sum()), "cpu_s": round(time.process_time() - began, 1)})  # fmt: skip
        sys.stdout.write(f"   {rounds[-1]}\n")
        sys.stdout.flush()

    began = time.process_time()
    found = refine_particles(some, of.folder, of.density, settings, threads=1, progress=note)
    seconds = time.process_time() - began
    return {
        "particles": count, "cpu_s": round(seconds, 1), "rounds": len(rounds), "of_rounds": rounds,
        **judged(found.maps[0].half_maps, of),
        **poses_judged(found.rows.rotations[0], of.truth.select(np.arange(count))),
    }  # fmt: skip


def relion(of: Scene, count: int) -> dict[str, Any]:
    """Refine the first particles with ``relion_refine_mpi --auto_refine``; CPU seconds are its two workers' alone."""
    from verglas.formats import read_particles

    folder = of.folder / "relion"
    folder.mkdir()
    pixels, _ = read_stack(of.folder / "particles.mrcs")
    with MrcStackWriter(folder / "white.mrcs", BOX, BOX, PIXEL_A) as writer:
        for image in pixels[:count]:
            writer.append(-image)
    table = without_poses(of.truth.select(np.arange(count)))
    table.set_names("image_name", ["white.mrcs"] * count)
    table.optics[0].contrast_inverted = True
    write_particles(table, folder / "in.star")
    write_mrc(folder / "start.mrc", of.density, PIXEL_A)
    options = [
        "--auto_refine", "--split_random_halves", "--i", "in.star", "--o", "./run", "--ref", "start.mrc", "--ini_high",
        f"{START_A:g}", "--firstiter_cc", "--ctf", "--ctf_corrected_ref", "--particle_diameter", f"{2 * RADIUS_A:g}",
        "--flatten_solvent", "--zero_mask", "--sym", SYMMETRY, "--norm", "--scale", "--oversampling", "1",
        "--healpix_order", "2", "--auto_local_healpix_order", "4", "--offset_range", "8", "--offset_step", "4",
        "--low_resol_join_halves", "40", "--pad", "2", "--dont_combine_weights_via_disc", "--pool", "30", "--j", "1",
        "--random_seed", "1",
    ]  # fmt: skip
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3", program("relion_refine_mpi", "relion"),
             *options],
            cwd=folder, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        iterations, ended = followed(process, folder)
    result: dict[str, Any] = {
        "program": "relion_refine_mpi 3.1.3", "particles": count, "came_to_its_end": ended,
        "cpu_s_of_workers_after_iteration": iterations, "cpu_s_of_workers": max(iterations.values(), default=0.0),
    }  # fmt: skip
    if not ended:
        return result
    halves = [read_mrc_volume(folder / f"run_half{number}_class001_unfil.mrc")[0] for number in (1, 2)]
    found = read_particles(folder / "run_data.star")
    rotations = np.empty((count, 3, 3))
    rotations[np.asarray(found["image_section"]) - 1] = euler_to_matrix(*(np.deg2rad(found[name]) for name in ANGLES))
    return {**result, **judged(halves, of), **poses_judged(rotations, of.truth.select(np.arange(count)))}


def followed(process: subprocess.Popen[bytes], folder: Path) -> tuple[dict[str, float], bool]:
    """Wait for RELION, or end it after its time; return its workers' CPU seconds at each iteration, and if it ended.

    The leader, which waits in a busy loop, is not counted.
    """
    seconds: dict[str, float] = {}
    began, spent = time.monotonic(), 0.0
    while process.poll() is None:
        if time.monotonic() - began > RELION_SECONDS:
            for one in psutil.Process(process.pid).children(recursive=True):
                one.kill()
            process.kill()
            process.wait()
            return seconds, False
        with suppress(psutil.Error):
            spent = sum(
                sum(one.cpu_times()[:2]) for one in psutil.Process(process.pid).children(recursive=True)
                if one.environ().get("OMPI_COMM_WORLD_RANK") in {"1", "2"}
            )  # fmt: skip
        for path in folder.glob("run_it*_half1_model.star"):
            seconds.setdefault(path.name[4:9], round(spent, 1))
        time.sleep(0.2)
    return {**seconds, "end": round(spent, 1)}, process.returncode == 0


def compare(particles: int, compared: int) -> dict[str, Any]:
    """Run both."""
    with tempfile.TemporaryDirectory() as name:
        of = scene(Path(name), particles)
        part = ours(of, compared)
        theirs = relion(of, compared)
        whole = ours(of, particles) if particles > compared else part
    ratio = theirs["cpu_s_of_workers"] / part["cpu_s"]
    return {
        "stack": {"molecule": "beta-galactosidase", "symmetry": SYMMETRY, "box": BOX, "pixel_size_A": PIXEL_A,
                  "snr": SNR, "start_low_passed_A": START_A, "nyquist_A": 2.0 * PIXEL_A},
        "same_particles": {
            "verglas": part, "relion": theirs, "cpu_ratio": round(ratio, 1),
            "cpu_ratio_is": "of both to their ends" if theirs["came_to_its_end"] else "a lower bound",
        },
        "whole_stack": {"verglas": whole},
        "wanted_cpu_ratio": WANTED_RATIO,
        "reached": ratio >= WANTED_RATIO
        and (not theirs["came_to_its_end"] or part["truth_0.5_A"] <= 1.02 * theirs["truth_0.5_A"]),
    }  # fmt: skip


def main() -> None:
    """Measure and record; ``python -m prove.auto_refine PARTICLES COMPARED`` for other sizes."""
    given = [int(one) for one in sys.argv[1:] if one.isdigit()]
    record("auto_refine", compare(*(given or [PARTICLES, COMPARED])))


if __name__ == "__main__":
    main()
