"""How often Ab-Initio 3D finds the right map: apoferritin (O), beta-galactosidase (D2), a made-up one (C1).

A map is right where its FSC with the true density, in either hand, is above 0.5 to better than 12 A. Arguments: which
set (``apoferritin``, ``beta-galactosidase``, ``asymmetric``; all when none), particles, SNR, seeds (how many, or which:
``3,1,2``), starts (0: as many as the action takes). The file is written after every seed; ``seeds`` in it says how many
there are. Other seeds that it has of the same set and settings stay in it, each with the commit that it was run at.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tools.measured import MEASURED, commit, record

from verglas.engine import ParticleStack, align_maps
from verglas.formats import ParticleTable
from verglas.signal import fourier_shell_correlation, resize, resolution_at, sphere_mask
from verglas.stages.abinitio import (
    AbInitioMaps,
    AbInitioSettings,
    AbInitioState,
    maps_of_images,
    prepared,
    usual_starts,
)
from verglas.stages.simulation import StackParameters, make_density, read_atoms, simulate_stack
from verglas.stages.simulation.models import write_asymmetric_model

BOX, PIXEL_A = 128, 1.5
JUDGED_BOX = 64
RIGHT_A = 12.0
SYMMETRY = {"apoferritin": "O", "beta-galactosidase": "D2", "asymmetric": "C1"}
MASS_KDA = {"apoferritin": 480.0, "beta-galactosidase": 465.0, "asymmetric": 150.0}


@dataclass(frozen=True)
class SimulatedSet:
    """A stack and what maps of it are held against.

    Attributes
    ----------
    table
        Its particles, at their true poses.
    folder
        What their stack lies in.
    radius_A
        Of the molecule.
    truth, mask
        True density and a sphere about it, on the scale that maps are judged on.
    """

    table: ParticleTable
    folder: Path
    radius_A: float
    truth: NDArray[np.float32]
    mask: NDArray[np.float32]

    def judge(self, volume: NDArray[np.float32]) -> tuple[float, bool]:
        """Return where the FSC of a map with the truth falls below 0.5, in A, and whether it is of the other hand."""
        small = np.asarray(resize(volume, (JUDGED_BOX,) * 3), np.float32)
        pixel_A = PIXEL_A * BOX / JUDGED_BOX
        aligned = align_maps(small, self.truth, pixel_A, limit_A=RIGHT_A)
        fsc = fourier_shell_correlation(aligned.map, self.truth, pixel_A, mask=self.mask)
        return float(resolution_at(fsc.frequency_per_A, fsc.fsc, 0.5).resolution_A), aligned.mirrored


def simulated_set(name: str, particles: int, snr: float, folder: Path) -> SimulatedSet:
    """Simulate a stack."""
    model = str(write_asymmetric_model(folder / "asymmetric.pdb")) if name == "asymmetric" else name
    parameters = StackParameters(
        model=model, particles=particles, snr=snr, box=BOX, pixel_size_A=PIXEL_A, padding=1.5, seed=7
    )
    made = simulate_stack(parameters, folder / name)
    truth = make_density(read_atoms(parameters), BOX, PIXEL_A, solvent_density=parameters.solvent_density)
    mask = sphere_mask(truth.shape, made.radius_A, PIXEL_A, edge_A=12.0)
    small = (np.asarray(resize(one, (JUDGED_BOX,) * 3), np.float32) for one in (truth * mask, mask))
    return SimulatedSet(made.truth, folder / name, made.radius_A, *small)


def settings_for(name: str, made: SimulatedSet, starts: int | None = None, seed: int = 1) -> AbInitioSettings:
    """Return how maps of a set are looked for."""
    return AbInitioSettings(
        radius_A=made.radius_A + 2.0, mass_kDa=MASS_KDA[name], symmetry=SYMMETRY[name], starts=starts, seed=seed
    )


@dataclass(frozen=True)
class Search:
    """What a search found, the first class's map of each of its starts, and the CPU seconds that it took."""

    found: AbInitioMaps
    starts: list[NDArray[np.float32]]
    cpu_s: float


def searched(images: Any, settings: AbInitioSettings) -> Search:
    """Find maps of prepared images, and keep what each start came to."""
    starts: list[NDArray[np.float32]] = []

    def keep(step: str, state: AbInitioState) -> None:
        if step.startswith("start"):
            starts.append(state.volumes[0].copy())

    began = time.process_time()
    found = maps_of_images(images, settings, progress=keep)
    return Search(found, starts, time.process_time() - began)


def run_of_seed(name: str, made: SimulatedSet, images: Any, settings: AbInitioSettings) -> dict[str, Any]:
    """Find the map of prepared images with the seed of some settings; return what came of it, and of each start."""
    search = searched(images, settings)
    reached, mirrored = made.judge(search.found.maps.volumes[0])
    run = {
        "seed": settings.seed, "fsc_05_A": round(reached, 2), "right": reached < RIGHT_A, "mirrored": mirrored,
        "gain_on_unseen": [round(float(one), 2) for one in search.found.gains],
        "starts_A": [round(made.judge(one)[0], 1) for one in search.starts], "cpu_seconds": round(search.cpu_s, 1),
        "commit": commit(),
    }  # fmt: skip
    sys.stdout.write(f"{name}: {run}\n")
    sys.stdout.flush()
    return run


def earlier_runs(record_name: str, same: dict[str, Any], but: list[int]) -> list[dict[str, Any]]:
    """Return the runs of other seeds that a file has of the same set and settings."""
    path = MEASURED / f"{record_name}.json"
    if not path.exists():
        return []
    content = json.loads(path.read_text())
    figures = content["figures"]
    if any(figures.get(key) != value for key, value in same.items()):
        return []
    return [{"commit": content["commit"], **run} for run in figures["runs"] if run["seed"] not in but]


def part_of_starts(runs: list[dict[str, Any]]) -> float | None:
    """Return which part of the single starts came to a right map; None where no run says."""
    starts = [one for run in runs for one in run.get("starts_A", ())]
    return round(float(np.mean(np.array(starts) < RIGHT_A)), 3) if starts else None


def try_seeds(
    name: str, particles: int, snr: float, seeds: list[int], starts: int, folder: Path, record_name: str
) -> Iterator[dict[str, Any]]:
    """Simulate one stack and find its map from several seeds; yield the figures after each."""
    made = simulated_set(name, particles, snr, folder)
    settings = settings_for(name, made, starts)
    began = time.process_time()
    with ParticleStack(made.table, made.folder) as stack:
        images = prepared(stack, np.arange(particles), settings, settings.finish_A)
    preparing = time.process_time() - began
    of_set = {
        "particles": particles, "snr": snr, "box": BOX, "pixel_size_A": PIXEL_A, "symmetry": settings.symmetry,
        "imposed_from_start": settings.impose, "starts": settings.starts, "rounds": settings.rounds,
    }  # fmt: skip
    runs = earlier_runs(record_name, of_set, seeds)
    for seed in seeds:
        runs.append(run_of_seed(name, made, images, replace(settings, seed=seed)))
        yield {
            **of_set,
            "seeds": len(runs), "right_part": round(float(np.mean([one["right"] for one in runs])), 3),
            "right_part_of_starts": part_of_starts(runs),
            "preparing_cpu_seconds": round(preparing, 1),
            "median_cpu_seconds": float(np.median([one["cpu_seconds"] for one in runs])),
            "runs": sorted(runs, key=lambda one: one["seed"]),
        }  # fmt: skip


def main(which: str = "", particles: int = 5000, snr: float = 0.03, seeds: str = "20", starts: int = 0) -> None:
    chosen = list(map(int, seeds.split(","))) if "," in seeds else list(range(1, int(seeds) + 1))
    for name in [which] if which else list(SYMMETRY):
        usual = usual_starts(SYMMETRY[name])
        ending = "" if starts in (0, usual) else f"_starts_{starts}"
        as_name = f"abinitio_{name.replace('-', '_')}{ending}"
        with tempfile.TemporaryDirectory() as folder:
            for figures in try_seeds(name, particles, snr, chosen, starts or usual, Path(folder), as_name):
                path = record(as_name, figures)
        sys.stdout.write(f"written to {path}\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*words[:1], *map(int, words[1:2]), *map(float, words[2:3]), *words[3:4], *map(int, words[4:5]))
