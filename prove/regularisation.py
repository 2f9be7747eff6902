"""Local filters beside one FSC curve in Auto Refine: a rigid half of a particle, its other half loose or disordered.

Two chains of beta-galactosidase, of which one is rigid. The other is turned by up to 20 degrees ("loose"), or all the
way round ("disordered": no detail of it is left, as of a micelle). What counts is the rigid half: how far its map
agrees with the true one, and how right the poses are. Refinement begins at the true poses and with the true map,
low-passed, so that nothing but what references do to poses tells the ways apart. Images of pure noise, all of whose
poses are searched, must not gain from local filters; where their halves never agree beyond the start no local filter is
tried, and that run proves nothing.

``python -m prove.regularisation [PARTICLES [SEEDS]]``
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tools.measured import record

from verglas.engine.map_alignment import align_maps
from verglas.formats import MrcStackWriter, ParticleTable
from verglas.geometry import euler_to_matrix, point_group
from verglas.signal import apply_filter, b_factor, fourier_shell_correlation, resolution_at, soft_edge
from verglas.stages.refinement import AutoRefineSettings, refine_particles
from verglas.stages.simulation import Conformation, StackParameters, projected_map, simulate_stack
from verglas.stages.simulation.atoms import read_structure

PARTICLES, SEEDS = 3000, 2
BOX, PIXEL_A, SNR = 72, 3.2, 0.12
START_A, ROOM_A = 20.0, 4.0
ANGLES = ("rot_deg", "tilt_deg", "psi_deg")
TURNS = {"loose": np.linspace(-20.0, 20.0, 9), "disordered": np.arange(0.0, 360.0, 30.0)}
RIGID, MOVING = "/1/A", "/1/B"
WAYS: tuple[Literal["fsc", "local"], ...] = ("fsc", "local")
NOISE_MARGIN, NOISE_PARTICLES = 1.02, 1000
FINE_A = 10.0


@dataclass(frozen=True)
class Scene:
    """A stack with and without its true poses, the start, the true map of the rigid half and a mask around that."""

    folder: Path
    blind: ParticleTable
    truth: ParticleTable
    start: np.ndarray
    rigid: np.ndarray
    mask: np.ndarray
    radius_A: float


def two_chains(folder: Path) -> Path:
    """Write a chain of beta-galactosidase and the nearest other one as chains A and B."""
    import gemmi

    first, *others = read_structure("beta-galactosidase")[0]
    middles = [np.mean([a.pos.tolist() for residue in one for a in residue], axis=0) for one in (first, *others)]
    second = others[int(np.argmin([np.linalg.norm(one - middles[0]) for one in middles[1:]]))].clone()
    second.name = "B"
    model = gemmi.Model(1)
    model.add_chain(first.clone())
    model.add_chain(second)
    made = gemmi.Structure()
    made.add_model(model)
    made.write_pdb(str(folder / "two.pdb"))
    return folder / "two.pdb"


def scene(folder: Path, kind: str, particles: int, seed: int) -> Scene:
    """Simulate a stack."""
    shapes = [Conformation(selection=MOVING, axis=(0.3, 1.0, 0.5), angle_degrees=float(turn)) for turn in TURNS[kind]]
    parameters = StackParameters(
        model=str(two_chains(folder)), conformations=shapes, particles=particles, box=BOX, pixel_size_A=PIXEL_A,
        snr=SNR, padding=1.5, seed=seed,
    )  # fmt: skip
    made = simulate_stack(parameters, folder, threads=1)
    start = np.mean([projected_map(parameters, one, made.signal_scale) for one in shapes], axis=0)
    rigid = projected_map(parameters, Conformation(remove=MOVING), made.signal_scale)
    low = apply_filter(rigid, PIXEL_A, b_factor(800.0))
    truth = made.truth
    truth["half_set"] = 1 + np.arange(particles) % 2
    return Scene(
        folder, blind(truth), truth, start, rigid, soft_edge(low > 0.15 * low.max(), 4.0, extend_pixels=1.0),
        made.radius_A + ROOM_A,
    )  # fmt: skip


def blind(truth: ParticleTable) -> ParticleTable:
    """Return a table that says nothing of poses."""
    table = truth.copy()
    for name in (*ANGLES, "origin_x_A", "origin_y_A"):
        table[name] = 0.0
    return table


def refined(of: Scene, way: Literal["fsc", "local"], seed: int) -> dict[str, Any]:
    """Refine a stack and return how right the rigid half and the poses are."""
    settings = AutoRefineSettings(
        mask_radius_A=of.radius_A, start_A=START_A, regularisation=way, search_first=False, seed=seed
    )
    began = time.process_time()
    found = refine_particles(of.truth, of.folder, of.start, settings, threads=1)
    seconds = time.process_time() - began
    halves = found.maps[0].half_maps
    assert halves is not None
    mean = 0.5 * (halves[0] + halves[1])
    lain = align_maps(mean * of.mask, of.rigid * of.mask, PIXEL_A, limit_A=10.0)
    # Poses are compared in the frame of the map that they make, as far as it was turned away from the truth.
    true = euler_to_matrix(*(np.deg2rad(of.truth[name]) for name in ANGLES))
    away = np.rad2deg(point_group("C1").distance(found.rows.rotations[0] @ lain.rotation.T, true))
    inside, between = (
        fourier_shell_correlation(one, other, PIXEL_A, mask=of.mask)
        for one, other in ((mean, of.rigid), halves)
    )  # fmt: skip
    fine = inside.frequency_per_A > 1.0 / FINE_A
    return {
        "mean_fsc_to_truth_beyond_10_A": round(float(inside.fsc[fine].mean()), 4),
        "truth_0.5_A": round(resolution_at(inside.frequency_per_A, inside.fsc, 0.5).resolution_A, 3),
        "halves_0.143_A": round(resolution_at(between.frequency_per_A, between.fsc).resolution_A, 3),
        "reported_A": round(found.maps[0].resolution.resolution_A, 3) if found.maps[0].resolution else None,
        "median_error_deg": round(float(np.median(away)), 3),
        "mean_below_10_deg": round(float(away[away < 10.0].mean()), 3),
        "beyond_10_deg_percent": round(100.0 * float(np.mean(away > 10.0)), 2), "rounds": found.state.number,
        "mirrored": lain.mirrored, "cpu_s": round(seconds, 1),
    }  # fmt: skip


def noise(of: Scene, way: Literal["fsc", "local"], particles: int, seed: int) -> dict[str, Any]:
    """Refine images of nothing but noise from the same start; return what is reported."""
    random = np.random.Generator(np.random.Philox(seed))
    table = of.blind.select(np.arange(particles))
    table.set_names("image_name", ["noise.mrcs"] * particles)
    with MrcStackWriter(of.folder / "noise.mrcs", BOX, BOX, PIXEL_A) as writer:
        for _ in range(particles):
            writer.append(random.standard_normal((BOX, BOX)).astype(np.float32))
    settings = AutoRefineSettings(mask_radius_A=of.radius_A, start_A=START_A, regularisation=way, seed=seed)
    found = refine_particles(table, of.folder, of.start, settings, threads=1)
    reported = found.maps[0].resolution
    best = float(found.state.resolution_A.min())
    return {
        "reported_A": round(reported.resolution_A, 3) if reported else None,
        "best_of_any_round_A": round(best, 3) if np.isfinite(best) else None, "rounds": found.state.number,
    }  # fmt: skip


def say(text: str) -> None:
    """Say how far it is."""
    sys.stdout.write(f"   {text}\n")
    sys.stdout.flush()


def main(particles: int = PARTICLES, seeds: int = SEEDS) -> None:
    figures: dict[str, Any] = {
        "particles": particles, "box": BOX, "pixel_size_A": PIXEL_A, "snr": SNR, "start_low_passed_A": START_A,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        for kind in ("disordered", "loose"):
            runs: list[dict[str, Any]] = []
            for seed in range(1, seeds + 1):
                folder = Path(name) / f"{kind}{seed}"
                folder.mkdir()
                of = scene(folder, kind, particles, seed)
                runs.append({"seed": seed, **{way: refined(of, way, seed) for way in WAYS}})
                say(f"{kind} {runs[-1]}")
            finer = [one["fsc"]["truth_0.5_A"] / one["local"]["truth_0.5_A"] - 1.0 for one in runs]
            alike = "mean_fsc_to_truth_beyond_10_A"
            gained = [one["local"][alike] - one["fsc"][alike] for one in runs]
            straighter = [1.0 - one["local"]["median_error_deg"] / one["fsc"]["median_error_deg"] for one in runs]
            figures[kind] = {
                "runs": runs, "finer_percent": round(100.0 * float(np.mean(finer)), 2),
                "fsc_gained_beyond_10_A": round(float(np.mean(gained)), 4),
                "smaller_error_percent": round(100.0 * float(np.mean(straighter)), 2),
            }  # fmt: skip
            # What is known is kept at once: a run takes long.
            record("regularisation", figures)
        figures["noise"] = {way: noise(of, way, min(particles, NOISE_PARTICLES), 1) for way in WAYS}
        say(f"noise {figures['noise']}")
    reported, best = (figures["noise"]["local"][name] for name in ("reported_A", "best_of_any_round_A"))
    figures["noise_filtered_locally"] = best is not None and best < START_A
    gains_nothing = reported is None or NOISE_MARGIN * reported > START_A
    figures["noise_gains_nothing"] = gains_nothing if figures["noise_filtered_locally"] else None
    figures["proves_itself"] = figures["noise_gains_nothing"] is not False and all(
        figures[kind]["fsc_gained_beyond_10_A"] > 0.0 and figures[kind]["smaller_error_percent"] > 0.0
        for kind in ("disordered", "loose")
    )  # fmt: skip
    record("regularisation", figures)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
