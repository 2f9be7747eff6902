"""Particle images of a molecule of points whose transform is known exactly, with CTF, shifts and noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from verglas.formats import MrcStackWriter, OpticsGroup, ParticleTable
from verglas.geometry import euler_to_matrix, matrix_to_euler, point_group, random_rotations
from verglas.microscopy import Optics, ctf_2d, odd_aberration_factor, true_frequencies

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
    dtype: str = "float32", points: np.ndarray | None = None, molecules: Sequence[np.ndarray] = (),
) -> tuple[ParticleTable, np.ndarray]:  # fmt: skip
    """Write ``particles.mrcs`` and return its true table and the true map; noise in units of the signal's deviation.

    ``points`` take the place of the usual ones.
    With ``bent`` every point has the defocus of its own depth, the beam running towards +z. All that ``optics`` says
    of aberrations and magnification is in the images and in the table.
    With several ``molecules`` (points each) particles are of one of them by chance, as ``class_number`` says, noise is
    that of the first particle, and the map is that of the first molecule.
    """
    if molecules:
        points = np.concatenate(list(molecules))
    elif points is None:
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
    weight = np.ones((count, len(points)))
    if molecules:
        table["class_number"] = 1 + np.random.Generator(np.random.Philox([seed, 9])).integers(0, len(molecules), count)
        of = np.repeat(np.arange(1, len(molecules) + 1), list(map(len, molecules)))
        weight[:] = of == table["class_number"][:, None]
    table["half_set"] = 1 + np.arange(count) % 2
    table["image_section"] = table["position"] = np.arange(1, count + 1)
    table.set_names("image_name", ["particles.mrcs"] * count)
    table.set_names("micrograph", ["one.mrc"] * count)
    table["beam_tilt_x_mrad"], table["beam_tilt_y_mrad"] = optics.beam_tilt_x_mrad, optics.beam_tilt_y_mrad
    matrix = np.array(optics.magnification)
    extra = (
        {f"rlnMagMat{i}{j}": f"{matrix[i, j]:.6f}" for i in (0, 1) for j in (0, 1)}
        if (matrix != np.eye(2)).any()
        else {}
    )
    for label, values in (("rlnOddZernike", optics.odd_zernike), ("rlnEvenZernike", optics.even_zernike)):
        extra |= {label: f"[{','.join(f'{value:.4f}' for value in values)}]"} if values else {}
    table.optics = [OpticsGroup(image_size_px=box, contrast_inverted=False, extra=extra)]
    ky, kx = np.fft.fftfreq(box, pixel_size_A)[:, None], np.fft.rfftfreq(box, pixel_size_A)[None]
    true_x, true_y = true_frequencies(kx, ky, optics)
    squared = true_x**2 + true_y**2
    fall = envelope(squared, pixel_size_A) * (squared < (0.5 / pixel_size_A) ** 2)
    if optics.has_odd_aberrations:
        fall = fall * odd_aberration_factor(kx + 0.0 * ky, ky + 0.0 * kx, optics, dtype=np.complex128)
    angles = (np.deg2rad(table[name].astype(np.float64)) for name in ("rot_deg", "tilt_deg", "psi_deg"))
    turned = points @ euler_to_matrix(*angles).swapaxes(1, 2)
    # True frequencies are the matrix times those of the image: points appear at its transpose times where they are.
    seen = turned[:, :, :2] @ matrix - np.stack([table["origin_x_A"], table["origin_y_A"]], axis=1)[:, None]
    depth = turned[:, :, 2]
    at_once, level = 1 if bent else max(1, 2**18 // box**2), np.zeros(1)
    with MrcStackWriter(folder / "particles.mrcs", box, box, pixel_size_A, dtype) as writer:
        for first in range(0, count, at_once):
            some = slice(first, first + at_once)
            across = np.exp(-2j * np.pi * kx[0, :, None] * seen[some, None, :, 0])
            across = across * weight[some, None]
            down = np.exp(-2j * np.pi * ky[None] * seen[some, None, :, 1])
            astigmatism = (table["defocus_v_A"] - table["defocus_u_A"])[some, None]
            defocus = table["defocus_u_A"][some, None] + (depth[some] if bent else np.zeros(1))
            transfer = ctf_2d(
                (box, box), optics, defocus, defocus + astigmatism, np.deg2rad(table["defocus_angle_deg"][some, None]),
                pixel_size_A=pixel_size_A,
            )  # fmt: skip
            if bent:
                transform = fall * np.einsum("yn,xn,nyx->yx", down[0], across[0], transfer[0], optimize=True)
            else:
                transform = fall * (down @ across.swapaxes(1, 2)) * transfer[:, 0]
            images = np.fft.fftshift(np.fft.irfft2(transform.reshape(-1, box, box // 2 + 1), (box, box)), (1, 2))
            deviation = images.std(axis=(1, 2), keepdims=True)
            if molecules:
                level = level if first else deviation[:1]
                deviation = np.broadcast_to(level, deviation.shape)
            images += noise * deviation * random.standard_normal(images.shape)
            for image in images.astype(dtype):
                writer.append(image)
    return table, density(molecules[0] if molecules else points, box, pixel_size_A)
