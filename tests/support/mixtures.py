"""Stacks of known classes: views of two proteins, mixed with junk that no class average should be made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verglas.formats import OpticsGroup, ParticleTable
from verglas.microscopy import Optics
from verglas.stages.simulation import StackParameters
from verglas.stages.simulation.stack import StackImages, draw_truth

VIEWS = (("apoferritin", 0.0, 0.0), ("beta-galactosidase", 0.0, 90.0), ("beta-galactosidase", 90.0, 90.0),
         ("beta-galactosidase", 45.0, 35.0))  # fmt: skip
JUNK = ("noise", "ice", "pair")
RADIUS_A = {"apoferritin": 65.0, "beta-galactosidase": 95.0}


@dataclass(frozen=True)
class Mixture:
    """Images and their truth.

    Attributes
    ----------
    images
        Dark protein, noise of variance 1; shape (n, box, box).
    table
        Poses and defocus.
    label
        View of each particle, from 0; ``-1 - kind`` for junk (noise, blobs of ice, two particles beside the middle).
    projections
        The views without noise and CTF, protein positive; shape (views, box, box).
    """

    images: NDArray[np.float32]
    table: ParticleTable
    label: NDArray[np.int64]
    projections: NDArray[np.float32]

    @property
    def defocus(self) -> NDArray[np.float64]:
        """Defocus as the engine takes it, shape (n, 4)."""
        t = self.table
        return np.stack([t["defocus_u_A"], t["defocus_v_A"], np.deg2rad(t["defocus_angle_deg"]),
                         np.deg2rad(t["phase_shift_deg"])], axis=1)  # fmt: skip

    @property
    def optics(self) -> Optics:
        """The microscope."""
        row = self.table.particles[0]
        return Optics(float(row["voltage_kV"]), float(row["spherical_aberration_mm"]),
                      float(row["amplitude_contrast"]), float(row["pixel_size_A"]))  # fmt: skip


def make_mixture(
    particles: int, *, box: int = 64, pixel_size_A: float = 4.0, snr: float = 0.1, junk: float = 0.2,
    shift_A: float = 5.0, seed: int = 1, stack: str = "mixture.mrcs",
) -> Mixture:  # fmt: skip
    """Simulate a mixture.

    Parameters
    ----------
    particles
        How many, junk included.
    box, pixel_size_A
        Of the images.
    snr
        Signal variance within the particle's radius / noise variance, of each protein.
    junk
        Part of the particles that is junk.
    shift_A
        Error of centring.
    seed
        Of everything.
    stack
        Name of the stack that the table names.
    """
    random = np.random.Generator(np.random.Philox([seed, 77]))
    count = round(junk * particles)
    label = random.permutation(np.where(np.arange(particles) < count, -1 - np.arange(particles) % len(JUNK),
                                        np.arange(particles) % len(VIEWS)))  # fmt: skip
    makers = {model: parameters_of(model, particles, box, pixel_size_A, snr, shift_A, seed) for model in RADIUS_A}
    table = draw_truth(makers["apoferritin"])
    for view, (_, rot, tilt) in enumerate(VIEWS):
        table["rot_deg"][label == view], table["tilt_deg"][label == view] = rot, tilt
    table["class_number"] = 1
    stacks = {model: StackImages(made, table) for model, made in makers.items()}
    images = np.empty((particles, box, box), np.float32)
    for i in range(particles):
        images[i] = (stacks[VIEWS[label[i]][0]].image(i) if label[i] >= 0
                     else junk_image(-1 - int(label[i]), i, stacks["apoferritin"], random))  # fmt: skip
    clean = []
    for model, rot, tilt in VIEWS:
        bare = parameters_of(model, 1, box, pixel_size_A, None, 0.0, seed).model_copy(
            update={"apply_ctf": False, "contrast_inverted": True, "envelope_b_A2": 0.0}
        )
        row = draw_truth(bare)
        row["rot_deg"], row["tilt_deg"], row["psi_deg"], row["class_number"] = rot, tilt, 0.0, 1
        clean.append(StackImages(bare, row).signal(0))
    table["class_number"] = label + 1
    table.set_names("image_name", [stack] * particles)
    table.optics = [OpticsGroup(image_size_px=box, contrast_inverted=False)]
    return Mixture(images, table, label, np.stack(clean).astype(np.float32))


def parameters_of(
    model: str, particles: int, box: int, pixel_size_A: float, snr: float | None, shift_A: float, seed: int
) -> StackParameters:
    """Return how one protein's images are simulated."""
    return StackParameters(model=model, particles=particles, box=box, pixel_size_A=pixel_size_A, snr=snr,
                           shift_sigma_A=shift_A, seed=seed, padding=1.5)  # fmt: skip


def junk_image(kind: int, i: int, stack: StackImages, random: np.random.Generator) -> NDArray[np.float32]:
    """Return an image without a particle: noise alone, with dark blobs of ice, or two particles beside the middle."""
    box, pixel_A = stack.parameters.box, stack.parameters.pixel_size_A
    noise = stack.image(i) - stack.signal(i) * np.float32(stack.scale)
    if JUNK[kind] == "noise":
        return noise
    place = (np.arange(box) - box // 2) * pixel_A
    y, x = np.meshgrid(place, place, indexing="ij")
    if JUNK[kind] == "ice":
        for _ in range(int(random.integers(1, 4))):
            at = random.uniform(-70, 70, 2)
            noise -= 1.5 * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * random.uniform(12, 35) ** 2))
        return noise.astype(np.float32)
    angle, apart = random.uniform(0, 2 * np.pi), random.uniform(60, 110)
    moved = np.rint(apart / pixel_A * np.array([np.sin(angle), np.cos(angle)])).astype(int)
    signal = stack.signal(i) * np.float32(stack.scale)
    return noise + np.roll(signal, moved, (0, 1)) + np.roll(signal, -moved, (0, 1))
