"""Local filters beside one FSC curve in Auto Refine: where they must help, where they must not hurt, and on noise.

Two chains of beta-galactosidase, of which one is rigid. The other is turned by up to 20 degrees ("loose"), or all the
way round ("disordered": no detail of it is left, as of a micelle), or is as rigid ("uniform": one curve is right, and
local filters must not hurt). What counts is the rigid part: how far its map agrees with the true one, and how right the
poses are. Refinement begins at the true poses and with the true map, low-passed, so that nothing but what references do
to poses tells the ways apart.

Filters that both halves share could make noise agree. Three scenes ask:

- "absent": images hold the rigid chain alone, but the start and the mask hold both. The halves agree beyond the start,
  filters are local, and where the other chain is not there is nothing but noise: do halves, or references, agree there?
- "mixed": half of the images are nothing but noise. How much more do halves agree than their agreement with the truth
  allows?
- "noise": images of nothing but noise, all of whose poses are searched. Where their halves never agree beyond the start
  no local filter is tried, and that run says only so.

``python -m prove.regularisation [PARTICLES [SEEDS]]``
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
from tools.measured import record

from verglas.engine.map_alignment import align_maps
from verglas.formats import MrcStackWriter, ParticleTable
from verglas.geometry import euler_to_matrix, point_group
from verglas.signal import apply_filter, b_factor, fourier_shell_correlation, resolution_at, soft_edge
from verglas.stages.refinement import AutoRefineSettings, refine_particles
from verglas.stages.refinement.regularisation import FilterChoice, choose_filters
from verglas.stages.simulation import Conformation, StackParameters, projected_map, simulate_stack
from verglas.stages.simulation.atoms import read_structure

PARTICLES, SEEDS, PROCESSES = 500, 3, 2
BOX, PIXEL_A, SNR = 72, 3.2, 0.12
START_A, ROOM_A = 20.0, 4.0
ANGLES = ("rot_deg", "tilt_deg", "psi_deg")
TURNS = {"loose": np.linspace(-20.0, 20.0, 9), "disordered": np.arange(0.0, 360.0, 30.0)}
RIGID, MOVING = "/1/A", "/1/B"
HELPED, UNHARMED = ("disordered", "loose"), ("uniform", "mixed")
KINDS = ("absent", "uniform", *HELPED, "mixed")
WAYS: tuple[Literal["fsc", "local"], ...] = ("fsc", "local")
NOISE_MARGIN, NOISE_PARTICLES = 1.02, 1000
FINE_A = 10.0
FALSE, HARM = 0.03, 0.02
"""Agreement of noise, and loss of agreement with the truth where one curve is right, that are let pass (mean FSC)."""


@dataclass(frozen=True)
class Scene:
    """A stack with and without its true poses, the start, the true map of the rigid part and a mask around that.

    ``empty`` is a mask of what is noise though references hold it, or None.
    """

    folder: Path
    blind: ParticleTable
    truth: ParticleTable
    start: np.ndarray
    rigid: np.ndarray
    mask: np.ndarray
    radius_A: float
    empty: np.ndarray | None


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
    whole, alone = Conformation(), Conformation(remove=MOVING)
    turned = [
        Conformation(selection=MOVING, axis=(0.3, 1.0, 0.5), angle_degrees=float(one)) for one in TURNS.get(kind, ())
    ]
    shapes = turned or [alone if kind == "absent" else whole]
    parameters = StackParameters(
        model=str(two_chains(folder)), conformations=shapes, particles=particles, box=BOX, pixel_size_A=PIXEL_A,
        snr=SNR, padding=1.5, seed=seed,
    )  # fmt: skip
    made = simulate_stack(parameters, folder, threads=1)
    maps = [projected_map(parameters, one, made.signal_scale) for one in (whole, alone)]
    start = np.mean([projected_map(parameters, one, made.signal_scale) for one in turned or [whole]], axis=0)
    rigid = maps[0] if kind in UNHARMED else maps[1]
    mask = around(rigid)
    truth = made.truth
    truth["half_set"] = 1 + np.arange(particles) % 2
    if kind == "mixed":
        # Every other pair, so that both half sets get as many.
        replace_by_noise(folder, truth, np.arange(particles) % 4 < 2, seed)
    return Scene(
        folder, blind(truth), truth, start, rigid, mask, radius_A(maps[0]) + ROOM_A,
        around(maps[0] - maps[1]) * (1.0 - mask) if kind == "absent" else None,
    )  # fmt: skip


def around(volume: np.ndarray) -> np.ndarray:
    """Return a soft mask around a map."""
    low = apply_filter(volume, PIXEL_A, b_factor(800.0))
    mask: np.ndarray = soft_edge(low > 0.15 * low.max(), 4.0, extend_pixels=1.0)
    return mask


def radius_A(volume: np.ndarray) -> float:
    """Return the radius that holds a map, from the middle of the box."""
    low = apply_filter(volume, PIXEL_A, b_factor(800.0))
    places = np.argwhere(low > 0.15 * low.max()) - BOX // 2
    return float(np.linalg.norm(places, axis=1).max()) * PIXEL_A


def noise_image(random: np.random.Generator) -> np.ndarray:
    return random.standard_normal((BOX, BOX)).astype(np.float32)


def replace_by_noise(folder: Path, table: ParticleTable, which: np.ndarray, seed: int) -> None:
    """Let some particles of a table show white noise instead, their poses as they are."""
    random, names = np.random.Generator(np.random.Philox([seed, 7])), table.names_of("image_name")
    with MrcStackWriter(folder / "noise_images.mrcs", BOX, BOX, PIXEL_A) as writer:
        for _ in range(int(which.sum())):
            writer.append(noise_image(random))
    table.set_names(
        "image_name", ["noise_images.mrcs" if one else name for one, name in zip(which, names, strict=True)]
    )
    table["image_section"][which] = 1 + np.arange(int(which.sum()))


def blind(truth: ParticleTable) -> ParticleTable:
    """Return a table that says nothing of poses."""
    table = truth.copy()
    for name in (*ANGLES, "origin_x_A", "origin_y_A"):
        table[name] = 0.0
    return table


@contextmanager
def watched(empty: np.ndarray | None) -> Iterator[list[dict[str, float]]]:
    """Collect of each round with local filters which part of the mask, and of what is empty, has filters of its own."""
    seen: list[dict[str, float]] = []

    def choose(filtered: Any, halves: Any, ratio: Any, mask: Any, *rest: Any) -> FilterChoice:
        choice = choose_filters(filtered, halves, ratio, mask, *rest)
        own = np.asarray(choice.chosen).max(axis=0) > 0
        middles = np.minimum(((np.arange(len(own)) + 0.5) * choice.block).astype(int), len(mask) - 1)
        inside = mask[np.ix_(middles, middles, middles)] > 0.5
        one = {"of_the_mask": round(float(own[inside].mean()), 4)}
        if empty is not None:
            scaled = middles * len(empty) // len(mask)
            nothing = inside & (empty[np.ix_(scaled, scaled, scaled)] > 0.5)
            one["of_what_is_empty"] = round(float(own[nothing].mean()), 4) if nothing.any() else 0.0
        seen.append(one)
        return choice

    with patch("verglas.stages.refinement.maps.choose_filters", choose):
        yield seen


def frame(rotations: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the rotation that brings rotations as a whole nearest to the true ones, from the right."""
    left, _, right = np.linalg.svd(np.einsum("nji,njk->ik", rotations, true))
    turn: np.ndarray = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    return turn


def refined(of: Scene, way: Literal["fsc", "local"], seed: int) -> dict[str, Any]:
    """Refine a stack and return how right the rigid half and the poses are."""
    settings = AutoRefineSettings(
        mask_radius_A=of.radius_A, start_A=START_A, regularisation=way, search_first=False, seed=seed
    )
    began = time.process_time()
    with watched(of.empty) as seen:
        found = refine_particles(of.truth, of.folder, of.start, settings, threads=1)
    seconds = time.process_time() - began
    halves = found.maps[0].half_maps
    assert halves is not None
    mean = 0.5 * (halves[0] + halves[1])
    lain = align_maps(mean * of.mask, of.rigid * of.mask, PIXEL_A, limit_A=10.0)
    # Poses are compared in their own common frame: two like chains may have been laid onto each other the other way.
    true = euler_to_matrix(*(np.deg2rad(of.truth[name]) for name in ANGLES))
    away = np.rad2deg(point_group("C1").distance(found.rows.rotations[0] @ frame(found.rows.rotations[0], true), true))
    inside, between = (
        fourier_shell_correlation(one, other, PIXEL_A, mask=of.mask)
        for one, other in ((mean, of.rigid), halves)
    )  # fmt: skip
    fine = inside.frequency_per_A > 1.0 / FINE_A
    # A half as far from the truth as the other: halves agree by c^2 / (2 - c^2), where their mean does by c.
    allowed = inside.fsc**2 / (2.0 - inside.fsc**2)
    more: dict[str, Any] = {"rounds_with_local_filters": len(seen)}
    if seen:
        more["part_with_own_filters"] = {
            name: round(float(np.mean([one[name] for one in seen])), 4) for name in seen[0]
        }
    if of.empty is not None:
        references = found.state.references[:, 0]
        for name, pair in (("halves", halves), ("references", references)):
            agreed = fourier_shell_correlation(*pair, PIXEL_A, mask=of.empty)
            more[f"{name}_agree_where_empty"] = round(
                float(agreed.fsc[agreed.frequency_per_A > 1.0 / FINE_A].mean()), 4
            )
    return {
        **more, "more_than_truth_allows": round(float((between.fsc - allowed)[fine].mean()), 4),
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
            writer.append(noise_image(random))
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


def run(kind: str, particles: int, seed: int) -> dict[str, Any]:
    """Refine one scene both ways."""
    with tempfile.TemporaryDirectory() as name:
        of = scene(Path(name), kind, particles, seed)
        found: dict[str, Any] = {"seed": seed, **{way: refined(of, way, seed) for way in WAYS}}
    say(f"{kind} {found}")
    return found


def run_noise(way: Literal["fsc", "local"], particles: int) -> dict[str, Any]:
    """Refine noise from the start of the uniform scene."""
    with tempfile.TemporaryDirectory() as name:
        found = noise(scene(Path(name), "uniform", particles, 1), way, min(particles, NOISE_PARTICLES), 1)
    say(f"noise {way} {found}")
    return found


def compared(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what local filters gain over one curve, on average over the seeds of a scene."""

    def gained(name: str) -> list[float]:
        return [one["local"][name] - one["fsc"][name] for one in runs]

    def mean(values: list[float]) -> float:
        return round(float(np.mean(values)), 4)

    to_truth = gained("mean_fsc_to_truth_beyond_10_A")
    finer = [one["fsc"]["truth_0.5_A"] / one["local"]["truth_0.5_A"] - 1.0 for one in runs]
    straighter = [1.0 - one["local"]["median_error_deg"] / one["fsc"]["median_error_deg"] for one in runs]
    found = {
        "fsc_gained_beyond_10_A": mean(to_truth),
        "error_of_that": round(float(np.std(to_truth, ddof=1) / np.sqrt(len(runs))), 4) if len(runs) > 1 else None,
        "finer_percent": mean([100.0 * one for one in finer]),
        "smaller_error_percent": mean([100.0 * one for one in straighter]),
        "false_agreement_gained": mean(gained("more_than_truth_allows")),
        "least_rounds_with_local_filters": min(one["local"]["rounds_with_local_filters"] for one in runs),
    }  # fmt: skip
    for name in ("halves_agree_where_empty", "references_agree_where_empty"):
        if name in runs[0]["local"]:
            found[f"{name}_gained"] = mean(gained(name))
    return found


def main(particles: int = PARTICLES, seeds: int = SEEDS) -> None:
    figures: dict[str, Any] = {
        "particles": particles, "seeds": seeds, "box": BOX, "pixel_size_A": PIXEL_A, "snr": SNR,
        "start_low_passed_A": START_A, "let_pass": {"false_agreement": FALSE, "harm": HARM},
    }  # fmt: skip
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        asked = {kind: [pool.submit(run, kind, particles, seed) for seed in range(1, seeds + 1)] for kind in KINDS}
        asked_noise = {way: pool.submit(run_noise, way, particles) for way in WAYS}
        for kind, some in asked.items():
            runs = [one.result() for one in some]
            figures[kind] = {"runs": runs, **compared(runs)}
            # What is known is kept at once: a run takes long.
            record("regularisation", figures)
        figures["noise"] = {way: one.result() for way, one in asked_noise.items()}
    reported, best = (figures["noise"]["local"][name] for name in ("reported_A", "best_of_any_round_A"))
    figures["noise_filtered_locally"] = best is not None and best < START_A
    gains_nothing = reported is None or NOISE_MARGIN * reported > START_A
    figures["noise_gains_nothing"] = gains_nothing if figures["noise_filtered_locally"] else None
    agreed = [figures["absent"][f"{name}_agree_where_empty_gained"] for name in ("halves", "references")]
    agreed += [figures[kind]["false_agreement_gained"] for kind in KINDS]
    figures["verdicts"] = {
        "helps": all(
            figures[kind]["fsc_gained_beyond_10_A"] > 0.0 and figures[kind]["smaller_error_percent"] > 0.0
            for kind in HELPED
        ),
        "does_not_hurt": all(figures[kind]["fsc_gained_beyond_10_A"] > -HARM for kind in UNHARMED),
        "acted_on_noise": figures["absent"]["least_rounds_with_local_filters"] > 0,
        "noise_does_not_agree_more": max(agreed) < FALSE,
    }  # fmt: skip
    figures["proves_itself"] = figures["noise_gains_nothing"] is not False and all(figures["verdicts"].values())
    record("regularisation", figures)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
