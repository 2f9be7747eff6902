"""Simulate a stack of boxed particles with known poses, defocus, class and signal-to-noise ratio."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.errors import InputError
from verglas.formats import MrcStackWriter, OpticsGroup, ParticleTable, write_particles
from verglas.kernels.simulation_random import fill_normals
from verglas.stages.simulation.atoms import read_atoms
from verglas.stages.simulation.optics import Defocus, Microscope
from verglas.stages.simulation.output import Progress, with_optics, write_json
from verglas.stages.simulation.parameters import SpecimenParameters, StackParameters
from verglas.stages.simulation.poses import Orientations, choose_class, micrograph_defocus, rotation_matrix
from verglas.stages.simulation.projection import Projector
from verglas.stages.simulation.random import generator, kernel_key
from verglas.stages.simulation.stack_noise import CountingNoise, StatedNoise
from verglas.stages.simulation.truth import fading

STACK_NAME = "particles.mrcs"
POSE_COLUMNS = (
    "rot_deg", "tilt_deg", "psi_deg", "origin_x_A", "origin_y_A", "defocus_u_A", "defocus_v_A", "defocus_angle_deg",
    "class_number",
)  # fmt: skip
CHUNK = 64  # images in memory at once
IMAGES_FOR_SCALE = 32


@dataclass(frozen=True)
class StackResult:
    """What :func:`simulate_stack` wrote.

    Attributes
    ----------
    stack, star, report
        Images (.mrcs), truth (RELION 3.1 star) and ``report.json``.
    truth
        Poses, shifts, defocus and class of each particle.
    signal_scale
        Factor from relative contrast to the written values, whose noise has variance 1; where electrons are counted,
        the noise of counting has.
    radius_A
        Radius of the molecule.
    """

    stack: Path
    star: Path
    report: Path
    truth: ParticleTable
    signal_scale: float
    radius_A: float


def projectors(
    specimen: SpecimenParameters, pixel_size_A: float, room_A: float = 0.0, largest: int | None = None
) -> list[Projector]:
    """Return a projector for each conformation, on a common box.

    Parameters
    ----------
    specimen
        The molecule.
    pixel_size_A
        A.
    room_A
        How far molecules are moved off the middle of the box.
    largest
        Use this box where the molecule and its room would need more.
    """
    shapes = [read_atoms(specimen, shape) for shape in specimen.conformations]
    border = max(4.0, 6.0 / pixel_size_A)
    reach = (max(atoms.radius_A for atoms in shapes) + room_A) / pixel_size_A + border
    box = scipy.fft.next_fast_len(2 * math.ceil(reach), real=True)
    box += box % 2
    if largest is not None and box > largest:
        box = largest
    return [
        Projector(
            atoms, box, pixel_size_A, solvent_density=specimen.solvent_density, smoothing_A=specimen.solvent_smoothing_A
        )
        for atoms in shapes
    ]


def draw_truth(parameters: StackParameters) -> ParticleTable:
    """Return the truth table of a stack; each particle's row depends on the seed and its index alone."""
    orientations = Orientations(parameters, parameters.seed)
    rows, names = [], []
    for i in range(parameters.particles):
        micrograph = i // parameters.particles_per_micrograph
        random = generator(parameters.seed, "shift", i)
        shift = random.normal(0, 1, 2) * parameters.shift_sigma_A
        height = parameters.height_spread_A * float(random.uniform(-1, 1))
        defocus = micrograph_defocus(parameters, parameters.seed, micrograph).moved(-height)
        shape = choose_class(parameters, parameters.seed, i)
        rows.append((*orientations.draw(i), *shift, defocus.u_A, defocus.v_A, defocus.angle_degrees, shape + 1))
        names.append(f"simulated_{micrograph + 1:05d}.mrc")
    columns = dict(zip(POSE_COLUMNS, np.array(rows, dtype=float).T, strict=True))
    table = ParticleTable.empty(parameters.particles, columns)
    table["position"] = table["image_section"] = np.arange(1, parameters.particles + 1)
    table.set_names("image_name", [STACK_NAME] * parameters.particles)
    table.set_names("micrograph", names)
    group = OpticsGroup(image_size_px=parameters.box, contrast_inverted=parameters.contrast_inverted)
    return with_optics(table, parameters, group)


class StackImages:
    """The images of a stack, each computed from the parameters and its index alone."""

    def __init__(self, parameters: StackParameters, truth: ParticleTable) -> None:
        self.parameters, self.truth = parameters, truth
        box, pixel = parameters.box, parameters.pixel_size_A
        self.padded = box
        if parameters.padding > 1:
            self.padded = scipy.fft.next_fast_len(math.ceil(box * parameters.padding), real=True)
            self.padded += (self.padded - box) % 2
        room = float(np.abs([truth["origin_x_A"], truth["origin_y_A"]]).max())
        self.projectors = projectors(parameters, pixel, room, self.padded)
        self.microscope = Microscope(parameters, (self.padded, self.padded))
        self.radius_A = max(projector.atoms.radius_A for projector in self.projectors)
        self._key = kernel_key(parameters.seed, "stack noise", 0)
        self._faded: NDArray[np.float32] | float = 1.0
        if parameters.dose_e_A2 is not None:
            radii = np.sqrt(self.microscope.k2)
            self._faded = fading(radii, parameters.dose_e_A2, parameters.voltage_kV).astype(np.float32)
        self.scale, self.noise_variance = 1.0, 0.0
        self.snr: float | None = None
        self.noise: StatedNoise | CountingNoise | None = None
        if parameters.snr is not None or parameters.dose_e_A2 is not None:
            inside = self._disc()
            some = range(min(IMAGES_FOR_SCALE, parameters.particles))
            variance = float(np.mean([self.signal(i)[inside].var() for i in some]))
            if parameters.dose_e_A2 is not None:
                self.noise = CountingNoise(parameters)
                # The variance of counting is one over the electrons of a pixel.
                self.scale = math.sqrt(parameters.dose_e_A2) * pixel
            else:
                assert parameters.snr is not None
                self.noise = StatedNoise(parameters)
                self.scale = math.sqrt(parameters.snr / variance)
            self.noise_variance = float(np.mean([self.noise.variance(self._defocus(i)) for i in some]))
            self.snr = variance * self.scale**2 / self.noise_variance
        self.scale *= -1.0 if parameters.contrast_inverted else 1.0

    def _disc(self) -> NDArray[np.bool_]:
        box = self.parameters.box
        y, x = np.ogrid[-(box // 2) : box - box // 2, -(box // 2) : box - box // 2]
        return np.asarray(np.hypot(y, x) * self.parameters.pixel_size_A <= self.radius_A)

    def _defocus(self, i: int) -> Defocus:
        u, v, angle = (float(self.truth[f"defocus_{name}"][i]) for name in ("u_A", "v_A", "angle_deg"))
        return Defocus(u, v, angle, self.parameters.phase_shift_degrees)

    def signal(self, i: int) -> NDArray[np.float32]:
        """Return the noise-free image of particle ``i`` (relative contrast, or projected potential without CTF)."""
        p, truth = self.parameters, self.truth
        projector = self.projectors[int(truth["class_number"][i]) - 1]
        rotation = rotation_matrix(*(float(truth[name][i]) for name in ("rot_deg", "tilt_deg", "psi_deg")))
        offset = (-float(truth["origin_y_A"][i]), -float(truth["origin_x_A"][i]))
        if p.apply_ctf:
            spectrum = self.microscope.contrast(projector, rotation, offset, self._defocus(i)) * self._faded
            size = self.padded
        else:
            spectrum, size = projector.potential(rotation, offset), projector.box
        image = scipy.fft.irfft2(spectrum, (size, size))
        box = p.box
        out = np.zeros((box, box), np.float32)
        if size >= box:
            start = size // 2 - box // 2
            out[:] = image[start : start + box, start : start + box]
        else:
            start = box // 2 - size // 2
            out[start : start + size, start : start + size] = image
        return out

    def image(self, i: int) -> NDArray[np.float32]:
        """Return the final image of particle ``i``."""
        image = self.signal(i) * np.float32(self.scale)
        if self.noise is None:
            return image
        noise = np.empty(image.size, np.float32)
        fill_normals(noise, *self._key, i)
        spectrum = scipy.fft.rfft2(noise.reshape(image.shape)) * self.noise.filter(self._defocus(i))
        return image + np.asarray(scipy.fft.irfft2(spectrum, image.shape), dtype=np.float32)


def simulate_stack(
    parameters: StackParameters,
    folder: str | Path,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> StackResult:
    """Simulate a stack of particles.

    Parameters
    ----------
    parameters
        What to simulate.
    folder
        Where ``particles.mrcs``, ``particles.star`` and ``report.json`` go; made if absent.
    threads
        Images computed at once; the result does not depend on it.
    progress
        Called with (images done, images in all).

    Returns
    -------
    StackResult
        Files and truth.
    """
    started = time.perf_counter()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if parameters.dose_e_A2 is not None and not parameters.apply_ctf:
        raise InputError(
            "counted electrons (dose_e_A2) are of images with a CTF: apply_ctf must be true; or leave out dose_e_A2 "
            "and give snr."
        )
    truth = draw_truth(parameters)
    images = StackImages(parameters, truth)
    n, box = parameters.particles, parameters.box
    stack, star = folder / STACK_NAME, folder / "particles.star"
    with (
        MrcStackWriter(stack, box, box, parameters.pixel_size_A) as writer,
        ThreadPoolExecutor(max(1, threads)) as pool,
    ):
        for first in range(0, n, CHUNK):
            for i, image in enumerate(pool.map(images.image, range(first, min(n, first + CHUNK))), start=first + 1):
                writer.append(image)
                if progress is not None:
                    progress(i, n)
    write_particles(truth, star)
    report = folder / "report.json"
    per_class = np.bincount(truth["class_number"] - 1, minlength=len(parameters.conformations))
    content = {
        "kind": "stack",
        "parameters": parameters.model_dump(mode="json"),
        "particles": n,
        "radius_A": images.radius_A,
        "signal_scale": images.scale,
        "noise_variance": images.noise_variance,
        "snr": images.snr,
        "particles_per_class": per_class.tolist(),
        "files": [stack.name, star.name],
        "seconds": round(time.perf_counter() - started, 2),
    }
    write_json(report, content)
    return StackResult(stack, star, report, truth, images.scale, images.radius_A)
