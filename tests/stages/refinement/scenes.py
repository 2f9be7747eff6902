"""Two made molecules in one stack: one that is also there with a part of it turned."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tests.engine.particles as particles
from verglas.formats import MrcStack, MrcStackWriter, OpticsGroup, ParticleTable
from verglas.geometry import euler_to_matrix


def mixed_particles(
    folder: Path, count: int, box: int, pixel_size_A: float, *, noise: float, turned_deg: float = 50.0, part: int = 15
) -> tuple[ParticleTable, np.ndarray, np.ndarray]:
    """Write ``particles.mrcs`` and return its true table, the class of each particle, and the two true maps.

    Both molecules have 60 points, of which ``part`` are turned in the second.
    """
    points = particles.molecule(box, pixel_size_A)
    moved = points.copy()
    outer = np.argsort(points[:, 0])[-part:]
    middle = points[outer].mean(axis=0)
    moved[outer] = (points[outer] - middle) @ euler_to_matrix(0.0, np.deg2rad(turned_deg), 0.0).T + middle
    tables = []
    for number, shape in enumerate((points, moved)):
        (folder / str(number)).mkdir()
        tables.append(
            particles.make_particles(
                folder / str(number), count // 2, box, pixel_size_A, noise=noise, seed=number + 1, points=shape
            )
        )
    order = np.random.Generator(np.random.Philox(3)).permutation(count)
    label = order // (count // 2)
    table = ParticleTable.empty(count)
    for name in tables[0][0].particles.dtype.names:
        if name not in {"image_name", "micrograph"}:
            table[name] = np.concatenate([one[name] for one, _ in tables])[order]
    table["half_set"] = 1 + np.arange(count) % 2
    table["image_section"] = table["position"] = np.arange(1, count + 1)
    table.set_names("image_name", ["particles.mrcs"] * count)
    table.set_names("micrograph", ["one.mrc"] * count)
    table.optics = [OpticsGroup(image_size_px=box, contrast_inverted=False)]
    stacks = [MrcStack(folder / str(number) / "particles.mrcs") for number in (0, 1)]
    with MrcStackWriter(folder / "particles.mrcs", box, box, pixel_size_A) as writer:
        for old, number in zip(order, label, strict=True):
            writer.append(stacks[number].section(int(old % (count // 2))))
    for stack in stacks:
        stack.close()
    return table, label, np.stack([truth for _, truth in tables])
