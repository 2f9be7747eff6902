"""What focused classification must show: a domain of 25 kDa in half of the particles of 466 kDa, told at its focus."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import record

from verglas.engine import MaskSettings
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.stages.refinement import AlignmentSwitches, Focus, ManualSettings, PoseRows, refine_manually
from verglas.stages.simulation import Conformation, StackParameters, simulate_stack
from verglas.stages.simulation.atoms import read_atoms

PARTICLES, BOX, PIXEL_A, SNR = 8000, 64, 3.5, 0.1
DOMAIN = "/1/A/1-219"
THREADS = 1
ROUNDS, LIMIT_A, RADIUS_A = 8, 8.0, 35.0


def right(occupancy: np.ndarray, label: np.ndarray) -> float:
    """Return the part of the particles in the class that is theirs, whichever number that has."""
    share = float(np.mean(occupancy.argmax(axis=0) == label))
    return max(share, 1.0 - share)


def say(text: str) -> None:
    """Say how far it is, and after how many CPU-seconds."""
    sys.stdout.write(f"   {time.process_time():7.0f} s: {text}\n")
    sys.stdout.flush()


def domain_centre_A(parameters: StackParameters) -> tuple[np.ndarray, float]:
    """Return the domain's centre from the origin of the map, (x, y, z), and its mass in kDa (14.0 Da a heavy atom)."""
    whole, less = (read_atoms(parameters, shape) for shape in parameters.conformations)
    gone = len(whole) - len(less)
    centre = (whole.positions_A.sum(axis=0) - less.positions_A.sum(axis=0)) / gone
    return np.asarray(centre), 1e-3 * 14.0 * gone


def by_hand_A(centre_A: np.ndarray) -> tuple[float, float, float]:
    """Return the centre as the FAQ finds it: a sphere on the map's grid, the centre of its voxels times the pixel."""
    along = (np.arange(BOX) - BOX // 2) * PIXEL_A
    x, y, z = (along - one for one in np.round(centre_A / 2.0) * 2.0)
    inside = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= RADIUS_A**2
    at = np.argwhere(inside).mean(axis=0)[::-1]
    found = [float(round(one, 2) * PIXEL_A) for one in at]
    return found[0], found[1], found[2]


def true_maps(parameters: StackParameters) -> list[np.ndarray]:
    """Return both maps without noise, from projections along many views, reconstructed without CTF."""
    maps = []
    for number in (1, 2):
        views = parameters.model_copy(update={
            "particles": 800, "snr": None, "apply_ctf": False, "seed": 99, "shift_sigma_A": 0.0,
            "conformations": [parameters.conformations[number - 1]],
        })  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            made = simulate_stack(views, folder, threads=THREADS)
            maps.append(reconstruct_particles(made.truth, folder, use_ctf=False, threads=THREADS).finish().map)
    return maps


def main() -> None:
    shapes = [Conformation(name="whole"), Conformation(name="without", remove=DOMAIN)]
    parameters = StackParameters(
        model="beta-galactosidase", conformations=shapes, particles=PARTICLES, box=BOX, pixel_size_A=PIXEL_A, snr=SNR,
        seed=7,
    )  # fmt: skip
    centre, mass = domain_centre_A(parameters)
    from_first = centre + BOX // 2 * PIXEL_A
    by_hand = by_hand_A(centre)
    say(f"domain of {mass:.1f} kDa at {from_first.round(1).tolist()} A, by hand {by_hand}")
    truth = true_maps(parameters)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = simulate_stack(parameters, folder, threads=THREADS).truth
        label = np.asarray(table["class_number"]) - 1
        drawn = np.random.Generator(np.random.Philox(1)).integers(0, 2, len(table))
        tables = []
        for k in range(2):
            one = table.copy()
            one["occupancy"] = 100.0 * (drawn == k)
            tables.append(one)
        base: dict[str, Any] = {
            "mask_radius_A": 100.0, "search_radius_A": 100.0, "moves": (), "classes": 2, "limit_A": LIMIT_A,
            "class_limit_A": LIMIT_A, "mask": MaskSettings(automatic=False),
        }  # fmt: skip
        known = refine_manually(tables, folder, truth, ManualSettings(**base), threads=THREADS)
        assignable = right(known.rows.occupancy, label)
        say(f"assignable at true poses against true maps: {assignable:.4f}")
        halves = [reconstruct_particles(one, folder, threads=THREADS).finish().half_maps for one in tables]
        figures: dict[str, Any] = {
            "particles": PARTICLES, "box": BOX, "pixel_size_A": PIXEL_A, "snr": SNR, "domain": DOMAIN,
            "domain_kDa": round(mass, 1), "limit_A": LIMIT_A, "rounds": ROUNDS, "assignable": round(assignable, 4),
            "sphere_from_first_voxel_A": [round(float(one), 2) for one in from_first], "sphere_by_hand_A": by_hand,
            "sphere_radius_A": RADIUS_A,
        }  # fmt: skip
        sphere = Focus((float(from_first[0]), float(from_first[1]), float(from_first[2])), RADIUS_A)
        hand = Focus(by_hand, RADIUS_A)
        volume = (sphere.mask(BOX, BOX, PIXEL_A) > 0.5).astype(np.float32)
        ways = {
            "sphere": sphere, "no_focus": None, "sphere_by_hand": hand, "mask_volume": Focus(volume=volume),
        }  # fmt: skip
        found: dict[str, np.ndarray] = {}
        for way, focus in ways.items():
            course: list[float] = []

            def follow(_state: object, rows: PoseRows, _maps: object, way: str = way, to: list[float] = course) -> None:
                to.append(round(right(rows.occupancy, label), 4))
                say(f"{way}, round {len(to)}: {to[-1]}")

            start = time.process_time()
            settings = ManualSettings(**base, rounds=ROUNDS, switches=AlignmentSwitches(focus=focus))
            made = refine_manually(tables, folder, halves, settings, threads=THREADS, progress=follow)
            cpu = time.process_time() - start
            found[way] = made.rows.occupancy
            figures[way] = {
                "right": course[-1], "of_assignable": round(course[-1] / assignable, 4),
                "of_assignable_beyond_chance": round((course[-1] - 0.5) / (assignable - 0.5), 4),
                "right_in_each_round": course,
                "cpu_ms_per_particle_and_round": round(1e3 * cpu / PARTICLES / ROUNDS, 3),
            }  # fmt: skip
            say(f"{way}: {figures[way]}")
            figures[way]["same_as_sphere"] = round(right(found[way], found["sphere"].argmax(axis=0)), 4)
            # Each way is kept as soon as it is known.
            record("focus", figures)


if __name__ == "__main__":
    main()
