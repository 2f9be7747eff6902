"""Put particles, clumps, ice crystals and a carbon edge into the field of view."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from verglas.stages.simulation.optics import Defocus, Microscope
from verglas.stages.simulation.parameters import MovieParameters
from verglas.stages.simulation.poses import Orientations, choose_class, rotation_matrix
from verglas.stages.simulation.projection import Projector
from verglas.stages.simulation.random import generator
from verglas.stages.simulation.scattering import ice_potential_V

CARBON_POTENTIAL_V = 9.0
CARBON_GRAIN_A = 3.0
CARBON_FREE_PATH_A = 1600.0
HOLE_RADIUS_A = 6000.0
ATTEMPTS_PER_PARTICLE = 200


@dataclass(frozen=True)
class Placed:
    """One particle of a field of view; ``listed`` ones go into the truth table."""

    y_px: float
    x_px: float
    height_A: float
    rot: float
    tilt: float
    psi: float
    shape: int
    listed: bool


def place_particles(
    parameters: MovieParameters, movie: int, radius_A: float, orientations: Orientations
) -> list[Placed]:
    """Throw particles onto the image, no two closer than the smallest distance; then cut-off ones and clumps."""
    random = generator(parameters.seed, "places", movie)
    pixel = parameters.pixel_size_A
    radius = radius_A / pixel
    extent = np.array([parameters.height, parameters.width], dtype=float)
    border = radius if parameters.edge_particles else 0.0
    apart = parameters.minimum_distance * 2 * radius
    places: list[tuple[float, float]] = []
    listed = 0
    for _ in range(ATTEMPTS_PER_PARTICLE * max(1, parameters.particles)):
        if listed >= parameters.particles:
            break
        y, x = random.uniform(-border, extent + border)
        known = np.array(places).reshape(-1, 2)
        if known.size and np.min(np.hypot(known[:, 0] - y, known[:, 1] - x)) < apart:
            continue
        places.append((y, x))
        listed += bool(0 <= y < extent[0] - 0.5 and 0 <= x < extent[1] - 0.5)
    clumps: list[tuple[float, float]] = []
    for _ in range(int(random.poisson(parameters.aggregates))):
        centre = random.uniform(0, 1, 2) * extent
        size = int(random.integers(5, 20))
        clumps += [tuple(centre + random.normal(0, 0.45 * radius * math.sqrt(size), 2)) for _ in range(size)]
    reach = parameters.height_fraction * parameters.ice_thickness_A / 2
    placed = []
    for i, (y, x) in enumerate(places + clumps):
        inside = i < len(places) and 0 <= y < extent[0] - 0.5 and 0 <= x < extent[1] - 0.5
        height = reach * float(generator(parameters.seed, "height", movie, i).uniform(-1, 1))
        shape = choose_class(parameters, parameters.seed, movie, i)
        placed.append(Placed(float(y), float(x), height, *orientations.draw(movie, i), shape, inside))
    return placed


def delocalisation_A(parameters: MovieParameters, defocus: Defocus, wavelength_A: float) -> float:
    """Return how far the CTF carries what the envelope lets through."""
    k = 0.5 / parameters.pixel_size_A
    if parameters.envelope_b_A2 > 0:
        k = min(k, math.sqrt(4 * 3 / parameters.envelope_b_A2))
    reach = wavelength_A * max(abs(defocus.u_A), abs(defocus.v_A)) * k
    return abs(reach - parameters.cs_mm * 1e7 * wavelength_A**3 * k**3)


def particle_layer(
    parameters: MovieParameters,
    placed: list[Placed],
    projectors: list[Projector],
    defocus: Defocus,
    canvas: tuple[int, int],
    margin: int,
    microscopes: dict[int, Microscope],
) -> NDArray[np.float32]:
    """Return the summed contrast of all particles on the canvas, each with its own defocus."""
    layer = np.zeros(canvas, np.float32)
    pixel = parameters.pixel_size_A
    wavelength = Microscope(parameters, (2, 2)).wavelength_A
    need = projectors[0].box + 2 * math.ceil(delocalisation_A(parameters, defocus, wavelength) / pixel)
    box = scipy.fft.next_fast_len(need, real=True)
    while box % 2:
        box = scipy.fft.next_fast_len(box + 1, real=True)
    microscope = microscopes.setdefault(box, Microscope(parameters, (box, box)))
    for particle in placed:
        iy, ix = round(particle.y_px), round(particle.x_px)
        offset = ((particle.y_px - iy) * pixel, (particle.x_px - ix) * pixel)
        rotation = rotation_matrix(particle.rot, particle.tilt, particle.psi)
        own = defocus.moved(-particle.height_A)
        image = scipy.fft.irfft2(microscope.contrast(projectors[particle.shape], rotation, offset, own), (box, box))
        top, left = iy + margin - box // 2, ix + margin - box // 2
        y0, x0, y1, x1 = max(0, top), max(0, left), min(canvas[0], top + box), min(canvas[1], left + box)
        if y0 < y1 and x0 < x1:
            layer[y0:y1, x0:x1] += image[y0 - top : y1 - top, x0 - left : x1 - left]
    return layer


def obstacles(
    parameters: MovieParameters, movie: int, canvas: tuple[int, int], margin: int
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None, dict[str, object]]:
    """Return the projected potential (V A) and relative transmission of crystals and carbon, and their truth.

    Both arrays are None where the field of view is clean.
    """
    random = generator(parameters.seed, "obstacles", movie)
    pixel = parameters.pixel_size_A
    blobs = int(random.poisson(parameters.contamination))
    has_carbon = bool(random.random() < parameters.carbon)
    if not blobs and not has_carbon:
        return None, None, {"blobs": [], "carbon": None}
    y, x = np.ogrid[: canvas[0], : canvas[1]]
    thickness = np.zeros(canvas, np.float32)
    listed = []
    for _ in range(blobs):
        cy, cx = random.uniform(0, parameters.height), random.uniform(0, parameters.width)
        radius_A, flat = random.uniform(80, 350), random.uniform(0.3, 1.0)
        ripple, turn = random.uniform(0, 0.15, 4), random.uniform(0, 2 * math.pi, 4)
        dy, dx = y - cy - margin, x - cx - margin
        angle = np.arctan2(dy, dx)
        rim = 1 + np.sum([ripple[i] * np.cos((i + 2) * angle + turn[i]) for i in range(4)], axis=0)
        relative = np.hypot(dy, dx) * pixel / (radius_A * rim)
        thickness += (2 * flat * radius_A * np.sqrt(np.clip(1 - relative**2, 0, None))).astype(np.float32)
        listed.append({"x_px": cx, "y_px": cy, "radius_A": radius_A})
    potential = ice_potential_V() * thickness
    transmission = np.exp(-thickness / parameters.mean_free_path_A)
    carbon = None
    if has_carbon:
        direction, cut = random.uniform(0, 2 * math.pi), random.uniform(0.2, 0.8)
        radius = HOLE_RADIUS_A / pixel
        across = (x - canvas[1] / 2) * math.cos(direction) + (y - canvas[0] / 2) * math.sin(direction)
        along = (y - canvas[0] / 2) * math.cos(direction) - (x - canvas[1] / 2) * math.sin(direction)
        edge = cut * min(parameters.width, parameters.height) / 2
        beyond = (np.hypot(across - edge + radius, along) - radius) * pixel / 10
        film = (parameters.carbon_thickness_A / (1 + np.exp(-np.clip(beyond, -50, 50)))).astype(np.float32)
        grain = random.standard_normal(canvas, dtype=np.float32) * np.float32(
            CARBON_POTENTIAL_V * CARBON_GRAIN_A**1.5 * math.sqrt(parameters.carbon_thickness_A) / pixel
        )
        potential = potential + film * CARBON_POTENTIAL_V + grain * (film / parameters.carbon_thickness_A)
        transmission = transmission * np.exp(-film / CARBON_FREE_PATH_A)
        carbon = {
            "angle_degrees": math.degrees(direction),
            "distance_from_middle_px": edge,
            "hole_radius_A": HOLE_RADIUS_A,
        }
    return potential.astype(np.float32), transmission.astype(np.float32), {"blobs": listed, "carbon": carbon}
