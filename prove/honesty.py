"""What refinement must not say: that noise shows something, that a wrong symmetry or mask is right, a hand by guess.

Noise: images of white noise are refined from a map low-passed to 20 A, in several symmetries, by both policies; the
finest resolution of any round and the one reported must not be finer. Doubts: a molecule that lacks a part on one side
is refined in C2, and a whole one within a mask that is too small, poses searched; both must be noticed, and the same
without the fault must not be doubted. Hand: images simulated with and without the curvature of the Ewald sphere, at
true poses and at those of the mirror image.

``python -m prove.honesty [SEEDS]``
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tests.engine.particles import make_particles, molecule
from tools.measured import record

from verglas.engine import MaskSettings, ParticleStack
from verglas.engine.half_maps import judge_halves, particle_mask
from verglas.engine.reconstruct_particles import reconstruct_particles
from verglas.formats import MrcStackWriter, ParticleTable
from verglas.geometry import euler_to_matrix, matrix_to_euler
from verglas.stages.refinement import AutoRefineSettings, find_doubts, refine_particles
from verglas.stages.simulation import StackParameters, simulate_stack
from verglas.stages.validation import hand_from_ewald_sphere

SEEDS, START_A, ROUNDS = 3, 20.0, 7
BOX, PIXEL_A, IMAGES = 48, 3.0, 250
ANGLES = ("rot_deg", "tilt_deg", "psi_deg")
SYMMETRIES = ("C1", "D2", "O", "I")


def noise(folder: Path, symmetry: str, independent: bool, seed: int) -> dict[str, Any]:
    """Refine images of noise; return the finest resolution of any round, and the one reported."""
    table, start = make_particles(folder, IMAGES, BOX, PIXEL_A, symmetry=symmetry, noise=1.0)
    random = np.random.Generator(np.random.Philox(seed))
    with MrcStackWriter(folder / "particles.mrcs", BOX, BOX, PIXEL_A) as writer:
        for _ in range(IMAGES):
            writer.append(random.standard_normal((BOX, BOX)).astype(np.float32))
    table["origin_x_A"] = table["origin_y_A"] = 0.0
    how = AutoRefineSettings(
        mask_radius_A=50.0, symmetry=symmetry, independent_halves=independent, rounds=ROUNDS, seed=seed,
        search_range_A=9.0, start_A=START_A,
    )  # fmt: skip
    found = refine_particles(table, folder, start, how)
    reported = found.maps[0].resolution
    return {
        "symmetry": symmetry, "policy": "half-sets" if independent else "one-reference", "seed": seed,
        "finest_of_any_round_A": finite(float(found.state.resolution_A.min())),
        "reported_A": None if reported is None else finite(reported.resolution_A),
    }  # fmt: skip


def finite(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None


def doubted(folder: Path, *, lacking: int, radius_A: float) -> list[str]:
    """Refine a molecule of C2, points of which are lacking on one side; return what the refinement says against it."""
    points = molecule(40, PIXEL_A, "C2")
    table, truth = make_particles(folder, 400, 40, PIXEL_A, noise=2.0, points=points[: len(points) - lacking])
    how = AutoRefineSettings(
        mask_radius_A=radius_A, symmetry="C2", mask=MaskSettings(automatic=False), rounds=5, search_range_A=12.0
    )
    last: list[Any] = []
    refine_particles(table, folder, truth, how, progress=lambda *now: last.__setitem__(slice(None), now))
    state, rows, maps = last
    with ParticleStack(table, folder) as stack:
        said: list[str] = find_doubts(stack, rows, state, maps, how).warnings()
    return said


def hand(folder: Path, scattering: Literal["weak_phase", "ewald"], seed: int) -> dict[str, Any]:
    """Return what the Ewald sphere says of maps at true poses, and at those of the mirror image."""
    box, pixel_A, radius_A = 128, 1.5, 90.0
    parameters = StackParameters(
        model="beta-galactosidase", particles=200, box=box, pixel_size_A=pixel_A, voltage_kV=100.0, snr=0.3,
        scattering=scattering, slab_thickness_A=15.0, padding=1.3, seed=seed,
    )  # fmt: skip
    truth = simulate_stack(parameters, folder, threads=1).truth
    truth["half_set"] = 1 + np.arange(len(truth)) % 2
    said: dict[str, Any] = {"scattering": scattering, "seed": seed}
    for name, table in (("true", truth), ("mirrored", mirrored(truth))):
        halves = reconstruct_particles(table, folder, "D2").finish().half_maps
        assert halves is not None
        mask = particle_mask(halves[0] + halves[1], pixel_A, outer_radius_A=radius_A, molecular_mass_kDa=465.0)
        curves = judge_halves(*halves, mask, pixel_A)
        with ParticleStack(table, folder) as stack:
            found = hand_from_ewald_sphere(stack, halves, mask, curves, radius_A)
        assert found is not None
        said |= {f"{name}_poses": found.says, f"{name}_deviations": round(found.strength, 2)}
        said["resolution_A"] = curves.resolution_A
    return said


def mirrored(table: ParticleTable) -> ParticleTable:
    """Return the poses at which the mirror image looks as the molecule does at these."""
    made = table.copy()
    rotations = euler_to_matrix(*(np.deg2rad(table[name].astype(np.float64)) for name in ANGLES))
    for name, angle in zip(ANGLES, matrix_to_euler(np.diag([1.0, 1.0, -1.0]) @ -rotations), strict=True):
        made[name] = np.rad2deg(angle)
    return made


def main(seeds: int = SEEDS) -> None:
    figures: dict[str, Any] = {
        "start_A": START_A,
        "images": IMAGES,
        "box": BOX,
        "pixel_size_A": PIXEL_A,
        "rounds": ROUNDS,
    }
    rows = []
    for symmetry in SYMMETRIES:
        for independent in (True, False):
            for seed in range(1, seeds + 1):
                with tempfile.TemporaryDirectory() as name:
                    rows.append(noise(Path(name), symmetry, independent, seed))
                say(str(rows[-1]))
    told = [one[name] for one in rows for name in ("finest_of_any_round_A", "reported_A")]
    figures["noise"] = rows
    figures["noise_shows_nothing_finer"] = all(one is None or one >= START_A for one in told)
    cases = {"nothing_wrong": (0, 44.0), "wrong_symmetry": (8, 44.0), "too_small_mask": (0, 18.0)}
    said = {}
    for case, (lacking, radius_A) in cases.items():
        with tempfile.TemporaryDirectory() as name:
            said[case] = doubted(Path(name), lacking=lacking, radius_A=radius_A)
        say(f"{case}: {said[case]}")
    figures["doubts"] = said
    figures["wrong_symmetry_noticed"] = any("do not keep to C2" in text for text in said["wrong_symmetry"])
    figures["too_small_mask_noticed"] = any("the mask cuts" in text for text in said["too_small_mask"])
    figures["nothing_doubted_where_nothing_is_wrong"] = not said["nothing_wrong"]
    hands = []
    for scattering in ("ewald", "weak_phase"):
        with tempfile.TemporaryDirectory() as name:
            hands.append(hand(Path(name), scattering, 1))
        say(str(hands[-1]))
    figures["hand"] = hands
    figures["hand_decided_by_curvature_alone"] = [(one["true_poses"], one["mirrored_poses"]) for one in hands] == [
        ("right", "mirrored"),
        ("undetermined", "undetermined"),
    ]
    record("honesty", figures)


def say(text: str) -> None:
    sys.stdout.write(f"   {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
