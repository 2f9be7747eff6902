"""Real apoferritin, EMPIAR-10146: twelve micrographs to a map by nothing but our own steps, beside model 6z6u.

CTF, picks at one setting of a ring, particles, Auto Refine in O. The start is the model's density low-passed to 15 A:
at 20 A and coarser apoferritin is a round shell that says nothing of poses. What is finer than 15 A is the particles'
own.
The map is measured against the model inside the protein's shell, with the spherical average taken off both; without
that, shell and cavity dominate the curve. The hand cannot be known from these images.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import REPOSITORY, record

from verglas.engine.map_views import new_figure, orthogonal_views, save_figure, show_image
from verglas.formats import MrcStackWriter, ParticleTable, read_image, write_mrc
from verglas.microscopy import Optics
from verglas.signal import fourier_shell_correlation, resolution_at, sphere_mask
from verglas.stages.ctf_estimation import SearchSettings, estimate_ctf
from verglas.stages.extraction import BoxSettings, MicrographFacts, extract_particles, particle_table
from verglas.stages.picking import AreaSettings, PickingSettings, pick_particles
from verglas.stages.refinement import AutoRefineSettings, refine_particles
from verglas.stages.simulation import make_density, read_atoms
from verglas.stages.simulation.parameters import SpecimenParameters

REAL = Path(os.environ.get("VERGLAS_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
PICTURE = REPOSITORY / "docs" / "images" / "auto_refine_apoferritin.png"
PIXEL_A, CS_MM, BOX = 1.5, 0.001, 120
RADIUS_A, SHELL_A, EDGE_A = 66.0, (45.0, 64.0), 4.0
START_A = 15.0
THREADS = 2
RING = PickingSettings(
    shape="ring", areas=AreaSettings(edge_distance_A=0.0), radius_A=62.0, inner_radius_A=36.0, max_radius_A=65.0,
    min_distance_A=90.0, highest_resolution_A=20.0,
)  # fmt: skip


def particles(folder: Path) -> ParticleTable:
    """Write the stack of all particles and return its table."""
    entries = []
    with MrcStackWriter(folder / "particles.mrcs", BOX, BOX, PIXEL_A) as writer:
        for number, path in enumerate(sorted((REAL / "apoferritin" / "micrographs").glob("*.png")), start=1):
            image, _ = read_image(path)
            found = estimate_ctf(
                image, PIXEL_A, spherical_aberration_mm=CS_MM, settings=SearchSettings(finest_A=5.0)
            ).values
            u, v = found.mean_A + found.half_astigmatism_A, found.mean_A - found.half_astigmatism_A
            optics = Optics(300.0, CS_MM, 0.07, PIXEL_A)
            picks = pick_particles(image, PIXEL_A, optics, (u, v, found.angle, 0.0), settings=RING)
            centres = picks.positions_A / PIXEL_A
            inside = ((centres > BOX // 2) & (centres < np.array(image.shape[::-1]) - BOX // 2)).all(axis=1)
            shifts = []
            settings = BoxSettings(box=BOX, background_radius_px=min(RADIUS_A / PIXEL_A, 0.46 * BOX))
            for images, moved in extract_particles(image, centres[inside], settings):
                shifts.append(moved)
                for one in images:
                    writer.append(one)
            facts = MicrographFacts(
                number, path.name, PIXEL_A, (image.shape[0], image.shape[1]), 300.0, CS_MM, 0.07, u, v,
                float(np.rad2deg(found.angle)),
            )  # fmt: skip
            entries.append((facts, centres[inside], np.concatenate(shifts)))
    return particle_table(
        entries, stack="particles.mrcs", box=BOX, pixel_size_A=PIXEL_A, contrast_inverted=False, seed=1
    )


def without_mean_shell(volume: np.ndarray) -> np.ndarray:
    """Return a map less its mean at each distance from the middle."""
    axis = np.arange(len(volume)) - len(volume) // 2
    distance = np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)).astype(int)
    mean = np.bincount(distance.ravel(), volume.ravel()) / np.bincount(distance.ravel())
    return np.asarray(volume - mean[distance], np.float32)


def shell_mask() -> np.ndarray:
    """Return the soft mask of the protein's shell."""
    shape = (BOX,) * 3
    outer = sphere_mask(shape, SHELL_A[1], PIXEL_A, edge_A=EDGE_A)
    return np.asarray(outer - sphere_mask(shape, SHELL_A[0] - EDGE_A, PIXEL_A, edge_A=EDGE_A), np.float32)


def draw(volume: np.ndarray, model: np.ndarray, curves: dict[str, Any]) -> None:
    """Draw sections and projections of map and model, and the curves."""
    figure = new_figure(12.0, 6.5)
    axes = figure.subplots(1, 3, width_ratios=(1.4, 1.4, 1.0))
    show_image(axes[0], orthogonal_views(volume), "map: projections, central sections")
    show_image(axes[1], orthogonal_views(model), "6z6u")
    for name, (frequency, values) in curves.items():
        axes[2].plot(frequency, values, label=name)
    axes[2].axhline(0.143, color="0.7", lw=0.8)
    axes[2].axhline(0.5, color="0.7", lw=0.8)
    axes[2].set(xlabel="1/A", ylabel="correlation", ylim=(-0.1, 1.02))
    axes[2].legend()
    save_figure(figure, PICTURE)


def main() -> None:
    if not (REAL / "apoferritin").is_dir():
        raise FileNotFoundError(f"{REAL} is not there: set VERGLAS_REAL_DATA to the folder of real data.")
    specimen = SpecimenParameters(model=str(next((REAL / "models").glob("6z6u*"))))
    model = make_density(read_atoms(specimen, specimen.conformations[0]), BOX, PIXEL_A)
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.process_time()
        table = particles(folder)
        before = time.process_time() - began
        sys.stdout.write(f"   {len(table)} particles, {before:.0f} CPU-s\n")
        sys.stdout.flush()
        settings = AutoRefineSettings(mask_radius_A=RADIUS_A, symmetry="O", start_A=START_A, search_range_A=20.0)

        def note(state: Any, rows: Any, maps: Any) -> None:
            rounds.append({"limit_A": round(state.before_A, 2), "resolution_A": round(maps[0].resolution_A, 2),
                           "used": int(rows.used.sum()), "turned": round(state.turned, 3),
                           "cpu_s": round(time.process_time() - began - before, 1)})  # fmt: skip
            sys.stdout.write(f"   {rounds[-1]}\n")
            sys.stdout.flush()

        found = refine_particles(table, folder, model, settings, threads=THREADS, progress=note)
        seconds = time.process_time() - began - before
    made = found.maps[0]
    assert made.half_maps is not None and made.corrected is not None
    mask = shell_mask()
    halves = [without_mean_shell(one) for one in made.half_maps]
    both, target = without_mean_shell(0.5 * (made.half_maps[0] + made.half_maps[1])), without_mean_shell(model)
    to_model = fourier_shell_correlation(both, target, PIXEL_A, mask=mask)
    of_halves = fourier_shell_correlation(halves[0], halves[1], PIXEL_A, mask=mask)
    draw(made.map, model, {
        "halves, shell, less spherical average": (of_halves.frequency_per_A, of_halves.fsc),
        "map and model": (to_model.frequency_per_A, to_model.fsc),
    })  # fmt: skip
    if "--keep" in sys.argv:
        write_mrc(Path(sys.argv[-1]), made.map, PIXEL_A)
    record("apoferritin", {
        "micrographs": 12, "particles": len(table), "symmetry": "O", "start": "6z6u low-passed", "start_A": START_A,
        "auto_refine_resolution_A": round(float(found.state.resolution_A[-1]), 3),
        "halves_in_shell_0.143_A": round(resolution_at(of_halves.frequency_per_A, of_halves.fsc).resolution_A, 3),
        "model_in_shell_0.5_A": round(resolution_at(to_model.frequency_per_A, to_model.fsc, 0.5).resolution_A, 3),
        "model_in_shell_0.143_A": round(resolution_at(to_model.frequency_per_A, to_model.fsc).resolution_A, 3),
        "cpu_s_ctf_picks_particles": round(before, 1), "cpu_s_auto_refine": round(seconds, 1), "rounds": rounds,
    })  # fmt: skip


if __name__ == "__main__":
    main()
