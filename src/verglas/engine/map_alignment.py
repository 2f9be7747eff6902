"""Bring maps onto each other over all rotations, shifts and both hands.

Maps are compared in Fourier space, every shell counting by its number of components, whatever its amplitude: first a
few shells at all rotations of a grid (shifts by FFT), then the best candidates at more and more shells by a simplex.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from verglas.engine.map_matching import (
    CANDIDATES,
    COARSE_SHELLS,
    FINALISTS,
    MIDDLE_SHELLS,
    Shells,
    checked_map,
    climb,
    distinct,
    finest_shell,
    transform_map,
)
from verglas.engine.reference import Reference, prepare_reference
from verglas.engine.threads import kernel_threads
from verglas.errors import InputError
from verglas.geometry import pose_grid
from verglas.signal import (
    ShellCorrelation,
    centred_rfft,
    fourier_shell_correlation,
)

COARSE_SPACING = math.radians(12.0)
BATCH = 128


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
    first, second = checked_map(volume, pixel_size_A), checked_map(reference, pixel_size_A)
    if first.shape != second.shape:
        raise InputError(f"maps of {first.shape} and {second.shape} voxels cannot be aligned: resample one of them.")
    box = len(first)
    finest = finest_shell(box, pixel_size_A, limit_A)
    prepared = prepare_reference(first, pixel_size_A, limit_A=box * pixel_size_A / (finest + 1), threads=threads)
    target = centred_rfft(second, workers=threads)
    found = _coarse_candidates(prepared, target, min(COARSE_SHELLS, finest), both_hands=both_hands, threads=threads)
    for shells, kept in ((MIDDLE_SHELLS, FINALISTS), (finest, 1)):
        level = Shells(prepared, min(shells, finest))
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


def _coarse_candidates(
    prepared: Reference, target: Any, shells: int, *, both_hands: bool, threads: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], int]]:
    """Return the best rotations of a grid with the shift in pixels that fits each, for each hand."""
    import scipy.fft

    from verglas.kernels.map_points import sample_points

    level = Shells(prepared, shells)
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
        for i in distinct(scores[hand], rotations, CANDIDATES, 1.2 * COARSE_SPACING):
            found.append((rotations[i], places[hand][i], hand))
    return found


def _refine_match(
    prepared: Reference, target: Any, level: Shells, rotation: Any, moved: Any, hand: int, *, to_the_top: bool
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

    return (*climb(score, rotation, moved, level.index.max(), to_the_top=to_the_top), hand)
