"""Particle images of a molecule of points whose transform is known exactly, with CTF, shifts and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from verglas.formats import MrcStackWriter, OpticsGroup, ParticleTable
from verglas.geometry import euler_to_matrix, matrix_to_euler, point_group, random_rotations
from verglas.microscopy import Optics, ctf_2d

OPTICS = Optics(300.0, 2.7, 0.07, 1.0)


def molecule(box: int, pixel_size_A: float, symmetry: str = "C1", seed: int = 5) -> np.ndarray:
    """Return positions (x, y, z) in A of points without symmetry, or with that of a point group."""
    group = point_group(symmetry)
    random = np.random.Generator(np.random.Philox(seed))
    count = max(4, 60 // group.order)
    direction = random.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = 0.28 * box * pixel_size_A * random.uniform(0.1, 1.0, (count, 1)) ** (1 / 3)
    return np.einsum("sij,nj->sni", group.operators, radius * direction).reshape(-1, 3)


def envelope(squared: np.ndarray, pixel_size_A: float) -> np.ndarray:
    """Return the transform of one atom, whose amplitude has fallen to 0.3 at Nyquist."""
    return np.exp(-4.8 * squared * pixel_size_A**2)


def density(points: np.ndarray, box: int, pixel_size_A: float) -> np.ndarray:
    """Return the map, band-limited to Nyquist."""
    k, half = np.fft.fftfreq(box, pixel_size_A), np.fft.rfftfreq(box, pixel_size_A)
    factors = [np.exp(-2j * np.pi * np.outer(axis, points[:, i])) for i, axis in enumerate((half, k, k))]
    total = np.einsum("xn,yn,zn->zyx", *factors, optimize=True)
    squared = k[:, None, None] ** 2 + k[:, None] ** 2 + half**2
    total *= envelope(squared, pixel_size_A) * (squared < (0.5 / pixel_size_A) ** 2)
    return np.fft.fftshift(np.fft.irfftn(total, (box,) * 3, axes=(0, 1, 2))).astype(np.float32)


def make_particles(
    folder: Path, count: int, box: int, pixel_size_A: float, *, symmetry: str = "C1", noise: float = 0.0, seed: int = 1,
    optics: Optics = OPTICS, defocus_A: tuple[float, float] = (8000.0, 14000.0), bent: bool = False,
) -> tuple[ParticleTable, np.ndarray]:  # fmt: skip
    """Write ``particles.mrcs`` and return its true table and the true map; noise in units of the signal's deviation.

    With ``bent`` every point has the defocus of its own depth, the beam running towards +z.
    """
    points = molecule(box, pixel_size_A, symmetry)
    random = np.random.Generator(np.random.Philox(seed))
    rotations = random_rotations(count, seed)
    table = ParticleTable.empty(count)
    phi, theta, psi = matrix_to_euler(rotations)
    for name, angle in (("rot_deg", phi), ("tilt_deg", theta), ("psi_deg", psi)):
        table[name] = np.rad2deg(angle)
    table["origin_x_A"], table["origin_y_A"] = 2.0 * pixel_size_A * random.standard_normal((2, count))
    table["defocus_u_A"] = random.uniform(*defocus_A, count)
    table["defocus_v_A"] = table["defocus_u_A"] - random.uniform(0, 500, count)
    table["defocus_angle_deg"] = random.uniform(-90, 90, count)
    table["pixel_size_A"], table["voltage_kV"] = pixel_size_A, optics.voltage_kV
    table["spherical_aberration_mm"] = optics.spherical_aberration_mm
    table["amplitude_contrast"] = optics.amplitude_contrast
    table["half_set"] = 1 + np.arange(count) % 2
    table["image_section"] = table["position"] = np.arange(1, count + 1)
    table.set_names("image_name", ["particles.mrcs"] * count)
    table.set_names("micrograph", ["one.mrc"] * count)
    table.optics = [OpticsGroup(image_size_px=box, contrast_inverted=False)]
    ky, kx = np.fft.fftfreq(box, pixel_size_A)[:, None], np.fft.rfftfreq(box, pixel_size_A)[None]
    squared = ky**2 + kx**2
    fall = envelope(squared, pixel_size_A) * (squared < (0.5 / pixel_size_A) ** 2)
    with MrcStackWriter(folder / "particles.mrcs", box, box, pixel_size_A) as writer:
        for i in range(count):
            angles = (np.deg2rad(float(table[name][i])) for name in ("rot_deg", "tilt_deg", "psi_deg"))
            turned = points @ euler_to_matrix(*angles).T
            seen, depth = turned[:, :2], turned[:, 2]
            seen -= [table["origin_x_A"][i], table["origin_y_A"][i]]
            along = np.exp(-2j * np.pi * kx.T * seen[:, 0]), np.exp(-2j * np.pi * ky * seen[:, 1])
            astigmatism = table["defocus_v_A"][i] - table["defocus_u_A"][i]
            defocus = table["defocus_u_A"][i] + (depth if bent else np.zeros(1))
            transfer = ctf_2d(
                (box, box), optics, defocus, defocus + astigmatism, np.deg2rad(table["defocus_angle_deg"][i]),
                pixel_size_A=pixel_size_A,
            )  # fmt: skip
            if bent:
                transform = fall * np.einsum("yn,xn,nyx->yx", along[1], along[0], transfer, optimize=True)
            else:
                transform = fall * (along[1] @ along[0].T) * transfer[0]
            image = np.fft.fftshift(np.fft.irfft2(transform, (box, box)))
            writer.append((image + noise * image.std() * random.standard_normal(image.shape)).astype(np.float32))
    return table, density(points, box, pixel_size_A)
