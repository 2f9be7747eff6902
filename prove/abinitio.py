"""How often Ab-Initio 3D finds the right map: apoferritin (O), and a made-up 150 kDa protein without symmetry.

A map is right where its FSC with the true density, in either hand, is above 0.5 to better than 12 A. Arguments: which
set (``apoferritin``, ``asymmetric``; both when none), particles, SNR, seeds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tools.measured import record

from verglas.engine import ParticleStack, align_maps
from verglas.signal import fourier_shell_correlation, resize, resolution_at, sphere_mask
from verglas.stages.abinitio import AbInitioSettings, find_maps
from verglas.stages.simulation import StackParameters, make_density, read_atoms, simulate_stack
from verglas.stages.simulation.models import write_asymmetric_model

BOX, PIXEL_A = 128, 1.5
RIGHT_A = 12.0


def try_seeds(name: str, particles: int, snr: float, seeds: int, folder: Path) -> dict[str, Any]:
    """Simulate one stack and find its map from several seeds."""
    symmetric = name == "apoferritin"
    model = "apoferritin" if symmetric else str(write_asymmetric_model(folder / "asymmetric.pdb"))
    parameters = StackParameters(
        model=model, particles=particles, snr=snr, box=BOX, pixel_size_A=PIXEL_A, padding=1.5, seed=7
    )
    made = simulate_stack(parameters, folder / name, threads=2)
    truth = make_density(read_atoms(parameters), BOX, PIXEL_A, solvent_density=parameters.solvent_density)
    mask = sphere_mask(truth.shape, made.radius_A, PIXEL_A, edge_A=12.0)
    small = 64
    true_small, mask_small = (np.asarray(resize(one, (small,) * 3), np.float32) for one in (truth * mask, mask))
    runs = []
    with ParticleStack(made.truth, folder / name) as stack:
        for seed in range(1, seeds + 1):
            began = time.process_time()
            settings = AbInitioSettings(
                radius_A=made.radius_A + 2.0, mass_kDa=480.0 if symmetric else 150.0,
                symmetry="O" if symmetric else "C1", seed=seed,
            )  # fmt: skip
            found = find_maps(stack, settings)
            spent = time.process_time() - began
            volume = np.asarray(resize(found.maps.volumes[0], (small,) * 3), np.float32)
            pixel_A = PIXEL_A * BOX / small
            aligned = align_maps(volume, true_small, pixel_A, limit_A=RIGHT_A)
            fsc = fourier_shell_correlation(aligned.map, true_small, pixel_A, mask=mask_small)
            reached = float(resolution_at(fsc.frequency_per_A, fsc.fsc, 0.5).resolution_A)
            runs.append({
                "seed": seed, "fsc_05_A": round(reached, 2), "right": reached < RIGHT_A, "mirrored": aligned.mirrored,
                "gain_on_unseen": [round(float(one), 2) for one in found.gains], "cpu_seconds": round(spent, 1),
            })  # fmt: skip
            sys.stdout.write(f"{name}: {runs[-1]}\n")
    return {
        "particles": particles, "snr": snr, "box": BOX, "pixel_size_A": PIXEL_A, "seeds": seeds,
        "right_part": round(float(np.mean([one["right"] for one in runs])), 3),
        "median_cpu_seconds": float(np.median([one["cpu_seconds"] for one in runs])), "runs": runs,
    }  # fmt: skip


def main(which: str = "", particles: int = 5000, snr: float = 0.03, seeds: int = 20) -> None:
    chosen = [which] if which else ["apoferritin", "asymmetric"]
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            figures = try_seeds(name, particles, snr, seeds, Path(folder))
        sys.stdout.write(f"written to {record(f'abinitio_{name}', figures)}\n")


if __name__ == "__main__":
    words = sys.argv[1:]
    main(*words[:1], *map(int, words[1:2]), *map(float, words[2:3]), *map(int, words[3:4]))
