"""How a specimen is tilted, from the defocus of a micrograph's tiles, and the spectrum that it would have untilted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.optimize

from verglas.errors import InputError
from verglas.microscopy import Optics
from verglas.signal import power, rfft, tile_starts
from verglas.stages.ctf_estimation.points import background_basis
from verglas.stages.ctf_estimation.quality import equal_phase_squared
from verglas.stages.ctf_estimation.search import DECAYS_A2, CtfValues, SearchSettings
from verglas.stages.ctf_estimation.spectrum import ThonSpectrum, cut_spectrum, fitted_tile, log_spectrum

Array = np.ndarray[Any, Any]
OVERLAP = 0.5
COARSE_A, MIDDLE_A = 8.0, 6.0
"""Resolutions of the first two searches: at 8 A rings are a turn wide where the defocus differs by 3250 A (300 kV)."""
MEAN_STEP_A, SLOPE_STEP = 150.0, 0.12
COARSE_DECAY_A2 = 20.0
LEAST_GAIN = 25.0
"""Fall of the sum of squares, in units of the noise's variance, from which on a tilt is believed."""
FEWEST_TILES = 9


@dataclass(frozen=True)
class Tilt:
    """The tilt of a specimen.

    Attributes
    ----------
    axis_deg, angle_deg
        The axis goes through the middle of the micrograph at ``axis_deg`` (-180 to 180) from +x towards +y; defocus
        grows by the tangent of the angle (0 or more) on the side to which the axis points after a quarter turn from +x
        towards +y.
    axis_error_deg, angle_error_deg
        Standard errors.
    gain
        By how much a tilted specimen explains the tiles better than a flat one: fall of the sum of squares in units of
        the noise's variance.
    """

    axis_deg: float
    angle_deg: float
    axis_error_deg: float
    angle_error_deg: float
    gain: float

    @property
    def is_certain(self) -> bool:
        """Whether the tiles tell a tilt."""
        return self.gain >= LEAST_GAIN


@dataclass(frozen=True)
class TilePowers:
    """Power of a micrograph's tiles.

    Attributes
    ----------
    power
        float32, shape (tiles, box, box // 2 + 1), as in `ThonSpectrum` but not its logarithm.
    places_A
        Middles of the tiles from the middle of the micrograph as x and y, shape (tiles, 2).
    independent
        How many tiles without overlap fit in the micrograph.
    pixel_size_A
        As in `ThonSpectrum`.
    """

    power: Array
    places_A: Array
    independent: float
    pixel_size_A: float


def tile_powers(
    image: Array | Iterable[Array], pixel_size_A: float, *, box: int, finest_pixel_A: float | None
) -> TilePowers:
    """Return the power of each of a micrograph's overlapping tiles; arguments and errors as in `thon_spectrum`."""
    powers, shape, count = None, None, 0
    for one in [image] if isinstance(image, np.ndarray) else image:
        if powers is None:
            box, tile = fitted_tile(one.shape, box, pixel_size_A, finest_pixel_A)
            shape = one.shape
            corners = [
                (y, x) for y in tile_starts(shape[0], tile, OVERLAP) for x in tile_starts(shape[1], tile, OVERLAP)
            ]
            powers = np.zeros((len(corners), box, box // 2 + 1), np.float32)
        elif one.shape != shape:
            raise InputError(f"Images of shapes {shape} and {one.shape} do not go into one spectrum.")
        count += 1
        for number, (y, x) in enumerate(corners):
            part = one[y : y + tile, x : x + tile].astype(np.float32)
            part -= np.float32(part.mean(dtype=np.float64))
            powers[number] += cut_spectrum(power(rfft(part, 2)), box)
    if powers is None or shape is None:
        raise InputError("There is no image to fit a CTF to.")
    if not np.isfinite(powers).all():
        raise InputError("The micrograph has pixels that are no numbers; was it written whole?")
    if not powers.any(axis=(1, 2)).all():
        raise InputError("All pixels of a part of the micrograph are alike: no tilt can be told.")
    if len(corners) < FEWEST_TILES:
        raise InputError(
            f"Only {len(corners)} tiles of {tile} pixels fit in the micrograph, too few to tell a tilt: use a smaller "
            "box."
        )
    powers /= np.float32(count * tile**2)
    middles = np.array([(x + tile // 2 - shape[1] // 2, y + tile // 2 - shape[0] // 2) for y, x in corners])
    return TilePowers(powers, middles * pixel_size_A, math.prod(shape) / tile**2, pixel_size_A * tile / box)


class _Profiles:
    """Logarithm of the tiles' power along equal phase, without background, and how well planes of defocus fit it."""

    def __init__(
        self, tiles: TilePowers, optics: Optics, values: CtfValues, settings: SearchSettings, finest_A: float
    ) -> None:
        box = tiles.power.shape[1]
        step = 1.0 / (box * tiles.pixel_size_A)
        y = np.fft.fftfreq(box, 1.0 / box)[:, None]
        x = np.arange(box // 2 + 1)[None]
        radius = np.hypot(x, y)
        low, high = 1.0 / settings.coarsest_A / step, min(1.0 / finest_A / step, box // 2 - 1)
        used = (x > 1.5) & (abs(y) > 1.5) & (radius > low) & (radius < high)
        squared = (radius[used] * step) ** 2
        azimuth = np.arctan2(*np.broadcast_arrays(y, x))[used]
        defocus = values.mean_A + values.cosine_part_A * np.cos(2 * azimuth) + values.sine_part_A * np.sin(2 * azimuth)
        equal = np.sqrt(equal_phase_squared(squared, defocus, values.mean_A, optics))
        ring = np.rint(equal / step).astype(np.int64)
        count = np.bincount(ring)
        there = np.flatnonzero(count >= 8)
        frequency = np.bincount(ring, equal)[there] / count[there]
        self.weight = np.sqrt(count[there])
        self.squared = frequency**2
        curves = background_basis(self.squared, frequency[0], frequency[-1]) * self.weight[:, None]
        self.background, _ = np.linalg.qr(curves)
        rows = np.stack([np.bincount(ring, one[used].astype(np.float64))[there] for one in tiles.power])
        self.data = self.clean(np.log(rows / count[there]) * self.weight)
        wavelength, sphere = optics.wavelength_A, 0.5 * optics.spherical_aberration_mm * 1e7 * optics.wavelength_A**3
        self.per_A = wavelength * self.squared
        self.constant = (optics.amplitude_phase + values.phase_shift) / math.pi - sphere * self.squared**2
        self.total = float((self.data**2).sum())
        self.degrees = self.data.shape[0] * (self.data.shape[1] - self.background.shape[1])

    def clean(self, rows: Array) -> Array:
        """Return rows without what is a smooth background."""
        left: Array = rows - (rows @ self.background) @ self.background.T
        return left

    def rings(self, defocus: Array, decay: float) -> Array:
        """Return the rings of each defocus, without what passes for background."""
        turns = np.asarray(defocus)[:, None] * self.per_A + self.constant
        return self.clean(-np.cos(2 * np.pi * turns) * (np.exp(-decay * self.squared) * self.weight))

    def explained(self, defocus: Array, decay: float) -> float:
        """Return the part of the sum of squares that rings of one common height and these defoci explain."""
        rings = self.rings(defocus, decay)
        product = float((rings * self.data).sum())
        return max(product, 0.0) ** 2 / max(float((rings**2).sum()), 1e-300)


def find_tilt(
    tiles: TilePowers, optics: Optics, values: CtfValues, settings: SearchSettings, largest_deg: float
) -> tuple[Tilt, Array]:
    """Find the plane of defocus that fits the tiles of a micrograph best.

    All tiles are fitted together, by rings of one height whose defocus is a plane. It is searched at 8 A over all
    planes, so that it does not depend on the fit to the whole micrograph, whose rings a tilt washes out, and refined
    with more and more of the rings.

    Parameters
    ----------
    tiles, optics
        What is fitted, the microscope.
    values
        Astigmatism and phase shift, from the whole micrograph.
    settings
        Range of defocus and of resolution.
    largest_deg
        Largest angle searched.

    Returns
    -------
    tilt : Tilt
    plane : ndarray, shape (3,)
        Defocus in the middle in A, and what it grows by along x and y, in A for each A.

    References
    ----------
    J. Elferich et al., "CTFFIND5 provides improved insight into quality, tilt, and thickness of TEM samples",
    eLife 13 (2024) RP97227, fits tiles of a micrograph too.
    """
    places = np.column_stack([np.ones(len(tiles.places_A)), tiles.places_A])
    plane = _coarse(_Profiles(tiles, optics, values, settings, COARSE_A), places, settings, largest_deg)
    scale = np.array([200.0, 0.04, 0.04])
    for finest in (MIDDLE_A, settings.finest_A):
        profiles = _Profiles(tiles, optics, values, settings, finest)
        plane, decay = max(
            ((_refined(profiles, places, plane, one, scale), one) for one in DECAYS_A2),
            key=lambda found: profiles.explained(places @ found[0], found[1]),
        )
        scale = scale / 2
    explained = profiles.explained(places @ plane, decay)
    flat = max(
        profiles.explained(np.full(len(places), mean), decay)
        for mean in np.arange(plane[0] - 2000.0, plane[0] + 2000.0, 25.0)
    )
    # tiles that overlap are not independent of each other
    variance = (profiles.total - explained) / profiles.degrees * len(places) / tiles.independent
    covariance = _covariance(profiles, places, plane, decay, variance)
    slope = math.hypot(plane[1], plane[2])
    along = np.array([0.0, plane[1], plane[2]]) / max(slope, 1e-9)
    beside = np.array([0.0, -plane[2], plane[1]]) / max(slope, 1e-9)
    tilt = Tilt(
        axis_deg=math.degrees(math.atan2(-plane[1], plane[2])), angle_deg=math.degrees(math.atan(slope)),
        axis_error_deg=math.degrees(math.sqrt(max(float(beside @ covariance @ beside), 0.0)) / max(slope, 1e-9)),
        angle_error_deg=math.degrees(math.sqrt(max(float(along @ covariance @ along), 0.0)) / (1 + slope**2)),
        gain=(explained - flat) / max(variance, 1e-300),
    )  # fmt: skip
    return tilt, plane


def _coarse(profiles: _Profiles, places: Array, settings: SearchSettings, largest_deg: float) -> Array:
    """Return the best plane of a grid."""
    steepest = math.tan(math.radians(largest_deg))
    reach = MEAN_STEP_A * math.ceil(steepest * np.hypot(*places[:, 1:].T).max() / MEAN_STEP_A)
    means = np.arange(settings.min_defocus_A, settings.max_defocus_A + MEAN_STEP_A, MEAN_STEP_A)
    margin = round(reach / MEAN_STEP_A)
    trials = means[0] + MEAN_STEP_A * np.arange(-margin, len(means) + margin)
    rings = profiles.rings(trials, COARSE_DECAY_A2)
    norm = (rings**2).sum(axis=1)
    products = profiles.data @ rings.T
    height = np.sqrt(np.maximum(norm[margin : margin + len(means)], 0.05 * norm.max()))
    slopes = np.arange(0.0, steepest + SLOPE_STEP, SLOPE_STEP)
    slopes = np.concatenate([-slopes[:0:-1], slopes])
    row = np.arange(len(places))[:, None]
    column = margin + np.arange(len(means))
    best, found = -math.inf, np.array([means[0], 0.0, 0.0])
    for along_x in slopes:
        for along_y in slopes[np.hypot(slopes, along_x) <= steepest + SLOPE_STEP]:
            shift = np.rint(places[:, 1:] @ (along_x, along_y) / MEAN_STEP_A).astype(np.int64)
            shift = np.clip(shift, -margin, margin)
            scores = products[row, column + shift[:, None]].sum(axis=0) / height
            top = int(scores.argmax())
            if scores[top] > best:
                best, found = float(scores[top]), np.array([means[top], along_x, along_y])
    return found


def _refined(profiles: _Profiles, places: Array, plane: Array, decay: float, scale: Array) -> Array:
    """Return the plane near the given one that explains most."""

    def unexplained(moved: Array) -> float:
        return -profiles.explained(places @ (plane + scale * moved), decay)

    simplex = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    options: Any = {"initial_simplex": simplex, "xatol": 0.01, "fatol": 1e-9 * profiles.total, "maxfev": 200}
    found = scipy.optimize.minimize(unexplained, np.zeros(3), method="Nelder-Mead", options=options)
    refined: Array = plane + scale * found.x
    return refined


def _covariance(profiles: _Profiles, places: Array, plane: Array, decay: float, variance: float) -> Array:
    """Return the covariance of a plane from the slopes of its rings."""
    steps = np.array([10.0, 2e-3, 2e-3])
    rings = profiles.rings(places @ plane, decay)
    height = max(float((rings * profiles.data).sum()), 0.0) / max(float((rings**2).sum()), 1e-300)
    slopes = []
    for number, step in enumerate(steps):
        moved = np.zeros(3)
        moved[number] = step
        change = profiles.rings(places @ (plane + moved), decay) - profiles.rings(places @ (plane - moved), decay)
        slopes.append(height * change.ravel() / (2 * step))
    columns = np.stack(slopes)
    covariance: Array = np.linalg.pinv(columns @ columns.T) * variance
    return covariance


def untilted_spectrum(tiles: TilePowers, optics: Optics, plane: Array) -> ThonSpectrum:
    """Return the spectrum of all tiles, each stretched so that its rings lie where those of the middle lie."""
    box = tiles.power.shape[1]
    half = box // 2
    y = (np.arange(box) - half)[:, None]
    x = np.arange(half + 1)[None]
    squared = (x**2 + y**2) * (1.0 / (box * tiles.pixel_size_A)) ** 2
    total, count = np.zeros((box, half + 1)), np.zeros((box, half + 1))
    middle = np.full_like(squared, plane[0])
    for one, place in zip(tiles.power, tiles.places_A, strict=True):
        defocus = float(plane[0] + plane[1:] @ place)
        ratio = np.sqrt(equal_phase_squared(squared, middle, defocus, optics) / np.maximum(squared, 1e-300))
        wanted_y, wanted_x = half + y * ratio, x * ratio
        inside = (wanted_y >= 0) & (wanted_y <= box - 1) & (wanted_x <= half)
        centred = np.roll(one, half, axis=0)
        total += np.where(inside, scipy.ndimage.map_coordinates(centred, [wanted_y, wanted_x], order=1), 0.0)
        count += inside
    plain = np.roll(tiles.power.mean(axis=0), half, axis=0)
    mean = np.roll(np.where(count > 0, total / np.maximum(count, 1), plain), -half, axis=0)
    return log_spectrum(mean, tiles.pixel_size_A)
