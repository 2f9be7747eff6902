"""Auto Refine beside RELION's 3D auto-refine: 5,000 particles from the same low-passed start, CPU and resolution.

The particles are apoferritin with O imposed: RELION's search over all poses is then 24 times cheaper than without
symmetry, so that it can come to its end on two cores. (20 A and coarser say nothing of apoferritin's poses, so both
begin at 15 A.) RELION's settings are what its own page sets by default. Where it was ended before its end, what its
workers had used by then against ours to the end is a lower bound of the ratio.

    python -m prove.auto_refine FOLDER [SECONDS]

keeps stack and RELION's files in a folder, and takes them from there when it is run again. RELION runs in the
background at the lowest priority, for SECONDS at most, while ours refines, and is waited for.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.support import relion_refine
from tests.support.relion_refine import POSE, without_poses
from tools.measured import record

from verglas.formats import ParticleTable, read_particles
from verglas.geometry import euler_to_matrix, point_group
from verglas.signal import apply_filter, b_factor, fourier_shell_correlation, resolution_at, soft_edge
from verglas.stages.refinement import AutoRefineSettings, refine_particles
from verglas.stages.simulation import StackParameters, make_density, read_atoms, simulate_stack

PARTICLES, BOX, PIXEL_A, SNR, ENVELOPE_A2 = 5000, 80, 2.0, 0.08, 100.0
MOLECULE, SYMMETRY = "apoferritin", "O"
RADIUS_A, START_A, DIAMETER_A = 66.0, 15.0, 150.0
RELION_SECONDS = 36000.0
WRONG_DEG = 8.0
WANTED_RATIO = 10.0


@dataclass(frozen=True)
class Scene:
    """A stack, its truth, the map that a perfect reconstruction would be, and a mask around it."""

    folder: Path
    truth: ParticleTable
    density: np.ndarray
    mask: np.ndarray


def scene(folder: Path) -> Scene:
    """Simulate the stack, where it is not in the folder yet."""
    parameters = StackParameters(
        model=MOLECULE, particles=PARTICLES, box=BOX, pixel_size_A=PIXEL_A, snr=SNR, shift_sigma_A=4.0,
        envelope_b_A2=ENVELOPE_A2, padding=1.5, seed=21,
    )  # fmt: skip
    atoms = read_atoms(parameters, parameters.conformations[0])
    density = apply_filter(make_density(atoms, BOX, PIXEL_A), PIXEL_A, b_factor(parameters.envelope_b_A2))
    if not (folder / "report.json").exists():
        simulate_stack(parameters, folder, threads=1)
    truth = read_particles(folder / "particles.star")
    truth["half_set"] = 1 + np.arange(len(truth)) % 2
    low = apply_filter(density, PIXEL_A, b_factor(800.0))
    return Scene(folder, truth, density, soft_edge(low > 0.1 * low.max(), 6.0, extend_pixels=2.0))


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
    true = euler_to_matrix(*(np.deg2rad(truth[name]) for name in POSE[:3]))
    away = np.rad2deg(point_group(SYMMETRY).distance(rotations, true))
    return {"median_error_deg": round(float(np.median(away)), 3),
            "beyond_8_deg_percent": round(100.0 * float(np.mean(away > WRONG_DEG)), 2)}  # fmt: skip


def ours(of: Scene) -> dict[str, Any]:
    """Refine the particles with Auto Refine."""
    blind = without_poses(of.truth)
    settings = AutoRefineSettings(mask_radius_A=RADIUS_A, symmetry=SYMMETRY, start_A=START_A)
    rounds: list[dict[str, float]] = []

    def note(state: Any, rows: Any, maps: Any) -> None:
        rounds.append({"limit_A": round(state.before_A, 2), "resolution_A": round(maps[0].resolution_A, 2),
                       "used": int(rows.used.sum()), "cpu_s": round(time.process_time() - began, 1)})  # fmt: skip
        sys.stdout.write(f"   {rounds[-1]}\n")
        sys.stdout.flush()

    began = time.process_time()
    found = refine_particles(blind, of.folder, of.density, settings, threads=1, progress=note)
    seconds = time.process_time() - began
    return {
        "cpu_s": round(seconds, 1), "rounds": len(rounds), "of_rounds": rounds,
        **judged(found.maps[0].half_maps, of), **poses_judged(found.rows.rotations[0], of.truth),
    }  # fmt: skip


def start_relion(of: Scene, seconds: float) -> Path:
    """Start RELION in the background, where it has not been started yet; return its folder."""
    folder = of.folder / "relion"
    if not folder.is_dir():
        relion_refine.prepare(folder, of.truth, of.folder / "particles.mrcs", of.density, PIXEL_A)
        relion_refine.start(folder, DIAMETER_A, START_A, SYMMETRY, seconds)
    return folder


def theirs(run: relion_refine.RelionRun, of: Scene) -> dict[str, Any]:
    """Return what RELION has come to."""
    figures = judged(run.half_maps, of)
    if not run.ended:
        del figures["halves_0.143_A"]  # those of an iteration are filtered
    return {**run.figures, **figures, **poses_judged(run.rotations, of.truth)}


def measure(folder: Path, seconds: float) -> None:
    """Measure and record."""
    folder.mkdir(exist_ok=True)
    of = scene(folder)
    relion = start_relion(of, seconds)
    mine, run = ours(of), relion_refine.wait(relion)
    other = theirs(run, of)
    ratio, as_good = run.spent_s / mine["cpu_s"], bool(mine["truth_0.5_A"] <= other["truth_0.5_A"])
    record("auto_refine", {
        "stack": {"particles": PARTICLES, "molecule": MOLECULE, "symmetry": SYMMETRY, "box": BOX,
                  "pixel_size_A": PIXEL_A, "snr": SNR, "envelope_b_A2": ENVELOPE_A2, "start_low_passed_A": START_A,
                  "nyquist_A": 2.0 * PIXEL_A},
        "verglas": mine, "relion": other, "relion_cpu_over_verglas": round(ratio, 1), "ratio_is": run.ratio_is,
        "as_good": as_good, "wanted_cpu_ratio": WANTED_RATIO, "reached": bool(ratio >= WANTED_RATIO and as_good),
    })  # fmt: skip


def main(name: str | None = None, seconds: str | float = RELION_SECONDS) -> None:
    """Measure in a folder; where none is named, in one that is not kept."""
    if name is not None:
        measure(Path(name), float(seconds))
    else:
        with tempfile.TemporaryDirectory() as made:
            measure(Path(made), float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
