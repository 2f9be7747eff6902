"""Simulate movies and micrographs: expected images of particles in moving ice, counted electron by electron."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.kernels.simulation_frame import advance_ice, assemble_spectrum, expose, warp_crop
from verglas.kernels.simulation_random import count_electrons
from verglas.stages.simulation.detector import Detector, interpolation_taps, make_detector, response
from verglas.stages.simulation.ice import ice_contrast_density, thickness_map, water_memory
from verglas.stages.simulation.motion import SPATIAL_TERMS, Motion, draw_motion
from verglas.stages.simulation.optics import Defocus, Microscope, damage
from verglas.stages.simulation.output import (
    Progress,
    optics_block,
    star_block,
    write_json,
    write_movie,
    write_mrc,
    write_whole,
)
from verglas.stages.simulation.parameters import MicrographParameters, MovieParameters
from verglas.stages.simulation.poses import Orientations, micrograph_defocus
from verglas.stages.simulation.projection import Projector, frequencies
from verglas.stages.simulation.random import kernel_key
from verglas.stages.simulation.scene import Placed, obstacles, particle_layer, place_particles
from verglas.stages.simulation.stack import projectors

RADIAL_STEPS = 2048


@dataclass(frozen=True)
class MovieTruth:
    """What is true of one movie.

    Attributes
    ----------
    name
        File name without folder.
    defocus
        At the middle of the ice.
    motion
        Displacement of the specimen in each frame.
    particles
        All that was placed; those with ``listed`` are in the truth table.
    obstacles
        Crystals and carbon, as plain JSON.
    """

    name: str
    defocus: Defocus
    motion: Motion
    particles: list[Placed]
    obstacles: dict[str, object]


@dataclass(frozen=True)
class MoviesResult:
    """What :func:`simulate_movies` or :func:`simulate_micrographs` wrote.

    Attributes
    ----------
    images
        Movies (counts) or micrographs.
    gain
        Gain reference (multiply by it), None for micrographs, which have been corrected with it.
    star, micrographs_star, truth_json, report
        True particles, true defocus of each image, motion and obstacles, and ``report.json``.
    truth
        One a movie.
    """

    images: list[Path]
    gain: Path | None
    star: Path
    micrographs_star: Path
    truth_json: Path
    report: Path
    truth: list[MovieTruth]


class MovieMaker:
    """Everything that the movies of one set share."""

    def __init__(self, parameters: MovieParameters) -> None:
        self.parameters = p = parameters
        self.projectors: list[Projector] = projectors(p, p.pixel_size_A)
        self.radius_A = max(projector.atoms.radius_A for projector in self.projectors)
        self.orientations = Orientations(p, p.seed)
        reach = 2.5 * p.drift_A + 4 * p.local_motion_A
        self.margin = math.ceil(reach / p.pixel_size_A) + 16
        self.canvas = tuple(scipy.fft.next_fast_len(n + 2 * self.margin, real=True) for n in (p.height, p.width))
        ky, kx = frequencies(self.canvas, p.pixel_size_A)
        self.ky, self.kx = np.ascontiguousarray(ky[:, 0]), np.ascontiguousarray(kx[0])
        self.radius_step = math.hypot(0.5, 0.5) / p.pixel_size_A * 1.001 / RADIAL_STEPS
        self.radii = np.arange(RADIAL_STEPS + 2) * self.radius_step
        self.taps = interpolation_taps()
        self.response = response(self.radii, p).astype(np.float32)
        memory, damping = water_memory(self.radii, p)
        self.ice_keep = memory.astype(np.float32)
        density = ice_contrast_density(self.radii, p)
        self.ice_amplitude = np.sqrt(density * math.prod(self.canvas)) / p.pixel_size_A * damping
        self.microscopes: dict[int, Microscope] = {}

    @cached_property
    def detector(self) -> Detector:
        """The camera."""
        return make_detector(self.parameters)

    @cached_property
    def microscope(self) -> Microscope:
        """The microscope on the whole canvas."""
        return Microscope(self.parameters, self.canvas)

    def frames(self, movie: int, receive: Callable[[int, NDArray[np.uint8]], None]) -> MovieTruth:
        """Expose one movie, handing each frame's counts (height, width) to ``receive(frame, counts)``."""
        p = self.parameters
        defocus = micrograph_defocus(p, p.seed, movie)
        motion = draw_motion(p, movie)
        placed = place_particles(p, movie, self.radius_A, self.orientations)
        layer = particle_layer(p, placed, self.projectors, defocus, self.canvas, self.margin, self.microscopes)
        particles = np.asarray(scipy.fft.rfft2(layer), dtype=np.complex64)
        del layer
        potential, relative, seen = obstacles(p, movie, self.canvas, self.margin)
        steady = np.zeros_like(particles)
        if potential is not None:
            steady[:] = 2 * self.microscope.interaction * scipy.fft.rfft2(potential) * self.microscope.transfer(defocus)
        thickness = thickness_map(p, movie)
        transmission = np.exp(-thickness / np.float32(p.mean_free_path_A)) * np.float32(p.quantum_efficiency)
        if relative is not None:
            transmission *= relative[self.margin : self.margin + p.height, self.margin : self.margin + p.width]
        amplitude = self._ice_amplitude(defocus)
        ice = np.zeros_like(particles)
        spectrum = np.empty_like(particles)
        expected = np.empty((p.height, p.width), np.float32)
        anew = np.zeros_like(self.ice_keep)
        ice_key, count_key = kernel_key(p.seed, "ice", movie), kernel_key(p.seed, "counts", movie)
        electrons = p.dose_per_frame_e_A2 * p.pixel_size_A**2
        moves_locally = bool(np.any(motion.local_A))
        for frame in range(p.frames):
            if p.ice_strength > 0:
                keep = self.ice_keep if frame else anew
                advance_ice(ice, keep, self.radius_step, self.ky, self.kx, *ice_key, frame)
            assemble_spectrum(
                particles, steady, ice, amplitude, self._damage(frame), self.response, self.radius_step,
                self.ky, self.kx, motion.global_A[frame], motion.blur_A[frame], spectrum,
            )  # fmt: skip
            canvas = scipy.fft.irfft2(spectrum, self.canvas)
            if moves_locally:
                warp_crop(canvas, motion.local_A[frame] / p.pixel_size_A, self.taps, self.margin, expected)
            else:
                m = self.margin
                expected[:] = canvas[m : m + p.height, m : m + p.width]
            expose(
                expected.ravel(), transmission.ravel(), self.detector.sensitivity.ravel(),
                self.detector.background.ravel(), electrons, expected.ravel(),
            )  # fmt: skip
            counts = np.empty((p.height, p.width), np.uint8)
            count_electrons(expected.ravel(), counts.ravel(), *count_key, frame)
            receive(frame, counts)
        return MovieTruth(image_name(p, movie), defocus, motion, placed, seen)

    def _ice_amplitude(self, defocus: Defocus) -> NDArray[np.float32]:
        """Return the amplitude (ny, nx // 2 + 1) of the ice's contrast in one frame's spectrum."""
        p = self.parameters
        mean_square = self.microscope.mean_square_transfer(defocus, p.ice_thickness_A)
        radial = np.interp(np.sqrt(self.microscope.k2), self.radii, self.ice_amplitude)
        amplitude = radial * np.sqrt(mean_square) * self.microscope.envelope
        # a real transform keeps half the power of the columns that are their own mirror image
        amplitude[:, 0] *= math.sqrt(2)
        amplitude[:, -1] *= math.sqrt(2)
        amplitude[0, 0] = 0
        return np.asarray(amplitude, dtype=np.float32)

    def _damage(self, frame: int) -> NDArray[np.float32]:
        """Return what is left of the particles' signal in a frame, by spatial frequency."""
        p = self.parameters
        if not p.radiation_damage:
            return np.ones(len(self.radii), np.float32)
        before = p.pre_exposure_e_A2 + frame * p.dose_per_frame_e_A2
        return damage(self.radii, before, before + p.dose_per_frame_e_A2, p.voltage_kV).astype(np.float32)


def image_name(parameters: MovieParameters, movie: int) -> str:
    """Return the file name of one movie or micrograph."""
    if isinstance(parameters, MicrographParameters):
        return f"micrograph_{movie + 1:04d}.mrc"
    return f"movie_{movie + 1:04d}.{parameters.format}"


def _run(
    maker: MovieMaker, one: Callable[[int], MovieTruth], threads: int, progress: Progress | None
) -> list[MovieTruth]:
    truth: list[MovieTruth] = []
    n = maker.parameters.movies
    with ThreadPoolExecutor(max(1, min(threads, n))) as pool:
        for found in pool.map(one, range(n)):
            truth.append(found)
            if progress is not None:
                progress(len(truth), n)
    return truth


def simulate_movies(
    parameters: MovieParameters, folder: str | Path, *, threads: int = 1, progress: Progress | None = None
) -> MoviesResult:
    """Simulate movies with known truth.

    Parameters
    ----------
    parameters
        What to simulate.
    folder
        Where ``movie_0001.tif`` ..., ``gain.mrc``, ``particles.star``, ``micrographs.star``, ``truth.json`` and
        ``report.json`` go; made if absent.
    threads
        Movies computed at once; the result does not depend on it. Each takes about 100 bytes a pixel.
    progress
        Called with (movies done, movies in all).

    Returns
    -------
    MoviesResult
        Files and truth.
    """
    started = time.perf_counter()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    maker = MovieMaker(parameters)
    gain = folder / "gain.mrc"
    write_mrc(gain, maker.detector.gain, parameters.pixel_size_A)

    def one(movie: int) -> MovieTruth:
        frames = np.empty((parameters.frames, parameters.height, parameters.width), np.uint8)

        def keep(frame: int, counts: NDArray[np.uint8]) -> None:
            frames[frame] = counts

        truth = maker.frames(movie, keep)
        write_movie(folder / truth.name, frames, parameters.pixel_size_A)
        return truth

    truth = _run(maker, one, threads, progress)
    return _write_truth(maker, truth, folder, gain, started)


def simulate_micrographs(
    parameters: MicrographParameters, folder: str | Path, *, threads: int = 1, progress: Progress | None = None
) -> MoviesResult:
    """Simulate summed, gain-corrected micrographs (float32 MRC); arguments as in :func:`simulate_movies`."""
    started = time.perf_counter()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    maker = MovieMaker(parameters)

    def one(movie: int) -> MovieTruth:
        total = np.zeros((parameters.height, parameters.width), np.float32)

        def add(_: int, counts: NDArray[np.uint8]) -> None:
            np.add(total, counts, out=total)

        truth = maker.frames(movie, add)
        total *= maker.detector.gain
        dead = maker.detector.dead
        alive = np.setdiff1d(np.arange(parameters.width), dead)
        for column in dead:
            total[:, column] = total[:, alive[np.argmin(np.abs(alive - column))]]
        hot = maker.detector.hot
        total[hot[:, 0], hot[:, 1]] = total.mean()
        write_mrc(folder / truth.name, total, parameters.pixel_size_A)
        return truth

    truth = _run(maker, one, threads, progress)
    return _write_truth(maker, truth, folder, None, started)


def _write_truth(
    maker: MovieMaker, truth: list[MovieTruth], folder: Path, gain: Path | None, started: float
) -> MoviesResult:
    """Write star files, ``truth.json`` and ``report.json`` of a set."""
    p = maker.parameters
    kind = "Micrograph" if gain is None else "MicrographOriginal"
    optics = optics_block(p, box=None, kind=kind)
    rows: list[tuple[Any, ...]] = []
    for movie in truth:
        d = movie.defocus
        for particle in movie.particles:
            if particle.listed:
                own = d.moved(-particle.height_A)
                rows.append((
                    movie.name, particle.x_px, particle.y_px, float(particle.rot), float(particle.tilt),
                    float(particle.psi), 0.0, 0.0, own.u_A, own.v_A, own.angle_degrees, own.phase_shift_degrees,
                    particle.shape + 1, 1,
                ))  # fmt: skip
    names = (
        "rlnMicrographName", "rlnCoordinateX", "rlnCoordinateY", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi",
        "rlnOriginXAngst", "rlnOriginYAngst", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift",
        "rlnClassNumber", "rlnOpticsGroup",
    )  # fmt: skip
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    star, micrographs = folder / "particles.star", folder / "micrographs.star"
    write_whole(star, "\n" + optics + star_block("particles", columns))
    write_whole(micrographs, "\n" + optics + star_block("micrographs" if gain is None else "movies", {
        "rlnMicrographName" if gain is None else "rlnMicrographMovieName": [m.name for m in truth],
        "rlnDefocusU": [float(m.defocus.u_A) for m in truth],
        "rlnDefocusV": [float(m.defocus.v_A) for m in truth],
        "rlnDefocusAngle": [float(m.defocus.angle_degrees) for m in truth],
        "rlnPhaseShift": [float(m.defocus.phase_shift_degrees) for m in truth],
        "rlnOpticsGroup": [1] * len(truth),
    }))  # fmt: skip
    truth_json, report = folder / "truth.json", folder / "report.json"
    write_json(truth_json, {
        "meaning": {
            "displacement_A": "(frames, 2): where the specimen in the middle of the image is, as y, x, relative to the "
            "reference frame; the shift that corrects it is the negative",
            "local_A": "(frames, 2, terms): added for y, x by each spatial term",
            "spatial_terms": list(SPATIAL_TERMS),
            "coordinates": "x and y of the terms are 2 (pixel - n // 2) / n of the position in the reference frame",
            "coordinates_of_particles": "rlnCoordinateX and Y count pixels from 0 and hold in the reference frame",
        },
        "reference_frame": 0 if p.reference_frame == "first" else p.frames // 2,
        "pixel_size_A": p.pixel_size_A,
        "hot_pixels_y_x": maker.detector.hot.tolist(),
        "dead_columns": maker.detector.dead.tolist(),
        "movies": [
            {
                "name": m.name, "displacement_A": m.motion.global_A.tolist(), "local_A": m.motion.local_A.tolist(),
                "blur_A": m.motion.blur_A.tolist(), "obstacles": m.obstacles,
                "unlisted_particles_x_y_px": [[q.x_px, q.y_px] for q in m.particles if not q.listed],
            }
            for m in truth
        ],
    })  # fmt: skip
    images = [folder / m.name for m in truth]
    write_json(report, {
        "kind": "micrographs" if gain is None else "movies", "parameters": p.model_dump(mode="json"),
        "images": len(images), "particles": len(rows), "radius_A": maker.radius_A,
        "files": [path.name for path in (star, micrographs, truth_json)] + ([gain.name] if gain else []),
        "seconds": round(time.perf_counter() - started, 2),
    })  # fmt: skip
    return MoviesResult(images, gain, star, micrographs, truth_json, report, truth)
