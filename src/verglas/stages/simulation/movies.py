"""Simulate movies and micrographs: expected images of particles in moving ice, counted electron by electron."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.formats import OpticsGroup, ParticleTable, write_mrc, write_particles, write_tiff_movie
from verglas.kernels.simulation_frame import advance_ice, assemble_spectrum, expose, warp_crop
from verglas.kernels.simulation_random import count_electrons
from verglas.stages.simulation.detector import Detector, interpolation_taps, make_detector, response
from verglas.stages.simulation.ice import ice_contrast_density, thickness_map, water_memory
from verglas.stages.simulation.motion import SPATIAL_TERMS, Motion, draw_motion
from verglas.stages.simulation.optics import Defocus, Microscope, damage
from verglas.stages.simulation.output import Progress, with_optics, write_json, write_micrographs
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
    particles
        Truth of all particles: coordinates in the reference frame, poses, defocus and class.
    truth
        One a movie.
    """

    images: list[Path]
    gain: Path | None
    star: Path
    micrographs_star: Path
    truth_json: Path
    report: Path
    particles: ParticleTable
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
        self.canvas = (self._canvas_length(p.height), self._canvas_length(p.width))
        ky, kx = frequencies(self.canvas, p.pixel_size_A)
        self.ky, self.kx = np.ascontiguousarray(ky[:, 0]), np.ascontiguousarray(kx[0])
        self.radius_step = math.hypot(0.5, 0.5) / p.pixel_size_A * 1.001 / RADIAL_STEPS
        self.radii: NDArray[np.float64] = np.arange(RADIAL_STEPS + 2, dtype=np.float64) * self.radius_step
        self.taps = interpolation_taps()
        self.response = response(self.radii, p).astype(np.float32)
        memory, damping = water_memory(self.radii, p, p.dose_per_frame_e_A2)
        self.ice_keep = memory.astype(np.float32)
        density = ice_contrast_density(self.radii, p)
        self.ice_amplitude = np.sqrt(density * math.prod(self.canvas)) / p.pixel_size_A * damping
        self.microscopes: dict[int, Microscope] = {}

    def _canvas_length(self, pixels: int) -> int:
        return int(scipy.fft.next_fast_len(pixels + 2 * self.margin, real=True))

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
        between = np.empty((self.canvas[0], p.width), np.float32)
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
                warp_crop(canvas, motion.local_A[frame] / p.pixel_size_A, self.taps, self.margin, between, expected)
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
        path = folder / truth.name
        if parameters.format == "tif":
            size = frames.nbytes
            write_tiff_movie(path, frames, pixel_size_A=parameters.pixel_size_A, n_bytes_at_most=size)
        else:
            write_mrc(path, frames, parameters.pixel_size_A, is_volume=False)
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


def particle_table(parameters: MovieParameters, truth: list[MovieTruth]) -> ParticleTable:
    """Return the truth table of all listed particles of a set."""
    listed = [(movie, particle) for movie in truth for particle in movie.particles if particle.listed]
    table = ParticleTable.empty(len(listed))
    table["coordinate_x_px"] = [particle.x_px for _, particle in listed]
    table["coordinate_y_px"] = [particle.y_px for _, particle in listed]
    table["rot_deg"] = [particle.rot for _, particle in listed]
    table["tilt_deg"] = [particle.tilt for _, particle in listed]
    table["psi_deg"] = [particle.psi for _, particle in listed]
    table["defocus_u_A"] = [movie.defocus.u_A - particle.height_A for movie, particle in listed]
    table["defocus_v_A"] = [movie.defocus.v_A - particle.height_A for movie, particle in listed]
    table["defocus_angle_deg"] = [movie.defocus.angle_degrees for movie, _ in listed]
    table["class_number"] = [particle.shape + 1 for _, particle in listed]
    table["position"] = np.arange(1, len(listed) + 1)
    table.set_names("micrograph", [movie.name for movie, _ in listed])
    return with_optics(table, parameters, OpticsGroup(micrograph_pixel_size_A=parameters.pixel_size_A))


def _write_truth(
    maker: MovieMaker, truth: list[MovieTruth], folder: Path, gain: Path | None, started: float
) -> MoviesResult:
    """Write star files, ``truth.json`` and ``report.json`` of a set."""
    p = maker.parameters
    particles = particle_table(p, truth)
    star, micrographs = folder / "particles.star", folder / "micrographs.star"
    write_particles(particles, star)
    names, defoci = [movie.name for movie in truth], [movie.defocus for movie in truth]
    write_micrographs(micrographs, p, names, defoci, movies=gain is not None)
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
        "images": len(images), "particles": len(particles), "radius_A": maker.radius_A,
        "files": [path.name for path in (star, micrographs, truth_json)] + ([gain.name] if gain else []),
        "seconds": round(time.perf_counter() - started, 2),
    })  # fmt: skip
    return MoviesResult(images, gain, star, micrographs, truth_json, report, particles, truth)
