"""Ab-Initio 3D with two classes on a mixture of two proteins: who is put where, and how right both maps are.

Arguments: particles of each protein, SNR, seeds, starts (0: the default). No symmetry is imposed. The file is written
after every seed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import record

from prove.abinitio import BOX, MASS_KDA, PIXEL_A, RIGHT_A, simulated_set
from verglas.engine import ParticleImages, ParticleStack
from verglas.stages.abinitio import AbInitioSettings, maps_of_images, prepared, usual_starts

PROTEINS = ("apoferritin", "beta-galactosidase")


def together(parts: list[ParticleImages]) -> ParticleImages:
    """Return images of several sets, whitened each by its own noise, as one."""
    names = ("data", "transfer", "group", "defocus")
    return replace(parts[0], **{name: np.concatenate([getattr(one, name) for one in parts]) for name in names})


def try_seeds(particles: int, snr: float, seeds: int, starts: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Find both maps with several seeds; yield the figures after each."""
    sets = [simulated_set(name, particles, snr, folder) for name in PROTEINS]
    settings = AbInitioSettings(
        radius_A=max(one.radius_A for one in sets) + 2.0, mass_kDa=max(MASS_KDA[name] for name in PROTEINS),
        classes=2, starts=starts,
    )  # fmt: skip
    parts = []
    for made in sets:
        with ParticleStack(made.table, made.folder) as stack:
            parts.append(prepared(stack, np.arange(particles), settings, settings.finish_A))
    images, of = together(parts), np.repeat([0, 1], particles)
    runs: list[dict[str, Any]] = []
    for seed in range(1, seeds + 1):
        began = time.process_time()
        found = maps_of_images(images, replace(settings, seed=seed))
        spent = time.process_time() - began
        held = np.array([[np.mean(found.state.reference[of == p] == k) for k in (0, 1)] for p in (0, 1)])
        order = (0, 1) if np.trace(held) >= 1.0 else (1, 0)
        reached = [made.judge(found.maps.volumes[k])[0] for made, k in zip(sets, order, strict=True)]
        runs.append({
            "seed": seed, "rightly_placed": [round(float(held[p, k]), 4) for p, k in enumerate(order)],
            "fsc_05_A": [round(one, 2) for one in reached], "right": max(reached) < RIGHT_A,
            "gain_on_unseen": [round(float(one), 2) for one in found.gains], "cpu_seconds": round(spent, 1),
        })  # fmt: skip
        sys.stdout.write(f"{runs[-1]}\n")
        sys.stdout.flush()
        yield {
            "proteins": list(PROTEINS), "particles_of_each": particles, "snr": snr, "box": BOX, "pixel_size_A": PIXEL_A,
            "symmetry": "C1", "starts": settings.starts, "rounds": settings.rounds, "seeds": seed,
            "right_part": round(float(np.mean([one["right"] for one in runs])), 3), "runs": list(runs),
        }  # fmt: skip


def main(particles: int = 2500, snr: float = 0.05, seeds: int = 2, starts: int = 0) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for figures in try_seeds(particles, snr, seeds, starts or usual_starts("C1"), Path(folder)):
            path = record("abinitio_classes", figures)
    sys.stdout.write(f"written to {path}\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*map(int, words[:1]), *map(float, words[1:2]), *map(int, words[2:4]))
