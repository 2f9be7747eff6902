"""Noisy half maps with a known truth, and what cisTEM and RELION make of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from tests.support.oracles import ask_oracle, program


def read_map(path: Path) -> tuple[np.ndarray, float]:
    """Return the map in a file and its pixel size in A."""
    with mrcfile.open(path, permissive=True) as file:
        return np.array(file.data, dtype=np.float32), float(file.voxel_size.x)


def noisy_halves(truth: np.ndarray, noise_sd: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth plus independent white noise, twice; the sd is in units of the truth's sd."""
    sd = np.float32(noise_sd * truth.std())
    halves = []
    for number in (0, 1):
        generator = np.random.Generator(np.random.Philox(key=[seed, number]))
        halves.append(truth + sd * generator.standard_normal(truth.shape, dtype=np.float32))
    return halves[0], halves[1]


def cistem_shell_power(volumes: np.ndarray, folder: Path) -> np.ndarray:
    """Return the power in each shell of some cubes as cisTEM computes it (bins share a component linearly)."""
    answer = ask_oracle(
        """
        import pycistem.core as c
        curves = []
        n = volumes.shape[-1]
        for volume in volumes:
            image = c.Image()
            image.Allocate(n, n, n, True, True)
            image.real_values[...] = volume
            image.ForwardFFT(True)
            mean, count = c.Curve(), c.Curve()
            # The axis must reach the corners, or cisTEM writes beyond its curve.
            bins = int(n / 2 * 3**0.5) + 2
            mean.SetupXAxis(0.0, (bins - 1) / n, bins)
            count.SetupXAxis(0.0, (bins - 1) / n, bins)
            image.Compute1DPowerSpectrumCurve(mean, count, False)
            curves.append(np.array(mean.data_y)[: n // 2 + 1])
        answer['power'] = np.array(curves)
        """,
        folder,
        volumes=volumes.astype(np.float32),
    )
    return answer["power"]


def cistem_fsc(first: np.ndarray, second: np.ndarray, folder: Path) -> np.ndarray:
    """Return the FSC that follows from cisTEM's shell powers of the halves, their sum and their difference."""
    a, b, plus, minus = cistem_shell_power(np.stack([first, second, first + second, first - second]), folder)
    return (plus - minus) / (4 * np.sqrt(a * b))


def relion_postprocess(
    first: np.ndarray, second: np.ndarray, mask: np.ndarray, pixel_size_A: float, folder: Path, *options: str
) -> dict[str, Any]:
    """Run relion_postprocess and return the columns of its tables and the values of its general block."""
    for name, array in (("half1_class001_unfil", first), ("half2_class001_unfil", second), ("mask", mask)):
        with mrcfile.new(folder / f"{name}.mrc", array.astype(np.float32), overwrite=True) as file:
            file.voxel_size = pixel_size_A
    command = [program("relion_postprocess", "relion"), "--i", "half1_class001_unfil.mrc", "--o", "post"]
    command += ["--i2", "half2_class001_unfil.mrc", "--mask", "mask.mrc", "--angpix", str(pixel_size_A), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    # It ends with an error where ghostscript is missing, after everything but its PDF is written.
    if not (folder / "post.star").exists():
        raise AssertionError(f"relion_postprocess failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return read_star(folder / "post.star")


def read_star(path: Path) -> dict[str, Any]:
    """Return every column (as floats, where they are) and value of a RELION star file by its bare name."""
    found: dict[str, Any] = {}
    columns: list[str] = []
    rows: list[list[str]] = []

    def finish() -> None:
        for number, column in enumerate(columns):
            found[column] = np.array([float(row[number]) for row in rows])
        columns.clear()
        rows.clear()

    in_loop = False
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if not words or re.match(r"data_|loop_", words[0]):
            if columns and rows:
                finish()
            if words:
                in_loop = words[0] == "loop_"
        elif words[0].startswith("_rln"):
            if in_loop:
                columns.append(words[0][4:])
            else:
                found[words[0][4:]] = words[1]
        elif in_loop and columns:
            rows.append(words)
    finish()
    return found
