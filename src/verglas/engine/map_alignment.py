"""Bring maps onto each other over all rotations, shifts and both hands, and onto the axes of their symmetry.

Maps are compared in Fourier space, every shell counting by its number of components, whatever its amplitude: first a
few shells at all rotations of a grid (shifts by FFT), then the best candidates at more and more shells by a simplex.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.reference import Reference, prepare_reference
from verglas.engine.threads import kernel_threads
from verglas.errors import InputError, NumericalError
from verglas.geometry import geodesic_distance, point_group, pose_grid, rotvec_to_matrix
from verglas.signal import (
    ShellCorrelation,
    centred_irfft,
    centred_rfft,
    fourier_shell_correlation,
    shift,
)

COARSE_SHELLS, MIDDLE_SHELLS, FINE_SHELLS = 8, 14, 40
COARSE_SPACING = math.radians(12.0)
SYMMETRY_SHELLS, SYMMETRY_SPACING = 10, math.radians(10.0)
CANDIDATES, FINALISTS = 6, 2
RESTARTS, GAIN = 5, 1e-5
BATCH = 128
LEAST_BOX = 24


@dataclass(frozen=True)
class MapAlignment:
    """How a map lies in a reference.

    Attributes
    ----------
    rotation
        A feature at p (x, y, z from the origin n // 2) comes to lie at ``rotation @ p + shift``; shape (3, 3).
    shift_A
        x, y, z in A.
    mirrored
        Whether the map was first inverted through its origin: it has the other hand.
    correlation
        Mean correlation of the components compared, each shell whitened.
    other_hand
        The best correlation that the other hand reached.
    fsc
        Of the aligned map and the reference.
    map
        The aligned map, float32.
    """

    rotation: NDArray[np.float64]
    shift_A: NDArray[np.float64]
    mirrored: bool
    correlation: float
    other_hand: float
    fsc: ShellCorrelation
    map: NDArray[np.float32]


@dataclass(frozen=True)
class SymmetryAlignment:
    """How the axes of a map lie: ``rotation`` and ``shift_A`` (as in :class:`MapAlignment`) bring them to the standard.

    Attributes
    ----------
    rotation, shift_A
        See :class:`MapAlignment`.
    correlation
        Mean correlation of the map with its copies under the group's generators.
    map
        The map in the standard setting, float32.
    """

    rotation: NDArray[np.float64]
    shift_A: NDArray[np.float64]
    correlation: float
    map: NDArray[np.float32]


class _Shells:
    """The components up to a shell of a box: their points, weights, and places in a small FFT."""

    def __init__(self, prepared: Reference, shells: int) -> None:
        axis = np.arange(-shells, shells + 1)
        z, y, x = (part.ravel() for part in np.meshgrid(axis, axis, np.arange(shells + 1), indexing="ij"))
        radius = np.sqrt(x * x + y * y + z * z)
        inside = (radius <= shells) & (radius > 0.0)
        self.index = np.stack([x, y, z], axis=-1)[inside]
        self.shell = np.rint(radius[inside]).astype(np.int64)
        self.mates = np.where(self.index[:, 0] == 0, 1.0, 2.0)
        # Voxels of the padded transform: one Fourier pixel of the box is padded / box of them.
        self.voxels = prepared.padded_box / prepared.box
        self.points = (self.voxels * self.index).astype(np.float32)

    def whitening(self, values: Any) -> NDArray[np.float64]:
        """Return what makes the mean square of each shell 1, at every point."""
        power = np.bincount(self.shell, np.abs(values) ** 2 * self.mates)
        count = np.bincount(self.shell, self.mates)
        mean = power / np.maximum(count, 1.0)
        if not np.isfinite(mean).all():
            raise NumericalError("a map holds values that are not numbers; look at it before it is aligned.")
        inverse = np.divide(1.0, np.sqrt(mean), out=np.zeros_like(mean), where=mean > 1e-12 * mean.max())
        weight: NDArray[np.float64] = inverse[self.shell]
        return weight

    def own_whitening(self, prepared: Reference) -> NDArray[np.float64]:
        """Return the whitening of the prepared map itself."""
        from verglas.kernels.map_points import sample_points

        own = np.empty((1, len(self.points)), np.complex64)
        sample_points(prepared.values, prepared.centre, np.eye(3, dtype=np.float32)[None], self.points, own)
        return self.whitening(own[0])

    def symmetry_weight(self, prepared: Reference) -> NDArray[np.float32]:
        """Return the weights of products that whiten the prepared map."""
        weight: NDArray[np.float32] = (self.own_whitening(prepared) ** 2 * self.mates).astype(np.float32)
        return weight


def align_maps(
    volume: Any,
    reference: Any,
    pixel_size_A: float,
    *,
    limit_A: float | None = None,
    both_hands: bool = True,
    threads: int = 1,
) -> MapAlignment:
    """Bring a map onto a reference.

    Parameters
    ----------
    volume, reference
        Maps of one cubic shape, [z, y, x].
    pixel_size_A
        Their pixel size in A.
    limit_A
        Finest resolution compared; 40 shells (or 0.8 of Nyquist) when None.
    both_hands
        Also try the map's mirror image.
    threads
        Threads.

    Returns
    -------
    MapAlignment

    Raises
    ------
    InputError
        If the maps are no cubes of one size.
    """
    first, second = _checked(volume, pixel_size_A), _checked(reference, pixel_size_A)
    if first.shape != second.shape:
        raise InputError(f"maps of {first.shape} and {second.shape} voxels cannot be aligned: resample one of them.")
    box = len(first)
    finest = _finest(box, pixel_size_A, limit_A)
    prepared = prepare_reference(first, pixel_size_A, limit_A=box * pixel_size_A / (finest + 1), threads=threads)
    target = centred_rfft(second, workers=threads)
    found = _coarse_candidates(prepared, target, min(COARSE_SHELLS, finest), both_hands=both_hands, threads=threads)
    for shells, kept in ((MIDDLE_SHELLS, FINALISTS), (finest, 1)):
        level = _Shells(prepared, min(shells, finest))
        refined = [
            _refine_match(prepared, target, level, *candidate, to_the_top=shells == finest) for candidate in found
        ]
        found = []
        for hand in (1, -1):
            ordered = sorted((one for one in refined if one[3] == hand), key=lambda one: -one[0])
            found += [one[1:] for one in ordered[:kept]]
    best, *others = sorted(refined, key=lambda one: -one[0])
    score, rotation, moved, hand = best
    shift_A = moved * pixel_size_A
    aligned = transform_map(first, rotation, shift_A, pixel_size_A, mirrored=hand < 0, threads=threads)
    return MapAlignment(
        rotation=rotation,
        shift_A=shift_A,
        mirrored=hand < 0,
        correlation=score,
        other_hand=max((one[0] for one in others if one[3] != hand), default=math.nan),
        fsc=fourier_shell_correlation(aligned, second, pixel_size_A, workers=threads),
        map=aligned,
    )


def align_symmetry(
    volume: Any, symmetry: str, pixel_size_A: float, *, limit_A: float | None = None, threads: int = 1
) -> SymmetryAlignment:
    """Find the axes of a map that has a symmetry, and bring it to the standard setting.

    Parameters
    ----------
    volume
        Cubic map [z, y, x], its symmetry centre within about a tenth of the box of its centre of mass.
    symmetry
        Point group; axes as in :mod:`verglas.geometry.symmetry`.
    pixel_size_A, limit_A, threads
        As in :func:`align_maps`.

    Returns
    -------
    SymmetryAlignment
        Around the axis of a Cn group the map is turned, and along it moved, as little matters: the centre of mass
        comes to height 0.

    Raises
    ------
    InputError
        If the map is no cube, or the group has no symmetry.
    """
    from verglas.kernels.map_points import symmetry_score, symmetry_scores

    group = point_group(symmetry)
    if group.order == 1:
        raise InputError("C1 has no axes to find; give the symmetry that the map should have.")
    density = _checked(volume, pixel_size_A)
    box = len(density)
    finest = _finest(box, pixel_size_A, limit_A)
    centre = _centre_of_mass(density)
    centred = shift(density, -centre[::-1], workers=threads)
    # The spherical average looks alike under all rotations.
    prepared = prepare_reference(
        centred - _spherical_average(centred), pixel_size_A, limit_A=box * pixel_size_A / (finest + 1), threads=threads
    )
    operators = _generators(group.operators).astype(np.float32)
    rotations = pose_grid(SYMMETRY_SPACING)
    level = _Shells(prepared, min(SYMMETRY_SHELLS, finest))
    weight = level.symmetry_weight(prepared)
    scores = np.empty(len(rotations))
    with kernel_threads(threads):
        symmetry_scores(
            prepared.values, prepared.centre, rotations.astype(np.float32), operators, level.points, weight, scores
        )
    found = [(rotations[i], np.zeros(3)) for i in _distinct(scores, rotations, CANDIDATES, 1.2 * SYMMETRY_SPACING)]
    for shells, kept in ((SYMMETRY_SHELLS, FINALISTS), (MIDDLE_SHELLS, 2), (finest, 1)):
        level = _Shells(prepared, min(shells, finest))
        weight = level.symmetry_weight(prepared)
        refined = []
        for start, moved in found:

            def score(turned: Any, at: Any, level: _Shells = level, weight: Any = weight) -> float:
                radians = 2.0 * np.pi / (box * level.voxels)
                return float(
                    symmetry_score(
                        prepared.values, prepared.centre, turned.astype(np.float32),
                        (at * radians).astype(np.float32), operators, level.points, weight,
                    )
                )  # fmt: skip

            refined.append(_simplex(score, start, moved, level.index.max(), to_the_top=shells == finest))
        refined.sort(key=lambda one: -one[0])
        found = [one[1:] for one in refined[:kept]]
    correlation, rotation, moved = refined[0]
    if group.name[0] == "C":
        moved = moved * [1.0, 1.0, 0.0]
    shift_A = (moved - rotation @ centre) * pixel_size_A
    return SymmetryAlignment(
        rotation, shift_A, correlation, transform_map(density, rotation, shift_A, pixel_size_A, threads=threads)
    )


def transform_map(
    volume: Any, rotation: Any, shift_A: Any, pixel_size_A: float, *, mirrored: bool = False, threads: int = 1
) -> NDArray[np.float32]:
    """Return a map turned and moved: a feature at p comes to lie at ``rotation @ p + shift``.

    Parameters
    ----------
    volume
        Cubic map [z, y, x].
    rotation
        Shape (3, 3).
    shift_A
        x, y, z in A.
    pixel_size_A
        Pixel size in A.
    mirrored
        Invert the map through its origin first.
    threads
        Threads.

    Returns
    -------
    ndarray
        float32; band-limited to just below the Nyquist frequency.

    Notes
    -----
    By trilinear interpolation of the transform of the padded map: about 2 % of error, alike at all resolutions.
    """
    from verglas.kernels.map_points import sample_points

    density = _checked(volume, pixel_size_A)
    box = len(density)
    prepared = prepare_reference(density, pixel_size_A, threads=threads)
    scale = prepared.padded_box / box
    full, half = np.fft.fftfreq(box, 1.0 / box), np.fft.rfftfreq(box, 1.0 / box)
    move = -2j * np.pi / (box * pixel_size_A) * np.asarray(shift_A, np.float64)
    turned = np.asarray(rotation, np.float32)[None]
    transform = np.zeros((box, box, half.size), np.complex64)
    y, x = np.meshgrid(full, half, indexing="ij")
    limit = min(0.5 * box, (prepared.centre - 1.5) / scale)
    with kernel_threads(threads):
        for row, z in enumerate(full):
            inside = x * x + y * y + z * z < limit * limit
            k = np.stack([x[inside], y[inside], np.full(int(inside.sum()), z)], axis=-1)
            values = np.empty((1, len(k)), np.complex64)
            sample_points(prepared.values, prepared.centre, turned, (scale * k).astype(np.float32), values)
            transform[row][inside] = (np.conj(values[0]) if mirrored else values[0]) * np.exp(k @ move)
    result: NDArray[np.float32] = centred_irfft(transform, density.shape, workers=threads)
    return result


def _checked(volume: Any, pixel_size_A: float) -> NDArray[np.float32]:
    density = np.asarray(volume, np.float32)
    if density.ndim != 3 or len(set(density.shape)) != 1 or len(density) < LEAST_BOX or not pixel_size_A > 0.0:
        raise InputError(
            f"a map must be a cube of at least {LEAST_BOX} voxels a side with a pixel size, not {density.shape} at "
            f"{pixel_size_A:g} A."
        )
    return density


def _finest(box: int, pixel_size_A: float, limit_A: float | None) -> int:
    """Return the last shell that is compared."""
    most = int(0.4 * box)
    if limit_A is None:
        return min(FINE_SHELLS, most)
    shells = math.floor(box * pixel_size_A / limit_A)
    if not COARSE_SHELLS <= shells <= box // 2 - 2:
        raise InputError(
            f"a limit of {limit_A:g} A is shell {shells} of this box; choose one from "
            f"{box * pixel_size_A / (box // 2 - 2):.2f} to {box * pixel_size_A / COARSE_SHELLS:.1f} A."
        )
    return shells


def _coarse_candidates(
    prepared: Reference, target: Any, shells: int, *, both_hands: bool, threads: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], int]]:
    """Return the best rotations of a grid with the shift in pixels that fits each, for each hand."""
    import scipy.fft

    from verglas.kernels.map_points import sample_points

    level = _Shells(prepared, shells)
    x, y, z = level.index.T
    wanted = target[z, y, x]
    white = level.whitening(wanted)
    rotations = pose_grid(COARSE_SPACING)
    size = scipy.fft.next_fast_len(5 * shells // 2, real=True)
    hands = (1, -1) if both_hands else (1,)
    scores = {hand: np.empty(len(rotations)) for hand in hands}
    places = {hand: np.empty((len(rotations), 3)) for hand in hands}
    own_white = None
    for start in range(0, len(rotations), BATCH):
        batch = rotations[start : start + BATCH].astype(np.float32)
        values = np.empty((len(batch), len(level.points)), np.complex64)
        with kernel_threads(threads):
            sample_points(prepared.values, prepared.centre, batch, level.points, values)
        if own_white is None:
            own_white = level.whitening(values[0])
        norm = np.sqrt((np.abs(values * own_white) ** 2) @ level.mates * (np.abs(wanted * white) ** 2 @ level.mates))
        for hand in hands:
            products = np.zeros((len(batch), size, size, size // 2 + 1), np.complex64)
            own = np.conj(values) if hand > 0 else values
            products[:, z, y, x] = own * (wanted * white * own_white)
            peaks = scipy.fft.irfftn(products, (size, size, size), axes=(1, 2, 3), workers=threads)
            flat = peaks.reshape(len(batch), -1)
            best = flat.argmax(axis=1)
            scores[hand][start : start + len(batch)] = flat.max(axis=1) * size**3 / norm
            at = np.stack(np.unravel_index(best, (size, size, size))[::-1], axis=-1)
            places[hand][start : start + len(batch)] = (at - size * (at > size // 2)) * prepared.box / size
    found = []
    for hand in hands:
        for i in _distinct(scores[hand], rotations, CANDIDATES, 1.2 * COARSE_SPACING):
            found.append((rotations[i], places[hand][i], hand))
    return found


def _refine_match(
    prepared: Reference, target: Any, level: _Shells, rotation: Any, moved: Any, hand: int, *, to_the_top: bool
) -> tuple[float, NDArray[np.float64], NDArray[np.float64], int]:
    """Refine one candidate; return correlation, rotation, shift in pixels and hand."""
    from verglas.kernels.map_points import match_score

    x, y, z = level.index.T
    wanted = target[z, y, x]
    white, own_white = level.whitening(wanted), level.own_whitening(prepared)
    norm = math.sqrt(float(np.abs(wanted * white) ** 2 @ level.mates))
    product = (wanted * (white * own_white * level.mates / norm)).astype(np.complex64)
    weight = (own_white**2 * level.mates).astype(np.float32)
    radians = 2.0 * np.pi / (prepared.box * level.voxels)

    def score(turned: Any, at: Any) -> float:
        return float(
            match_score(
                prepared.values, prepared.centre, turned.astype(np.float32), (at * radians).astype(np.float32),
                float(hand), level.points, product, weight,
            )
        )  # fmt: skip

    return (*_simplex(score, rotation, moved, level.index.max(), to_the_top=to_the_top), hand)


def _simplex(
    score: Any, rotation: Any, moved: Any, shells: int, *, to_the_top: bool
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Climb a score over rotation and shift (in pixels) from a start; steps suit the finest shell."""
    from scipy.optimize import minimize

    # A quarter of the finest shell's wave, for a particle a third of the box in radius.
    angle = 0.5 / shells
    pixels = 0.1 * COARSE_SHELLS / shells * 10.0

    def cost(v: Any) -> float:
        return -float(score(rotvec_to_matrix(angle * v[:3]) @ rotation, moved + pixels * v[3:]))

    # A simplex may collapse short of the top: it is set up afresh, smaller and turned over, until that gains nothing.
    best, value, size = np.zeros(6), math.inf, 1.0
    for _ in range(1 + (RESTARTS if to_the_top else 0)):
        start = best + np.vstack([np.zeros(6), size * np.eye(6)])
        options: Any = {"initial_simplex": start, "xatol": 0.003, "fatol": 1e-6, "maxfev": 400}
        done = minimize(cost, best, method="Nelder-Mead", options=options)
        gain, best, value = value - float(done.fun), done.x, float(done.fun)
        if gain < GAIN:
            break
        size *= -0.5
    return -value, rotvec_to_matrix(angle * best[:3]) @ rotation, moved + pixels * best[3:]


def _distinct(scores: Any, rotations: Any, count: int, apart: float) -> list[int]:
    """Return the best-scoring rotations that lie some angle apart from each other."""
    left = np.array(scores, np.float64)
    chosen: list[int] = []
    while len(chosen) < count and np.isfinite(left.max()):
        best = int(left.argmax())
        chosen.append(best)
        left[geodesic_distance(rotations, rotations[best]) < apart] = -np.inf
    return chosen


def _generators(operators: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return few operators whose products are the whole group."""
    chosen: list[Any] = []
    made = [np.eye(3)]
    for candidate in operators[1:]:
        if min(np.abs(candidate - known).max() for known in made) < 1e-6:
            continue
        chosen.append(candidate)
        made = [np.eye(3)]
        for known in made:
            for generator in chosen:
                product = known @ generator
                if min(np.abs(product - other).max() for other in made) > 1e-6:
                    made.append(product)
        if len(made) == len(operators):
            break
    return np.array(chosen)


def _centre_of_mass(density: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the centre (x, y, z) of what is well above the mean, in pixels from the origin."""
    above = np.clip(density.astype(np.float64) - (density.mean() + 2.0 * density.std()), 0.0, None)
    axis = np.arange(len(density)) - len(density) // 2
    sums = [above.sum(axis=tuple(other for other in range(3) if other != own)) for own in (2, 1, 0)]
    total = max(float(above.sum()), 1e-30)
    return np.array([float(line @ axis) / total for line in sums])


def _spherical_average(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the map of the mean over spheres around the origin."""
    box = len(density)
    squares = (np.arange(box) - box // 2) ** 2
    shell = np.rint(np.sqrt(squares[:, None, None] + squares[:, None] + squares)).astype(np.int64)
    means = np.bincount(shell.ravel(), density.ravel()) / np.maximum(np.bincount(shell.ravel()), 1)
    average: NDArray[np.float32] = means[shell].astype(np.float32)
    return average
