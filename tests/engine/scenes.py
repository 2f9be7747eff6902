"""Small stacks with known truth, made in closed form and so sharing nothing with the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.engine.atoms import Blobs, blobs
from verglas.engine.threads import kernel_threads, single_blas_thread
from verglas.geometry import random_rotations
from verglas.microscopy import Optics, ctf, odd_aberration_factor


@dataclass(frozen=True)
class Scene:
    molecule: Blobs
    images: np.ndarray
    rotations: np.ndarray
    displacements_A: np.ndarray
    defocus: np.ndarray
    optics: Optics
    noise_power: np.ndarray


def scene(
    count: int,
    *,
    box: int = 48,
    pixel_size_A: float = 2.5,
    noise: float = 0.0,
    shift_A: float = 4.0,
    seed: int = 11,
    contrast_inverted: bool = False,
    beam_tilt_mrad: float = 0.0,
    molecule: Blobs | None = None,
    rotations: np.ndarray | None = None,
) -> Scene:
    """Return images of blobs with CTF, shifts and coloured noise; ``noise`` is its deviation over the signal's."""
    molecule = molecule or blobs()
    optics = Optics(300.0, 2.7, 0.07, pixel_size_A, beam_tilt_x_mrad=beam_tilt_mrad)
    random = np.random.Generator(np.random.Philox(seed))
    rotations = random_rotations(count, seed) if rotations is None else rotations
    displacements = random.normal(0, shift_A, (count, 2))
    mean = random.uniform(8000, 16000, count)
    defocus = np.stack([mean + 100, mean - 100, random.uniform(-1.5, 1.5, count), np.zeros(count)], axis=1)
    ky, kx = np.broadcast_arrays(np.fft.fftfreq(box, pixel_size_A)[:, None], np.fft.rfftfreq(box, pixel_size_A)[None])
    images = []
    with single_blas_thread(), kernel_threads(1):
        for R, d, z in zip(rotations, displacements, defocus):
            transform = molecule.grid_transform(R, kx[0], ky[:, 0]) * np.exp(-2j * np.pi * (kx * d[0] + ky * d[1]))
            transform = transform * ctf(kx, ky, optics, *z, dtype=np.float64) * odd_aberration_factor(kx, ky, optics)
            transform[box // 2] = 0
            transform[:, box // 2] = 0
            images.append(np.fft.fftshift(np.fft.irfft2(transform, (box, box))))
    stack = np.array(images)
    stack *= -1.0 if contrast_inverted else 1.0
    radius = np.hypot(kx, ky) * box * pixel_size_A
    shape = 1.0 + 3.0 / (1.0 + (radius / 4.0) ** 2)
    deviation = noise * stack.std()
    white = random.standard_normal(stack.shape)
    stack = stack + deviation * np.fft.irfft2(np.fft.rfft2(white) * np.sqrt(shape), (box, box))
    rings = np.arange(box)
    power = max(deviation, 1e-3 * stack.std()) ** 2 * (1.0 + 3.0 / (1.0 + (rings / 4.0) ** 2))
    return Scene(molecule, stack.astype(np.float32), rotations, displacements, defocus, optics, power)
